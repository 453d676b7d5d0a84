"""The one door between a plan and what executes it (floor 5).

An engine is a function of a plan and the circuit's arguments. This one is plain PyTorch: it runs
wherever PyTorch does and has every derivative that PyTorch has.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from quantum import statevector
from quantum.evolution import evolve
from quantum.measure import measure
from quantum.plan import Plan

__all__ = ["run"]


def run(
    plan: Plan, arguments: Sequence[Tensor], precision: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Execute ``plan`` for these arguments of the circuit.

    Args:
        plan: What to execute, and how.
        arguments: The circuit's arguments (inputs, then weights), each ``(*lead, *core)`` with any
            leading dimensions; they broadcast.
        precision: complex64 or complex128.
        device: Where the arguments are.

    Returns:
        For each measurement a tensor ``(*batch, width)`` (a density matrix ``(*batch, d, d)``),
        real but for states and density matrices; ``batch`` are the leading dimensions that occur
        in what the circuit uses.

    Example:
        >>> from quantum.plan import plan
        >>> from quantum.program import Measurement, Operation, Program
        >>> from quantum.simulators import StateVector
        >>> from quantum.tracing import record
        >>> recording = record(lambda x: [x[0]], [(1,)])
        >>> operation = Operation("RY", (0,), slots=(0,))
        >>> program = Program(1, (operation,), (Measurement("probs", (0,)),), recording)
        >>> angles = torch.tensor([[0.0], [torch.pi]])
        >>> plan = plan(program, StateVector(), "auto")
        >>> run(plan, [angles], torch.complex64, angles.device)[0].round()
        tensor([[1., 0.],
                [0., 1.]])
    """
    program = plan.program
    real = precision.to_real()
    slots = program.recording.replay(list(arguments))
    values = [slot.to(precision if slot.is_complex() else real) for slot in slots]
    state = statevector.ground(program.wires, precision, device)
    state = evolve(state, program.operations, values)
    return measure(state, program.measurements, values)
