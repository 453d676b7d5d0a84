"""Sets of classes: adaptive prediction sets, plain and regularised (floor 3)."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from causal.draws import uniform
from hybrid.conformal.method import Conformal
from hybrid.prediction import Prediction
from hybrid.uncertainty.calibration import class_probabilities

__all__ = ["APS", "RAPS"]


@dataclasses.dataclass(frozen=True)
class APS(Conformal):
    r"""Sets of classes by adding up probabilities from the largest on: adaptive prediction sets.

    The score of class y is :math:`\sum_{j: p_j > p_y} p_j + u\, p_y` with u uniform, which makes
    the coverage exact; without randomness u = 1 and sets are larger. ``predicted`` is a
    `Prediction` of classes or probabilities ``(n, classes)``; the result is boolean ``(n,
    classes)``.

    Args:
        level: Share of new rows whose class is to lie in its set.
        threshold: The largest score inside, None before `calibrate`.
        randomised: Whether u is drawn.

    Source: Romano, Sesia & Candès (2020), *Classification with valid and adaptive coverage*, eq.
    7–9.

    Example:
        >>> p = torch.tensor([[0.6, 0.3, 0.1]]).expand(9, -1)
        >>> y = torch.tensor([0, 0, 0, 0, 0, 1, 1, 1, 2])
        >>> APS(0.8, randomised=False).calibrate(p, y).predict(p[:1])
        tensor([[ True,  True, False]])
    """

    randomised: bool = True

    def scores(self, predicted: Any, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Score of each row's class."""
        every = _cumulated(_probabilities(predicted), self.randomised, generator)
        return _of_class(every, y)

    def region(
        self, predicted: Any, threshold: Tensor | float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Which classes are in the set, ``(n, classes)``."""
        every = _cumulated(_probabilities(predicted), self.randomised, generator)
        return every <= _column(threshold, every)


@dataclasses.dataclass(frozen=True)
class RAPS(Conformal):
    r"""`APS` with a price on large sets: :math:`\lambda (\mathrm{rank} - k)_+` is added to scores.

    Args:
        level: Share of new rows whose class is to lie in its set.
        threshold: The largest score inside, None before `calibrate`.
        randomised: Whether u is drawn.
        penalty: λ ≥ 0.
        free: k, how many classes cost nothing.

    Raises:
        ValueError: ``penalty`` or ``free`` is negative.

    Source: Angelopoulos et al. (2021), *Uncertainty sets for image classifiers using conformal
    prediction*, eq. 4.

    Example:
        >>> p = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).expand(9, -1)
        >>> y = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1])
        >>> RAPS(0.8, randomised=False).calibrate(p, y).predict(p[:1])
        tensor([[ True,  True, False, False]])
    """

    randomised: bool = True
    penalty: float = 0.01
    free: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.penalty < 0 or self.free < 0:
            raise ValueError(f"penalty and free must not be negative: {self.penalty}, {self.free}")

    def scores(self, predicted: Any, y: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Score of each row's class."""
        return _of_class(self._every(predicted, generator), y)

    def region(
        self, predicted: Any, threshold: Tensor | float, generator: torch.Generator | None = None
    ) -> Tensor:
        """Which classes are in the set, ``(n, classes)``."""
        every = self._every(predicted, generator)
        return every <= _column(threshold, every)

    def _every(self, predicted: Any, generator: torch.Generator | None) -> Tensor:
        table = _probabilities(predicted)
        rank = table.argsort(dim=-1, descending=True, stable=True).argsort(-1) + 1
        price = self.penalty * (rank - self.free).clamp_min(0)
        return _cumulated(table, self.randomised, generator) + price


def _cumulated(table: Tensor, randomised: bool, generator: torch.Generator | None) -> Tensor:
    """Probability of all more probable classes, plus a share of the class's own."""
    order = table.argsort(dim=-1, descending=True, stable=True)
    ranked = table.gather(-1, order)
    before = ranked.cumsum(-1) - ranked
    share = torch.ones_like(table[:, :1])
    if randomised:
        share = uniform(share.shape, share, generator)
    return torch.empty_like(table).scatter(-1, order, before + share * ranked)


def _probabilities(predicted: Any) -> Tensor:
    table = predicted.probabilities if isinstance(predicted, Prediction) else predicted
    if not isinstance(table, Tensor) or table.dim() != 2:
        raise TypeError(
            "sets of classes need a hybrid.Prediction of classes or probabilities (n, classes), "
            f"got {type(predicted).__name__}"
        )
    return class_probabilities(table, torch.zeros(len(table)))[0]


def _of_class(scores: Tensor, y: Tensor) -> Tensor:
    _, index = class_probabilities(torch.full_like(scores, 1 / scores.shape[-1]), y)
    return scores.gather(-1, index.unsqueeze(-1)).squeeze(-1)


def _column(threshold: Tensor | float, like: Tensor) -> Tensor:
    return torch.as_tensor(threshold).to(like).reshape(-1, 1)
