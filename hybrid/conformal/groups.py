"""Coverage in each group of rows (floor 3)."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.conformal.method import Conformal, threshold_of, uncalibrated

__all__ = ["Mondrian"]


@dataclasses.dataclass(frozen=True)
class Mondrian:
    """A threshold for each group of rows, so that each group has the coverage.

    Args:
        method: Any conformal method.
        thresholds: Threshold by group, empty before `calibrate`.

    Source: Vovk, Gammerman & Shafer (2005), section 4.5.

    Example:
        >>> from hybrid.conformal.intervals import Split
        >>> y = torch.tensor([1.0, 1.0, 1.0, 5.0, 5.0, 5.0])
        >>> groups = ["a", "a", "a", "b", "b", "b"]
        >>> method = Mondrian(Split(0.7)).calibrate(torch.zeros(6), y, groups)
        >>> method.predict(torch.zeros(2), ["b", "a"])[1]
        tensor([5., 1.])
    """

    method: Conformal
    thresholds: Mapping[Hashable, float] = dataclasses.field(default_factory=dict)

    def calibrate(
        self,
        predicted: Any,
        y: Tensor,
        groups: Sequence[Hashable] | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> "Mondrian":
        """Find each group's threshold.

        Args:
            predicted: Predictions of the held-out rows.
            y: Their values ``(n,)``.
            groups: Their groups, n numbers or names.
            generator: Source of randomness where a score has some.

        Raises:
            ValueError: Shapes do not fit.
        """
        scores, labels = self.method.scores(predicted, y, generator), _listed(groups)
        if len(labels) != len(scores):
            raise ValueError(f"{len(labels)} groups for {len(scores)} rows")
        found = {}
        for group in dict.fromkeys(labels):
            rows = torch.tensor([label == group for label in labels], device=scores.device)
            found[group] = threshold_of(scores[rows], self.method.level)
        return Mondrian(self.method, found)

    def predict(
        self,
        predicted: Any,
        groups: Sequence[Hashable] | Tensor,
        *,
        generator: torch.Generator | None = None,
    ) -> Any:
        """Regions of new rows.

        Raises:
            RuntimeError: It was not calibrated.
            ValueError: A group had no row in the calibration.
        """
        if not self.thresholds:
            raise uncalibrated(self)
        labels = _listed(groups)
        unknown = sorted({str(label) for label in labels if label not in self.thresholds})
        if unknown:
            raise ValueError(f"the calibration had no row of the groups {unknown}")
        each = torch.tensor([self.thresholds[label] for label in labels])
        return self.method.region(predicted, each, generator)


def _listed(groups: Sequence[Hashable] | Tensor) -> list[Hashable]:
    return groups.tolist() if isinstance(groups, Tensor) else list(groups)
