"""The one door between a program and what executes it (floor 4).

An engine is a function of a program and its parameter values. This one is plain PyTorch: it runs
wherever PyTorch does and has every derivative that PyTorch has.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from quantum import statevector
from quantum.evolution import evolve
from quantum.measure import measure
from quantum.program import Program

__all__ = ["run"]


def run(
    program: Program, slots: Sequence[Tensor], precision: torch.dtype, device: torch.device
) -> list[Tensor]:
    """Execute ``program`` with these parameter values on state vectors.

    Args:
        program: What to execute.
        slots: Values of its parameters, each with any leading dimensions (they broadcast).
        precision: complex64 or complex128.
        device: Where the slots are.

    Returns:
        For each measurement a tensor ``(*batch, width)`` (a density matrix ``(*batch, d, d)``),
        real but for states and density matrices; ``batch`` are the leading dimensions that occur
        in the slots.

    Example:
        >>> from quantum.program import Measurement, Operation
        >>> from quantum.tracing import record
        >>> recording = record(lambda x: [x[0]], [(1,)])
        >>> operation = Operation("RY", (0,), slots=(0,))
        >>> program = Program(1, (operation,), (Measurement("probs", (0,)),), recording)
        >>> angles = torch.tensor([0.0, torch.pi])
        >>> run(program, [angles], torch.complex64, angles.device)[0].round()
        tensor([[1., 0.],
                [0., 1.]])
    """
    real = precision.to_real()
    values = [slot.to(precision if slot.is_complex() else real) for slot in slots]
    state = statevector.ground(program.wires, precision, device)
    state = evolve(state, program.operations, values)
    return measure(state, program.measurements, values)
