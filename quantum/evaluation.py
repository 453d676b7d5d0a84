"""A planned circuit as a function of tensors, also as one opaque operator of PyTorch (floor 6).

`torch.compile` cannot look into a circuit; it sees `torch.ops.borromean.circuit`, whose gradient
runs the circuit again.
"""

import functools
import itertools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from quantum import foreign
from quantum.engine import run
from quantum.kernels.executor import Executor, executor
from quantum.plan import Plan
from quantum.resources import require_memory
from quantum.shapes import broadcast_shapes
from quantum.simulators import DensityMatrix, Device, StateVector

__all__ = ["Evaluator"]

_NUMBERS = itertools.count()
_KNOWN: "weakref.WeakValueDictionary[int, Evaluator]" = weakref.WeakValueDictionary()


@dataclass(frozen=True, eq=False)
class Evaluator:
    """Runs a plan for arguments with leading dimensions. Copies of it are itself.

    Args:
        plan: What to run.
        script: The circuit as PennyLane devices take it, where one of them is the simulator.
        number: Names it to the operator.

    Example:
        >>> from quantum.plan import plan
        >>> from quantum.circuits.program import Measurement, Operation, Program
        >>> from quantum.tracing.recorder import record
        >>> turn, asked = Operation("RY", (0,), (0,)), (Measurement("probs", (0,)),)
        >>> program = Program(1, (turn,), asked, record(lambda x: [x[0]], [(1,)]))
        >>> Evaluator(plan(program, StateVector(), "auto"))([torch.zeros(5, 1)], (5,)).shape
        torch.Size([5, 2])
    """

    plan: Plan
    script: foreign.Script | None = None
    number: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", next(_NUMBERS))
        _KNOWN[self.number] = self
        _ = self.plan.delicate  # decided here: where the operator is traced no value can be read

    def __deepcopy__(self, memo: dict[int, Any]) -> "Evaluator":
        return self

    def __reduce__(self) -> tuple[type["Evaluator"], tuple[Any, ...]]:
        return Evaluator, (self.plan, self.script)

    @functools.cached_property
    def kernel(self) -> Executor | None:
        """What runs the plan on the CPU, if that is the compiled kernel."""
        pure = isinstance(self.plan.simulator, StateVector) and self.plan.shots is None
        return executor(self.plan.program) if pure and self.plan.gradient == "adjoint" else None

    @property
    def event(self) -> tuple[int, ...]:
        """The shape of the answer for one row."""
        program = self.plan.program
        first = program.measurements[0]
        if first.kind == "density_matrix":
            return (2 ** len(first.wires),) * 2
        if first.kind == "state" and isinstance(self.plan.simulator, DensityMatrix):
            return (2**program.wires,) * 2
        return (program.out_features,)

    def dtypes(self, arguments: Sequence[Tensor]) -> tuple[torch.dtype, torch.dtype]:
        """The dtype of the answer and the real dtype to compute in.

        Args:
            arguments: The inputs, then the weights.
        """
        half = arguments[0].dtype in (torch.float16, torch.bfloat16)
        promoted, named = _promoted(arguments), self._named
        working = promoted if named is None else named
        if self.plan.delicate and named is None:
            working = torch.float64
        answer = arguments[0].dtype if half else promoted
        if self.plan.program.measurements[0].is_complex:
            answer = (promoted if named is None else named).to_complex()
        return answer, working

    @property
    def _named(self) -> torch.dtype | None:
        """The precision that the simulator asks for."""
        simulator = self.plan.simulator
        if isinstance(simulator, Device) or simulator.precision is None:
            return None
        return torch.float64 if simulator.precision == "double" else torch.float32

    def __call__(
        self,
        arguments: Sequence[Tensor],
        lead: Sequence[int],
        generator: torch.Generator | None = None,
    ) -> Any:
        """The answer, ``(*lead, *event)``; samples and counts as the simulator gives them.

        Args:
            arguments: ``(*lead, *core)`` each; their leading dimensions broadcast.
            lead: The broadcast leading dimensions.
            generator: Where the random numbers of shots come from.
        """
        dtype, working = self.dtypes(arguments)
        with torch.autocast(arguments[0].device.type, enabled=False):
            answers = self._answers([a.to(working) for a in arguments], lead, working, generator)
        if self.plan.program.measurements[0].draws:
            return answers[0]
        events = len(self.event)
        answers = [a.expand(*lead, *a.shape[a.dim() - events :]) for a in answers]
        answer = answers[0] if len(answers) == 1 else torch.cat(answers, -1)
        return answer.to(dtype)

    def _answers(
        self,
        arguments: Sequence[Tensor],
        lead: Sequence[int],
        working: torch.dtype,
        generator: torch.Generator | None,
    ) -> list[Any]:
        plan, simulator = self.plan, self.plan.simulator
        if self.script is not None and isinstance(simulator, Device):
            return foreign.run(self.script, simulator.device, plan.gradient, arguments, plan.shots)
        place, precision = arguments[0].device, working.to_complex()
        require_memory(plan.program, simulator, torch.Size(lead).numel(), precision, place)
        return run(plan, arguments, precision, place, generator)


def _promoted(arguments: Sequence[Tensor]) -> torch.dtype:
    promoted = torch.float32
    for tensor in arguments:
        promoted = torch.promote_types(promoted, tensor.dtype)
    return promoted


def _lead(evaluator: Evaluator, arguments: Sequence[Tensor]) -> torch.Size:
    cores = evaluator.plan.program.recording.shapes
    pairs = zip(arguments, cores, strict=True)
    return broadcast_shapes(*[a.shape[: a.dim() - len(core)] for a, core in pairs])


_LIBRARY = torch.library.Library("borromean", "DEF")
_LIBRARY.define("circuit(Tensor[] arguments, int number) -> Tensor")
_LIBRARY.define("circuit_backward(Tensor cotangent, Tensor[] arguments, int number) -> Tensor[]")


def _forward(arguments: list[Tensor], number: int) -> Tensor:
    evaluator = _KNOWN[number]
    with torch.no_grad():
        answer: Tensor = evaluator(arguments, _lead(evaluator, arguments))
    return answer.contiguous()


def _gradients(cotangent: Tensor, arguments: list[Tensor], number: int) -> list[Tensor]:
    evaluator = _KNOWN[number]
    with torch.enable_grad():
        leaves = [a.detach().requires_grad_() for a in arguments]
        answer = evaluator(leaves, _lead(evaluator, leaves))
        found = torch.autograd.grad(answer, leaves, cotangent, materialize_grads=True)
    return [gradient.contiguous() for gradient in found]


def _forward_shape(arguments: list[Tensor], number: int) -> Tensor:
    evaluator = _KNOWN[number]
    dtype, _ = evaluator.dtypes(arguments)
    return arguments[0].new_empty((*_lead(evaluator, arguments), *evaluator.event), dtype=dtype)


def _gradient_shapes(_cotangent: Tensor, arguments: list[Tensor], _number: int) -> list[Tensor]:
    return [
        torch.empty_like(argument, memory_format=torch.contiguous_format) for argument in arguments
    ]


def _setup(ctx: Any, inputs: Any, output: Tensor) -> None:  # noqa: ARG001 (named by PyTorch)
    arguments, ctx.number = inputs
    ctx.save_for_backward(*arguments)


def _backward(ctx: Any, cotangent: Tensor) -> Any:
    found = torch.ops.borromean.circuit_backward(cotangent, list(ctx.saved_tensors), ctx.number)
    return found, None


for _name, _run, _shape in (
    ("circuit", _forward, _forward_shape),
    ("circuit_backward", _gradients, _gradient_shapes),
):
    torch.library.impl(_LIBRARY, _name, "CompositeExplicitAutograd")(_run)
    torch.library.register_fake(f"borromean::{_name}", lib=_LIBRARY)(_shape)
torch.library.register_autograd("borromean::circuit", _backward, setup_context=_setup, lib=_LIBRARY)
