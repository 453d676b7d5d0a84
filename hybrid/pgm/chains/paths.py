"""Whole paths of a chain: the most probable one, and draws (floor 4)."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from causal.draws import uniform
from hybrid.pgm.chains.layout import Chain, Grouped, ended
from hybrid.pgm.chains.partition import filtered
from hybrid.pgm.chains.queries import score

__all__ = ["Path", "best_path", "draw_paths"]


class Path(NamedTuple):
    """One path per row and its log weight or log probability, as the method says.

    Attributes:
        states: ``(*batch, steps)``, -1 after the end of a row.
        log_probability: ``(*batch,)``.

    Example:
        >>> import torch
        >>> Path(torch.tensor([[0, 1]]), torch.tensor([-1.0])).states
        tensor([[0, 1]])
    """

    states: Int[Tensor, "*batch steps"]
    log_probability: Float[Tensor, "*batch"]


def best_path(chain: Chain) -> Path:
    r"""The path of the largest weight, and the log of that weight, by Viterbi's recursion.

    .. math:: \delta_{t+1}(j) = u_{t+1}(j) + \max_i \big(\delta_t(i) + v_t(i, j)\big)

    Of equally good paths it is one. Where nothing is possible the weight is -inf and the path means
    nothing. The log weight is differentiable.

    Source: Viterbi, IEEE Trans. Information Theory 13 (1967); Rabiner 1989, eq. 32-35.

    Example:
        >>> import torch
        >>> unary = torch.tensor([[[0.0, 0.1], [2.0, 0.0], [0.0, 0.1]]])
        >>> best_path(Chain(unary, 3 * torch.eye(2).unsqueeze(0)))
        Path(states=tensor([[0, 0, 0]]), log_probability=tensor([8.]))
    """
    with torch.no_grad():
        states = chain.restore(_traced(chain.grouped).movedim(0, -1))
    best = score(chain, states)
    return Path(_ended_by(chain, states), best)


def _traced(chain: Grouped) -> Tensor:
    """The best states ``(T, G, N)``."""
    over, unary = chain.ended, chain.unary
    here = torch.arange(unary.shape[-1], device=unary.device)
    back = []
    delta = unary[0]
    for t in range(1, chain.steps):
        pairwise = chain.pairwise[chain.between(t - 1)].unsqueeze(1)
        best, origin = (delta.unsqueeze(-1) + pairwise).max(-2)
        best = best + unary[t]
        if over is not None:
            stop = over[t].unsqueeze(-1)
            best, origin = torch.where(stop, delta, best), torch.where(stop, here, origin)
        back.append(origin)
        delta = best
    states = [delta.argmax(-1)]
    for origin in reversed(back):
        states.append(origin.gather(-1, states[-1].unsqueeze(-1)).squeeze(-1))
    return torch.stack(states[::-1])


@torch.no_grad()
def draw_paths(
    chain: Chain, n: int, generator: torch.Generator | None = None
) -> Int[Tensor, "n *batch steps"]:
    r"""Independent draws of whole paths with the probabilities :math:`w(z) / Z`.

    The last state comes from the last forward message, each earlier one given its successor. After
    the end of a row states are -1.

    Args:
        chain: The chain; every row must have a path of positive weight.
        n: How many paths of each row.
        generator: Source of randomness; None advances torch's global generator.

    Raises:
        ValueError: ``n`` is below 1.

    Source: Scott, Bayesian methods for hidden Markov models, JASA 97 (2002), section 2.

    Example:
        >>> import torch
        >>> draw_paths(Chain(torch.zeros(7, 5, 3), torch.zeros(1, 3, 3)), 4).shape
        torch.Size([4, 7, 5])
    """
    if n < 1:
        raise ValueError(f"n is the number of paths, at least 1: got {n}")
    forward = Chain(filtered(chain), chain.pairwise, chain.lengths).grouped
    steps, groups, rows, _ = forward.unary.shape
    noise = uniform((steps, groups, rows, n), chain.unary, generator)
    over = forward.ended
    each = torch.arange(groups, device=noise.device)[:, None, None]
    state = _chosen(forward.unary[-1].unsqueeze(2), noise[-1])
    states = [state]
    for t in range(steps - 2, -1, -1):
        logs = forward.unary[t].unsqueeze(2)
        later = forward.pairwise[forward.between(t)].mT[each, state]  # v(i, z_{t+1}) over i
        if over is not None:
            later = later.masked_fill(over[t + 1][..., None, None], 0)
        state = _chosen(logs + later, noise[t])
        states.append(state)
    found = torch.stack(states[::-1]).permute(3, 1, 2, 0)
    found = found.reshape(n, *chain.batch_shape, steps)
    return _ended_by(chain, found)


def _chosen(logs: Tensor, noise: Tensor) -> Tensor:
    """States ``(G, N, n)`` of log weights ``(G, N, n or 1, K)``, by the inverse of their cdf."""
    top = logs.amax(-1, keepdim=True)
    cdf = (logs - top.masked_fill(top == -torch.inf, 0)).exp().cumsum(-1)
    below = (cdf <= noise.unsqueeze(-1) * cdf[..., -1:]).sum(-1)
    return torch.minimum(below, cdf.argmax(-1))  # where rounding led past the last one


def _ended_by(chain: Chain, states: Tensor) -> Tensor:
    if chain.lengths is None:
        return states
    return states.masked_fill(ended(chain.lengths, chain.steps), -1)
