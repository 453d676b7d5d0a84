"""Normal weights before the data (floor 1)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.flat import flattened
from hybrid.bayes.priors.prior import Draws

__all__ = ["Normal"]


@dataclasses.dataclass(frozen=True)
class Normal:
    r"""Independent normal weights, :math:`p(w) = \prod_i N(w_i \mid m_i, s^2)`.

    The divergence of normal weights is in closed form,

    .. math:: KL = \sum_i \log(s/\sigma_i) + \frac{\sigma_i^2 + (\mu_i - m_i)^2}{2 s^2} - \frac12 .

    Args:
        scale: The standard deviation s; a layer may state another for its own parameters.
        mean: m, "zero" or the parameters' "initial" values.

    Raises:
        ValueError: The scale is not positive, or ``mean`` is something else.

    Example:
        >>> density = Normal(2.0).over({"weight": torch.zeros(3)})
        >>> density.divergence_of(torch.zeros(3), torch.full((3,), 2.0), lambda: torch.zeros(1, 3))
        tensor(0.)
    """

    scale: float = 1.0
    mean: Literal["zero", "initial"] = "zero"

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"a normal prior's scale must be positive, got {self.scale}")
        if self.mean not in ("zero", "initial"):
            raise ValueError(f"a normal prior's mean is 'zero' or 'initial', got {self.mean!r}")

    def over(
        self, weights: Mapping[str, Tensor], stated: Mapping[str, float] | None = None
    ) -> nn.Module:
        """The density of these weights."""
        scales = {name: (stated or {}).get(name, self.scale) for name in weights}
        flat = flattened(value.detach() for value in weights.values())
        if len(set(scales.values())) == 1:
            scale = flat.new_tensor(next(iter(scales.values())))
        else:
            scale = flattened(torch.full_like(v.detach(), scales[k]) for k, v in weights.items())
        return _Normal(scale.to(flat), flat.clone() if self.mean == "initial" else None)


class _Normal(nn.Module):
    scale: Tensor
    mean: Tensor | None

    def __init__(self, scale: Tensor, mean: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("mean", mean)

    def divergence_of(
        self,
        mean: Float[Tensor, "weights"],
        scale: Float[Tensor, "weights"],
        draws: Draws,  # noqa: ARG002 (not needed: closed form)
    ) -> Tensor:
        shift = mean if self.mean is None else mean - self.mean
        ratio = scale / self.scale
        return 0.5 * (ratio.square() + (shift / self.scale).square() - 1).sum() - ratio.log().sum()

    def surprisal(self, weights: Float[Tensor, "*draws weights"]) -> Tensor:
        shift = weights if self.mean is None else weights - self.mean
        each = 0.5 * (shift / self.scale).square() + self.scale.log() + 0.5 * math.log(2 * math.pi)
        return each.sum(-1)
