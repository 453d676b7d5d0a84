"""The Fisher information of distributions in their own parameters (floor 0).

Known families answer in closed form; any other is sampled. What is returned is the parameters as
one tensor, and a root R of the information, I = RᵀR, at every place of the batch.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.distributions as td
from jaxtyping import Float
from torch import Tensor

__all__ = ["Information", "information", "sampled_information", "score_rows"]

_OUTPUTS = 64  # numbers of one law beyond which sampling is the cheaper root


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

    In closed form for normal, log-normal, Laplace, Bernoulli, categorical, Poisson, exponential,
    gamma and beta distributions, and vectors of these up to 64 numbers; else from samples.

    Args:
        distribution: Any torch distribution.
        samples: None for the closed form where there is one, else 1; a number asks for so many
            samples per place, from torch's global generator.

    Source: Amari (1998), *Natural gradient works efficiently in learning*, section 2.

    Example:
        >>> found = information(td.Categorical(logits=torch.zeros(7, 3)))
        >>> (found.root.mT @ found.root)[0, 0]
        tensor([ 0.2222, -0.1111, -0.1111])
    """
    if samples is None:
        known = _known(_inner(distribution), distribution)
        if known is not None:
            return known
    return sampled_information(distribution, 1 if samples is None else samples)


def sampled_information(distribution: td.Distribution, samples: int) -> Information:
    """The information's estimate from samples: their log densities, and a multiple of identity.

    Example:
        >>> sampled_information(td.Normal(torch.zeros(5), 1.0), 3).outputs.shape
        torch.Size([5, 3])
    """
    with torch.no_grad():
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


def _inner(distribution: td.Distribution) -> td.Distribution:
    """What lies inside of `Independent` and of a log-normal: the same information."""
    while True:
        if not isinstance(distribution, td.Independent | td.LogNormal):
            return distribution
        distribution = distribution.base_dist


def _known(inner: td.Distribution, outer: td.Distribution) -> Information | None:
    found = _closed(inner)
    if found is None:
        return None
    outputs, root = found
    batch = len(outer.batch_shape)
    between = outputs.shape[batch:-1]
    size = math.prod(between)
    if size * outputs.shape[-1] > _OUTPUTS:
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


@functools.singledispatch
def _closed(distribution: td.Distribution) -> tuple[Tensor, Tensor] | None:  # noqa: ARG001
    """The numbers ``(*shape, k)`` of a family and a root ``(*shape, m, k)``; None if not known."""
    return None


def _stacked(numbers: Sequence[Tensor], roots: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Numbers that carry information independently of each other, with its square roots."""
    shared = torch.broadcast_tensors(*numbers)
    shape = shared[0].shape
    sizes = [root.detach().expand(shape) for root in roots]
    return torch.stack(list(shared), -1), torch.diag_embed(torch.stack(sizes, -1))


@_closed.register
def _normal(distribution: td.Normal) -> tuple[Tensor, Tensor]:
    scale = distribution.scale
    return _stacked((distribution.loc, scale), (1 / scale, math.sqrt(2) / scale))


@_closed.register
def _laplace(distribution: td.Laplace) -> tuple[Tensor, Tensor]:
    scale = distribution.scale
    return _stacked((distribution.loc, scale), (1 / scale, 1 / scale))


@_closed.register
def _bernoulli(distribution: td.Bernoulli) -> tuple[Tensor, Tensor]:
    logits = distribution.logits
    slope = torch.sigmoid(logits) * torch.sigmoid(-logits)
    return _stacked((logits,), (slope.sqrt(),))


@_closed.register
def _poisson(distribution: td.Poisson) -> tuple[Tensor, Tensor]:
    return _stacked((distribution.rate,), (distribution.rate.rsqrt(),))


@_closed.register
def _exponential(distribution: td.Exponential) -> tuple[Tensor, Tensor]:
    return _stacked((distribution.rate,), (1 / distribution.rate,))


@_closed.register
def _categorical(distribution: td.Categorical) -> tuple[Tensor, Tensor]:
    p = distribution.probs.detach()
    difference = torch.eye(p.shape[-1], dtype=p.dtype, device=p.device) - p.unsqueeze(-2)
    return distribution.logits, p.sqrt().unsqueeze(-1) * difference


@_closed.register
def _gamma(distribution: td.Gamma) -> tuple[Tensor, Tensor]:
    shape, rate = torch.broadcast_tensors(distribution.concentration, distribution.rate)
    numbers = torch.stack((shape, rate), -1)
    return numbers, _root(_trigamma(shape), -1 / rate, shape / rate.square())


@_closed.register
def _beta(distribution: td.Beta) -> tuple[Tensor, Tensor]:
    a, b = distribution.concentration1, distribution.concentration0
    both = _trigamma(a + b)
    return torch.stack((a, b), -1), _root(_trigamma(a) - both, -both, _trigamma(b) - both)


def _trigamma(x: Tensor) -> Tensor:
    return torch.special.polygamma(1, x.detach())


def _root(first: Tensor, between: Tensor, second: Tensor) -> Tensor:
    """A root of the matrices [[first, between], [between, second]]."""
    tip = first.detach().sqrt()
    side = between.detach() / tip
    rest = (second.detach() - side.square()).clamp_min(0).sqrt()
    rows = (torch.stack((tip, side), -1), torch.stack((torch.zeros_like(tip), rest), -1))
    return torch.stack(rows, -2)
