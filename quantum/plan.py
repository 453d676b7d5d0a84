"""Which engine runs a program and how it is differentiated: pure decisions (floor 4)."""

from dataclasses import dataclass
from typing import Literal

from quantum.program import Program
from quantum.simulators import Simulator

__all__ = ["Plan", "plan"]

Gradient = Literal["auto", "adjoint", "backprop", "parameter-shift", "spsa"]


@dataclass(frozen=True, eq=False)
class Plan:
    """A program together with how it is executed and differentiated.

    Args:
        program: What is executed.
        simulator: What it is simulated with.
        gradient: How it is differentiated, decided (never "auto").

    Example:
        >>> Plan.__dataclass_fields__["gradient"].name
        'gradient'
    """

    program: Program
    simulator: Simulator
    gradient: Gradient


def plan(program: Program, simulator: Simulator, gradient: Gradient) -> Plan:
    """Decide how ``program`` is executed.

    Args:
        program: What to execute.
        simulator: The simulator asked for.
        gradient: The gradient method asked for.

    Example:
        >>> from quantum.tracing import record
        >>> from quantum.program import Measurement
        >>> from quantum.simulators import StateVector
        >>> empty = Program(1, (), (Measurement("probs", (0,)),), record(lambda x: [], [(1,)]))
        >>> plan(empty, StateVector(), "auto").gradient
        'backprop'
    """
    return Plan(program, simulator, "backprop" if gradient == "auto" else gradient)
