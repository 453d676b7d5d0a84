"""Normal weights whose scale is learnt, for each layer or group (floor 3)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.flat import flattened
from hybrid.bayes.priors.parts import split_by_stated
from hybrid.bayes.priors.prior import Draws
from hybrid.bayes.priors.scales import Scales, root_mean_square

__all__ = ["HierarchicalScale"]


@dataclasses.dataclass(frozen=True)
class HierarchicalScale:
    r"""Normal weights around zero with an unknown scale for each group, learnt from the data.

    .. math:: w_i \mid s \sim N(0, s_{g(i)}^2), \qquad s_g \sim C^+(0, b)

    The scales have a log-normal posterior beside that of the weights (see `Scales`), whose
    parameters are trained with everything else; the divergence, in closed form for normal weights,
    is that of weights and scales together, so that the ELBO stays a bound on the evidence. A flow's
    weights take the average over draws. The scales start at the root mean square of the weights.

    Args:
        scale: b, the half-Cauchy's scale.
        per: What shares a scale: all parameters of a "layer", each "parameter", or the "model".

    Raises:
        ValueError: The scale is not positive, or ``per`` is something else.

    Source: Gelman, Prior distributions for variance parameters in hierarchical models, Bayesian
    Analysis 2006, section 3.2.

    Example:
        >>> weights = {
        ...     "0.weight": torch.ones(2, 3),
        ...     "0.bias": torch.ones(2),
        ...     "2.bias": torch.ones(1),
        ... }
        >>> density = HierarchicalScale().over(weights)
        >>> {name: tuple(value.shape) for name, value in density.named_parameters()}
        {'scales.location': (2,), 'scales.raw_spread': (2,)}
    """

    scale: float = 1.0
    per: Literal["layer", "parameter", "model"] = "layer"

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"a hierarchical prior's scale must be positive, got {self.scale}")
        if self.per not in ("layer", "parameter", "model"):
            raise ValueError(f"per is 'layer', 'parameter' or 'model', got {self.per!r}")

    def over(
        self, weights: Mapping[str, Tensor], stated: Mapping[str, float] | None = None
    ) -> nn.Module:
        """The density of these weights."""
        return split_by_stated(weights, stated, lambda own: _Hierarchical(own, self))

    def group(self, name: str) -> str:
        """The group of a parameter."""
        if self.per == "model":
            return ""
        return name if self.per == "parameter" else name.rpartition(".")[0]


class _Hierarchical(nn.Module):
    index: Tensor

    def __init__(self, weights: Mapping[str, Tensor], prior: HierarchicalScale) -> None:
        super().__init__()
        groups = {prior.group(name): 0 for name in weights}
        groups = {group: number for number, group in enumerate(groups)}
        flat = flattened(value.detach() for value in weights.values())
        numbers = [
            torch.full_like(value.detach(), groups[prior.group(name)], dtype=torch.long)
            for name, value in weights.items()
        ]
        self.register_buffer("index", flattened(numbers), persistent=False)
        start = root_mean_square(flat, self.index, len(groups), prior.scale)
        self.scales = Scales(start, prior.scale)

    def divergence_of(
        self,
        mean: Float[Tensor, "weights"],
        scale: Float[Tensor, "weights"],
        draws: Draws,  # noqa: ARG002 (not needed: closed form)
    ) -> Tensor:
        square = self._sums(mean.square() + scale.square())
        counts = self._sums(torch.ones_like(scale))
        each = counts * (self.scales.expected_log() - 0.5)
        each = each + 0.5 * square * self.scales.expected_precision()
        return each.sum() - scale.log().sum() + self.scales.divergence_of_scales()

    def surprisal(self, weights: Float[Tensor, "*draws weights"]) -> Tensor:
        precision, log = self.scales.expected_precision(), self.scales.expected_log()
        each = 0.5 * weights.square() * precision[self.index] + log[self.index]
        total = (each + 0.5 * math.log(2 * math.pi)).sum(-1)
        return total + self.scales.divergence_of_scales()

    def _sums(self, values: Tensor) -> Tensor:
        return values.new_zeros(len(self.scales.location)).index_add(0, self.index, values)
