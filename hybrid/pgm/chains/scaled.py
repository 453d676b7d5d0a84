r"""Forward and backward recursions as matrix products of scaled numbers: fast (floor 1).

Weights are taken out of the logs relative to the largest of their step, :math:`e_t = \exp(u_t -
\max u_t)`, :math:`A = \exp(v - \max v)`, and messages are divided by their sum every few steps. A
number below the smallest that a float holds becomes 0. `plan` says when that does no harm:

- Where every v is finite and their spread r (largest less smallest) is bounded, a path through a
  state that was lost can be led through the best state of that step at a cost of at most 2r in its
  log weight, while the message of the lost state was smaller by the whole range of the format.
- Where some v is -inf (what is impossible cannot be led around), nothing may be lost. If all that
  is not zero stays above the root of the format's smallest number, nothing was; that is looked at
  afterwards.

For all other weights there are logs.
"""

import dataclasses
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hybrid.pgm.chains.compiled import compiled_backward, compiled_forward
from hybrid.pgm.chains.layout import Grouped

__all__ = ["Plan", "Scaled", "backward_scaled", "forward_scaled", "plan"]

# By how much (in logs) messages may change before they are scaled again, and the largest spread.
# Lost is then less than exp(-745 + 2 * 300), exp(-87 + 2 * 20 + 20) of the total.
_RANGES = {torch.float64: (300.0, 150.0), torch.float32: (20.0, 18.0)}
_SMALLEST = math.exp(-320.0)  # times exp(-150), twice, it is still far from what float64 holds


@dataclasses.dataclass(frozen=True)
class Plan:
    """How messages are scaled.

    Attributes:
        every: Steps between two scalings.
        checked: Whether something is impossible, so that losses must be looked for afterwards.

    Example:
        >>> Plan(every=8, checked=False).every
        8
    """

    every: int
    checked: bool


@dataclasses.dataclass(frozen=True)
class Scaled:
    """What the forward recursion leaves behind for the backward one.

    Attributes:
        emission: e, ``(T, G, N, K)``, 0 after a row's end.
        transition: A, ``(P, G, K, K)``.
        alpha: Scaled forward messages, ``(T, G, N, K)``.
        scales: What messages were divided by at some steps, ``(steps, G, N)``.
        scaled_at: These steps.
        last: One over the sum of a row's last message (0 where the row is impossible), ``(G, N)``.

    Example:
        >>> import torch
        >>> from hybrid.pgm.chains.layout import Chain
        >>> chain = Chain(torch.zeros(7, 5, 3), torch.zeros(1, 3, 3)).grouped
        >>> _, forward = forward_scaled(chain, Plan(4, checked=False))
        >>> isinstance(forward, Scaled), forward.alpha.shape
        (True, torch.Size([5, 1, 7, 3]))
    """

    emission: Tensor
    transition: Tensor
    alpha: Tensor
    scales: Tensor
    scaled_at: Sequence[int]
    last: Tensor


def plan(chain: Grouped) -> Plan | None:
    """How to scale messages so that results are exact to rounding; None where logs are needed.

    Example:
        >>> import torch
        >>> from hybrid.pgm.chains.layout import Chain
        >>> def planned(*weights):
        ...     pairwise = torch.tensor([weights], dtype=torch.float64)
        ...     return plan(Chain(torch.zeros(7, 5, 2, dtype=torch.float64), pairwise).grouped)
        >>> planned([0.0, -1.0], [-2.0, -1.0])
        Plan(every=81, checked=False)
        >>> planned([0.0, -1.0], [-2.0, -torch.inf])
        Plan(every=81, checked=True)
        >>> planned([0.0, -1.0], [-2.0, -500.0]) is None
        True
    """
    if chain.unary.dtype not in _RANGES:
        return None
    budget, largest = _RANGES[chain.unary.dtype]
    spread, finite = _spread(chain.pairwise.flatten(-2))
    slack = math.log(chain.unary.shape[-1]) + 1
    if finite:
        return Plan(max(1, int(budget / (spread + slack))), False) if spread <= largest else None
    between = _spread(chain.unary)[0]
    if chain.unary.dtype != torch.float64 or max(spread, between) > largest:
        return None
    return Plan(max(1, int(budget / (spread + between + slack))), True)


def forward_scaled(chain: Grouped, how: Plan) -> tuple[Float[Tensor, "G N"], Scaled] | None:
    r"""Log partition function and what the backward recursion needs; None if something was lost.

    .. math:: \alpha_{t+1} = (\alpha_t A) \circ e_{t+1} / c_{t+1}

    Source: Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77 (1989), section V.A.

    Example:
        >>> import torch
        >>> from hybrid.pgm.chains.layout import Chain
        >>> chain = Chain(torch.zeros(1, 5, 3), torch.zeros(1, 3, 3)).grouped
        >>> total, _ = forward_scaled(chain, Plan(4, checked=False))
        >>> total.exp().round()
        tensor([[243.]])
    """
    emission, transition, offset = _out_of_logs(chain)
    found = compiled_forward(emission, transition)
    if found is None:
        alpha, scales, scaled_at = _messages(chain, emission, transition, how.every)
    else:
        (alpha, scales), scaled_at = found, range(chain.steps)
    if how.checked:
        zero = alpha == 0
        if float(alpha.masked_fill(zero, 1).amin()) < _SMALLEST:
            return None
        emission.masked_fill_(zero, 0)  # what cannot be reached has no message back, either
    sums = _last_message(chain, alpha).sum(-1)
    total = offset + sums.log()
    total = total + scales.log().sum(0, dtype=torch.float64)
    last = torch.where(sums > 0, 1 / sums, 0)
    forward = Scaled(emission, transition, alpha, scales, scaled_at, last)
    return total.to(emission.dtype), forward


def _messages(
    chain: Grouped, emission: Tensor, transition: Tensor, every: int
) -> tuple[Tensor, Tensor, Sequence[int]]:
    """Messages, their scales and the steps of these, by products of torch."""
    steps, groups, rows, _ = emission.shape
    alpha = torch.empty_like(emission)
    messages, factors = _slices(alpha), _slices(emission)
    matrices = _slices(transition)
    product = torch.mm if groups == 1 else torch.bmm
    scaled_at = range(every, steps, every)
    scales = emission.new_empty(len(scaled_at), groups, rows)
    messages[0].copy_(factors[0])
    for t in range(1, steps):
        message = messages[t]
        product(messages[t - 1], matrices[chain.between(t - 1)], out=message)
        message.mul_(factors[t])
        if t % every == 0:
            scale = message.sum(-1, keepdim=True)
            scale.masked_fill_(scale == 0, 1)  # after the end, and where nothing is possible
            message.div_(scale)
            scales[t // every - 1] = scale.view(groups, rows)
    return alpha, scales, scaled_at


def backward_scaled(
    chain: Grouped, forward: Scaled, weight: Float[Tensor, "G N"]
) -> tuple[Float[Tensor, "T G N K"], Float[Tensor, "P G K K"]]:
    r"""Marginals, and those of neighbours summed over rows (and steps where shared), weighted.

    .. math:: w_t = e_t \circ \beta_t / c_t, \quad \beta_{t-1} = w_t A^\top, \quad \gamma_t =
        \alpha_t \circ \beta_t, \quad \xi_t(i, j) = \alpha_t(i) A(i, j) w_{t+1}(j)

    Source: Rabiner 1989, section V.A.

    Example:
        >>> import torch
        >>> from hybrid.pgm.chains.layout import Chain
        >>> chain = Chain(torch.zeros(1, 3, 2), torch.zeros(1, 2, 2)).grouped
        >>> _, forward = forward_scaled(chain, Plan(4, checked=False))
        >>> backward_scaled(chain, forward, torch.ones(1, 1))[1]
        tensor([[[[0.5000, 0.5000],
                  [0.5000, 0.5000]]]])
    """
    # The start at each row's end carries the row's weight, so that all that follows does.
    start = forward.last * weight
    parts = (forward.emission, forward.transition, forward.alpha, forward.scales)
    found = None
    if len(forward.scaled_at) == chain.steps:
        found = compiled_backward(*parts, start, chain.lengths)
    if found is None:
        found = _messages_back(chain, forward, start)
    return found[0], found[1].mul_(forward.transition)


def _messages_back(chain: Grouped, forward: Scaled, start: Tensor) -> tuple[Tensor, Tensor]:
    """Marginals, and sums of outer products of neighbours, by products of torch."""
    alpha, emission, start = forward.alpha, forward.emission, start.unsqueeze(-1)
    beta = torch.zeros_like(alpha)
    if chain.lengths is None:
        beta[-1] = start
    else:
        place = (chain.lengths - 1)[None, ..., None].expand(1, *alpha.shape[1:])
        beta.scatter_(0, place, start.expand(*alpha.shape[1:]).unsqueeze(0))
    flow = torch.empty_like(alpha)
    betas, flows, factors = _slices(beta), _slices(flow), _slices(emission)
    matrices = _slices(forward.transition.mT.contiguous())
    shape = (*betas[0].shape[:-1], 1)
    scales = {t: s.view(shape) for t, s in zip(forward.scaled_at, forward.scales, strict=True)}
    flat = alpha.shape[1] == 1
    for t in range(chain.steps - 1, 0, -1):
        torch.mul(factors[t], betas[t], out=flows[t])
        if t in scales:
            flows[t].div_(scales[t])
        matrix = matrices[chain.between(t - 1)]
        if chain.lengths is not None:
            (betas[t - 1].addmm_ if flat else betas[t - 1].baddbmm_)(flows[t], matrix)
        elif flat:
            torch.mm(flows[t], matrix, out=betas[t - 1])
        else:
            torch.bmm(flows[t], matrix, out=betas[t - 1])
    return beta.mul_(alpha), _pairs(chain, alpha, flow, forward.transition)


def _pairs(chain: Grouped, alpha: Tensor, flow: Tensor, transition: Tensor) -> Tensor:
    """Sums over rows, and steps that share a matrix, of outer products, ``(P, G, K, K)``."""
    before, after = alpha[:-1], flow[1:]
    if chain.steps == 1:
        return torch.zeros_like(transition)
    if len(transition) > 1 or chain.steps == 2:
        return torch.matmul(before.mT, after)
    before, after = (m.movedim(0, 1).flatten(1, 2) for m in (before, after))
    return torch.bmm(before.mT, after).unsqueeze(0)


def _out_of_logs(chain: Grouped) -> tuple[Tensor, Tensor, Tensor]:
    """Emissions and transitions relative to their largest, and the sum of what was taken out."""
    unary, pairwise, over = chain.unary, chain.pairwise, chain.ended
    tops = unary.amax(-1, keepdim=True)
    tops.masked_fill_(tops == -torch.inf, 0)
    emission = torch.sub(
        unary, tops, out=torch.empty(unary.shape, dtype=unary.dtype, device=unary.device)
    )
    emission.exp_()
    peaks = pairwise.amax((-2, -1), keepdim=True)
    transition = (pairwise - peaks).exp_().contiguous()
    tops, peaks = tops.squeeze(-1), peaks.reshape(*peaks.shape[:2], 1)
    peaks = peaks.expand(chain.steps - 1, *peaks.shape[1:-1], unary.shape[2])
    if over is not None:
        emission.masked_fill_(over.unsqueeze(-1), 0)
        tops, peaks = tops.masked_fill(over, 0), peaks.masked_fill(over[1:], 0)
    offset = tops.sum(0, dtype=torch.float64) + peaks.sum(0, dtype=torch.float64)
    return emission, transition, offset


def _spread(weights: Tensor) -> tuple[float, bool]:
    """The largest spread within a last axis, of what is finite; and whether all of it is."""
    weights = weights.detach()
    if not weights.numel():
        return 0.0, True
    low, high = torch.aminmax(weights, dim=-1)
    spread = float((high - low).amax())
    if spread < math.inf:
        return spread, True
    impossible = weights == -torch.inf
    low = weights.masked_fill(impossible, torch.inf).amin(-1)
    return float((high - low).amax().clamp_min(0)), False


def _slices(messages: Tensor) -> tuple[Tensor, ...]:
    """Steps, without the axis of groups where there is one group: plain products are faster."""
    return (messages.squeeze(1) if messages.shape[1] == 1 else messages).unbind(0)


def _last_message(chain: Grouped, alpha: Tensor) -> Tensor:
    if chain.lengths is None:
        return alpha[-1]
    place = (chain.lengths - 1)[None, ..., None].expand(1, *alpha.shape[1:])
    return alpha.gather(0, place).squeeze(0)
