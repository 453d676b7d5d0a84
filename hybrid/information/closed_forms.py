"""The information in families whose own parameters are known, in closed form (floor 0).

A new family is a function registered by ``numbers_and_root.register``.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor

__all__ = ["entries_of", "numbers_and_root"]


def entries_of(distribution: Any) -> Any:
    """What lies inside of `Independent` and of a log-normal, whose information is the same.

    Example:
        >>> entries_of(td.Independent(td.LogNormal(torch.zeros(3), 1.0), 1))
        Normal(loc: torch.Size([3]), scale: torch.Size([3]))
    """
    while isinstance(distribution, td.Independent | td.LogNormal):
        distribution = distribution.base_dist
    return distribution


@functools.singledispatch
def numbers_and_root(distribution: Any, most: float) -> tuple[Tensor, Tensor] | None:
    """The numbers ``(*shape, k)`` of a family and a root ``(*shape, m, k)``; None if not known.

    Of finite laws without a form of their own the numbers are the log probabilities of all values.

    Args:
        distribution: Of single values, or of single one-hot vectors.
        most: Finite laws of more values are not enumerated.

    Example:
        >>> numbers, root = numbers_and_root(td.Poisson(torch.tensor([4.0])), 64)
        >>> numbers, root
        (tensor([[4.]]), tensor([[[0.5000]]]))
    """
    if distribution.event_shape or not distribution.has_enumerate_support:
        return None
    try:
        values = distribution.enumerate_support(expand=False)
    except (NotImplementedError, AttributeError):
        return None
    if len(values) > most:
        return None
    logs = distribution.log_prob(values.expand(-1, *distribution.batch_shape)).movedim(0, -1)
    probabilities = logs.detach().exp()
    return torch.where(probabilities > 0, logs, 0.0), torch.diag_embed(probabilities.sqrt())


def _stacked(numbers: Sequence[Tensor], roots: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Numbers that carry information independently of each other, with its square roots."""
    shared = torch.broadcast_tensors(*numbers)
    shape = shared[0].shape
    sizes = [root.detach().expand(shape) for root in roots]
    return torch.stack(list(shared), -1), torch.diag_embed(torch.stack(sizes, -1))


@numbers_and_root.register(td.Normal)
def _normal(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    scale = distribution.scale
    return _stacked((distribution.loc, scale), (1 / scale, math.sqrt(2) / scale))


@numbers_and_root.register(td.Laplace)
def _laplace(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    scale = distribution.scale
    return _stacked((distribution.loc, scale), (1 / scale, 1 / scale))


@numbers_and_root.register(td.StudentT)
def _student(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    """Lange, Little & Taylor (1989), *Robust statistical modeling using the t distribution*."""
    known = (distribution.df, distribution.loc, distribution.scale)
    df, location, scale = torch.broadcast_tensors(*known)
    v, s = df.detach().double(), scale.detach().double()  # differences of nearly equal numbers
    trigamma = torch.special.polygamma(1, v / 2) - torch.special.polygamma(1, (v + 1) / 2)
    tail = trigamma / 4 - (v + 5) / (2 * v * (v + 1) * (v + 3))
    both = -2 / (s * (v + 1) * (v + 3))
    place = ((v + 1) / (v + 3)).sqrt() / s
    rest = _root(2 * v / ((v + 3) * s.square()), both, tail)  # of the scale and of df
    root = torch.cat(
        [place[..., None, None].expand(*v.shape, 1, 1), rest.new_zeros(*v.shape, 1, 2)], -1
    )
    below = torch.cat([rest.new_zeros(*v.shape, 2, 1), rest], -1)
    return torch.stack([location, scale, df], -1), torch.cat([root, below], -2).to(location)


@numbers_and_root.register(td.Bernoulli)
def _bernoulli(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    logits = distribution.logits
    slope = torch.sigmoid(logits) * torch.sigmoid(-logits)
    return _stacked((logits,), (slope.sqrt(),))


@numbers_and_root.register(td.Poisson)
def _poisson(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    return _stacked((distribution.rate,), (distribution.rate.rsqrt(),))


@numbers_and_root.register(td.Exponential)
def _exponential(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    return _stacked((distribution.rate,), (1 / distribution.rate,))


@numbers_and_root.register(td.Categorical)
@numbers_and_root.register(td.OneHotCategorical)
def _categorical(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    p = distribution.probs.detach()
    difference = torch.eye(p.shape[-1], dtype=p.dtype, device=p.device) - p.unsqueeze(-2)
    return distribution.logits, p.sqrt().unsqueeze(-1) * difference


@numbers_and_root.register(td.Gamma)
def _gamma(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
    shape, rate = torch.broadcast_tensors(distribution.concentration, distribution.rate)
    numbers = torch.stack((shape, rate), -1)
    return numbers, _root(_trigamma(shape), -1 / rate, shape / rate.square())


@numbers_and_root.register(td.Beta)
def _beta(distribution: Any, most: float) -> tuple[Tensor, Tensor]:  # noqa: ARG001
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
