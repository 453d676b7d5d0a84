"""PennyLane operators with values in them → numbers, through `quantum.engine` (floor 1 of scripts).

A layer traces a function once; a PennyLane device gets a new list of operators at each call. So the
values in the operators are the arguments of the program here, and its structure is the key under
which the plan is kept: circuits that differ in values only are planned once. Values may have a
leading batch axis, which the engine carries natively.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator, StatePrepBase
from pennylane.wires import Wires
from torch import Tensor

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Measurement, Operation, Program
from quantum.circuits.translation import Translator
from quantum.engine import run
from quantum.plan import Plan, plan
from quantum.resources import require_memory
from quantum.simulators import DensityMatrix, StateVector
from quantum.tracing.recording import Recording

__all__ = ["Basis", "Exact", "analytic", "read"]

Exact = StateVector | DensityMatrix
_WHOLE = -1
_SCALARS = ("expval", "var", "purity", "vn_entropy", "mutual_info")
_KNOWN = (
    qml.measurements.ExpectationMP,
    qml.measurements.VarianceMP,
    qml.measurements.ProbabilityMP,
    qml.measurements.DensityMatrixMP,
    qml.measurements.PurityMP,
    qml.measurements.VnEntropyMP,
    qml.measurements.MutualInfoMP,
)


@dataclass(frozen=True)
class _Layout:
    """Where the slots of a program are found among its arguments.

    Args:
        shapes: The core shape of each argument.
        places: For each slot its argument and the position in it, `_WHOLE` for all of it; None is
            the constant 1.
    """

    shapes: tuple[tuple[int, ...], ...]
    places: tuple[tuple[int, int] | None, ...]


@dataclass(frozen=True, eq=False)
class Basis:
    """The probabilities of all basis states after some more operators.

    Args:
        rotations: What is applied before the probabilities are read.

    Example:
        >>> read([qml.H(0)], Wires(0), [Basis((qml.H(0),))], StateVector())[0].round()
        tensor([1., 0.], dtype=torch.float64)
    """

    rotations: tuple[Operator, ...] = ()


def read(
    operators: Sequence[Operator],
    wires: Wires,
    requests: Sequence[MeasurementProcess | Basis],
    simulator: Exact,
) -> list[Tensor]:
    """Run ``operators`` on :math:`|0...0>` and answer each request.

    Args:
        operators: Applied in order; a parameter may have one leading batch axis. After a
            `qml.Projector` the state is normalised: it is a postselection.
        wires: All wire labels, the first the most significant in states.
        requests: Measurements that the engine knows by itself, or bases. `qml.state` is the density
            matrix where the simulator is `DensityMatrix`.
        simulator: What it is simulated with; without a precision: double.

    Returns:
        A tensor for each request in its PennyLane shape, with a leading batch axis where an
        operator has one.

    Raises:
        UnsupportedOperation: An operator cannot be simulated; the message names it.
        MemoryError: The state does not fit; nothing was allocated yet.

    Example:
        >>> turn = qml.RX(np.array([0.0, np.pi]), "a")
        >>> read([turn], Wires("a"), [qml.expval(qml.Z("a"))], StateVector())
        [tensor([ 1., -1.], dtype=torch.float64)]
    """
    mixed = isinstance(simulator, DensityMatrix)
    numbers = {label: number for number, label in enumerate(wires)}
    translator = Translator(numbers, channels=mixed)
    cores: list[int | None] = []  # core dimensions of each value; None: no batch axis
    operations = _operations(translator, operators, cores)
    measurements = tuple(_measurement(translator, request, mixed) for request in requests)
    device = _device(translator.values)
    layout, arguments = _packed(translator.values, cores, device)
    chosen = _planned(len(wires), operations, measurements, layout, simulator)
    precision = torch.complex64 if simulator.precision == "single" else torch.complex128
    batch = _batch(operators)
    require_memory(chosen.program, simulator, batch or 1, precision, device)
    answers = run(chosen, arguments, precision, device)
    pairs = zip(answers, measurements, strict=True)
    return [_shaped(answer, measurement, batch) for answer, measurement in pairs]


def analytic(
    operators: Sequence[Operator],
    measurements: Sequence[MeasurementProcess],
    wires: Wires,
    simulator: Exact,
) -> list[Tensor]:
    """The exact value of each PennyLane measurement, in its PennyLane shape.

    What the engine does not know is left to the measurement itself, which gets the final state.

    Args:
        operators: Applied in order to :math:`|0...0>`.
        measurements: PennyLane's measurements that need no shots.
        wires: All wire labels.
        simulator: What it is simulated with.

    Example:
        >>> analytic([qml.X(0)], [qml.expval(qml.Z(0))], Wires(0), StateVector())
        [tensor(-1., dtype=torch.float64)]
    """
    asked = [m if type(m) in _KNOWN else qml.state() for m in measurements]
    answers = read(operators, wires, asked, simulator)
    return [
        answer if type(measurement) in _KNOWN else _processed(measurement, answer, wires, simulator)
        for measurement, answer in zip(measurements, answers, strict=True)
    ]


def _processed(measurement: Any, state: Tensor, wires: Wires, simulator: Exact) -> Tensor:
    """A measurement as PennyLane computes it from a state or density matrix."""
    if isinstance(simulator, StateVector):
        return torch.as_tensor(measurement.process_state(state, wires))
    if type(measurement) is qml.measurements.StateMP:
        every = qml.density_matrix(wires=measurement.wires or wires)
        return torch.as_tensor(every.process_density_matrix(state, wires))
    return torch.as_tensor(measurement.process_density_matrix(state, wires))


def _operations(
    translator: Translator, operators: Sequence[Operator], cores: list[int | None]
) -> tuple[Operation, ...]:
    """Operations of the program; ``cores`` is filled in for every value they use."""
    if _batch(operators) is None:
        plain = tuple(translator.circuit(operators))
        cores += [None] * len(translator.values)
        return plain
    made: list[Operation] = []
    for place, operator in enumerate(operators):
        if operator.batch_size is not None:
            made += _batched(translator, operator, cores)
        elif place == 0 and isinstance(operator, StatePrepBase):
            made += translator.preparation(operator)
        else:
            made += translator.operation(operator)
        cores += [None] * (len(translator.values) - len(cores))
    return tuple(made)


def _batched(translator: Translator, operator: Any, cores: list[int | None]) -> Sequence[Operation]:
    """An operator whose parameters have a batch axis."""
    if isinstance(operator, StatePrepBase):
        cores.append(1)
        vectors = operator.state_vector()
        flat = qml.math.reshape(vectors, (operator.batch_size, -1))
        slots = (translator.slot(flat),)
        return [Operation("StatePrep", translator.places(operator.wires), slots)]
    if operator.name in TABLE:
        core = TABLE[operator.name].core
        cores += core or [0] * len(operator.data)
        return [translator.gate(operator)]
    if isinstance(operator, qml.ops.Controlled):
        controls = translator.places(operator.control_wires)
        values = tuple(bool(value) for value in operator.control_values)
        inner = _batched(translator, operator.base, cores)
        return [
            replace(o, controls=controls + o.controls, control_values=values + o.control_values)
            for o in inner
        ]
    if isinstance(operator, qml.ops.Adjoint):
        inner = _batched(translator, operator.base, cores)
        return [replace(o, adjoint=not o.adjoint) for o in reversed(inner)]
    cores.append(2)
    slots = (translator.slot(operator.matrix()),)
    return [Operation("QubitUnitary", translator.places(operator.wires), slots)]


def _measurement(
    translator: Translator, request: MeasurementProcess | Basis, mixed: bool
) -> Measurement:
    every = tuple(range(len(translator.wires)))
    if isinstance(request, Basis):
        return Measurement(
            "probs", every, rotations=tuple(translator.sequence(request.rotations, 0))
        )
    if type(request) is qml.measurements.StateMP:
        return Measurement("density_matrix" if mixed else "state", every)
    return translator.measurement(request)


def _batch(operators: Sequence[Operator]) -> int | None:
    """The size of the batch axis, None where no operator has one."""
    sizes = [operator.batch_size for operator in operators if operator.batch_size is not None]
    return sizes[0] if sizes else None


def _device(values: Sequence[Any]) -> torch.device:
    devices = [value.device for value in values if isinstance(value, Tensor)]
    others = [device for device in devices if device.type != "cpu"]
    return others[0] if others else torch.device("cpu")


def _tensor(value: Any, device: torch.device) -> Tensor:
    """A value as a tensor of real or complex numbers, in its own precision."""
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    if not (tensor.is_floating_point() or tensor.is_complex()):
        tensor = tensor.double()
    return tensor.to(device)


def _packed(
    values: Sequence[Any], cores: Sequence[int | None], device: torch.device
) -> tuple[_Layout, list[Tensor]]:
    """The arguments of the program: numbers in one vector, batched numbers in one matrix."""
    places: list[tuple[int, int] | None] = [None] * len(values)
    alone: list[int] = []
    packs: tuple[list[int], list[int]] = ([], [])
    for slot, value in enumerate(values):
        core = cores[slot] if slot < len(cores) else None
        is_complex, axes = _form(value)
        if slot >= len(cores) and not isinstance(value, Tensor) and axes == 0 and value == 1.0:
            continue  # the coefficient of a plain observable
        if is_complex or axes > (core == 0):
            alone.append(slot)
        else:
            packs[axes].append(slot)
    arguments: list[Tensor] = []
    shapes: list[tuple[int, ...]] = []
    for pack in filter(None, packs):
        for number, slot in enumerate(pack):
            places[slot] = (len(arguments), number)
        arguments.append(_stacked([values[slot] for slot in pack], device))
        shapes.append((len(pack),))
    for slot in alone:
        places[slot] = (len(arguments), _WHOLE)
        arguments.append(_tensor(values[slot], device))
        core = cores[slot] if slot < len(cores) else None
        first = 0 if core is None else arguments[-1].dim() - core
        shapes.append(tuple(arguments[-1].shape[first:]))
    return _Layout(tuple(shapes), tuple(places)), arguments


def _form(value: Any) -> tuple[bool, int]:
    """Whether a value has an imaginary part, and its number of axes."""
    if isinstance(value, Tensor):
        return value.is_complex(), value.dim()
    array = np.asarray(value)
    return bool(np.iscomplexobj(array) and array.imag.any()), array.ndim


def _stacked(values: Sequence[Any], device: torch.device) -> Tensor:
    """Real numbers, or batches of them, side by side on a last axis."""
    if any(isinstance(value, Tensor) for value in values):
        return torch.stack([_tensor(value, device).real.double() for value in values], -1)
    columns = [np.asarray(np.real(value), dtype=float) for value in values]
    return torch.as_tensor(np.stack(columns, -1), device=device)


def _shaped(answer: Tensor, measurement: Measurement, batch: int | None) -> Tensor:
    """The answer without the axis of one entry, with the batch axis even where it is constant."""
    core = 0 if measurement.kind in _SCALARS else 1 + (measurement.kind == "density_matrix")
    if core == 0:
        answer = answer.squeeze(-1)
    return answer if batch is None else answer.expand(batch, *answer.shape[answer.dim() - core :])


@functools.lru_cache(maxsize=256)
def _planned(
    wires: int,
    operations: tuple[Operation, ...],
    measurements: tuple[Measurement, ...],
    layout: _Layout,
    simulator: Exact,
) -> Plan:
    """The plan of a program whose slots are picked from its arguments."""
    one = torch.ones((), dtype=torch.float64)
    constants, gathers = [], []
    for slot, place in enumerate(layout.places):
        if place is None:
            constants.append((slot, one))
            continue
        argument, number = place
        shape = layout.shapes[argument]
        every = torch.arange(math.prod(shape)).reshape(shape)
        gathers.append((slot, argument, every if number == _WHOLE else every[number]))
    recording = Recording(layout.shapes, tuple(constants), tuple(gathers), ())
    return plan(Program(wires, operations, measurements, recording), simulator, "auto")
