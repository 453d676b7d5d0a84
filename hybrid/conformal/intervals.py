"""Intervals of numbers: split conformal prediction and quantile regression (floor 3)."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from hybrid.conformal.method import Conformal
from hybrid.prediction import Prediction

__all__ = ["CQR", "Split"]


@dataclasses.dataclass(frozen=True)
class Split(Conformal):
    r"""Intervals :math:`\hat y \pm q\, \hat\sigma`: split (inductive) conformal prediction.

    ``predicted`` is a `Prediction` (mean and standard deviation), the mean as a tensor
    (:math:`\hat\sigma = 1`), or a pair of tensors.

    Source: Papadopoulos et al. (2002), *Inductive confidence machines for regression*; Lei et al.
    (2018), *Distribution-free predictive inference for regression*, algorithm 2 and section 5.2.

    Example:
        >>> y = torch.arange(-4.0, 5.0)
        >>> Split(0.8).calibrate(torch.zeros(9), y).predict(torch.tensor([10.0]))
        (tensor([6.]), tensor([14.]))
    """

    def scores(self, predicted: Any, y: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Absolute residuals in units of the scale."""
        centre, scale = _centre_and_scale(predicted)
        _same(centre, y)
        return (y - centre).abs() / scale

    def region(
        self,
        predicted: Any,
        threshold: Tensor | float,
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Lower and upper limits ``(n,)``."""
        centre, scale = _centre_and_scale(predicted)
        reach = torch.as_tensor(threshold).to(scale) * scale
        return centre - reach, centre + reach


@dataclasses.dataclass(frozen=True)
class CQR(Conformal):
    r"""Predicted quantiles, moved apart or together: conformalised quantile regression.

    ``predicted`` is a `Prediction` (its central interval of ``level``) or a pair of tensors, lower
    and upper. The intervals keep the width that the model gives each row, plus one constant.

    Source: Romano, Patterson & Candès (2019), *Conformalized quantile regression*, eq. 6–8.

    Example:
        >>> lower, upper = torch.zeros(4), torch.ones(4)
        >>> method = CQR(0.8).calibrate((lower, upper), torch.tensor([0.5, 1.25, -0.25, 1.5]))
        >>> method.predict((torch.tensor([5.0]), torch.tensor([7.0])))
        (tensor([4.5000]), tensor([7.5000]))
    """

    def scores(self, predicted: Any, y: Tensor, generator: torch.Generator | None = None) -> Tensor:  # noqa: ARG002
        """Signed distance beyond the nearer limit."""
        lower, upper = self._limits(predicted)
        _same(lower, y)
        return torch.maximum(lower - y, y - upper)

    def region(
        self,
        predicted: Any,
        threshold: Tensor | float,
        generator: torch.Generator | None = None,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Lower and upper limits ``(n,)``."""
        lower, upper = self._limits(predicted)
        move = torch.as_tensor(threshold).to(lower)
        return lower - move, upper + move

    def _limits(self, predicted: Any) -> tuple[Tensor, Tensor]:
        return _pair(
            predicted.interval(self.level) if isinstance(predicted, Prediction) else predicted
        )


def _centre_and_scale(predicted: Any) -> tuple[Tensor, Tensor]:
    if isinstance(predicted, Prediction):
        return predicted.mean, predicted.variance.sqrt()
    if isinstance(predicted, Tensor):
        return predicted, torch.ones_like(predicted)
    centre, scale = _pair(predicted)
    if not bool((scale > 0).all()):
        raise ValueError("scales must be positive in every row")
    return centre, scale


def _pair(predicted: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(predicted, tuple | list) or len(predicted) != 2:
        raise TypeError(
            f"expected a hybrid.Prediction or a pair of tensors, got {type(predicted).__name__}"
        )
    return predicted[0], predicted[1]


def _same(predicted: Tensor, y: Tensor) -> None:
    if predicted.shape != y.shape or y.dim() != 1:
        raise ValueError(
            f"predictions and values are scalars (n,), got shapes {tuple(predicted.shape)} and "
            f"{tuple(y.shape)}"
        )
