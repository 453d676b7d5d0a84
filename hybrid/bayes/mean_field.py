"""Independent normal weights, the mean-field family (floor 1)."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from causal.draws import standard_normal

__all__ = ["MeanField"]


@dataclasses.dataclass(frozen=True)
class MeanField:
    r"""Independent normal weights :math:`w \sim N(\mu, \sigma^2)` with prior :math:`N(m, s^2)`.

    The means μ are the layer's own parameters; :math:`\sigma = \mathrm{softplus}(\rho)` has one
    parameter ρ per weight. Draws are reparameterised (Blundell et al. 2015, *Weight uncertainty in
    neural networks*, section 3.2), the divergence is in closed form:

    .. math:: KL = \sum \log(s/\sigma) + \frac{\sigma^2 + (\mu - m)^2}{2 s^2} - \frac12 .

    Args:
        prior_scale: The prior's s; a layer may state another for its own parameters by an attribute
            ``prior_scale`` or ``prior_scales`` (parameter name → number), as circuits do with π for
            angles.
        scale: The initial σ.
        prior: The prior's mean m: "zero", or the parameters' "initial" values.

    Raises:
        ValueError: A scale is not positive, or ``prior`` is something else.

    Example:
        >>> MeanField(prior_scale=0.5)
        MeanField(prior_scale=0.5, scale=0.02, prior='zero')
    """

    prior_scale: float = 1.0
    scale: float = 0.02
    prior: Literal["zero", "initial"] = "zero"

    def __post_init__(self) -> None:
        if not (0 < self.prior_scale < math.inf and 0 < self.scale < math.inf):
            raise ValueError(f"scales must be positive: {self.prior_scale}, {self.scale}")
        if self.prior not in ("zero", "initial"):
            raise ValueError(f"prior is 'zero' or 'initial', got {self.prior!r}")

    def spread(
        self, means: Mapping[str, nn.Parameter], prior_scales: Mapping[str, float]
    ) -> nn.Module:
        """Make the scales of these means."""
        scales = [prior_scales.get(name, self.prior_scale) for name in means]
        return _Scales(means, scales, self)


class _Scales(nn.Module):
    """One raw scale per mean, and the prior. Works on all weights as one flat vector."""

    prior_scale: Tensor
    prior_mean: Tensor | None

    def __init__(
        self, means: Mapping[str, nn.Parameter], scales: Sequence[float], family: MeanField
    ) -> None:
        super().__init__()
        raw = family.scale + math.log(-math.expm1(-family.scale))  # inverse of softplus
        self.raw_scale = nn.ParameterDict()
        self._keys = tuple(_key(self.raw_scale, name) for name in means)
        for key, mean in zip(self._keys, means.values(), strict=True):
            self.raw_scale[key] = nn.Parameter(torch.full_like(mean, raw))
        sizes = torch.tensor([mean.numel() for mean in means.values()])
        flat = _flat(means.values())
        priors = torch.tensor(scales, dtype=flat.dtype).repeat_interleave(sizes).to(flat.device)
        self.register_buffer("prior_scale", priors)
        initial = flat.detach().clone() if family.prior == "initial" else None
        self.register_buffer("prior_mean", initial)

    def sample(
        self, means: Mapping[str, Tensor], draws: int | None, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        mean, scale = _flat(means.values()), self._scale()
        shape = mean.shape if draws is None else (draws, *mean.shape)
        flat = torch.addcmul(mean, scale, standard_normal(shape, mean, generator))
        parts = flat.split([value.numel() for value in means.values()], -1)
        return {
            name: part.reshape(*part.shape[:-1], *value.shape).to(value.dtype)
            for (name, value), part in zip(means.items(), parts, strict=True)
        }

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        scale, prior = self._scale(), self.prior_scale
        shift = _flat(means.values())
        if self.prior_mean is not None:
            shift = shift - self.prior_mean
        ratio = scale / prior
        return 0.5 * (ratio.square() + (shift / prior).square() - 1).sum() - ratio.log().sum()

    def _scale(self) -> Tensor:
        return F.softplus(_flat(self.raw_scale[key] for key in self._keys))


def _flat(values: Iterable[Tensor]) -> Tensor:
    return torch.cat([value.reshape(-1) for value in values])


def _key(container: nn.ParameterDict, name: str) -> str:
    """A legal, unused key for parameter ``name``: no dots, no attribute of the container."""
    key = name.replace(".", "/")
    while hasattr(container, key):
        key += "_"
    return key
