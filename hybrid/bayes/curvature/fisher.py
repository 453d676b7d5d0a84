"""The Fisher information of a law's distribution in the numbers it is made of (floor 0)."""

import math
from collections.abc import Callable, Iterator
from functools import singledispatch
from typing import Any

import torch
import torch.distributions as td
from jaxtyping import Float
from torch import Tensor

from causal.draws import seeded

__all__ = ["fisher_roots", "scores"]


def fisher_roots(
    link: Callable[[Tensor], td.Distribution],
    raw: Float[Tensor, "rows outputs"],
    samples: int = 64,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "roots rows outputs"]:
    r"""Vectors whose outer products add up to the Fisher information, for every row.

    .. math:: \sum_r a_r a_r^\top = E_y[\nabla \log p(y)\, \nabla \log p(y)^\top]

    For finite laws the expectation is a sum over the classes; for distributions whose Fisher
    information of their own parameters is known (normal, log-normal, Laplace, exponential, Poisson)
    it is that, seen through the link; for all others a mean over samples.

    Args:
        link: Raw numbers → distribution.
        raw: The numbers, a row each.
        samples: The number of samples where there is no closed form.
        generator: Source of these; None advances torch's global generator.

    Raises:
        ValueError: The distribution's batch shape is not that of the rows.

    Source: Martens (2020), *New insights and perspectives on the natural gradient method*, section
    8 (the generalised Gauss–Newton matrix is the Fisher information).

    Example:
        >>> link = lambda raw: td.Normal(raw.squeeze(-1), 0.5)
        >>> fisher_roots(link, torch.zeros(2, 1)).flatten()
        tensor([2., 2.])
    """
    with torch.enable_grad():
        given = raw.detach().requires_grad_()
        distribution = link(given)
        if distribution.batch_shape != raw.shape[:1]:
            raise ValueError(
                f"the law's link made a distribution of batch shape "
                f"{tuple(distribution.batch_shape)} of {len(raw)} rows: expected ({len(raw)},)"
            )
        entries = distribution
        while isinstance(entries, td.Independent):
            entries = entries.base_dist
        found = [
            gradient
            for scale, score in _scores(entries, distribution, samples, generator)
            for gradient in _rows(scale, score, given)
        ]
    return torch.stack(found) if found else raw.new_zeros(0, *raw.shape)


Scores = Iterator[tuple[Tensor, Tensor]]


def _scores(
    entries: Any, distribution: Any, samples: int, generator: torch.Generator | None
) -> Scores:
    """Pairs (weight, function of the raw numbers) whose weighted gradients are the roots."""
    scalar = entries.event_shape == distribution.event_shape == torch.Size()
    if scalar and entries.has_enumerate_support and math.isfinite(_classes(entries)):
        yield from _finite(entries)
        return
    known = scores(entries)
    if known is not None:
        yield from known
        return
    with seeded(generator), torch.no_grad():
        drawn = distribution.sample((samples,))
    for value in drawn:
        log = distribution.log_prob(value)
        yield torch.full_like(log, 1 / math.sqrt(samples)), log


def _classes(entries: Any) -> float:
    try:
        return len(entries.enumerate_support(expand=False))
    except (NotImplementedError, AttributeError):
        return math.inf


def _finite(entries: Any) -> Scores:
    for value in entries.enumerate_support(expand=False):
        log = entries.log_prob(value.expand(entries.batch_shape))
        probability = log.detach().exp()
        yield probability.sqrt(), torch.where(probability > 0, log, 0.0)


@singledispatch
def scores(distribution: Any) -> list[tuple[Tensor, Tensor]] | None:  # noqa: ARG001
    r"""The root of the Fisher information of each parameter, with the parameter; None if unknown.

    Parameters whose information matrix is diagonal; register more by
    ``scores.register(Distribution)``.

    Example:
        >>> [(root, rate)] = scores(td.Poisson(torch.tensor(4.0)))
        >>> root, rate
        (tensor(0.5000), tensor(4.))
    """
    return None


@scores.register(td.Normal)
def _normal(distribution: Any) -> list[tuple[Tensor, Tensor]]:
    root = 1 / distribution.scale.detach()
    return [(root, distribution.loc), (math.sqrt(2) * root, distribution.scale)]


@scores.register(td.LogNormal)
def _log_normal(distribution: Any) -> list[tuple[Tensor, Tensor]]:
    return _normal(distribution.base_dist)


@scores.register(td.Laplace)
def _laplace(distribution: Any) -> list[tuple[Tensor, Tensor]]:
    root = 1 / distribution.scale.detach()
    return [(root, distribution.loc), (root, distribution.scale)]


@scores.register(td.Poisson)
def _poisson(distribution: Any) -> list[tuple[Tensor, Tensor]]:
    return [(distribution.rate.detach().rsqrt(), distribution.rate)]


@scores.register(td.Exponential)
def _exponential(distribution: Any) -> list[tuple[Tensor, Tensor]]:
    return [(1 / distribution.rate.detach(), distribution.rate)]


def _rows(weight: Tensor, score: Tensor, raw: Tensor) -> Iterator[Tensor]:
    """The gradient of each entry of an event, weighted, for all rows at once."""
    if not score.requires_grad:
        return
    shape = torch.broadcast_shapes(score.shape, weight.shape)
    parts = score.expand(shape).reshape(len(raw), -1).unbind(-1)
    weights = weight.expand(shape).reshape(len(raw), -1).unbind(-1)
    for part, own in zip(parts, weights, strict=True):
        found = torch.autograd.grad(part.sum(), raw, retain_graph=True, allow_unused=True)[0]
        if found is not None:
            yield found.detach() * own.detach().unsqueeze(-1)
