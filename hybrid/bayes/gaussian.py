"""Normal weights, independent or correlated: what all normal families share (floor 2)."""

import math
from collections.abc import Mapping
from typing import Literal, Protocol, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from causal.draws import standard_normal
from hybrid.bayes.flat import flattened, legal_key, unflattened
from hybrid.bayes.priors.normal import Normal
from hybrid.bayes.priors.prior import Prior, PriorDensity

__all__ = ["GaussianSpread", "Mixing", "checked_prior", "raw_scales"]

_FRESH = 8  # draws for a divergence without closed form, where none are held


class Mixing(Protocol):
    r"""How independent standard noise becomes correlated: :math:`\eta = M \epsilon`.

    Example:
        >>> from hybrid.bayes.full_rank import Triangular
        >>> mixing: Mixing = Triangular(torch.zeros(3))
        >>> mixing.noise((5,), None).shape
        torch.Size([5, 3])
    """

    def noise(
        self, lead: tuple[int, ...], generator: torch.Generator | None
    ) -> Float[Tensor, "*lead weights"]:
        """Correlated noise η."""
        ...

    def inflation(self) -> Float[Tensor, "weights"]:
        """Standard deviation of each entry of η."""
        ...

    def log_determinant(self) -> Float[Tensor, ""]:
        """Half the log determinant of η's covariance."""
        ...


class GaussianSpread(nn.Module):
    r"""Normal weights :math:`w = \mu + \sigma \odot \eta` with :math:`\eta = M \epsilon`.

    :math:`\sigma = \mathrm{softplus}(\rho)` has one parameter ρ per weight. Where the prior factors
    over the weights, the divergence is that of the marginals plus their total correlation:

    .. math:: KL(q \| p) = \sum_i KL(q_i \| p_i) + \sum_i \log a_i - \tfrac12 \log \det M M^T

    with :math:`a_i` the standard deviation of :math:`\eta_i`.

    Args:
        means: The means μ by name.
        scale: The initial σ.
        prior: The prior's density over all weights, one behind the other.
        mixing: M; None for independent weights.

    Example:
        >>> means = {"weight": nn.Parameter(torch.zeros(2, 3))}
        >>> spread = GaussianSpread(means, 0.1, Normal().over(means), None)
        >>> spread.sample(means, 5, None)["weight"].shape
        torch.Size([5, 2, 3])
    """

    def __init__(
        self,
        means: Mapping[str, nn.Parameter],
        scale: float,
        prior: nn.Module,
        mixing: nn.Module | None,
    ) -> None:
        super().__init__()
        self.raw_scale = raw_scales(means, scale)
        self.mixing = mixing
        self.prior = prior

    def sample(
        self, means: Mapping[str, Tensor], draws: int | None, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Weights by name, ``(draws, *shape)``."""
        lead = () if draws is None else (draws,)
        mean, raw = self._flat(means)
        scale = F.softplus(raw)
        if self.mixing is None:
            noise = standard_normal((*lead, *mean.shape), mean, generator)
        else:
            noise = cast("Mixing", self.mixing).noise(lead, generator)
        sampled = _Sampled(unflattened(torch.addcmul(mean, scale, noise), means))
        sampled.mean, sampled.raw = mean, raw
        return sampled

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        """KL divergence from the prior, by fresh draws where the prior needs some."""
        return self.divergence_at(means, None)

    def divergence_at(
        self, means: Mapping[str, Tensor], sampled: Mapping[str, Tensor] | None
    ) -> Tensor:
        """KL divergence from the prior, by these draws where the prior needs some."""
        # Weights and divergence of one block belong to the same parameters: made flat only once.
        if isinstance(sampled, _Sampled) and sampled.fits():
            mean, raw = sampled.mean, sampled.raw
        else:
            mean, raw = self._flat(means)
        scale = F.softplus(raw)

        def draws() -> Tensor:
            given = self.sample(means, _FRESH, None) if sampled is None else sampled
            parts = [given[name] for name in means]
            flat = flattened(parts, parts[0].dim() - next(iter(means.values())).dim())
            return flat.reshape(-1, flat.shape[-1])

        prior = cast("PriorDensity", self.prior)
        if self.mixing is None:
            return prior.divergence_of(mean, scale, draws)
        mixing = cast("Mixing", self.mixing)
        inflation = mixing.inflation()
        shared = inflation.log().sum() - mixing.log_determinant()
        return prior.divergence_of(mean, scale * inflation, draws) + shared

    def _flat(self, means: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        raw = cast("Mapping[str, Tensor]", self.raw_scale._parameters)
        return flattened(means.values()), flattened(raw.values())


class _Sampled(dict[str, Tensor]):
    """Weights by name, with the flat means and raw scales that they were made from."""

    mean: Tensor
    raw: Tensor

    def fits(self) -> bool:
        """Whether a gradient would reach the parameters through them."""
        return not torch.is_grad_enabled() or self.mean.requires_grad or self.raw.requires_grad


def raw_scales(means: Mapping[str, nn.Parameter], scale: float) -> nn.ParameterDict:
    """Parameters ρ whose softplus is ``scale``, in the order of the means and named like them.

    Example:
        >>> raw = raw_scales({"0.bias": nn.Parameter(torch.zeros(2))}, 0.5)
        >>> list(raw), F.softplus(raw["0/bias"]).tolist()
        (['0/bias'], [0.5, 0.5])
    """
    raw = scale + math.log(-math.expm1(-scale))  # inverse of softplus
    parameters = nn.ParameterDict()
    for name, mean in means.items():
        key = legal_key(parameters, name)
        parameters[key] = nn.Parameter(torch.full_like(mean, raw))
    return parameters


def checked_prior(
    prior: Literal["zero", "initial"] | Prior, prior_scale: float, scale: float
) -> Prior:
    """A family's prior as an object, and its scales checked.

    Raises:
        ValueError: A scale is not positive; ``prior`` is an object and ``prior_scale`` is given
            too; or it is neither an object nor "zero" or "initial".

    Example:
        >>> checked_prior("initial", 0.5, 0.02)
        Normal(scale=0.5, mean='initial')
    """
    if not (0 < prior_scale < math.inf and 0 < scale < math.inf):
        raise ValueError(f"scales must be positive: {prior_scale}, {scale}")
    if isinstance(prior, str):
        if prior not in ("zero", "initial"):
            raise ValueError(f"prior is 'zero', 'initial' or a prior object, got {prior!r}")
        return Normal(prior_scale, prior)
    if isinstance(prior, type) or not isinstance(prior, Prior):
        raise ValueError(
            "prior is 'zero', 'initial' or an object such as hybrid.bayes.priors.Laplace(0.1), got "
            f"{prior!r}"
        )
    if prior_scale != 1.0:
        raise ValueError(
            f"prior_scale={prior_scale} is for prior='zero' or 'initial'; say the scale in {prior}"
        )
    return prior
