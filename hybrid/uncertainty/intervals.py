"""How often a prediction's central intervals hold what happened, level by level (floor 0)."""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from scipy.stats import binom
from torch import Tensor

from hybrid.prediction import Prediction
from hybrid.uncertainty.calibration import coverage

__all__ = ["CoverageCurve", "coverage_curve"]

_LEVELS = tuple(k / 20 for k in range(1, 20))


@dataclasses.dataclass(frozen=True)
class CoverageCurve:
    """Nominal against empirical coverage.

    Attributes:
        levels: Nominal probabilities ``(levels,)`` of the central intervals.
        coverage: Share of the rows inside them.
        lower: Lower end of the equal-tailed band of that share's sampling error, were the
            prediction right.
        upper: Upper end of it.
        rows: Their number.
        confidence: Probability of the band at each level, for itself.

    Example:
        >>> half = torch.tensor([0.5])
        >>> CoverageCurve(half, half, half - 0.1, half + 0.1, rows=100).outside
        tensor([False])
    """

    levels: Float[Tensor, "levels"]
    coverage: Float[Tensor, "levels"]
    lower: Float[Tensor, "levels"]
    upper: Float[Tensor, "levels"]
    rows: int
    confidence: float = 0.95

    @property
    def outside(self) -> Tensor:
        """At which levels the coverage lies outside the band, ``(levels,)``."""
        return (self.coverage < self.lower) | (self.coverage > self.upper)


def coverage_curve(
    prediction: Prediction,
    y: Float[Tensor, "*batch"],
    *,
    levels: Sequence[float] = _LEVELS,
    confidence: float = 0.95,
) -> CoverageCurve:
    r"""Coverage of a prediction's central intervals at many levels.

    Were the prediction right and the rows independent, the number of rows inside would be binomial
    :math:`B(n, \text{level})`; the band holds its central share ``confidence``, divided by n. Laws
    of whole numbers, or with atoms, cover more than the level by right.

    Args:
        prediction: Of a law with scalar values; see `hybrid.predict`.
        y: What happened, one number a row.
        levels: Nominal probabilities, between 0 and 1.
        confidence: Probability of the band at each level.

    Raises:
        ValueError: ``y`` has another shape, or a probability is not between 0 and 1.

    Source: Kuleshov, Fenner & Ermon (2018), *Accurate uncertainties for deep learning using
    calibrated regression*, section 3.5, for central intervals.

    Example:
        >>> normal = torch.distributions.Normal(torch.zeros(1, 100), torch.ones(1, 100))
        >>> y = torch.special.ndtri((torch.arange(100) + 0.5) / 100)
        >>> curve = coverage_curve(Prediction(normal), y, levels=(0.5, 0.9))
        >>> curve.coverage, curve.lower, curve.upper
        (tensor([0.5000, 0.9000]), tensor([0.4000, 0.8400]), tensor([0.6000, 0.9500]))
    """
    distribution = prediction.distribution
    shape = tuple(distribution.batch_shape[1:] + distribution.event_shape)
    if tuple(y.shape) != shape or not y.numel():
        raise ValueError(
            f"y has shape {tuple(y.shape)}, the prediction is for {shape}: one number a row, and "
            "at least one row"
        )
    if not len(levels) or not all(0 < p < 1 for p in (*levels, confidence)):
        raise ValueError(
            f"levels and confidence are probabilities between 0 and 1, got {tuple(levels)} and "
            f"{confidence}"
        )
    found = torch.stack([coverage(*prediction.interval(level), y) for level in levels])
    rows, tail = y.numel(), (1 - confidence) / 2
    lower, upper = (
        torch.as_tensor(binom.ppf(part, rows, list(levels)) / rows).to(found)
        for part in (tail, 1 - tail)
    )
    return CoverageCurve(
        torch.as_tensor(list(levels)).to(found), found, lower, upper, rows, confidence
    )
