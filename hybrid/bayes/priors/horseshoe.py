"""Sparse weights: most near zero, a few as large as the data asks for (floor 3)."""

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

__all__ = ["Horseshoe"]


@dataclasses.dataclass(frozen=True)
class Horseshoe:
    r"""The horseshoe: normal weights with a local and a shared unknown scale.

    .. math:: w_i \mid \lambda, \tau \sim N(0, \tau_{p(i)}^2 \lambda_{g(i)}^2), \qquad
        \lambda_g \sim C^+(0, 1), \qquad \tau_p \sim C^+(0, b)

    Every parameter tensor p has its τ; λ is a weight's own, or shared by all weights of one input
    or output of a layer. Both have log-normal posteriors beside that of the weights (see `Scales`),
    trained with everything else, and the divergence, in closed form for normal weights, is that of
    all of them together. A flow's weights take the average over draws.

    Args:
        scale: b; a small one says that few weights are needed.
        per: What shares a λ: each "weight" has its own, or all weights of an "input" (last axes of
            a matrix or kernel: column i for ``torch.nn.Linear``) or of an "output" (first axis).
            Parameters with one axis or none have one per weight.

    Raises:
        ValueError: The scale is not positive, or ``per`` is something else.

    Source: Carvalho, Polson & Scott, The horseshoe estimator for sparse signals, Biometrika 2010,
    eq. 1; Ghosh, Yao & Doshi-Velez, ICML 2018, section 3, for the variational treatment.

    Example:
        >>> density = Horseshoe(0.1, per="input").over({"weight": torch.ones(4, 3)})
        >>> {name: tuple(value.shape) for name, value in density.named_parameters()}
        {'local.location': (3,), 'local.raw_spread': (3,),
        'shared.location': (1,), 'shared.raw_spread': (1,)}
    """

    scale: float = 1.0
    per: Literal["weight", "input", "output"] = "weight"

    def __post_init__(self) -> None:
        if not 0 < self.scale < math.inf:
            raise ValueError(f"a horseshoe's scale must be positive, got {self.scale}")
        if self.per not in ("weight", "input", "output"):
            raise ValueError(f"per is 'weight', 'input' or 'output', got {self.per!r}")

    def over(
        self, weights: Mapping[str, Tensor], stated: Mapping[str, float] | None = None
    ) -> nn.Module:
        """The density of these weights."""
        return split_by_stated(weights, stated, lambda own: _Horseshoe(own, self))

    def groups(self, weight: Tensor) -> Tensor:
        """The number of each weight's group within its tensor."""
        if self.per == "weight" or weight.dim() < 2:
            return torch.arange(weight.numel(), device=weight.device).reshape(weight.shape)
        axis = 0 if self.per == "output" else 1
        shape = [1] * weight.dim()
        shape[axis] = -1
        numbers = torch.arange(weight.shape[axis], device=weight.device)
        return numbers.reshape(shape).expand(weight.shape)


class _Horseshoe(nn.Module):
    own: Tensor
    tensor: Tensor

    def __init__(self, weights: Mapping[str, Tensor], prior: Horseshoe) -> None:
        super().__init__()
        groups = [prior.groups(value) for value in weights.values()]
        counts = [int(group.max()) + 1 if group.numel() else 0 for group in groups]
        firsts = [sum(counts[:number]) for number in range(len(counts))]
        own = flattened(group + first for group, first in zip(groups, firsts, strict=True))
        self.register_buffer("own", own, persistent=False)
        numbers = [torch.full_like(group, number) for number, group in enumerate(groups)]
        self.register_buffer("tensor", flattened(numbers), persistent=False)
        flat = flattened(value.detach() for value in weights.values())
        # The two together start at the size of the weights; τ starts where its prior is.
        sizes = root_mean_square(flat, self.tensor, len(counts), prior.scale) / prior.scale
        starts = sizes.repeat_interleave(torch.tensor(counts, device=sizes.device))
        self.local = Scales(starts, 1.0)
        self.shared = Scales(torch.full_like(sizes, prior.scale), prior.scale)

    def divergence_of(
        self,
        mean: Float[Tensor, "weights"],
        scale: Float[Tensor, "weights"],
        draws: Draws,  # noqa: ARG002 (not needed: closed form)
    ) -> Tensor:
        log, precision = self._scales()
        each = log + 0.5 * (mean.square() + scale.square()) * precision - scale.log() - 0.5
        return each.sum() + self._divergence_of_scales()

    def surprisal(self, weights: Float[Tensor, "*draws weights"]) -> Tensor:
        log, precision = self._scales()
        each = log + 0.5 * weights.square() * precision + 0.5 * math.log(2 * math.pi)
        return each.sum(-1) + self._divergence_of_scales()

    def _scales(self) -> tuple[Tensor, Tensor]:
        """Expected log scale and expected precision of every weight."""
        log = self.local.expected_log()[self.own] + self.shared.expected_log()[self.tensor]
        local, shared = self.local.expected_precision(), self.shared.expected_precision()
        return log, local[self.own] * shared[self.tensor]

    def _divergence_of_scales(self) -> Tensor:
        return self.local.divergence_of_scales() + self.shared.divergence_of_scales()
