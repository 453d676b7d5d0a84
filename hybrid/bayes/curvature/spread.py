"""The normal distribution around a mode that a curvature gives, and its evidence (floor 1)."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal.draws import standard_normal
from hybrid.bayes.curvature.blocks import Block

__all__ = ["Curvature", "Fit"]


class Fit(nn.Module):
    r"""The log likelihood of the data at the mode, as a function of the noise where that is free.

    Args:
        log_likelihood: At the law's own noise.
        squares: The sum of squared residuals, where the noise σ is a free number.
        count: Their number.

    Example:
        >>> fit = Fit(torch.tensor(-3.0))
        >>> fit(None)
        tensor(-3.)
    """

    log_likelihood: Tensor
    squares: Tensor | None

    def __init__(self, log_likelihood: Tensor, squares: Tensor | None = None, count: int = 0):
        super().__init__()
        self.register_buffer("log_likelihood", log_likelihood)
        self.register_buffer("squares", squares)
        self.count = count

    def forward(self, noise: Tensor | None) -> Tensor:
        """The log likelihood for this σ."""
        if noise is None or self.squares is None:
            return self.log_likelihood
        constant = noise.log() + 0.5 * math.log(2 * math.pi)
        return -0.5 * self.squares / noise.square() - self.count * constant


class Curvature(nn.Module):
    """Blocks of a curvature with a prior: a `hybrid.bayes.Spread` around the mode.

    Args:
        blocks: Blocks, with the parameters that each is of.
        scales: Standard deviations of the prior that layers state for their own parameters; for all
            others it has ``prior_precision``.
        prior_precision: One over the prior's variance.
        fit: The likelihood at the mode.
        noise: σ, where it is a free number; the curvature is then that for σ = 1.

    Example:
        >>> from hybrid.bayes.curvature.blocks import Diagonal
        >>> blocks = [(("weight",), Diagonal(torch.tensor([3.0])))]
        >>> spread = Curvature(blocks, {}, torch.tensor(1.0), Fit(torch.tensor(0.0)))
        >>> spread.sample({"weight": torch.zeros(1)}, 2, None)["weight"].shape
        torch.Size([2, 1])
    """

    prior_precision: Tensor
    noise: Tensor | None

    def __init__(
        self,
        blocks: Sequence[tuple[tuple[str, ...], Block]],
        scales: Mapping[str, float],
        prior_precision: Tensor,
        fit: Fit,
        noise: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(block for _, block in blocks)
        self.fit = fit
        self._names = tuple(names for names, _ in blocks)
        self._scales = dict(scales)
        self.register_buffer("prior_precision", prior_precision)
        self.register_buffer("noise", noise)

    def parameters_of(self) -> tuple[str, ...]:
        """Names of all parameters."""
        return tuple(name for names in self._names for name in names)

    def settle(self, means: Mapping[str, Tensor]) -> None:
        """Prepare draws for the present prior and noise."""
        factor = self._factor(self.noise)
        with torch.no_grad():
            for names, block in self._named():
                block.settle(factor, self._prior(names, means, self.prior_precision))

    def sample(
        self, means: Mapping[str, Tensor], draws: int | None, generator: torch.Generator | None
    ) -> dict[str, Tensor]:
        """Weights ``(draws, *shape)`` by name."""
        lead = () if draws is None else (draws,)
        drawn = {}
        for names, block in self._named():
            sizes = [means[name].numel() for name in names]
            noise = standard_normal((*lead, sum(sizes)), means[names[0]], generator)
            parts = block.draw(noise).split(sizes, -1)
            for name, part in zip(names, parts, strict=True):
                drawn[name] = means[name] + part.reshape(*lead, *means[name].shape)
        return drawn

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        """Zero."""
        return next(iter(means.values())).new_zeros(())

    def evidence(
        self,
        means: Mapping[str, Tensor],
        prior_precision: Float[Tensor, ""],
        noise: Float[Tensor, ""] | None,
    ) -> Float[Tensor, ""]:
        r"""Laplace's approximation of the log marginal likelihood.

        .. math:: \log p(D \mid \hat\theta) - \tfrac12 \sum_i \delta_i \hat\theta_i^2
            + \tfrac12 \sum_i \log \delta_i - \tfrac12 \log |c H + \mathrm{diag}\, \delta|

        Source: MacKay (1992), *A practical Bayesian framework for backpropagation networks*, eq.
        2.23; Immer et al. (2021), eq. 6.
        """
        total = self.fit(noise)
        factor = self._factor(noise)
        for names, block in self._named():
            prior = self._prior(names, means, prior_precision)
            mode = torch.cat([means[name].detach().flatten() for name in names])
            total = total - 0.5 * (prior * mode.square()).sum() + 0.5 * prior.log().sum()
            total = total - 0.5 * block.log_determinant(factor, prior)
        return total

    def extra_repr(self) -> str:
        """Prior and noise."""
        noise = "" if self.noise is None else f", noise={float(self.noise):.4g}"
        return f"prior_precision={float(self.prior_precision):.4g}{noise}"

    def _named(self) -> list[tuple[tuple[str, ...], Block]]:
        return list(zip(self._names, self.blocks, strict=True))  # type: ignore[arg-type]

    def _factor(self, noise: Tensor | None) -> Tensor:
        return (
            torch.ones_like(self.prior_precision) if noise is None else noise.square().reciprocal()
        )

    def _prior(
        self, names: Sequence[str], means: Mapping[str, Tensor], precision: Tensor
    ) -> Tensor:
        """The prior's precision of each weight of a block."""
        parts = []
        for name in names:
            own = precision
            if name in self._scales:
                own = torch.full_like(precision, self._scales[name] ** -2).detach()
            parts.append(own.to(means[name].dtype).expand(means[name].numel()))
        return torch.cat(parts)
