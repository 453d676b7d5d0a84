"""Weights with a distribution of any shape, by a normalising flow of zuko (floor 3)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn import functional as F

from causal.draws import standard_normal
from hybrid.bayes.flat import flattened, unflattened
from hybrid.bayes.gaussian import checked_prior, raw_scales
from hybrid.bayes.priors.prior import Prior, PriorDensity

# Importing zuko switches torch's argument checks off for the whole process: put back at once.
_CHECKS = Distribution._validate_args
import zuko.flows  # noqa: E402
import zuko.transforms  # noqa: E402

Distribution._validate_args = _CHECKS

__all__ = ["FlowPosterior"]

_SLOPE = 0.1  # of an affine transform, at least; 10 at most
_FRESH = 8  # draws for a divergence, where none are held


@dataclasses.dataclass(frozen=True)
class FlowPosterior:
    r"""Weights :math:`w = \mu + \sigma \odot T(\epsilon)` with an autoregressive flow T.

    .. math:: \log q(w) = \log N(\epsilon \mid 0, I) - \log |\det T'(\epsilon)| - \sum_i \log
        \sigma_i, \qquad KL = \frac1S \sum_s \log q(w_s) - \log p(w_s)

    The means μ are the layer's own parameters, σ has one parameter per weight, and T is a flow over
    all weights together, affine or of splines, run in its fast direction; it starts as the
    identity, that is as `MeanField`. Skewed, curved and heavy-tailed posteriors of small networks
    are within reach. The divergence is an average over the held draws, or over fresh ones.

    Args:
        transforms: How many autoregressive transforms follow one another, in alternating order.
        hidden: Widths of the networks inside each transform.
        splines: Whether the transforms are splines (monotone, 8 bins) in place of affine maps.
        prior_scale: The normal prior's standard deviation, as in `MeanField`.
        scale: The initial standard deviations.
        prior: "zero", "initial" or a prior of `hybrid.bayes.priors`, as in `MeanField`.
        max_weights: The most weights of one layer or law: the flow's networks have several times
            ``hidden`` parameters for each.

    Raises:
        ValueError: A size or scale is not positive, ``prior`` is something else, or there are too
            many weights.

    Source: Kingma et al., Improved variational inference with inverse autoregressive flow, NeurIPS
    2016, eq. 10; Louizos & Welling, Multiplicative normalizing flows, ICML 2017, for weights.

    Example:
        >>> from hybrid.bayes.posterior import Posterior
        >>> posterior = Posterior(nn.Linear(3, 2), FlowPosterior(transforms=2, hidden=(16,)))
        >>> posterior(torch.zeros(7, 3), draws=5).shape
        torch.Size([5, 7, 2])
        >>> with posterior.fixed(100):
        ...     posterior.divergence().shape
        torch.Size([])
    """

    transforms: int = 2
    hidden: Sequence[int] = (64,)
    splines: bool = False
    prior_scale: float = 1.0
    scale: float = 0.02
    prior: Literal["zero", "initial"] | Prior = "zero"
    max_weights: int = 4096

    def __post_init__(self) -> None:
        if self.transforms < 1 or not self.hidden or min(self.hidden) < 1:
            raise ValueError(
                "a flow needs at least one transform and hidden widths of at least 1, got "
                f"transforms={self.transforms}, hidden={self.hidden}"
            )
        checked_prior(self.prior, self.prior_scale, self.scale)

    def spread(
        self, means: Mapping[str, nn.Parameter], prior_scales: Mapping[str, float]
    ) -> nn.Module:
        """Make the flow over these means."""
        flat = flattened(value.detach() for value in means.values())
        if len(flat) > self.max_weights:
            first, last = self.hidden[0], self.hidden[-1]
            size = self.transforms * len(flat) * (first + last * (23 if self.splines else 2))
            raise ValueError(
                f"a flow over {len(flat)} weights has about {size / 1e6:.1f} million parameters of "
                f"its own: above max_weights={self.max_weights}. Use LowRank(rank=…), make fewer "
                "weights random by include= or exclude=, or raise max_weights"
            )
        prior = checked_prior(self.prior, self.prior_scale, self.scale)
        return _Flow(means, self, prior.over(means, prior_scales))


class _Drawn(dict[str, Tensor]):
    """Weights by name, with the flat vectors and their log density."""

    flat: Tensor
    log_density: Tensor


class _Flow(nn.Module):
    def __init__(
        self, means: Mapping[str, nn.Parameter], family: FlowPosterior, prior: nn.Module
    ) -> None:
        super().__init__()
        self.raw_scale = raw_scales(means, family.scale)
        self.flow = _transform(flattened(m.detach() for m in means.values()), family)
        self.prior = prior

    def sample(
        self, means: Mapping[str, Tensor], draws: int | None, generator: torch.Generator | None
    ) -> Mapping[str, Tensor]:
        mean = flattened(means.values())
        scale = F.softplus(flattened(self.raw_scale.values()))
        noise = standard_normal((draws or 1, *mean.shape), mean, generator)
        value, ladj = cast("Any", self.flow)(None).call_and_ladj(noise)
        flat = torch.addcmul(mean, scale, value)
        base = -0.5 * (noise.square().sum(-1) + noise.shape[-1] * math.log(2 * math.pi))
        drawn = _Drawn(unflattened(flat if draws is not None else flat[0], means))
        drawn.flat, drawn.log_density = flat, base - ladj - scale.log().sum()
        return drawn

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        return self.divergence_at(means, None)

    def divergence_at(
        self, means: Mapping[str, Tensor], sampled: Mapping[str, Tensor] | None
    ) -> Tensor:
        drawn = self.sample(means, _FRESH, None) if sampled is None else sampled
        if not isinstance(drawn, _Drawn):
            raise TypeError("the divergence of a flow is taken at draws of its own sample()")
        prior = cast("PriorDensity", self.prior)
        return (drawn.log_density + prior.surprisal(drawn.flat)).mean()


def _Affine(shift: Tensor, scale: Tensor) -> Any:  # noqa: N802 (in the place of zuko's class)
    """An affine map that stretches at most tenfold: one bad step cannot send the weights far."""
    return zuko.transforms.MonotonicAffineTransform(shift, scale, slope=_SLOPE)


def _transform(like: Float[Tensor, "weights"], family: FlowPosterior) -> nn.Module:
    """A flow of zuko that starts as the identity."""
    # A hidden unit sees the weights up to one of `passes` places in the order: with more weights
    # than units, weights share a place, and other ones do so in the next transform.
    passes = min(len(like), *family.hidden)
    settings: dict[str, Any] = {
        "transforms": family.transforms,
        "hidden_features": list(family.hidden),
        "passes": passes,
        "randperm": passes < len(like),
    }
    if family.splines:
        flow: nn.Module = zuko.flows.NSF(len(like), **settings).transform
    else:
        flow = zuko.flows.MAF(len(like), univariate=_Affine, **settings).transform
    with torch.no_grad():
        for part in flow.modules():
            hyper = getattr(part, "hyper", None)
            if isinstance(hyper, nn.Sequential):
                for parameter in hyper[-1].parameters():
                    parameter.zero_()
    return flow.to(like)
