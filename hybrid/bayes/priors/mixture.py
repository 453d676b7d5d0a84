"""A mixture of normal priors, spike and slab for one (floor 2)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.bayes.priors.parts import split_by_stated
from hybrid.bayes.priors.prior import Draws, monte_carlo_divergence

__all__ = ["Mixture"]


@dataclasses.dataclass(frozen=True)
class Mixture:
    r"""Independent weights from a mixture of normals of different width around zero.

    .. math:: p(w) = \prod_i \sum_k \pi_k N(w_i \mid 0, s_k^2)

    With a wide and a narrow one it is the spike and slab of Blundell et al. The divergence has no
    closed form: its prior's part is an average over the held draws, or over fresh ones.

    Args:
        scales: The standard deviations :math:`s_k`.
        shares: The probabilities :math:`\pi_k`; None for equal ones.

    Raises:
        ValueError: There is no scale, one is not positive, or the shares are not probabilities.

    Source: Blundell et al., Weight Uncertainty in Neural Networks, ICML 2015, eq. 7.

    Example:
        >>> density = Mixture(scales=(1.0, 0.01), shares=(0.25, 0.75)).over({"w": torch.zeros(2)})
        >>> spread = torch.tensor([[0.0, 0.0], [1.0, 1.0]])
        >>> density.surprisal(spread).round(decimals=3)
        tensor([-6.8040,  5.6100])
    """

    scales: Sequence[float] = (1.0, math.exp(-6))
    shares: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale < math.inf for scale in self.scales):
            raise ValueError(f"a mixture's scales must be positive numbers, got {self.scales}")
        shares = self.shares
        if shares is not None and (
            len(shares) != len(self.scales)
            or not all(share > 0 for share in shares)
            or not math.isclose(sum(shares), 1.0, abs_tol=1e-6)
        ):
            raise ValueError(
                f"a mixture's shares are one positive number for each of {len(self.scales)} "
                f"scales, with sum 1: got {shares}"
            )

    def over(
        self, weights: Mapping[str, Tensor], stated: Mapping[str, float] | None = None
    ) -> nn.Module:
        """The density of these weights."""
        shares = self.shares or [1 / len(self.scales)] * len(self.scales)
        return split_by_stated(weights, stated, lambda own: _Mixture(own, self.scales, shares))


class _Mixture(nn.Module):
    def __init__(
        self,
        weights: Mapping[str, Tensor],  # noqa: ARG002
        scales: Sequence[float],
        shares: Sequence[float],
    ) -> None:
        super().__init__()
        self.parts = [(float(s), float(share)) for s, share in zip(scales, shares, strict=True)]

    def divergence_of(
        self,
        mean: Float[Tensor, "weights"],  # noqa: ARG002
        scale: Float[Tensor, "weights"],
        draws: Draws,
    ) -> Tensor:
        return monte_carlo_divergence(self, scale, draws)

    def surprisal(self, weights: Float[Tensor, "*draws weights"]) -> Tensor:
        square = weights.square()
        logs = [
            math.log(share / (scale * math.sqrt(2 * math.pi))) - square / (2 * scale**2)
            for scale, share in self.parts
        ]
        return -torch.logsumexp(torch.stack(logs), 0).sum(-1)
