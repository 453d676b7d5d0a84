"""Forward and backward recursions of a chain in logs: slower, right for all weights (floor 1)."""

import torch
from jaxtyping import Float
from torch import Tensor

from hybrid.pgm.chains.layout import Grouped

__all__ = ["backward_in_logs", "forward_in_logs", "taped_log_partition"]

LOWEST = -1e30  # stands for -inf where a gradient of a gradient is wanted: sums of it stay finite


def forward_in_logs(chain: Grouped) -> tuple[Float[Tensor, "G N"], Float[Tensor, "T G N K"]]:
    r"""Log partition function and log forward messages, without a gradient.

    .. math:: \log\alpha_{t+1}(j) = u_{t+1}(j) + \log\sum_i e^{\log\alpha_t(i) + v_t(i, j)}

    After a row's end its message stays as it is.

    Source: Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77 (1989), eq. 19-21.

    Example:
        >>> import torch
        >>> from hybrid.pgm.chains.layout import Chain
        >>> total, _ = forward_in_logs(Chain(torch.zeros(7, 5, 3), torch.zeros(1, 3, 3)).grouped)
        >>> total.exp().round()
        tensor([[243., 243., 243., 243., 243., 243., 243.]])
    """
    unary, over = chain.unary, chain.ended
    alpha = torch.empty_like(unary, memory_format=torch.contiguous_format)
    alpha[0] = unary[0]
    for t in range(1, chain.steps):
        pairwise = chain.pairwise[chain.between(t - 1)].unsqueeze(1)
        new = torch.logsumexp(alpha[t - 1].unsqueeze(-1) + pairwise, -2).add_(unary[t])
        alpha[t] = new if over is None else torch.where(over[t].unsqueeze(-1), alpha[t - 1], new)
    return torch.logsumexp(alpha[-1], -1), alpha


def backward_in_logs(
    chain: Grouped,
    total: Float[Tensor, "G N"],
    alpha: Float[Tensor, "T G N K"],
    weight: Float[Tensor, "G N"],
) -> tuple[Float[Tensor, "T G N K"], Float[Tensor, "P G K K"]]:
    r"""Marginals, and those of neighbours summed over rows (and steps where shared), weighted.

    .. math:: \gamma_t(i) = e^{\log\alpha_t(i) + \log\beta_t(i) - \log Z}, \quad
        \xi_t(i, j) = e^{\log\alpha_t(i) + v_t(i, j) + u_{t+1}(j) + \log\beta_{t+1}(j) - \log Z}

    Source: Rabiner 1989, eq. 24-27 and 37.

    Example:
        >>> import torch
        >>> from hybrid.pgm.chains.layout import Chain
        >>> chain = Chain(torch.zeros(1, 3, 2), torch.zeros(1, 2, 2)).grouped
        >>> one, pairs = backward_in_logs(chain, *forward_in_logs(chain), torch.ones(1, 1))
        >>> bool(one.sub(0.5).abs().max() < 1e-6), pairs
        (True, tensor([[[[0.5000, 0.5000],
                  [0.5000, 0.5000]]]]))
    """
    over, unary = chain.ended, chain.unary
    one, pairs = torch.empty_like(alpha), torch.zeros_like(chain.pairwise)
    possible = total > -torch.inf
    shift = torch.where(possible, total, 0).unsqueeze(-1)
    weight = torch.where(possible, weight, 0).unsqueeze(-1)
    beta = torch.zeros_like(alpha[0])
    for t in range(chain.steps - 1, -1, -1):
        one[t] = torch.exp(alpha[t] + beta - shift).mul_(weight)
        if t == 0:
            break
        position = chain.between(t - 1)
        later = unary[t] + beta
        if over is not None:
            later = later.masked_fill(over[t].unsqueeze(-1), -torch.inf)
        joint = chain.pairwise[position].unsqueeze(1) + later.unsqueeze(-2)
        new = torch.logsumexp(joint, -1)
        joint = joint.add_(alpha[t - 1].unsqueeze(-1)).sub_(shift.unsqueeze(-1)).exp_()
        pairs[position] += (joint * weight.unsqueeze(-1)).sum(1)
        beta = new if over is None else torch.where(over[t].unsqueeze(-1), beta, new)
    if over is not None:
        one.masked_fill_(over.unsqueeze(-1), 0)
    return one, pairs


def taped_log_partition(chain: Grouped) -> Float[Tensor, "G N"]:
    """The log partition function in ordinary differentiable operations, for higher derivatives.

    Example:
        >>> import torch
        >>> from hybrid.pgm.chains.layout import Chain
        >>> unary = torch.zeros(1, 2, 2, requires_grad=True)
        >>> total = taped_log_partition(Chain(unary, torch.zeros(1, 2, 2)).grouped)
        >>> torch.autograd.grad(total.sum(), unary)[0]
        tensor([[[0.5000, 0.5000],
                 [0.5000, 0.5000]]])
    """
    unary, over = chain.unary.clamp_min(LOWEST), chain.ended
    pairwise = chain.pairwise.clamp_min(LOWEST).unsqueeze(2)
    alpha = unary[0]
    for t in range(1, chain.steps):
        new = torch.logsumexp(alpha.unsqueeze(-1) + pairwise[chain.between(t - 1)], -2) + unary[t]
        alpha = new if over is None else torch.where(over[t].unsqueeze(-1), alpha, new)
    total = torch.logsumexp(alpha, -1)
    return torch.where(total < LOWEST / 2, -torch.inf, total)
