"""The immutable form of a circuit that every engine runs (floor 1).

A program is data: what is applied to which wires, what is measured, and where each parameter comes
from (a *slot*: the number of an entry in the list that `Recording.replay` returns). It holds no
PennyLane object and no Python function, so it can be pickled, compared and shared between threads.
"""

from dataclasses import dataclass
from typing import Any, Literal

from quantum.recording import Recording

__all__ = ["Measurement", "Operation", "Program", "Term"]


@dataclass(frozen=True)
class Operation:
    """One gate of the table in `quantum.gates`, on wires numbered from 0.

    Args:
        gate: The gate's name in the table.
        wires: The target wires, first the most significant bit of the gate's matrix.
        slots: Where its parameters are found.
        controls: Wires that must carry ``control_values`` for the gate to act.
        control_values: One bit per control wire.
        adjoint: The conjugate transpose is meant.
        setting: What else the gate needs and no gradient flows to, such as a Pauli word.

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


@dataclass(frozen=True)
class Measurement:
    """What is read from the final state.

    Args:
        kind: Expectation, variance, probabilities, state vector or reduced density matrix.
        wires: The wires that are read, in the order of the answer (empty for expval and var).
        terms: The observable (expval and var).
        rotations: Operations applied before probabilities are read (``probs(op=...)``).

    Example:
        >>> Measurement("probs", wires=(0, 1)).width
        4
    """

    kind: Literal["expval", "var", "probs", "state", "density_matrix"]
    wires: tuple[int, ...] = ()
    terms: tuple[Term, ...] = ()
    rotations: tuple[Operation, ...] = ()

    @property
    def width(self) -> int:
        """The number of entries on the last axis of the answer."""
        return 1 if self.kind in ("expval", "var") else 2 ** len(self.wires)

    @property
    def is_complex(self) -> bool:
        """Whether the answer is complex: such a measurement stands alone in a circuit."""
        return self.kind in ("state", "density_matrix")


@dataclass(frozen=True, eq=False)
class Program:
    """A traced circuit: operations on ``wires`` wires, then measurements, parameters from slots.

    Args:
        wires: The number of wires.
        operations: What is applied to the state :math:`|0...0>`, in order.
        measurements: What is read, in the order of the answer.
        recording: How the arguments of the circuit become the slots.

    Example:
        >>> from quantum.tracing import record
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
