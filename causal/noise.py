"""Recover the noise behind an observed value, and replay it elsewhere (floor 0).

A law with a scalar value that is monotone in one noise variable determines that noise exactly.
Both verbs dispatch on the distribution's class and are open: ``abduct.register(Class)`` and
``replay.register(Class)`` take functions of ``(distribution, value or noise)`` that may also ask
for the keywords ``convention`` and ``generator``.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributions as td
from pyro.distributions.delta import Delta
from pyro.distributions.logistic import Logistic
from pyro.distributions.softlaplace import SoftLaplace
from pyro.distributions.torch_distribution import ExpandedDistribution
from torch import Tensor
from torch.distributions.relaxed_bernoulli import LogitRelaxedBernoulli

from causal.cases import by_distribution, check_value
from causal.coupling import binary_noise, gumbel_noise, quantile_class, quantile_noise

__all__ = ["NoiseNotRecoverable", "abduct", "replay"]


class NoiseNotRecoverable(TypeError):  # noqa: N818 - a verdict, like Unidentifiable
    """The noise is not a function of the value, and no convention that makes it one was named.

    Attributes:
        conventions: The conventions that the distribution knows.

    Example:
        >>> NoiseNotRecoverable("no inverse", ("quantile",)).conventions
        ('quantile',)
    """

    def __init__(self, message: str, conventions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.conventions = tuple(conventions)


def _discrete(distribution: td.Distribution) -> bool:
    """Whether the values are counted, as far as the distribution says."""
    try:
        support = distribution.support
    except NotImplementedError:
        return False
    return support is not None and bool(support.is_discrete)


def _refuse(
    distribution: td.Distribution, convention: str | None, conventions: Sequence[str]
) -> NoiseNotRecoverable:
    """The error that says why, and which conventions there are."""
    name = type(distribution).__name__
    if conventions:
        asked = "none was named" if convention is None else f"got {convention!r}"
        return NoiseNotRecoverable(
            f"{name} does not determine its noise from a value without a convention: {asked}, "
            f"expected one of {sorted(conventions)}",
            conventions,
        )
    return NoiseNotRecoverable(
        f"{name} has no recoverable noise: use a law whose value is a known monotone function of "
        "its noise (location-scale, a flow), or register its own with causal.abduct.register and "
        "causal.replay.register"
    )


@partial(by_distribution, check=check_value)
def abduct(
    distribution: td.Distribution,
    value: Tensor,
    /,
    *,
    convention: str | None = None,  # noqa: ARG001 - cases ask for it
    generator: torch.Generator | None = None,  # noqa: ARG001
) -> Tensor:
    r"""The noise, on an unbounded scale, from which ``distribution`` makes ``value``.

    With the distribution's parameters :math:`\theta` and a value :math:`y = f_\theta(\epsilon)`,
    :math:`\epsilon = f_\theta^{-1}(y)`. The law of the noise does not depend on :math:`\theta`.

    Conventions: Bernoulli "quantile"; Categorical "quantile" or "gumbel" (Oberst & Sontag 2019,
    *Counterfactual off-policy evaluation with Gumbel-max structural causal models*, section 3.2);
    Independent "elementwise"; MultivariateNormal "triangular". Their undetermined part is drawn
    from its law given the value. Laws that determine their noise ignore the convention.

    Args:
        distribution: Any torch or Pyro distribution.
        value: Observed values ``(*batch, *event)``.
        convention: How noise that the value leaves open is defined.
        generator: Source of the undetermined part; None advances torch's global generator.

    Raises:
        NoiseNotRecoverable: There is no exact noise and no (or an unknown) convention was named.
        ValueError: The value does not fit the distribution's shape, or is not in its support.

    Example:
        >>> import torch
        >>> normal = torch.distributions.Normal(1.0, 2.0)
        >>> abduct(normal, torch.tensor(5.0))
        tensor(2.)
    """
    if tuple(distribution.event_shape) or _discrete(distribution):
        raise _refuse(distribution, None, ())
    try:
        noise = torch.special.ndtri(distribution.cdf(value))
        back = distribution.icdf(torch.special.ndtr(noise))
    except NotImplementedError as error:
        raise _refuse(distribution, None, ()) from error
    tolerance = 1e-6 if value.dtype == torch.float64 else 1e-4
    if not torch.allclose(back, value.expand_as(back), rtol=tolerance, atol=tolerance):
        raise NoiseNotRecoverable(
            f"{type(distribution).__name__}: icdf(cdf(value)) does not return the value (a value "
            "far in the tail?): register its noise with causal.abduct.register"
        )
    return noise


@by_distribution
def replay(
    distribution: td.Distribution,
    noise: Tensor,
    /,
    *,
    convention: str | None = None,  # noqa: ARG001
    generator: torch.Generator | None = None,  # noqa: ARG001
) -> Tensor:
    r"""The value :math:`f_\theta(\epsilon)` that ``distribution`` makes from ``noise``.

    Args:
        distribution: A distribution of the family that the noise was recovered from.
        noise: What `abduct` returned.
        convention: The same as given to `abduct`.
        generator: Not used by the cases of this library; a registered one may ask for it.

    Raises:
        NoiseNotRecoverable: As for `abduct`.

    Example:
        >>> import torch
        >>> noise = abduct(torch.distributions.Normal(1.0, 2.0), torch.tensor(5.0))
        >>> replay(torch.distributions.Normal(-1.0, 1.0), noise)
        tensor(1.)
    """
    if tuple(distribution.event_shape) or _discrete(distribution):
        raise _refuse(distribution, None, ())
    try:
        return distribution.icdf(torch.special.ndtr(noise))
    except NotImplementedError as error:
        raise _refuse(distribution, None, ()) from error


def _case(
    kind: type, noise_of: Callable[[Any, Tensor], Tensor], value_of: Callable[[Any, Tensor], Tensor]
) -> None:
    """Register a scalar law by its function and the function's inverse."""
    abduct.register(kind, noise_of)
    replay.register(kind, value_of)


# Location and scale: y = loc + scale * e.
_kind: type
for _kind in (td.Normal, td.Laplace, td.Cauchy, td.Gumbel, Logistic, SoftLaplace):
    _case(_kind, lambda d, v: (v - d.loc) / d.scale, lambda d, e: d.loc + d.scale * e)
# Positive scale families: log y = log scale + e.
for _kind in (td.HalfNormal, td.HalfCauchy):
    _case(_kind, lambda d, v: (v / d.scale).log(), lambda d, e: d.scale * e.exp())
# Powers of a standard exponential variable x = exp(e).
_case(td.Exponential, lambda d, v: (d.rate * v).log(), lambda d, e: e.exp() / d.rate)
_case(
    td.Weibull,
    lambda d, v: d.concentration * (v / d.scale).log(),
    lambda d, e: d.scale * (e / d.concentration).exp(),
)
_case(
    td.Pareto,
    lambda d, v: (d.alpha * (v / d.scale).log()).log(),
    lambda d, e: d.scale * (e.exp() / d.alpha).exp(),
)
_case(
    td.Kumaraswamy,
    lambda d, v: (-d.concentration0 * torch.log1p(-(v**d.concentration1))).log(),
    lambda d, e: (-torch.expm1(-e.exp() / d.concentration0)) ** (1 / d.concentration1),
)
# y = (logits + e) / temperature with logistic e.
_case(
    LogitRelaxedBernoulli,
    lambda d, v: v * d.temperature - d.logits,
    lambda d, e: (e + d.logits) / d.temperature,
)


@abduct.register(td.Uniform)
def _uniform_noise(distribution: td.Uniform, value: Tensor) -> Tensor:
    return (value - distribution.low).log() - (distribution.high - value).log()


@replay.register(td.Uniform)
def _uniform_value(distribution: td.Uniform, noise: Tensor) -> Tensor:
    # From the nearer end, so that neither tail cancels.
    below = (distribution.high - distribution.low) * torch.sigmoid(-noise.abs())
    return torch.where(noise < 0, distribution.low + below, distribution.high - below)


@abduct.register(td.StudentT)
def _student_noise(distribution: td.StudentT, value: Tensor) -> Tensor:
    noise = (value - distribution.loc) / distribution.scale
    return torch.stack(torch.broadcast_tensors(noise, distribution.df), -1)


@replay.register(td.StudentT)
def _student_value(distribution: td.StudentT, noise: Tensor) -> Tensor:
    standard, df = noise.unbind(-1)
    if not bool((df == distribution.df).all()):
        raise NoiseNotRecoverable(
            "StudentT: df differs between the observed and the replayed context, and a standard "
            "residual means the same only for the same df: make df a constant of the law"
        )
    return distribution.loc + distribution.scale * standard


@abduct.register(Delta)
def _certain_noise(distribution: Any, value: Tensor) -> Tensor:
    tolerance = 1e-8 if value.dtype == torch.float64 else 1e-4
    seen, certain = torch.broadcast_tensors(value, distribution.v)
    if not torch.allclose(seen, certain, rtol=tolerance, atol=tolerance):
        gap = (value - distribution.v).abs().max().item()
        raise ValueError(
            f"evidence contradicts a deterministic law: it is {gap:.3g} away from the law's value"
        )
    return torch.zeros_like(value - distribution.v)


@replay.register(Delta)
def _certain_value(distribution: Any, noise: Tensor) -> Tensor:
    return distribution.v + torch.zeros_like(noise)


@abduct.register(ExpandedDistribution)
def _expanded_noise(
    distribution: Any,
    value: Tensor,
    convention: str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    return abduct(distribution.base_dist, value, convention=convention, generator=generator)


@replay.register(ExpandedDistribution)
def _expanded_value(distribution: Any, noise: Tensor, convention: str | None = None) -> Tensor:
    return replay(distribution.base_dist, noise, convention=convention)


def _inner(distribution: td.Distribution, convention: str | None) -> str | None:
    """The convention inside a vector law of independent parts."""
    if not tuple(distribution.event_shape):
        return convention
    if convention == "elementwise":
        return None
    if _discrete(distribution) and convention in ("quantile", "gumbel"):
        return convention
    raise _refuse(distribution, convention, ("elementwise",))


@abduct.register(td.Independent)
def _independent_noise(
    distribution: td.Independent,
    value: Tensor,
    convention: str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    inner = _inner(distribution, convention)
    return abduct(distribution.base_dist, value, convention=inner, generator=generator)


@replay.register(td.Independent)
def _independent_value(
    distribution: td.Independent, noise: Tensor, convention: str | None = None
) -> Tensor:
    return replay(distribution.base_dist, noise, convention=_inner(distribution, convention))


@abduct.register(td.MultivariateNormal)
def _multivariate_noise(
    distribution: td.MultivariateNormal, value: Tensor, convention: str | None = None
) -> Tensor:
    if convention != "triangular":
        raise _refuse(distribution, convention, ("triangular",))
    residual = (value - distribution.loc).unsqueeze(-1)
    return torch.linalg.solve_triangular(
        distribution.scale_tril.expand(*residual.shape[:-1], -1), residual, upper=False
    ).squeeze(-1)


@replay.register(td.MultivariateNormal)
def _multivariate_value(
    distribution: td.MultivariateNormal, noise: Tensor, convention: str | None = None
) -> Tensor:
    if convention != "triangular":
        raise _refuse(distribution, convention, ("triangular",))
    return distribution.loc + (distribution.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)


def _elementwise(distribution: td.TransformedDistribution) -> None:
    """Refuse transforms that are not one-to-one, or that mix the parts of a vector."""
    for transform in distribution.transforms:
        if not transform.bijective:
            raise _refuse(distribution, None, ())
        if max(transform.domain.event_dim, transform.codomain.event_dim) > 0:
            raise _refuse(distribution, None, ())


@abduct.register(td.TransformedDistribution)
def _transformed_noise(
    distribution: td.TransformedDistribution,
    value: Tensor,
    convention: str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    _elementwise(distribution)
    for transform in reversed(distribution.transforms):
        value = transform.inv(value)
    return abduct(distribution.base_dist, value, convention=convention, generator=generator)


@replay.register(td.TransformedDistribution)
def _transformed_value(
    distribution: td.TransformedDistribution, noise: Tensor, convention: str | None = None
) -> Tensor:
    _elementwise(distribution)
    value = replay(distribution.base_dist, noise, convention=convention)
    for transform in distribution.transforms:
        value = transform(value)
    return value


def _possible(distribution: td.Distribution, value: Tensor) -> None:
    """Refuse evidence of probability zero, which leaves no law for its noise."""
    if bool((distribution.log_prob(value) == -torch.inf).any()):
        raise ValueError(
            f"evidence has probability 0 under its {type(distribution).__name__} law in at least "
            "one row, so that no noise explains it"
        )


@abduct.register(td.Bernoulli)
def _bernoulli_noise(
    distribution: td.Bernoulli,
    value: Tensor,
    convention: str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    if convention != "quantile":
        raise _refuse(distribution, convention, ("quantile",))
    _possible(distribution, value)
    return binary_noise(distribution.logits, value, generator)


@replay.register(td.Bernoulli)
def _bernoulli_value(
    distribution: td.Bernoulli, noise: Tensor, convention: str | None = None
) -> Tensor:
    if convention != "quantile":
        raise _refuse(distribution, convention, ("quantile",))
    return (noise > -distribution.logits).to(distribution.logits.dtype)


@abduct.register(td.Categorical)
def _categorical_noise(
    distribution: td.Categorical,
    value: Tensor,
    convention: str | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    if convention not in ("quantile", "gumbel"):
        raise _refuse(distribution, convention, ("gumbel", "quantile"))
    _possible(distribution, value)
    recover = quantile_noise if convention == "quantile" else gumbel_noise
    return recover(distribution.logits, value, generator)


@replay.register(td.Categorical)
def _categorical_value(
    distribution: td.Categorical, noise: Tensor, convention: str | None = None
) -> Tensor:
    if convention == "gumbel":
        return (distribution.logits + noise).argmax(-1)
    if convention == "quantile":
        return quantile_class(distribution.logits, noise)
    raise _refuse(distribution, convention, ("gumbel", "quantile"))
