"""Losses as thin modules (floor 2)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.losses.barron import log_partition, robust
from hybrid.losses.pointwise import (
    beta_nll,
    focal,
    label_smoothing,
    pinball,
    same_rows,
)
from hybrid.losses.scores import crps, energy_score

__all__ = [
    "CRPS",
    "AdaptiveRobust",
    "BetaNLL",
    "EnergyScore",
    "Focal",
    "LabelSmoothing",
    "Pinball",
]


class Focal(nn.Module):
    """`focal` as a module.

    Args:
        gamma: γ ≥ 0; 0 is cross-entropy.
        weight: One weight per class; None for 1.

    Example:
        >>> Focal(gamma=0.0)(torch.zeros(3, 2), torch.tensor([0, 1, 0]))
        tensor([0.6931, 0.6931, 0.6931])
    """

    def __init__(self, gamma: float = 2.0, weight: Sequence[float] | None = None) -> None:
        super().__init__()
        self.gamma, self.weight = gamma, weight

    def forward(self, predicted: Any, y: Tensor) -> Tensor:
        """Loss of each row."""
        return focal(predicted, y, self.gamma, self.weight)


class LabelSmoothing(nn.Module):
    """`label_smoothing` as a module.

    Args:
        smoothing: ε in [0, 1].

    Example:
        >>> LabelSmoothing()(torch.zeros(1, 2), torch.tensor([0]))
        tensor([0.6931])
    """

    def __init__(self, smoothing: float = 0.1) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(self, predicted: Any, y: Tensor) -> Tensor:
        """Loss of each row."""
        return label_smoothing(predicted, y, self.smoothing)


class BetaNLL(nn.Module):
    """`beta_nll` as a module.

    Args:
        beta: β in [0, 1].

    Example:
        >>> import torch.distributions as td
        >>> BetaNLL()(td.Normal(torch.zeros(1), 2.0), torch.zeros(1))
        tensor([3.2242])
    """

    def __init__(self, beta: float = 0.5) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, predicted: Any, y: Tensor) -> Tensor:
        """Loss of each row."""
        return beta_nll(predicted, y, self.beta)


class Pinball(nn.Module):
    """`pinball` as a module.

    Args:
        levels: Levels of quantiles that come as a tensor; None for laws that know theirs.

    Example:
        >>> Pinball([0.5])(torch.zeros(1, 1), torch.tensor([3.0]))
        tensor([1.5000])
    """

    def __init__(self, levels: Sequence[float] | None = None) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, predicted: Any, y: Tensor) -> Tensor:
        """Loss of each row."""
        return pinball(predicted, y, self.levels)


class CRPS(nn.Module):
    """`crps` as a module.

    Args:
        samples: How many are drawn where there is no closed form.

    Example:
        >>> import torch.distributions as td
        >>> CRPS()(td.Normal(torch.zeros(1), 1.0), torch.zeros(1))
        tensor([0.2337])
    """

    def __init__(self, samples: int = 128) -> None:
        super().__init__()
        self.samples = samples

    def forward(self, predicted: Any, y: Tensor) -> Tensor:
        """Loss of each row."""
        return crps(predicted, y, samples=self.samples)


class EnergyScore(nn.Module):
    """`energy_score` as a module.

    Args:
        samples: How many are drawn.

    Example:
        >>> import torch.distributions as td
        >>> law = td.MultivariateNormal(torch.zeros(4, 2), torch.eye(2))
        >>> EnergyScore()(law, torch.zeros(4, 2)).shape
        torch.Size([4])
    """

    def __init__(self, samples: int = 128) -> None:
        super().__init__()
        self.samples = samples

    def forward(self, predicted: Any, y: Tensor) -> Tensor:
        """Loss of each row."""
        return energy_score(predicted, y, samples=self.samples)


class AdaptiveRobust(nn.Module):
    r"""Barron's loss with shape α and scale c learnt: minus the log of its density.

    .. math:: \rho((y - \hat y) / c, \alpha) + \log c + \log Z(\alpha)

    The partition function keeps α from fleeing to where every residual costs nothing. For a shape
    or scale that depends on the context use the head `hybrid.heads.AdaptiveRobust`.

    Args:
        features: None for values ``(*batch,)``; d for ``(*batch, d)`` with an α and a c each.
        alpha: Initial α in (0, 2).
        scale: Initial c, positive.

    Raises:
        ValueError: α or c is outside; at the call, y does not have the prediction's shape.

    Source: Barron (2019), *A general and adaptive robust loss function*, eq. 16–17.

    Example:
        >>> loss = AdaptiveRobust()
        >>> loss(torch.zeros(3), torch.tensor([0.0, 1.0, 100.0])).shape
        torch.Size([3])
        >>> round(loss.alpha.item(), 3), round(loss.scale.item(), 3)
        (1.0, 1.0)
    """

    def __init__(
        self, features: int | None = None, *, alpha: float = 1.0, scale: float = 1.0
    ) -> None:
        super().__init__()
        if not (0 < alpha < 2 and 0 < scale < math.inf):
            raise ValueError(f"alpha must be within (0, 2) and scale positive: {alpha}, {scale}")
        shape = () if features is None else (features,)
        self.features = features
        self.raw_alpha = nn.Parameter(torch.full(shape, math.log(alpha / (2 - alpha))))
        self.log_scale = nn.Parameter(torch.full(shape, math.log(scale)))

    @property
    def alpha(self) -> Tensor:
        """The shape α."""
        return 2 * self.raw_alpha.sigmoid()

    @property
    def scale(self) -> Tensor:
        """The scale c."""
        return self.log_scale.exp()

    def forward(self, predicted: Float[Tensor, "*shape"], y: Float[Tensor, "*values"]) -> Tensor:
        """Loss of each row."""
        same_rows(predicted.shape, y)
        loss = robust(y - predicted, self.alpha, self.scale)
        each = loss + self.log_scale + log_partition(self.alpha)
        return each if self.features is None else each.sum(-1)
