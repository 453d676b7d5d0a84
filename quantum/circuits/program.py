"""The immutable form of a circuit that every engine runs (floor 0 of circuits).

A program is data: what is applied to which wires, what is measured, and where each parameter comes
from (a *slot*: the number of an entry in the list that `Recording.replay` returns). It holds no
PennyLane object and no Python function, so it can be pickled, compared and shared between threads.
"""

from dataclasses import dataclass
from typing import Any, Literal

from quantum.tracing.recording import Recording

__all__ = ["Kind", "Measurement", "Operation", "Program", "Term"]


@dataclass(frozen=True)
class Operation:
    """One gate of the table in `quantum.circuits.gates`, on wires numbered from 0.

    Args:
        gate: The gate's name in the table.
        wires: The target wires, first the most significant bit of the gate's matrix.
        slots: Where its parameters are found.
        controls: Wires that must carry ``control_values`` for the gate to act.
        control_values: One bit per control wire.
        adjoint: The conjugate transpose is meant.
        setting: What else the gate needs and no gradient flows to, such as a Pauli word.
        unitary: False for a channel (a name of `quantum.circuits.channels`) and for a "Projection",
            whose slot holds its matrix and after which the state is normalised again
            (postselection).

    Example:
        >>> Operation("RX", (0,), slots=(0,), controls=(1,), control_values=(True,)).gate
        'RX'
    """

    gate: str
    wires: tuple[int, ...]
    slots: tuple[int, ...] = ()
    controls: tuple[int, ...] = ()
    control_values: tuple[bool, ...] = ()
    adjoint: bool = False
    setting: Any = None
    unitary: bool = True


@dataclass(frozen=True)
class Term:
    """One summand of an observable: a coefficient times a product of operations.

    Args:
        coefficient: The slot of the coefficient.
        factors: The operations of the product, written as in the formula (the last acts first).

    Example:
        >>> Term(coefficient=0, factors=(Operation("PauliZ", (0,)),)).factors[0].wires
        (0,)
    """

    coefficient: int
    factors: tuple[Operation, ...]


Kind = Literal[
    "expval",
    "var",
    "probs",
    "state",
    "density_matrix",
    "purity",
    "vn_entropy",
    "mutual_info",
    "sample",
    "counts",
]


@dataclass(frozen=True)
class Measurement:
    """What is read from the final state.

    Args:
        kind: Which of PennyLane's measurements it is.
        wires: The wires that are read, in the order of the answer (empty where ``terms`` are).
        terms: The observable (expval and var, and sample and counts of an observable).
        rotations: Operations applied before probabilities are read (``probs(op=...)``).
        base: The base of the logarithm of an entropy, None: the natural logarithm.
        split: For mutual_info, how many of ``wires`` belong to the first subsystem.
        all_outcomes: For counts, whether outcomes that never occurred are listed.

    Example:
        >>> Measurement("probs", wires=(0, 1)).width
        4
    """

    kind: Kind
    wires: tuple[int, ...] = ()
    terms: tuple[Term, ...] = ()
    rotations: tuple[Operation, ...] = ()
    base: float | None = None
    split: int = 0
    all_outcomes: bool = False

    @property
    def width(self) -> int:
        """The number of entries on the last axis of the answer (of one draw, for samples)."""
        if self.kind in ("probs", "state", "density_matrix"):
            return 2 ** len(self.wires)
        return len(self.wires) if self.kind == "sample" and self.wires else 1

    @property
    def is_complex(self) -> bool:
        """Whether the answer is complex: such a measurement stands alone in a circuit."""
        return self.kind in ("state", "density_matrix")

    @property
    def draws(self) -> bool:
        """Whether the answer is made of draws: it needs shots and stands alone in a circuit."""
        return self.kind in ("sample", "counts")


@dataclass(frozen=True, eq=False)
class Program:
    """A traced circuit: operations on ``wires`` wires, then measurements, parameters from slots.

    Args:
        wires: The number of wires.
        operations: What is applied to the state :math:`|0...0>`, in order.
        measurements: What is read, in the order of the answer.
        recording: How the arguments of the circuit become the slots.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> empty = record(lambda x: [], [(1,)])
        >>> Program(1, (), (Measurement("probs", (0,)),), empty).out_features
        2
    """

    wires: int
    operations: tuple[Operation, ...]
    measurements: tuple[Measurement, ...]
    recording: Recording

    @property
    def out_features(self) -> int:
        """The number of entries on the last axis of the layer's answer."""
        return sum(measurement.width for measurement in self.measurements)

    @property
    def is_unitary(self) -> bool:
        """Whether every operation is unitary: no channel and no postselection."""
        return all(operation.unitary for operation in self.operations)
