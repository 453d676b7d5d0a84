"""PennyLane operators and measurements → entries of a `Program` (floor 2 of circuits).

What the gate table knows is taken over; controls, adjoints, integer powers and products are
resolved structurally; everything else is decomposed by PennyLane until it is known, or taken as its
matrix.
"""

import cmath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator, StatePrepBase
from pennylane.ops.mid_measure import MeasurementValue

from quantum.circuits.channels import CHANNELS
from quantum.circuits.gates import TABLE, UnsupportedOperation
from quantum.circuits.program import Kind, Measurement, Operation, Term

__all__ = ["Translator"]

_NOTHING = ("Barrier", "Snapshot", "WireCut", "Identity")
_LETTERS = {"X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}
_KINDS: dict[type, Kind] = {
    qml.measurements.ExpectationMP: "expval",
    qml.measurements.VarianceMP: "var",
    qml.measurements.ProbabilityMP: "probs",
    qml.measurements.DensityMatrixMP: "density_matrix",
    qml.measurements.StateMP: "state",
    qml.measurements.PurityMP: "purity",
    qml.measurements.VnEntropyMP: "vn_entropy",
    qml.measurements.MutualInfoMP: "mutual_info",
    qml.measurements.SampleMP: "sample",
    qml.measurements.CountsMP: "counts",
}
_OTHER_SYSTEMS = ("pennylane.ops.qutrit", "pennylane.ops.cv")
_DEEPEST = 60
_BY_MATRIX = ("SpecialUnitary",)  # whose decomposition is made for gradients on hardware


class Translator:
    """Turns PennyLane operators into entries of a program, collecting parameter values.

    Args:
        wires: Wire label → number of the wire in the program.
        channels: Whether what runs the program can simulate noise.

    Example:
        >>> translator = Translator({"a": 0})
        >>> translator.operation(qml.adjoint(qml.RX(0.5, wires="a")))[0].adjoint
        True
        >>> translator.values
        [0.5]
    """

    def __init__(self, wires: Mapping[Any, int], channels: bool = False) -> None:
        self.wires = wires
        self.channels = channels
        self.values: list[Any] = []

    def slot(self, value: Any) -> int:
        """The number of a new slot that holds ``value``."""
        if hasattr(value, "toarray"):  # scipy's sparse matrices
            value = value.toarray()
        if isinstance(value, list | tuple):
            value = qml.math.stack(value) if len(value) else value
        self.values.append(value)
        return len(self.values) - 1

    def places(self, labels: Iterable[Any]) -> tuple[int, ...]:
        """The numbers of wire labels."""
        unknown = [label for label in labels if label not in self.wires]
        if unknown:
            raise ValueError(
                f"the circuit uses the wires {unknown}, which its device does not have: "
                f"{list(self.wires)}"
            )
        return tuple(self.wires[label] for label in labels)

    def circuit(self, operators: Sequence[Operator]) -> tuple[Operation, ...]:
        """The operations of a whole circuit; states are prepared on wires still untouched."""
        made: list[Operation] = []
        touched: set[Any] = set()
        for operator in operators:
            fresh = touched.isdisjoint(operator.wires)
            if fresh and isinstance(operator, qml.QubitDensityMatrix):
                made.append(self.mixture(operator))
            elif fresh and _prepares(operator):
                made += self.preparation(operator)
            else:
                made += self.operation(operator)
            touched.update(operator.wires)
        return tuple(made)

    def preparation(self, operator: Any) -> list[Operation]:
        """A state put on fresh wires."""
        places = self.places(operator.wires)
        if isinstance(operator, qml.BasisState):
            bits = [int(bit) for bit in operator.data[0]]
            return [Operation("PauliX", (w,)) for w, bit in zip(places, bits, strict=True) if bit]
        vector = (
            operator.data[0] if isinstance(operator, qml.StatePrep) else operator.state_vector()
        )
        if hasattr(vector, "toarray"):
            vector = vector.toarray()
        return [Operation("StatePrep", places, (self.slot(qml.math.reshape(vector, (-1,))),))]

    def mixture(self, operator: Any) -> Operation:
        """A density matrix put on fresh wires."""
        if not self.channels:
            raise UnsupportedOperation(
                f"{operator.name} is a mixed state, which a state vector cannot hold: ask for "
                "simulator=quantum.DensityMatrix()"
            )
        slot = self.slot(operator.data[0])
        places = self.places(operator.wires)
        return Operation("QubitDensityMatrix", places, (slot,), unitary=False)

    def operation(self, operator: Operator, depth: int = 0) -> list[Operation]:
        """One operator as operations of the gate table."""
        if depth > _DEEPEST:
            raise UnsupportedOperation(f"{operator.name} decomposes into itself without end")
        if operator.name in _NOTHING:
            return []
        if type(operator).__module__.startswith(_OTHER_SYSTEMS):
            raise UnsupportedOperation(
                f"{operator.name} acts on qutrits or modes of light, not qubits"
            )
        if operator.batch_size is not None:
            raise ValueError(
                f"{operator.name} has a batch of {operator.batch_size} parameters: the circuit is "
                "traced on one row, so index the last axis of the inputs (inputs[..., k]) and "
                "leave batches to the layer"
            )
        if isinstance(operator, qml.operation.Channel):
            return [self.channel(operator)]
        if isinstance(operator, qml.Projector):
            return [self.projection(operator)]
        if isinstance(operator, qml.ops.Controlled):
            return self.controlled(operator, depth)
        if isinstance(operator, qml.ops.Adjoint):
            inner = self.operation(operator.base, depth + 1)
            _need_unitary(inner, operator)
            return [replace(o, adjoint=not o.adjoint) for o in reversed(inner)]
        if isinstance(operator, qml.ops.Pow) and float(operator.z).is_integer():
            return self.power(operator.base, int(operator.z), depth)
        if isinstance(operator, qml.ops.Prod):
            return self.sequence(list(reversed(operator.operands)), depth)
        if operator.name in TABLE:
            return [self.gate(operator)]
        return self.composite(operator, depth)

    def gate(self, operator: Operator) -> Operation:
        """An operator that is in the table."""
        setting = None
        wires = self.places(operator.wires)
        if operator.name == "PauliRot":
            setting = operator.hyperparameters["pauli_word"]
        elif operator.name == "PCPhase":
            setting = int(operator.hyperparameters["dimension"][0])
        elif operator.name == "GlobalPhase":
            wires = ()
        slots = tuple(self.slot(value) for value in operator.data)
        return Operation(operator.name, wires, slots, setting=setting)

    def channel(self, operator: Any) -> Operation:
        """A channel, by name where its closed form is known, else by its Kraus matrices."""
        if not self.channels:
            raise UnsupportedOperation(
                f"{operator.name} is a channel: a state vector cannot hold noise, so ask for "
                "simulator=quantum.DensityMatrix()"
            )
        wires = self.places(operator.wires)
        setting = operator.hyperparameters.get("operators")
        if operator.name in CHANNELS and operator.name != "QubitChannel":
            slots = tuple(self.slot(value) for value in operator.data)
            return Operation(operator.name, wires, slots, setting=setting, unitary=False)
        slot = self.slot(list(operator.kraus_matrices()))
        return Operation("QubitChannel", wires, (slot,), unitary=False)

    def projection(self, operator: Any) -> Operation:
        """A projection, after which the state is normalised again (postselection)."""
        matrix = self.slot(operator.matrix())
        return Operation("Projection", self.places(operator.wires), (matrix,), unitary=False)

    def controlled(self, operator: Any, depth: int) -> list[Operation]:
        """Every operation of the base, with these controls."""
        controls = self.places(operator.control_wires)
        values = tuple(bool(value) for value in operator.control_values)
        inner = self.operation(operator.base, depth + 1)
        _need_unitary(inner, operator)
        return [
            replace(o, controls=controls + o.controls, control_values=values + o.control_values)
            for o in inner
        ]

    def power(self, base: Operator, exponent: int, depth: int) -> list[Operation]:
        """``base`` repeated, backwards where the exponent is negative."""
        once = self.operation(base, depth + 1)
        if exponent < 0:
            once = [replace(o, adjoint=not o.adjoint) for o in reversed(once)]
        return once * abs(exponent)

    def sequence(self, operators: Sequence[Operator], depth: int) -> list[Operation]:
        """Operators one after the other."""
        return [o for operator in operators for o in self.operation(operator, depth + 1)]

    def composite(self, operator: Operator, depth: int) -> list[Operation]:
        """An operator outside the table: its decomposition, else its matrix."""
        if isinstance(operator, qml.ops.Pow):
            try:
                return self.sequence(operator.base.pow(operator.z), depth)
            except qml.exceptions.PowUndefinedError:
                return [self.dense(operator)]
        if isinstance(operator, qml.ops.Exp):
            return [self.exponential(operator)]
        if operator.has_decomposition and operator.name not in _BY_MATRIX:
            try:
                return self.sequence(operator.decomposition(), depth)
            except (qml.exceptions.DecompositionUndefinedError, NotImplementedError):
                pass
        return [self.dense(operator)]

    def exponential(self, operator: Any) -> Operation:
        """The exponential of an observable: exact, whatever the coefficient."""
        sentence = operator.base.pauli_rep
        if sentence is None or not len(sentence):
            return self.dense(operator)
        if len(sentence) > 1:
            generator = sum(
                c * torch.as_tensor(w.to_mat(operator.wires)) for w, c in sentence.items()
            )
            unitary = _exponential(operator.coeff * generator)
            return Operation("QubitUnitary", self.places(operator.wires), (self.slot(unitary),))
        ((word, factor),) = sentence.items()
        letters, slot = "".join(word.values()), self.slot(operator.coeff * factor)
        places = self.places(word.keys())
        return Operation("PauliExponential", places, (slot,), setting=letters)

    def dense(self, operator: Operator) -> Operation:
        """An operator as its matrix."""
        if not getattr(operator, "has_matrix", False):
            raise UnsupportedOperation(
                f"{operator.name} on wires {list(operator.wires)} is neither in the gate table nor "
                "has it a decomposition or a matrix"
            )
        matrix = operator.matrix()
        if qml.math.shape(matrix)[-1] != 2 ** len(operator.wires):
            raise UnsupportedOperation(
                f"{operator.name} does not act on qubits: its matrix is "
                f"{qml.math.shape(matrix)} on {len(operator.wires)} wires"
            )
        return Operation("QubitUnitary", self.places(operator.wires), (self.slot(matrix),))

    def measurement(self, process: MeasurementProcess) -> Measurement:
        """One measurement of the circuit."""
        kind = _KINDS.get(type(process))
        if kind is None:
            raise UnsupportedOperation(
                f"{type(process).__name__} is not supported: return expval, var, probs, sample, "
                "counts, state, density_matrix, purity, vn_entropy or mutual_info"
            )
        listed = kind == "counts" and bool(getattr(process, "all_outcomes", False))
        terms = self.observed(process)
        if terms is not None:
            return Measurement(kind, terms=terms, all_outcomes=listed)
        wires = self.places(process.wires) or tuple(range(len(self.wires)))
        rotations = self.sequence(process.diagonalizing_gates(), 0) if kind == "probs" else []
        base = getattr(process, "log_base", None)
        split = len(process.raw_wires[0]) if kind == "mutual_info" else 0
        return Measurement(kind, wires, (), tuple(rotations), base, split, listed)

    def observed(self, process: MeasurementProcess) -> tuple[Term, ...] | None:
        """What an expectation, a variance, samples or counts are of; None: of wires."""
        if isinstance(process, qml.measurements.ProbabilityMP):
            return None
        if process.obs is not None:
            return tuple(self.terms(process.obs))
        if isinstance(process.mv, MeasurementValue):
            return self.diagonal(process.eigvals(), process.wires)
        if isinstance(process, qml.measurements.ExpectationMP | qml.measurements.VarianceMP):
            return self.diagonal(process.eigvals(), process.wires)
        return None

    def diagonal(self, eigenvalues: Any, labels: Iterable[Any]) -> tuple[Term, ...]:
        """An observable that is diagonal in the computational basis."""
        entries = self.slot(np.asarray(eigenvalues, dtype=float))
        factor = Operation("DiagonalQubitUnitary", self.places(labels), (entries,))
        return (Term(self.slot(1.0), (factor,)),)

    def terms(self, observable: Operator) -> list[Term]:
        """An observable as a sum of products of operations of the table."""
        sentence = observable.pauli_rep
        if sentence is not None:
            return [
                Term(self.slot(coefficient), self.word(word))
                for word, coefficient in sentence.items()
            ]
        products = [
            (coefficient, tuple(o for factor in factors for o in self.factor(factor)))
            for coefficient, factors in _products(observable)
        ]
        return [Term(self.slot(coefficient), factors) for coefficient, factors in products]

    def word(self, word: Mapping[Any, str]) -> tuple[Operation, ...]:
        """A product of Pauli matrices."""
        return tuple(
            Operation(_LETTERS[letter], self.places([wire])) for wire, letter in word.items()
        )

    def factor(self, operator: Operator) -> list[Operation]:
        """One factor of an observable, its operations as written in a product."""
        if isinstance(operator, qml.ops.qubit.observables.BasisStateProjector):
            bits = [int(bit) for bit in operator.data[0]] if operator.data else []
            bits = bits or [int(bit) for bit in operator.parameters[0]]
            diagonal = [0.0] * 2 ** len(bits)
            diagonal[int("".join(map(str, bits)), 2)] = 1.0
            slots = (self.slot(np.array(diagonal)),)
            return [Operation("DiagonalQubitUnitary", self.places(operator.wires), slots)]
        if isinstance(operator, qml.Projector):
            return [self.dense(operator)]
        if isinstance(operator, qml.SparseHamiltonian):
            matrix = self.slot(operator.sparse_matrix())
            return [Operation("QubitUnitary", self.places(operator.wires), (matrix,))]
        return list(reversed(self.operation(operator)))


def _need_unitary(inner: Sequence[Operation], operator: Operator) -> None:
    wrong = [operation.gate for operation in inner if not operation.unitary]
    if wrong:
        raise UnsupportedOperation(
            f"{operator.name} has no meaning: {wrong[0]} is not unitary, it can be neither "
            "controlled nor inverted"
        )


def _prepares(operator: Operator) -> bool:
    other = type(operator).__module__.startswith(_OTHER_SYSTEMS)
    return isinstance(operator, StatePrepBase) and not other


def _exponential(matrix: Any) -> Any:
    """The matrix exponential: torch's loses digits at small norms, so the spectrum is shifted."""
    identity = torch.eye(len(matrix), dtype=torch.complex128)
    return torch.linalg.matrix_exp(matrix + 1j * identity) * cmath.exp(-1j)


def _products(observable: Operator) -> list[tuple[Any, list[Operator]]]:
    """An observable as coefficients and products of factors."""
    if isinstance(observable, qml.ops.SProd):
        scale = observable.scalar
        return [(scale * c, factors) for c, factors in _products(observable.base)]
    if isinstance(observable, qml.ops.LinearCombination):
        scaled = zip(*observable.terms(), strict=True)
        return [(a * c, factors) for a, term in scaled for c, factors in _products(term)]
    if isinstance(observable, qml.ops.Sum):
        return [product for summand in observable.operands for product in _products(summand)]
    if isinstance(observable, qml.ops.Prod):
        made: list[tuple[Any, list[Operator]]] = [(1.0, [])]
        for operand in observable.operands:
            made = [(a * b, f + g) for a, f in made for b, g in _products(operand)]
        return made
    return [(1.0, [observable])]
