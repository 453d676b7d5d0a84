"""Mend a classifier's probabilities on held-out data (floor 0).

Each method is a frozen object: ``calibrate`` returns one that has learnt, ``predict`` uses it.
Logits may be log probabilities, for instance those of ``hybrid.predict``. The door to
scikit-learn's isotonic regression.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Shaped
from sklearn.isotonic import IsotonicRegression
from torch import Tensor
from torch.nn import functional as F

from hybrid.uncertainty.calibration import class_probabilities

__all__ = ["Isotonic", "TemperatureScaling", "VectorScaling"]


@dataclasses.dataclass(frozen=True)
class TemperatureScaling:
    r"""One temperature for all logits: :math:`p = \mathrm{softmax}(z / T)`.

    It keeps the most probable class and can only make the rows more or less sure.

    Args:
        temperature: T, None before `calibrate`.

    Source: Guo et al. (2017), *On calibration of modern neural networks*, eq. 9.

    Example:
        >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
        >>> scaling = TemperatureScaling().calibrate(logits, torch.tensor([0, 0, 1, 1]))
        >>> round(scaling.temperature, 2), scaling.predict(logits)[0].round(decimals=2)
        (3.64, tensor([0.7500, 0.2500]))
    """

    temperature: float | None = None

    def calibrate(
        self, logits: Float[Tensor, "n classes"], y: Shaped[Tensor, "n"]
    ) -> "TemperatureScaling":
        """Find the temperature with the least negative log-likelihood.

        Raises:
            ValueError: Shapes or classes do not fit.
        """
        z, index = _checked(logits, y)
        (log_inverse,) = _minimised(
            lambda log: F.cross_entropy(z * log.exp(), index), torch.zeros((), dtype=z.dtype)
        )
        return TemperatureScaling(float((-log_inverse).exp()))

    def predict(self, logits: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Calibrated probabilities.

        Raises:
            RuntimeError: It was not calibrated.
        """
        if self.temperature is None:
            raise _uncalibrated(self)
        return (logits / self.temperature).softmax(-1)


@dataclasses.dataclass(frozen=True)
class VectorScaling:
    r"""A scale and a shift for each class: :math:`p = \mathrm{softmax}(w \odot z + b)`.

    Args:
        weight: w ``(classes,)``, None before `calibrate`.
        bias: b ``(classes,)``.

    Source: Guo et al. (2017), section 4.2.

    Example:
        >>> logits = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
        >>> scaling = VectorScaling().calibrate(logits, logits.argmax(-1) * 0 + 2)
        >>> bool((scaling.predict(logits).argmax(-1) == 2).all())
        True
    """

    weight: Tensor | None = None
    bias: Tensor | None = None

    def calibrate(
        self, logits: Float[Tensor, "n classes"], y: Shaped[Tensor, "n"]
    ) -> "VectorScaling":
        """Find scales and shifts with the least negative log-likelihood.

        A tiny pull towards (1, 0) keeps them finite where classes are perfectly separated.

        Raises:
            ValueError: Shapes or classes do not fit.
        """
        z, index = _checked(logits, y)
        ones, zeros = torch.ones(z.shape[-1]).to(z), torch.zeros(z.shape[-1]).to(z)

        def loss(weight: Tensor, bias: Tensor) -> Tensor:
            pull = (weight - 1).square().sum() + bias.square().sum()
            return F.cross_entropy(z * weight + bias, index) + 1e-6 * pull

        weight, bias = _minimised(loss, ones, zeros)
        return VectorScaling(weight.to(logits.dtype), bias.to(logits.dtype))

    def predict(self, logits: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
        """Calibrated probabilities.

        Raises:
            RuntimeError: It was not calibrated.
        """
        if self.weight is None or self.bias is None:
            raise _uncalibrated(self)
        return (logits * self.weight + self.bias).softmax(-1)


@dataclasses.dataclass(frozen=True)
class Isotonic:
    """A rising step function of each class's probability, by scikit-learn's isotonic regression.

    Several classes are treated one against the rest and normalised.

    Args:
        steps: One fitted regression per class (the second alone of two), () before `calibrate`.

    Source: Zadrozny & Elkan (2002), *Transforming classifier scores into accurate multiclass
    probability estimates*, sections 3–4.

    Example:
        >>> p, y = torch.tensor([0.6, 0.7, 0.8, 0.9]), torch.tensor([0, 0, 1, 1])
        >>> Isotonic().calibrate(p, y).predict(torch.tensor([0.65, 0.95]))
        tensor([0., 1.])
    """

    steps: tuple[Any, ...] = ()

    def calibrate(self, probabilities: Float[Tensor, "..."], y: Shaped[Tensor, "n"]) -> "Isotonic":
        """Fit the step functions.

        Args:
            probabilities: ``(n, classes)``, or ``(n,)`` for two classes.
            y: Class numbers.

        Raises:
            ValueError: Shapes or values do not fit.
        """
        table, index = class_probabilities(probabilities, y)
        columns = range(table.shape[-1]) if probabilities.dim() == 2 else (1,)
        return Isotonic(tuple(_isotonic(table[:, k], index == k) for k in columns))

    def predict(self, probabilities: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Calibrated probabilities, of the shape that comes in.

        Raises:
            RuntimeError: It was not calibrated.
            ValueError: The number of classes is another one.
        """
        if not self.steps:
            raise _uncalibrated(self)
        table = probabilities.unsqueeze(-1) if probabilities.dim() == 1 else probabilities
        if table.shape[-1] != len(self.steps):
            raise ValueError(
                f"calibrated for {len(self.steps)} columns of probabilities, got {table.shape[-1]}"
            )
        columns = [
            torch.as_tensor(step.predict(column.detach().cpu().numpy())).to(table)
            for step, column in zip(self.steps, table.unbind(-1), strict=True)
        ]
        found = torch.stack(columns, -1)
        if probabilities.dim() == 1:
            return found.squeeze(-1)
        total = found.sum(-1, keepdim=True)
        return torch.where(total > 0, found / total.clamp_min(1e-12), 1 / len(columns))


def _isotonic(confidence: Tensor, hit: Tensor) -> Any:
    step = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    return step.fit(confidence.detach().cpu().double().numpy(), hit.cpu().double().numpy())


def _checked(logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    _, index = class_probabilities(logits.detach().double().softmax(-1), y)
    return logits.detach().double(), index


def _minimised(loss: Callable[..., Tensor], *start: Tensor) -> list[Tensor]:
    """Where a smooth convex function of a few numbers is least, by L-BFGS."""
    numbers = [number.clone().requires_grad_() for number in start]
    optimizer = torch.optim.LBFGS(
        numbers, max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(*numbers)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(closure)
    return [number.detach() for number in numbers]


def _uncalibrated(method: Any) -> RuntimeError:
    name = type(method).__name__
    return RuntimeError(f"{name} has learnt nothing yet: use {name}().calibrate(..., y) first")
