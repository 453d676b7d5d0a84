"""The Fisher information of distributions in their own numbers (floor 1).

Known families answer in closed form, finite ones by enumeration; any other is sampled. What is
returned is the numbers as one tensor, and a root R of the information, I = RᵀR, at every place of
the batch.
"""

import math
from typing import NamedTuple

import torch
import torch.distributions as td
from jaxtyping import Float
from torch import Tensor

from causal.draws import seeded
from hybrid.information.closed_forms import entries_of, numbers_and_root

__all__ = ["Information", "exact_information", "information", "sampled_information", "score_rows"]

_NUMBERS = 64  # of one law, beyond which sampling is the cheaper root


class Information(NamedTuple):
    """Numbers that a distribution is made of, and a root of the information in them.

    Attributes:
        outputs: The numbers, as the distribution's graph has them.
        root: R with RᵀR the information, detached.

    Example:
        >>> information(td.Normal(torch.zeros(5), 2.0)).root[0]
        tensor([[0.5000, 0.0000],
                [0.0000, 0.7071]])
    """

    outputs: Float[Tensor, "*batch outputs"]
    root: Float[Tensor, "*batch count outputs"]


def information(distribution: td.Distribution, samples: int | None = None) -> Information:
    r"""The Fisher information of one value, :math:`E[\nabla \log p\, \nabla \log p^T]`.

    Exact where `exact_information` knows the distribution and it has up to 64 numbers; else from
    samples.

    Args:
        distribution: Any torch distribution.
        samples: None for the exact one where it is known, else 1; a number asks for so many
            samples per place, from torch's global generator.

    Source: Amari (1998), *Natural gradient works efficiently in learning*, section 2.

    Example:
        >>> found = information(td.Categorical(logits=torch.zeros(7, 3)))
        >>> (found.root.mT @ found.root)[0, 0]
        tensor([ 0.2222, -0.1111, -0.1111])
    """
    if samples is None:
        known = exact_information(distribution, _NUMBERS)
        if known is not None:
            return known
    return sampled_information(distribution, 1 if samples is None else samples)


def exact_information(distribution: td.Distribution, most: float = math.inf) -> Information | None:
    """The information of known families and finite laws, and of vectors of them; None of others.

    In closed form for normal, log-normal, Laplace, Student, Bernoulli, categorical, Poisson,
    exponential, gamma and beta distributions; a sum over all values of other finite ones.

    Args:
        distribution: Any torch distribution.
        most: None is returned where it has more numbers than this.

    Example:
        >>> found = exact_information(td.Binomial(2, logits=torch.zeros(5)))
        >>> found.root[0].square().sum(0)
        tensor([0.2500, 0.5000, 0.2500])
    """
    found = numbers_and_root(entries_of(distribution), most)
    if found is None:
        return None
    outputs, root = found
    batch = len(distribution.batch_shape)
    between = outputs.shape[batch:-1]
    size = math.prod(between)
    if size * outputs.shape[-1] > most:
        return None
    if not between:
        return Information(outputs, root.detach())
    outputs = outputs.flatten(batch, -2)  # (*batch, entries, numbers of each)
    root = root.detach().flatten(batch, -3)
    count, width = root.shape[-2:]
    blocks = root.new_zeros(*root.shape[:-3], size, count, size, width)
    for entry in range(size):
        blocks[..., entry, :, entry, :] = root[..., entry, :, :]
    return Information(
        outputs.flatten(-2, -1),
        blocks.reshape(*root.shape[:-3], size * count, size * width),
    )


def sampled_information(
    distribution: td.Distribution, samples: int, generator: torch.Generator | None = None
) -> Information:
    """The information's estimate from samples: their log densities, and a multiple of identity.

    Args:
        distribution: Any torch distribution.
        samples: How many, at each place of the batch.
        generator: Their source; None advances torch's global generator.

    Example:
        >>> sampled_information(td.Normal(torch.zeros(5), 1.0), 3).outputs.shape
        torch.Size([5, 3])
    """
    with seeded(generator), torch.no_grad():
        values = distribution.sample(torch.Size((samples,)))
    scores = torch.as_tensor(distribution.log_prob(values)).movedim(0, -1)
    return Information(scores, _eye(scores, samples) / math.sqrt(samples))


def score_rows(distribution: td.Distribution, values: Tensor) -> Information:
    """The log densities of given values, whose outer product is the empirical information.

    Example:
        >>> score_rows(td.Normal(torch.zeros(5), 1.0), torch.ones(5)).outputs.shape
        torch.Size([5, 1])
    """
    scores = torch.as_tensor(distribution.log_prob(values)).unsqueeze(-1)
    return Information(scores, _eye(scores, 1))


def _eye(like: Tensor, size: int) -> Tensor:
    eye = torch.eye(size, dtype=like.dtype, device=like.device)
    return eye.expand(*like.shape[:-1], size, size)
