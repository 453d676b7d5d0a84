r"""Proper scores of a whole distribution: CRPS and energy score (floor 0).

Both are functions of a distribution and values, row by row, smaller is better; they train laws and
judge them. A class of distributions gets its closed form by ``closed_crps.register(Class)``.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.distributions as td
from jaxtyping import Float
from torch import Tensor
from torch.special import i0e, i1e, ndtr

from causal.draws import seeded

__all__ = [
    "closed_crps",
    "crps",
    "crps_of_samples",
    "energy_of_samples",
    "energy_score",
    "normal_crps",
]


@functools.singledispatch
def closed_crps(distribution: Any, y: Tensor) -> Tensor | None:  # noqa: ARG001
    """CRPS in closed form, or None where none is known; open for registration.

    Example:
        >>> closed_crps(td.Normal(0.0, 1.0), torch.tensor(0.0))
        tensor(0.2337)
        >>> closed_crps(td.Gumbel(0.0, 1.0), torch.tensor(0.0)) is None
        True
    """
    return None


def crps(
    distribution: Any,
    y: Tensor,
    *,
    samples: int = 128,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Continuous ranked probability score of a scalar law, row by row.

    .. math:: \int (F(x) - 1\{x \ge y\})^2 dx = E|X - y| - \tfrac12 E|X - X'|

    It has the unit of y, and is the absolute error of a law without spread. In closed form for
    normal, censored normal, log-normal, Laplace, Student (ν > 1), exponential, uniform and quantile
    laws, mixtures of normal ones, counts and classes; else from samples by the unbiased estimator,
    whose gradient needs samples that have one (a hurdle's have none). Classes count as numbers,
    which is right for ordered ones (the ranked probability score).

    Args:
        distribution: Law of scalars with batch shape ``(*batch,)``.
        y: Values of that shape; an axis may be 1 long.
        samples: How many are drawn where there is no closed form.
        generator: Their source; None advances torch's global generator.

    Returns:
        Scores ``(*batch,)``.

    Raises:
        ValueError: The law is one of vectors, or ``samples`` is below 2.

    Source: Gneiting & Raftery (2007), *Strictly proper scoring rules, prediction, and estimation*,
    eq. 20–21; closed forms as collected by Jordan, Krüger & Lerch (2019), *Evaluating probabilistic
    forecasts with scoringRules*, appendix A.

    Example:
        >>> crps(td.Normal(torch.tensor([0.0, 0.0]), 1.0), torch.tensor([0.0, 3.0]))
        tensor([0.2337, 2.4366])
    """
    if tuple(distribution.event_shape):
        raise ValueError(
            f"crps is for scalar laws, this one has event shape {tuple(distribution.event_shape)}: "
            "use energy_score"
        )
    closed = closed_crps(distribution, y)
    if closed is not None:
        return closed
    return crps_of_samples(_drawn(distribution, samples, generator), y)


def energy_score(
    distribution: Any,
    y: Tensor,
    *,
    samples: int = 128,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Energy score of a law of vectors, row by row, from samples: the CRPS of many dimensions.

    .. math:: E\|X - y\| - \tfrac12 E\|X - X'\|

    Args:
        distribution: Law with batch shape ``(*batch,)`` and event shape ``(d,)``.
        y: Values ``(*batch, d)``.
        samples: How many are drawn.
        generator: Their source; None advances torch's global generator.

    Returns:
        Unbiased estimates ``(*batch,)``.

    Raises:
        ValueError: The law is not one of vectors, or ``samples`` is below 2.

    Source: Gneiting & Raftery (2007), eq. 22.

    Example:
        >>> law = td.Independent(td.Normal(torch.zeros(5, 2), 1.0), 1)
        >>> energy_score(law, torch.zeros(5, 2)).shape
        torch.Size([5])
    """
    if len(distribution.event_shape) != 1:
        raise ValueError(
            f"energy_score is for laws of vectors, this one has event shape "
            f"{tuple(distribution.event_shape)}: use crps for scalars"
        )
    return energy_of_samples(_drawn(distribution, samples, generator), y)


def _drawn(distribution: Any, samples: int, generator: torch.Generator | None) -> Tensor:
    if samples < 2:
        raise ValueError(f"a score from samples needs at least 2 of them, got {samples}")
    draw: Callable[..., Tensor] = (
        distribution.rsample if distribution.has_rsample else distribution.sample
    )
    with seeded(generator):
        return draw(torch.Size((samples,)))


def crps_of_samples(
    samples: Float[Tensor, "samples *batch"], y: Float[Tensor, "*values"]
) -> Float[Tensor, "*scores"]:
    r"""CRPS of the law that samples come from, by the unbiased ("fair") estimator.

    Args:
        samples: m ≥ 2 of them, along the first axis.
        y: Values ``(*batch,)``.

    Source: Zamo & Naveau (2018), *Estimation of the CRPS with limited information and
    applications to ensemble weather forecasts*, eq. 21.

    Example:
        >>> crps_of_samples(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0]))  # 1 - 2 / 2
        tensor([0.])
    """
    m = len(samples)
    ranks = torch.arange(1, m + 1, dtype=samples.dtype, device=samples.device)
    weights = (2 * ranks - m - 1).reshape(-1, *[1] * (samples.dim() - 1))
    spread = (weights * samples.sort(0).values).sum(0) / (m * (m - 1))
    return (samples - y).abs().mean(0) - spread


def energy_of_samples(
    samples: Float[Tensor, "samples *batch d"], y: Float[Tensor, "*values d"]
) -> Float[Tensor, "*scores"]:
    """Energy score of the law that samples come from, by the unbiased estimator.

    Args:
        samples: m ≥ 2 vectors, along the first axis.
        y: Values ``(*batch, d)``.

    Example:
        >>> energy_of_samples(torch.tensor([[[0.0, 0.0]], [[6.0, 8.0]]]), torch.zeros(1, 2))
        tensor([0.])
    """
    m = len(samples)
    apart = torch.linalg.vector_norm(samples - y, dim=-1).mean(0)
    first, second = torch.triu_indices(m, m, 1, device=samples.device)
    pairs = torch.linalg.vector_norm(samples[first] - samples[second], dim=-1).sum(0)
    return apart - pairs / (m * (m - 1))


def _density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)


def normal_crps(z: Tensor) -> Tensor:
    """CRPS of the standard normal law at ``z``.

    Example:
        >>> normal_crps(torch.tensor(0.0))
        tensor(0.2337)
    """
    return z * (2 * ndtr(z) - 1) + 2 * _density(z) - 1 / math.sqrt(math.pi)


@closed_crps.register(td.Normal)
def _normal(distribution: td.Normal, y: Tensor) -> Tensor:
    return distribution.scale * normal_crps((y - distribution.loc) / distribution.scale)


@closed_crps.register(td.LogNormal)
def _log_normal(distribution: td.LogNormal, y: Tensor) -> Tensor:
    mean, scale = distribution.loc, distribution.scale
    z = (y.clamp_min(torch.finfo(y.dtype).tiny).log() - mean) / scale
    inner = ndtr(z - scale) + ndtr(scale / math.sqrt(2)) - 1
    return y * (2 * ndtr(z) - 1) - 2 * (mean + scale.square() / 2).exp() * inner


@closed_crps.register(td.Laplace)
def _laplace(distribution: td.Laplace, y: Tensor) -> Tensor:
    z = ((y - distribution.loc) / distribution.scale).abs()
    return distribution.scale * (z + torch.exp(-z) - 0.75)


@closed_crps.register(td.Exponential)
def _exponential(distribution: td.Exponential, y: Tensor) -> Tensor:
    rate = distribution.rate
    return y.abs() + (2 * torch.exp(-rate * y.clamp_min(0)) - 1.5) / rate


@closed_crps.register(td.Uniform)
def _uniform(distribution: td.Uniform, y: Tensor) -> Tensor:
    width = distribution.high - distribution.low
    z = (y - distribution.low) / width
    inside = z.clamp(0.0, 1.0)
    return width * ((z - inside).abs() + inside.square() - inside + 1 / 3)


@closed_crps.register(td.StudentT)
def _student(distribution: Any, y: Tensor) -> Tensor | None:
    df, scale = distribution.df, distribution.scale
    if not bool((df > 1).all()):
        return None
    try:
        below = distribution.cdf(y)
    except NotImplementedError:
        return None
    z = (y - distribution.loc) / scale
    density = (distribution.log_prob(y) + scale.log()).exp()
    log_beta = _log_beta(df - 0.5) - 2 * _log_beta(df / 2)
    rest = 2 * df.sqrt() / (df - 1) * log_beta.exp()
    return scale * (z * (2 * below - 1) + 2 * density * (df + z.square()) / (df - 1) - rest)


def _log_beta(b: Tensor) -> Tensor:
    """Log of the beta function B(1/2, b)."""
    return math.lgamma(0.5) + torch.lgamma(b) - torch.lgamma(b + 0.5)


@closed_crps.register(td.Poisson)
def _poisson(distribution: Any, y: Tensor) -> Tensor | None:
    rate = distribution.rate
    below = torch.special.gammaincc(y.detach().floor() + 1, rate)
    density = torch.exp(td.Poisson(rate, validate_args=False).log_prob(y.floor()))
    bessel = i0e(2 * rate) + i1e(2 * rate)
    return (y - rate) * (2 * below - 1) + 2 * rate * density - rate * bessel


@closed_crps.register(td.NegativeBinomial)
def _negative_binomial(distribution: Any, y: Tensor) -> Tensor | None:
    """Sum of (F(k) − 1{k ≥ y})² over counts k, beyond which nothing is left."""
    try:
        last = distribution.icdf(torch.tensor(1 - 1e-6)).amax()
    except NotImplementedError:
        return None
    most = int(torch.maximum(last, y.detach().amax()))
    if most * y.numel() > 10_000_000:
        return None
    counts = torch.arange(most + 1, dtype=y.dtype, device=y.device)
    counts = counts.reshape(-1, *[1] * len(distribution.batch_shape))
    return (distribution.cdf(counts) - (counts >= y).to(y.dtype)).square().sum(0)


@closed_crps.register(td.Bernoulli)
def _bernoulli(distribution: td.Bernoulli, y: Tensor) -> Tensor:
    return (distribution.probs - y).square()


@closed_crps.register(td.Categorical)
def _categorical(distribution: td.Categorical, y: Tensor) -> Tensor:
    below = distribution.probs.cumsum(-1)[..., :-1]
    classes = torch.arange(below.shape[-1], device=below.device)
    return (below - (classes >= y.unsqueeze(-1)).to(below)).square().sum(-1)


@closed_crps.register(td.MixtureSameFamily)
def _mixture(distribution: td.MixtureSameFamily, y: Tensor) -> Tensor | None:
    parts, weights = distribution.component_distribution, distribution.mixture_distribution.probs
    if not isinstance(parts, td.Normal):
        return None
    apart = _absolute(y.unsqueeze(-1) - parts.loc, parts.scale.square())
    means = parts.loc.unsqueeze(-1) - parts.loc.unsqueeze(-2)
    spread = parts.scale.square().unsqueeze(-1) + parts.scale.square().unsqueeze(-2)
    pairs = (_absolute(means, spread) * weights.unsqueeze(-1) * weights.unsqueeze(-2)).sum((-1, -2))
    return (weights * apart).sum(-1) - pairs / 2


def _absolute(mean: Tensor, variance: Tensor) -> Tensor:
    """E|X| of a normal variable."""
    scale = variance.sqrt()
    z = mean / scale
    return mean * (2 * ndtr(z) - 1) + 2 * scale * _density(z)
