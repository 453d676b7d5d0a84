"""Coverage in the long run where rows come one after another and shift (floor 3)."""

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from hybrid.conformal.method import Conformal, threshold_of, uncalibrated

__all__ = ["Adaptive"]


@dataclasses.dataclass(frozen=True)
class Adaptive:
    r"""Coverage in the long run under any shift: the level follows the misses.

    Rows come one after another. After each, :math:`\alpha_{t+1} = \alpha_t + \gamma (\alpha -
    \mathrm{miss}_t)`, and the next region has level :math:`1 - \alpha_{t+1}`; below 0 or above 1 it
    is everything or nothing (limits +∞, −∞). Over T rows the share of misses is within
    :math:`(1 + \gamma) / (\gamma T)` of α, whatever the rows are.

    Args:
        method: Any conformal method; its level is 1 − α.
        rate: γ, positive.
        window: How many of the latest scores are kept; None for all.
        past: The scores so far, None before `calibrate`.
        current: The present :math:`1 - \alpha_t`; None for the method's level.

    Raises:
        ValueError: ``rate`` or ``window`` is not positive.

    Source: Gibbs & Candès (2021), *Adaptive conformal inference under distribution shift*, eq. 2
    and proposition 4.1.

    Example:
        >>> from hybrid.conformal.intervals import Split
        >>> method = Adaptive(Split(0.5), rate=0.1).calibrate(torch.zeros(3), torch.arange(3.0))
        >>> method.predict(torch.zeros(1))
        (tensor([-1.]), tensor([1.]))
        >>> method.observe(torch.zeros(1), torch.tensor([9.0])).current  # a miss: more next time
        0.55
    """

    method: Conformal
    rate: float = 0.01
    window: int | None = None
    past: Tensor | None = None
    current: float | None = None

    def __post_init__(self) -> None:
        if not self.rate > 0 or (self.window is not None and self.window < 1):
            raise ValueError(f"rate and window must be positive: {self.rate}, {self.window}")

    def calibrate(
        self, predicted: Any, y: Tensor, *, generator: torch.Generator | None = None
    ) -> "Adaptive":
        """Start from held-out rows.

        Raises:
            ValueError: Shapes do not fit, or there are no rows.
        """
        scores = self.method.scores(predicted, y, generator).detach()
        threshold_of(scores, self.method.level)  # refuses what is empty or NaN
        return dataclasses.replace(self, past=self._latest(scores), current=self.method.level)

    def predict(self, predicted: Any, *, generator: torch.Generator | None = None) -> Any:
        """Regions at the present level.

        Raises:
            RuntimeError: It was not calibrated.
        """
        return self.method.region(predicted, self._threshold(), generator)

    def observe(
        self, predicted: Any, y: Tensor, *, generator: torch.Generator | None = None
    ) -> "Adaptive":
        """Learn from the values of rows that were predicted, in their order.

        Each row moves the level by its own hit or miss and joins the scores.

        Raises:
            RuntimeError: It was not calibrated.
        """
        scores = self.method.scores(predicted, y, generator).detach()
        latest = self
        for score in scores:
            missed = float(float(score) > latest._threshold())
            level = float(latest.current or 0.0) + self.rate * (missed - (1 - self.method.level))
            past = torch.cat([latest._scores(), score.reshape(1)])
            latest = dataclasses.replace(latest, past=self._latest(past), current=level)
        return latest

    def _latest(self, scores: Tensor) -> Tensor:
        return scores if self.window is None else scores[-self.window :]

    def _scores(self) -> Tensor:
        if self.past is None:
            raise uncalibrated(self)
        return self.past

    def _threshold(self) -> float:
        scores, level = self._scores(), float(self.current or 0.0)
        if not 0 < level < 1:
            return math.inf if level >= 1 else -math.inf
        return threshold_of(scores, level)
