r"""Steps run forwards, and backwards for gradients, with few states in memory (floor 1 of fused).

States are ``(*lead, 2^n, rows)``. Rows are samples that share the matrix of a dense step, so that
the step is one matrix product; leading dimensions broadcast. The gradient undoes step by step:
:math:`\psi \leftarrow U^\dagger \psi`, :math:`\partial L / \partial U = \lambda \psi^\dagger`,
:math:`\lambda \leftarrow U^\dagger \lambda` (Jones and Gacon, arXiv:2009.02823), so that the
memory is two states whatever the depth.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from quantum.fused.steps import Dense, Gather, Phases, Step
from quantum.shapes import broadcast_shapes

__all__ = ["sweep"]

_ONCE = (
    "gradient='adjoint' gives first derivatives in reverse mode only (it undoes the circuit and "
    "keeps no intermediate state): use gradient='backprop' for second derivatives or forward mode"
)


def sweep(
    steps: Sequence[Step], state: Tensor, tensors: Sequence[Tensor], *, automatic: bool = False
) -> Tensor:
    """The state ``(*lead, 2^n, rows)`` after all steps, differentiable by undoing them.

    Args:
        steps: What is done; each takes its number of ``tensors``, in order.
        state: ``(*lead, 2^n, rows)``.
        tensors: The matrices, diagonals or parameters of the steps.
        automatic: Compute second derivatives and forward mode by automatic differentiation of the
            sweep, with memory that grows with depth; False: they raise.

    Raises:
        RuntimeError: When a second derivative is computed and ``automatic`` is False.

    Example:
        >>> from quantum.fused.steps import Dense
        >>> angle = torch.tensor(0.3, requires_grad=True)
        >>> matrix = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
        >>> state = torch.tensor([[1.0], [0.0]]) + 0j
        >>> sweep([Dense(0, 1)], state, [matrix + 0j])[0, 0].real.backward()
        >>> round(angle.grad.item(), 4)
        -0.2955
    """
    cores = [core for step in steps for core in step.cores]
    leads = [t.shape[: t.dim() - core] for t, core in zip(tensors, cores, strict=True)]
    lead = broadcast_shapes(state.shape[:-2], *leads)
    state = state.expand(*lead, *state.shape[-2:])
    made: Tensor = _applied(_Sweep, tuple(steps), automatic, state, *tensors)
    return made


def _applied(function: Any, *arguments: Any) -> Any:
    """``function.apply``; outside `torch.func` in its older form, which costs much less."""
    transforming = torch._C._are_functorch_transforms_active()
    return (function if transforming else _EAGER[function]).apply(*arguments)


def _split(steps: Sequence[Step], tensors: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """The tensors of each step."""
    parts, start = [], 0
    for step in steps:
        parts.append(tensors[start : start + len(step.cores)])
        start += len(step.cores)
    return parts


def _shared(steps: Sequence[Step], tensors: Sequence[Tensor]) -> bool:
    """Whether no step has tensors that vary from row to row."""
    parts = zip(steps, _split(steps, tensors), strict=True)
    return all(
        isinstance(step, Gather | Dense)
        or (isinstance(step, Phases) and all(tensor.shape[-1] == 1 for tensor in own))
        for step, own in parts
    )


def _forward(steps: Sequence[Step], state: Tensor, tensors: Sequence[Tensor]) -> Tensor:
    for step, own in zip(steps, _split(steps, tensors), strict=True):
        state = step.forward(state, own)
    return state


def _pull(
    steps: Sequence[Step], final: Tensor, cotangent: Tensor, tensors: Sequence[Tensor]
) -> tuple[Tensor, ...]:
    """The gradients of the first state and of all tensors."""
    state, dual = final, cotangent.conj().resolve_conj()
    gradients: list[Tensor] = []
    for step, own in zip(reversed(steps), reversed(_split(steps, tensors)), strict=True):
        state, dual, found = step.backward(state, dual, own)
        gradients += [g.sum_to_size(t.shape) for g, t in zip(found, own, strict=True)][::-1]
    return (dual.conj().resolve_conj(), *reversed(gradients))


class _Sweep(torch.autograd.Function):
    """States forwards; the gradient is `_Pull`."""

    @staticmethod
    def forward(steps: Any, _automatic: bool, state: Tensor, *tensors: Tensor) -> Tensor:
        made = _forward(steps, state, tensors)
        return made.clone() if made is state else made

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.steps, ctx.automatic, state, *tensors = inputs
        ctx.save_for_backward(output, *tensors)
        if ctx.automatic:
            ctx.save_for_forward(state, *tensors)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        final, *tensors = ctx.saved_tensors
        made = _applied(_Pull, ctx.steps, ctx.automatic, final, cotangents[0], *tensors)
        return None, None, *made

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        if not ctx.automatic:
            raise RuntimeError(_ONCE)

        def forward(state: Tensor, *tensors: Tensor) -> Tensor:
            return _forward(ctx.steps, state, tensors)

        return _tangents(forward, ctx.saved_tensors, tangents[2:])

    @staticmethod
    def vmap(info: Any, places: Any, steps: Any, automatic: bool, *tensors: Tensor) -> Any:
        if _shared(steps, tensors[1:]) and all(place is None for place in places[3:]):
            # Only the states differ: what is mapped over becomes more rows.
            rows = tensors[0].movedim(places[2], -1)
            made = sweep(steps, rows.flatten(-2), tensors[1:], automatic=automatic)
            return made.unflatten(-1, rows.shape[-2:]), made.dim()
        cores = [2] + [core for step in steps for core in step.cores]
        moved = _in_front(tensors, places[2:], cores, info.batch_size, expand=False)
        return sweep(steps, moved[0], moved[1:], automatic=automatic), 0


class _Pull(torch.autograd.Function):
    """Gradients of `_Sweep`; its own derivative is refused, or automatic."""

    @staticmethod
    def forward(
        steps: Any, _automatic: bool, final: Tensor, cotangent: Tensor, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        return _pull(steps, final, cotangent, tensors)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ARG004
        ctx.steps, ctx.automatic, *tensors = inputs
        if ctx.automatic:
            ctx.save_for_backward(*tensors)
            ctx.save_for_forward(*tensors)

    @staticmethod
    def _again(ctx: Any) -> Any:
        if not ctx.automatic:
            raise RuntimeError(_ONCE)

        def pull(final: Tensor, cotangent: Tensor, *tensors: Tensor) -> tuple[Tensor, ...]:
            return _pull(ctx.steps, final, cotangent, tensors)

        return pull

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        pull = _Pull._again(ctx)
        return None, None, *torch.func.vjp(pull, *ctx.saved_tensors)[1](cotangents)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _tangents(_Pull._again(ctx), ctx.saved_tensors, tangents[2:])

    @staticmethod
    def vmap(info: Any, places: Any, steps: Any, automatic: bool, *tensors: Tensor) -> Any:
        cores = [2, 2] + [core for step in steps for core in step.cores]
        moved = _in_front(tensors, places[2:], cores, info.batch_size, expand=True)
        made = _applied(_Pull, steps, automatic, *moved)
        pairs = zip(tensors, places[2:], strict=True)
        shapes = [t.shape if p is None else t.movedim(p, 0).shape[1:] for t, p in pairs]
        made = tuple(g.reshape(info.batch_size, *s) for g, s in zip(made, shapes[1:], strict=True))
        return made, (0,) * len(made)


class _EagerSweep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _Sweep.forward(*inputs)
        _Sweep.setup_context(ctx, inputs, output)
        return output

    backward = _Sweep.backward
    jvp = _Sweep.jvp


class _EagerPull(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        output = _Pull.forward(*inputs)
        _Pull.setup_context(ctx, inputs, output)
        return output

    backward = _Pull.backward
    jvp = _Pull.jvp


_EAGER: dict[Any, Any] = {_Sweep: _EagerSweep, _Pull: _EagerPull}


def _tangents(function: Any, values: Sequence[Tensor], tangents: Sequence[Any]) -> Any:
    full = [torch.zeros_like(v) if t is None else t for v, t in zip(values, tangents, strict=True)]
    return torch.func.jvp(function, tuple(values), tuple(full))[1]


def _in_front(
    tensors: Sequence[Tensor],
    places: Sequence[int | None],
    cores: Sequence[int],
    size: int,
    *,
    expand: bool,
) -> list[Tensor]:
    """The axis mapped over as the first of the (then aligned) leading dimensions."""
    moved = [t if p is None else t.movedim(p, 0) for t, p in zip(tensors, places, strict=True)]
    ranks = [t.dim() - c - (p is not None) for t, p, c in zip(moved, places, cores, strict=True)]
    made = []
    for tensor, place, rank in zip(moved, places, ranks, strict=True):
        if place is None and not expand:
            made.append(tensor)
            continue
        shape = tensor.shape if place is None else tensor.shape[1:]
        first = 1 if place is None else size
        aligned = tensor.reshape(first, *[1] * (max(ranks) - rank), *shape)
        made.append(aligned.expand(size, *aligned.shape[1:]))
    return made
