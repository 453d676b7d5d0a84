"""What conformal methods share: a score, a threshold, a region (floor 3)."""

import abc
import dataclasses
import math
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Conformal", "threshold_of", "uncalibrated"]

Method = TypeVar("Method", bound="Conformal")


def threshold_of(scores: Float[Tensor, "n"], level: float) -> float:
    r"""The :math:`\lceil (n + 1)\, \mathrm{level} \rceil`-th smallest score; infinite beyond n.

    Args:
        scores: Scores of n held-out rows.
        level: Share of new rows whose score is to lie below, within [0, 1]; 0 gives −∞.

    Raises:
        ValueError: There is no score, or one is NaN.

    Source: Vovk, Gammerman & Shafer (2005), *Algorithmic learning in a random world*, section 2.2.

    Example:
        >>> threshold_of(torch.arange(1.0, 10.0), 0.8), threshold_of(torch.ones(3), 0.8)
        (8.0, inf)
    """
    if not len(scores) or bool(scores.isnan().any()):
        raise ValueError("calibration needs at least one row, and no NaN")
    # A hair less, so that (n + 1) · level is not pushed over a whole number by rounding.
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    if rank < 1:
        return -math.inf
    return math.inf if rank > len(scores) else float(scores.detach().kthvalue(rank).values)


@dataclasses.dataclass(frozen=True)
class Conformal(abc.ABC):
    """A score of how odd a value is, and the region of values that are not too odd.

    Args:
        level: Share of new rows whose value is to lie in its region.
        threshold: The largest score inside, None before `calibrate`.

    Raises:
        ValueError: ``level`` is not within (0, 1).

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class OneSided(Conformal):
        ...     def scores(self, predicted, y, generator=None):
        ...         return y - predicted
        ...
        ...     def region(self, predicted, threshold, generator=None):
        ...         return predicted + threshold
        >>> OneSided(0.5).calibrate(torch.zeros(3), torch.tensor([1.0, 2.0, 3.0])).threshold
        2.0
    """

    level: float = 0.9
    threshold: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ValueError(f"level is a share between 0 and 1, got {self.level}")

    @abc.abstractmethod
    def scores(self, predicted: Any, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Score of each row's value ``(n,)``; the larger, the odder."""

    @abc.abstractmethod
    def region(
        self, predicted: Any, threshold: Tensor | float, generator: torch.Generator | None = None
    ) -> Any:
        """The values whose score is at most the threshold (one for all rows, or one each)."""

    def calibrate(  # noqa: PYI019 (the type checks of the tests know no Self)
        self: Method, predicted: Any, y: Tensor, *, generator: torch.Generator | None = None
    ) -> Method:
        """The same method with the threshold that held-out rows ask for.

        Args:
            predicted: Predictions of the held-out rows.
            y: Their values ``(n,)``.
            generator: Source of randomness where a score has some.

        Raises:
            ValueError: Shapes do not fit, or there are no rows.
        """
        scores = self.scores(predicted, y, generator)
        return dataclasses.replace(self, threshold=threshold_of(scores, self.level))

    def predict(self, predicted: Any, *, generator: torch.Generator | None = None) -> Any:
        """Regions of new rows.

        Raises:
            RuntimeError: It was not calibrated.
        """
        if self.threshold is None:
            raise uncalibrated(self)
        return self.region(predicted, self.threshold, generator)


def uncalibrated(method: Any) -> RuntimeError:
    """The error of a method that has no threshold yet.

    Example:
        >>> raise uncalibrated(0.5)
        Traceback (most recent call last):
        RuntimeError: float has no threshold yet: use the result of its calibrate(predicted, y, ...)
    """
    name = type(method).__name__
    return RuntimeError(
        f"{name} has no threshold yet: use the result of its calibrate(predicted, y, ...)"
    )
