"""The log partition function of a chain, with a backward pass of its own (floor 2)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from hybrid.pgm.chains.layout import Chain, Grouped
from hybrid.pgm.chains.log_space import (
    backward_in_logs,
    forward_in_logs,
    taped_log_partition,
)
from hybrid.pgm.chains.scaled import Scaled, backward_scaled, forward_scaled, plan

__all__ = ["filtered", "log_partition"]

_HALVES = {torch.float16, torch.bfloat16}
# On a CPU so small matrices cost the same in doubles, whose messages need hardly any scaling.
_SMALL = 32


def log_partition(chain: Chain) -> Float[Tensor, "*batch"]:
    r"""Log of the sum of all paths' weights, :math:`\log Z = \log \sum_z w(z)`; -inf if none is.

    Its gradient is the marginals, computed by one backward recursion: nothing is recorded per step.
    Gradients of gradients are right too, and cost what ordinary operations cost.

    Source: Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77 (1989), section III.A.

    Example:
        >>> import torch
        >>> unary = torch.zeros(1, 4, 3, requires_grad=True)
        >>> total = log_partition(Chain(unary, torch.zeros(1, 3, 3)))
        >>> total.exp().round(), torch.autograd.grad(total.sum(), unary)[0][0, 0]
        (tensor([81.], grad_fn=<RoundBackward0>), tensor([0.3333, 0.3333, 0.3333]))
    """
    grouped = _in_singles(chain.grouped)
    total: Tensor = _LogPartition.apply(grouped.unary, grouped.pairwise, grouped.lengths)
    return chain.restore(total).to(chain.unary.dtype)


@torch.no_grad()
def filtered(chain: Chain) -> Float[Tensor, "*batch steps states"]:
    r"""Log of the normalised forward messages, :math:`\log p(z_t \mid y_1 \dots y_t)` of an HMM.

    Zero probability is -inf; after the end of a row, or of all that is possible, it is all of them.
    No gradient is recorded.

    Example:
        >>> import torch
        >>> unary = torch.tensor([[[0.0, -torch.inf], [0.0, 0.0]]])
        >>> filtered(Chain(unary, torch.zeros(1, 2, 2))).exp()
        tensor([[[1.0000, 0.0000],
                 [0.5000, 0.5000]]])
    """
    grouped = _in_singles(chain.grouped)
    _, forward = _forward(grouped)
    logs = forward.alpha.log() if isinstance(forward, Scaled) else forward
    sums = torch.logsumexp(logs, -1, keepdim=True)
    logs = logs - sums.masked_fill(sums == -torch.inf, 0)
    if grouped.ended is not None:
        logs = logs.masked_fill(grouped.ended.unsqueeze(-1), -torch.inf)
    return chain.restore(logs.movedim(0, -2)).to(chain.unary.dtype)


class _LogPartition(torch.autograd.Function):
    """Forward recursion; the backward one runs when a gradient is asked for."""

    @staticmethod
    def forward(ctx: Any, unary: Tensor, pairwise: Tensor, lengths: Tensor | None) -> Tensor:
        total, forward = _forward(Grouped(unary, pairwise, lengths))
        ctx.chain_lengths, ctx.scaled_at = lengths, None
        if isinstance(forward, Scaled):
            ctx.scaled_at = forward.scaled_at
            ctx.save_for_backward(
                *(unary, pairwise, forward.emission, forward.transition, forward.alpha),
                *(forward.scales, forward.last),
            )
        else:
            ctx.save_for_backward(unary, pairwise, total, forward)
        return total.to(unary.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        unary, pairwise, *saved = ctx.saved_tensors
        if ctx.scaled_at is None:
            forward: Any = tuple(saved)
        else:
            emission, transition, alpha, scales, last = saved
            forward = Scaled(emission, transition, alpha, scales, ctx.scaled_at, last)
        lengths = ctx.chain_lengths
        one, pairs = _Marginals.apply(unary, pairwise, gradients[0], lengths, forward)
        return one, pairs, None


class _Marginals(torch.autograd.Function):
    """Backward recursion; ordinary operations take over where its own gradient is asked for."""

    @staticmethod
    def forward(
        ctx: Any, unary: Tensor, pairwise: Tensor, weight: Tensor, lengths: Any, forward: Any
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(unary, pairwise, weight)
        ctx.chain_lengths = lengths
        chain = Grouped(unary, pairwise, lengths)
        if isinstance(forward, Scaled):
            one, pairs = backward_scaled(chain, forward, weight.to(forward.alpha.dtype))
        else:
            total, alpha = forward
            one, pairs = backward_in_logs(chain, total, alpha, weight)
        return one.to(unary.dtype), pairs.to(unary.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        again = torch.is_grad_enabled()
        with torch.enable_grad():
            leaves = [
                x if again and x.requires_grad else x.detach().requires_grad_()
                for x in ctx.saved_tensors
            ]
            unary, pairwise, weight = leaves
            total = taped_log_partition(Grouped(unary, pairwise, ctx.chain_lengths))
            found = torch.autograd.grad(
                total, (unary, pairwise), weight, create_graph=True, materialize_grads=True
            )
            one, pairs = ((x * g).sum() for x, g in zip(found, gradients, strict=True))
            inner = one + pairs
            wanted = torch.autograd.grad(inner, leaves, create_graph=again, materialize_grads=True)
        return (*wanted, None, None)


def _forward(chain: Grouped) -> tuple[Tensor, Scaled | Tensor]:
    """Scaled; in double precision where singles do not reach; in logs where doubles do not."""
    doubles = chain
    if chain.unary.dtype != torch.float64:
        doubles = Grouped(chain.unary.double(), chain.pairwise.double(), chain.lengths)
    small = chain.unary.device.type == "cpu" and chain.unary.shape[-1] <= _SMALL
    for candidate in (doubles,) if small or doubles is chain else (chain, doubles):
        how = plan(candidate)
        found = None if how is None else forward_scaled(candidate, how)
        if found is not None:
            return found
    return forward_in_logs(chain)


def _in_singles(chain: Grouped) -> Grouped:
    if chain.unary.dtype not in _HALVES:
        return chain
    return Grouped(chain.unary.float(), chain.pairwise.float(), chain.lengths)
