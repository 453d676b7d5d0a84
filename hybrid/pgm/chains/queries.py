"""What is asked of a chain: marginals, scores of paths, entropy (floor 3)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hybrid.pgm.chains.layout import Chain, ended, named_row
from hybrid.pgm.chains.partition import log_partition

__all__ = ["clamped", "entropy", "marginals", "pair_marginals", "score"]


def marginals(chain: Chain) -> Float[Tensor, "*batch steps states"]:
    r"""Posterior probability of each state at each step.

    .. math:: \gamma_t(k) = \partial \log Z / \partial u_t(k)

    It is 0 after the end of a row, and everywhere in a row in which nothing is possible. It is
    differentiable where the chain's weights are.

    Example:
        >>> import torch
        >>> unary = torch.tensor([[[0.0, -torch.inf], [0.0, 0.0]]])
        >>> marginals(Chain(unary, torch.zeros(1, 2, 2)))
        tensor([[[1.0000, 0.0000],
                 [0.5000, 0.5000]]])
    """
    differentiable = _differentiable(chain)
    with torch.enable_grad():
        unary = chain.unary if chain.unary.requires_grad else chain.unary.detach().requires_grad_()
        total = log_partition(Chain(unary, chain.pairwise, chain.lengths))
        (found,) = torch.autograd.grad(total.sum(), unary, create_graph=differentiable)
    return found if differentiable else found.detach()


def pair_marginals(chain: Chain) -> Float[Tensor, "*batch between states states"]:
    r"""Posterior probability of each pair of neighbouring states, :math:`\xi_t(i, j)`.

    ``between`` is ``steps - 1``. It is 0 where the later step lies after the end of its row.

    Example:
        >>> import torch
        >>> pair_marginals(Chain(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2)))
        tensor([[[[0.2500, 0.2500],
                  [0.2500, 0.2500]]]])
    """
    return _pairs(chain, chain.steps - 1)


def _pairs(chain: Chain, between: int) -> Tensor:
    """Gradients to the weights of neighbours, row by row; summed over steps for one matrix."""
    differentiable = _differentiable(chain)
    shape = (*chain.batch_shape, between, chain.states, chain.states)
    if between == 0:
        return chain.unary.new_zeros(shape)
    with torch.enable_grad():
        own = chain.pairwise.expand(shape)
        own = own if own.requires_grad else own.detach().requires_grad_()
        total = log_partition(Chain(chain.unary, own, chain.lengths))
        (found,) = torch.autograd.grad(total.sum(), own, create_graph=differentiable)
    return found if differentiable else found.detach()


def entropy(chain: Chain) -> Float[Tensor, "*batch"]:
    r"""Entropy of the paths in nats, :math:`H = \log Z - \sum \gamma u - \sum \xi v`.

    Example:
        >>> import torch
        >>> entropy(Chain(torch.zeros(1, 5, 2), torch.zeros(1, 2, 2))) / torch.log(
        ...     torch.tensor(2.0)
        ... )
        tensor([5.])
    """
    shared = chain.pairwise.shape[-3]
    pairs = _pairs(chain, min(shared, chain.steps - 1))
    pairwise = chain.pairwise[..., : pairs.shape[-3], :, :]
    expected = _expected(marginals(chain), chain.unary).sum((-2, -1))
    return log_partition(chain) - expected - _expected(pairs, pairwise).sum((-3, -2, -1))


def score(chain: Chain, states: Int[Tensor, "*batch steps"]) -> Float[Tensor, "*batch"]:
    r"""Log weight of one path per row, :math:`\log w(z)`; what follows a row's end is not read.

    Raises:
        ValueError: A state is not one of 0 … K - 1, or there is not one per step.

    Example:
        >>> import torch
        >>> unary = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
        >>> score(Chain(unary, torch.zeros(1, 2, 2)), torch.tensor([[0, 1]]))
        tensor([5.])
    """
    _check_states(chain, states, lowest=0)
    over = None if chain.lengths is None else ended(chain.lengths, chain.steps)
    known = states if over is None else states.masked_fill(over, 0)
    single = chain.unary.gather(-1, known.unsqueeze(-1)).squeeze(-1)
    pairs = _pair_scores(chain, known)
    if over is not None:
        single = single.masked_fill(over, 0)
        pairs = pairs.masked_fill(over[..., 1:], 0)
    return single.sum(-1) + pairs.sum(-1)


def clamped(chain: Chain, states: Int[Tensor, "*batch steps"]) -> Chain:
    """The chain whose paths go through the given states; -1 leaves a step free.

    Raises:
        ValueError: A state is not one of -1 … K - 1, or there is not one per step.

    Example:
        >>> import torch
        >>> chain = Chain(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
        >>> marginals(clamped(chain, torch.tensor([[1, -1]])))
        tensor([[[0.0000, 1.0000],
                 [0.5000, 0.5000]]])
    """
    _check_states(chain, states, lowest=-1)
    own = states.unsqueeze(-1)
    allowed = (own < 0) | (own == torch.arange(chain.states, device=states.device))
    if chain.lengths is not None:
        allowed = allowed | ended(chain.lengths, chain.steps).unsqueeze(-1)
    return Chain(chain.unary.masked_fill(~allowed, -torch.inf), chain.pairwise, chain.lengths)


def _differentiable(chain: Chain) -> bool:
    wanted = chain.unary.requires_grad or chain.pairwise.requires_grad
    return wanted and torch.is_grad_enabled()


def _expected(probability: Tensor, weight: Tensor) -> Tensor:
    # What is impossible has weight -inf and probability 0.
    return probability * weight.masked_fill(weight == -torch.inf, 0)


def _pair_scores(chain: Chain, states: Tensor) -> Tensor:
    """V at each pair of neighbours; the gradient is as small as what the chain holds."""
    pairwise, count = chain.pairwise, chain.states
    batch, between = chain.batch_shape, chain.steps - 1
    if between == 0:
        return chain.unary.new_zeros(*batch, 0)
    lead = torch.Size((1,) * (len(batch) - pairwise.dim() + 3)) + pairwise.shape[:-2]
    matrix = torch.arange(lead.numel(), device=states.device).reshape(lead)
    cell = states[..., :-1] * count + states[..., 1:]
    place = matrix.expand(*batch, between) * count**2 + cell
    return pairwise.reshape(-1)[place]


def _check_states(chain: Chain, states: Tensor, lowest: int) -> None:
    if states.shape != chain.unary.shape[:-1]:
        raise ValueError(
            f"the states have shape {tuple(states.shape)}: expected one per row and step, "
            f"{tuple(chain.unary.shape[:-1])}"
        )
    wrong = (states < lowest) | (states >= chain.states)
    if chain.lengths is not None:
        wrong = wrong & ~ended(chain.lengths, chain.steps)
    if bool(wrong.any()):
        step = int(wrong.nonzero()[0][-1])
        free = ", or -1 where it is not known" if lowest < 0 else ""
        raise ValueError(
            f"row {named_row(wrong.any(-1))}, step {step}: the state is {int(states[wrong][0])}, "
            f"expected a number from 0 to {chain.states - 1}{free}"
        )
