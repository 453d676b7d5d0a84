"""The one door between a plan and what executes it (floor 5).

Circuits planned with adjoint gradients run in the compiled kernel on the CPU, where it knows all
their gates, else in PyTorch as fused products; everything else runs there gate after gate.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from quantum import shift
from quantum.circuits.program import Measurement, Program
from quantum.fused import adjoint
from quantum.kernels.executor import executor
from quantum.plan import Plan
from quantum.shapes import broadcast_shapes
from quantum.simulators import DensityMatrix, Simulator, StateVector
from quantum.states import statevector
from quantum.states.density import Mixed, evolved
from quantum.states.evolution import evolve
from quantum.states.measure import measure
from quantum.states.projection import postselect
from quantum.states.sampling import estimates, sealed

__all__ = ["answers", "run"]

_STEPS = (0.01, 0.2)  # of SPSA, without and with shots: noise grows as its inverse


def run(
    plan: Plan,
    arguments: Sequence[Tensor],
    precision: torch.dtype,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> list[Any]:
    """Execute ``plan`` for these arguments of the circuit.

    Args:
        plan: What to execute, and how.
        arguments: The circuit's arguments (inputs, then weights), each ``(*lead, *core)`` with any
            leading dimensions; they broadcast.
        precision: complex64 or complex128.
        device: Where the arguments are.
        generator: Where the random numbers of shots come from; None: torch's global generator.

    Returns:
        For each measurement a tensor ``(*batch, width)`` (a density matrix ``(*batch, d, d)``),
        real but for states and density matrices; ``batch`` are the leading dimensions that occur
        in what the circuit uses. With shots they are those of the arguments, and samples and counts
        are as `quantum.states.sampling.estimates` says.

    Example:
        >>> from quantum.plan import plan
        >>> from quantum.circuits.program import Measurement, Operation, Program
        >>> from quantum.simulators import StateVector
        >>> from quantum.tracing.recorder import record
        >>> recording = record(lambda x: [x[0]], [(1,)])
        >>> operation = Operation("RY", (0,), slots=(0,))
        >>> program = Program(1, (operation,), (Measurement("probs", (0,)),), recording)
        >>> angles = torch.tensor([[0.0], [torch.pi]])
        >>> plan = plan(program, StateVector(), "auto")
        >>> run(plan, [angles], torch.complex64, angles.device)[0].round()
        tensor([[1., 0.],
                [0., 1.]])
    """
    if plan.gradient == "adjoint" and isinstance(plan.simulator, StateVector):
        kernel = executor(plan.program) if device.type == "cpu" else None
        if kernel is not None:
            return kernel.run(arguments, precision, plan.automatic)
        return adjoint.run(plan.program, arguments, precision, automatic=plan.automatic)
    real = precision.to_real()
    slots = plan.program.recording.replay(list(arguments))
    values = [slot.to(precision if slot.is_complex() else real) for slot in slots]
    shapes = plan.program.recording.shapes
    pairs = zip(arguments, shapes, strict=True)
    lead = broadcast_shapes(*[a.shape[: a.dim() - len(s)] for a, s in pairs])
    if plan.gradient == "parameter-shift" and _shifts(plan):

        def shifted(program: Program, values: list[Tensor], front: tuple[int, ...]) -> list[Tensor]:
            planned = replace(plan, program=program)
            return answers(planned, values, (*front, *lead), precision, device, generator)

        return shift.parameter_shift(plan.program, values, shifted)
    if plan.gradient == "spsa":
        plain = replace(plan, gradient="backprop")

        def moved(arguments: list[Tensor]) -> list[Tensor]:
            return run(plain, arguments, precision, device, generator)

        step = _STEPS[plan.shots is not None]
        return shift.spsa(arguments, shapes, moved, step=step, generator=generator)
    return answers(plan, values, lead, precision, device, generator)


def _shifts(plan: Plan) -> bool:
    """Whether shift rules hold: not after postselection, which divides by a probability."""
    projected = any(operation.gate == "Projection" for operation in plan.program.operations)
    if projected and not plan.automatic:
        raise ValueError(
            "gradient='parameter-shift' does not hold for circuits with postselection, whose "
            "answers are divided by a probability: use gradient='spsa', or 'backprop' without shots"
        )
    return not projected


def answers(
    plan: Plan,
    values: Sequence[Tensor],
    lead: Sequence[int],
    precision: torch.dtype,
    device: torch.device,
    generator: torch.Generator | None = None,
) -> list[Any]:
    """Execute ``plan`` for these values of its slots.

    Args:
        plan: What to execute, and how.
        values: The slots in this precision.
        lead: The leading dimensions of the arguments; with shots, each row has draws of its own.
        precision: complex64 or complex128.
        device: Where the values are.
        generator: Where the random numbers of shots come from; None: torch's global generator.

    Example:
        >>> from quantum.plan import plan
        >>> from quantum.simulators import StateVector
        >>> from quantum.tracing.recorder import record
        >>> recording = record(lambda x: [], [(1,)])
        >>> planned = plan(
        ...     Program(1, (), (Measurement("sample", (0,)),), recording),
        ...     StateVector(),
        ...     "auto",
        ...     shots=3,
        ... )
        >>> answers(planned, [], (), torch.complex64, torch.device("cpu"))[0].shape
        torch.Size([3, 1])
    """
    if plan.shots is None:
        return _exact(plan.program, plan.simulator, values, precision, device)

    def execute(asked: tuple[Measurement, ...]) -> list[Tensor]:
        exact = replace(plan.program, measurements=asked)
        return _exact(exact, plan.simulator, values, precision, device)

    measurements = plan.program.measurements
    found = estimates(measurements, execute, values, lead, plan.shots, generator)
    return [sealed(answer, values, plan.gradient) for answer in found]


def _exact(
    program: Program,
    simulator: Simulator,
    values: Sequence[Tensor],
    precision: torch.dtype,
    device: torch.device,
) -> list[Tensor]:
    if isinstance(simulator, DensityMatrix):
        vector = statevector.ground(2 * program.wires, precision, device)
        vector = evolved(vector, program.operations, values)
        return measure(Mixed(vector), program.measurements, values)
    state = statevector.ground(program.wires, precision, device)
    change = evolve if program.is_unitary else postselect
    return measure(change(state, program.operations, values), program.measurements, values)
