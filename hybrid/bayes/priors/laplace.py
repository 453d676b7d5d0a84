"""Laplace weights before the data: many near zero, some large (floor 2)."""

import dataclasses
import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.priors.parts import split_by_stated
from hybrid.bayes.priors.prior import Draws

__all__ = ["Laplace"]


@dataclasses.dataclass(frozen=True)
class Laplace:
    r"""Independent Laplace weights, :math:`p(w) = \prod_i e^{-|w_i| / b} / 2b`.

    The divergence of normal weights is in closed form, by :math:`E|w| = \sigma \sqrt{2/\pi} \,
    e^{-\mu^2 / 2 \sigma^2} + \mu \, \mathrm{erf}(\mu / \sigma \sqrt 2)`:

    .. math:: KL = \sum_i E|w_i| / b + \log 2b - \tfrac12 \log 2 \pi e \sigma_i^2 .

    Args:
        scale: b; the standard deviation is :math:`b \sqrt 2`.

    Raises:
        ValueError: The scale is not positive.

    Example:
        >>> density = Laplace(0.5).over({"weight": torch.zeros(3)})
        >>> density.surprisal(torch.zeros(2, 3)).abs()
        tensor([0., 0.])
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"a Laplace prior's scale must be positive, got {self.scale}")

    def over(
        self, weights: Mapping[str, Tensor], stated: Mapping[str, float] | None = None
    ) -> nn.Module:
        """The density of these weights."""
        return split_by_stated(weights, stated, lambda own: _Laplace(own, self.scale))


class _Laplace(nn.Module):
    def __init__(self, weights: Mapping[str, Tensor], scale: float) -> None:  # noqa: ARG002
        super().__init__()
        self.scale = scale

    def divergence_of(
        self,
        mean: Float[Tensor, "weights"],
        scale: Float[Tensor, "weights"],
        draws: Draws,  # noqa: ARG002 (not needed: closed form)
    ) -> Tensor:
        ratio = mean / scale
        bell = scale * math.sqrt(2 / math.pi) * torch.exp(-0.5 * ratio.square())
        size = bell + mean * torch.erf(ratio / math.sqrt(2))
        each = size / self.scale - scale.log()
        constant = math.log(2 * self.scale) - 0.5 * math.log(2 * math.pi * math.e)
        return each.sum() + mean.numel() * constant

    def surprisal(self, weights: Float[Tensor, "*draws weights"]) -> Tensor:
        each = weights.abs() / self.scale + math.log(2 * self.scale)
        return each.sum(-1)
