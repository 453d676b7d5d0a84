"""Which engine runs a program and how it is differentiated: pure decisions (floor 3).

`TABLE` is the published table simulator × gradient × measurement, as data; `plan` only reads it.
"""

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Literal, cast

import torch

from quantum.circuits.gates import TABLE as GATES
from quantum.circuits.program import Operation, Program
from quantum.simulators import Simulator
from quantum.tracing.recording import numbered

__all__ = [
    "GRADIENTS",
    "MEASUREMENTS",
    "SIMULATORS",
    "TABLE",
    "Cell",
    "Plan",
    "checked_gradient",
    "plan",
    "repeats",
    "reversible",
]

Gradient = Literal["auto", "adjoint", "backprop", "parameter-shift", "spsa"]
Decided = Literal["adjoint", "backprop", "parameter-shift", "spsa", "best", "none"]

SIMULATORS = ("StateVector", "DensityMatrix", "Device")
GRADIENTS = ("adjoint", "backprop", "parameter-shift", "spsa")
_EXPECTATIONS = ("expval", "var", "probs")
_ENTROPIES = ("purity", "vn_entropy", "mutual_info", "vn_entanglement_entropy")
_STATES = ("state", "density_matrix")
_DRAWN = ("sample", "counts")
_TOLERANCE = 1e-6  # of a matrix that is meant to be unitary
_MOST_REPEATS = 8  # of a parameter on a wire, in single precision
MEASUREMENTS = (*_EXPECTATIONS, *_ENTROPIES, *_STATES, *_DRAWN)


@dataclass(frozen=True)
class Cell:
    """One cell of the table.

    Args:
        exact: Whether the gradient of this measurement is computed without shots.
        sampled: Whether it is estimated with shots.
        instead: What to ask for where it is neither.

    Example:
        >>> TABLE["StateVector", "adjoint", "state"].instead
        "gradient='backprop'"
    """

    exact: bool
    sampled: bool
    instead: str = ""


def _cell(simulator: str, gradient: str, measurement: str) -> Cell:
    if measurement in _DRAWN:
        return Cell(False, False, "gradient='auto': samples and counts have no derivative")
    if simulator == "Device":
        return Cell(True, True)  # the device decides
    shift = "gradient='parameter-shift'"
    if gradient == "backprop":
        return Cell(True, False, shift)
    if gradient == "adjoint":
        if simulator == "DensityMatrix":
            return Cell(False, False, "gradient='backprop'")
        expected = measurement in _EXPECTATIONS
        return Cell(expected, False, shift if expected else "gradient='backprop'")
    sampled = measurement in _EXPECTATIONS
    exact = sampled or (gradient == "spsa" and measurement in _ENTROPIES)
    return Cell(exact, sampled, "gradient='backprop' without shots")


TABLE: dict[tuple[str, str, str], Cell] = {
    (simulator, gradient, measurement): _cell(simulator, gradient, measurement)
    for simulator in SIMULATORS
    for gradient in GRADIENTS
    for measurement in MEASUREMENTS
}


@dataclass(frozen=True, eq=False)
class Plan:
    """A program together with how it is executed and differentiated.

    Args:
        program: What is executed.
        simulator: What it is simulated with.
        gradient: How it is differentiated, decided: never "auto"; "best" is PennyLane's choice for
            a device of its own, "none" is for samples and counts.
        shots: The number of shots, None: exact.
        automatic: The choice was left to the plan, so what "adjoint" refuses (second derivatives,
            forward mode) is computed by "backprop".

    Example:
        >>> from quantum.circuits.program import Measurement
        >>> from quantum.simulators import StateVector
        >>> from quantum.tracing.recorder import record
        >>> empty = Program(1, (), (Measurement("probs", (0,)),), record(lambda x: [], [(1,)]))
        >>> Plan(empty, StateVector(), "backprop").automatic
        False
    """

    program: Program
    simulator: Simulator
    gradient: Decided
    shots: int | None = None
    automatic: bool = False

    @functools.cached_property
    def delicate(self) -> bool:
        """Whether single precision is too little, unless it is asked for: see `repeats`."""
        ours = type(self.simulator).__name__ != "Device"
        return ours and self.shots is None and repeats(self.program) > _MOST_REPEATS


def checked_gradient(gradient: str) -> Gradient:
    """``gradient``, if it is the name of a method.

    Raises:
        ValueError: It is not.

    Example:
        >>> checked_gradient("adjoint")
        'adjoint'
    """
    if gradient not in ("auto", *GRADIENTS):
        raise ValueError(f"gradient must be 'auto' or one of {list(GRADIENTS)}, got {gradient!r}")
    return cast(Gradient, gradient)


def plan(program: Program, simulator: Simulator, gradient: str, shots: int | None = None) -> Plan:
    """Decide how ``program`` is executed.

    "auto" is "adjoint" where the table and `reversible` allow it, else "backprop"; with shots it is
    "parameter-shift".

    Args:
        program: What to execute.
        simulator: The simulator asked for.
        gradient: "auto" or one of `GRADIENTS`.
        shots: The number of shots, None: exact.

    Raises:
        ValueError: The table has no such cell, or the gradient method is unknown.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> from quantum.circuits.program import Measurement
        >>> from quantum.simulators import StateVector
        >>> empty = Program(1, (), (Measurement("probs", (0,)),), record(lambda x: [], [(1,)]))
        >>> plan(empty, StateVector(), "auto").gradient
        'adjoint'
    """
    if checked_gradient(gradient) == "auto":
        return Plan(program, simulator, _chosen(program, simulator, shots), shots, automatic=True)
    name = type(simulator).__name__
    for measurement in program.measurements:
        cell = TABLE[name, gradient, measurement.kind]
        if not (cell.exact if shots is None else cell.sampled):
            how = "" if shots is None else f" with shots={shots}"
            raise ValueError(
                f"gradient={gradient!r} of {measurement.kind}{how} on {name} is not possible: use "
                f"{cell.instead}"
            )
    if gradient == "adjoint" and name != "Device":
        known = _constants(program)
        for operation in program.operations:
            if _unitary(operation, known) is False:
                raise ValueError(
                    f"gradient='adjoint' runs the circuit backwards, but {operation.gate} on wires "
                    f"{list(operation.wires)} is not unitary: use gradient='backprop'"
                )
    return Plan(program, simulator, cast(Decided, gradient), shots)


def reversible(program: Program) -> bool:
    """Whether every operation is unitary whatever the parameters are, so that it can be undone.

    A matrix that depends on inputs or weights is not known to be unitary, nor is an exponential
    whose exponent does.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> traced = record(lambda x: [x], [(2, 2)])
        >>> reversible(Program(1, (Operation("QubitUnitary", (0,), (0,)),), (), traced))
        False
    """
    known = _constants(program)
    return all(_unitary(operation, known) for operation in program.operations)


def repeats(program: Program) -> int:
    """How often at most a parameter turns one wire.

    A gate is rounded alike wherever it occurs with the same angle. These errors do not average out
    but add up, and the gradient multiplies their sum by the number of gates once more.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> turns = (Operation("RX", (0,), (0,)), Operation("PauliZ", (0,))) * 3
        >>> repeats(Program(1, turns, (), record(lambda x: [x[0]], [(1,)])))
        3
    """
    numbers = numbered(program.recording)
    counts: Counter[tuple[int, int]] = Counter()
    for operation in program.operations:
        slots = {numbers[slot] for slot in operation.slots if slot in numbers}
        counts.update((wire, slot) for wire in operation.wires for slot in slots)
    return max(counts.values(), default=0)


def _chosen(program: Program, simulator: Simulator, shots: int | None) -> Decided:
    name = type(simulator).__name__
    kinds = [measurement.kind for measurement in program.measurements]
    if name == "Device":
        return "best"
    if any(kind in _DRAWN for kind in kinds):
        return "none"
    if shots is not None:
        return "parameter-shift"
    adjoint = all(TABLE[name, "adjoint", kind].exact for kind in kinds)
    return "adjoint" if adjoint and reversible(program) else "backprop"


def _constants(program: Program) -> dict[int, torch.Tensor]:
    return dict(program.recording.constants)


def _unitary(operation: Operation, known: dict[int, torch.Tensor]) -> bool | None:
    """Whether an operation is unitary; None where that depends on inputs or weights."""
    if operation.gate == "StatePrep":
        return True
    if operation.gate not in GATES or not operation.unitary:
        return False
    if operation.gate not in ("QubitUnitary", "DiagonalQubitUnitary", "PauliExponential"):
        return True
    value = known.get(operation.slots[0])
    if value is None:
        return None
    if operation.gate == "PauliExponential":
        return abs(value.real.item()) < _TOLERANCE
    matrix = value if operation.gate == "QubitUnitary" else torch.diag(value)
    matrix = matrix.to(torch.complex128)
    identity = torch.eye(len(matrix), dtype=matrix.dtype)
    return bool((matrix @ matrix.mH - identity).abs().max() < _TOLERANCE)
