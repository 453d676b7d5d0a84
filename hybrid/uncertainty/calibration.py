r"""How well probabilities and intervals agree with what happens (floor 0).

Probabilities are ``(n, classes)``, or ``(n,)`` for two classes (of class 1); y is ``(n,)``, class
numbers.
"""

import dataclasses
import math
from typing import Literal

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.special import ndtr

__all__ = [
    "Reliability",
    "brier",
    "calibration_error",
    "class_probabilities",
    "coverage",
    "reliability",
]

Binning = Literal["mass", "width"]


@dataclasses.dataclass(frozen=True)
class Reliability:
    """A reliability diagram's numbers, bin by bin; empty bins are left out.

    Attributes:
        confidence: Mean predicted probability of each bin.
        frequency: Share of the bin's rows in which what was predicted happened.
        count: Rows of each bin.
        deviation: Standard error of the frequency, were the predictions right.

    Example:
        >>> found = reliability(
        ...     torch.tensor([0.2, 0.2, 0.9, 0.9]), torch.tensor([0, 1, 1, 1]), bins=2
        ... )
        >>> found.confidence, found.frequency, found.count
        (tensor([0.2000, 0.9000]), tensor([0.5000, 1.0000]), tensor([2, 2]))
        >>> found.error
        tensor(0.2000)
    """

    confidence: Tensor
    frequency: Tensor
    count: Tensor
    deviation: Tensor

    @property
    def error(self) -> Tensor:
        """Expected calibration error of these bins, not debiased."""
        weight = self.count / self.count.sum()
        return (weight * (self.confidence - self.frequency).abs()).sum()


def class_probabilities(
    probabilities: Float[Tensor, "..."], y: Shaped[Tensor, "n"]
) -> tuple[Float[Tensor, "n classes"], Tensor]:
    """Probabilities ``(n, classes)`` and class numbers as a long tensor, checked.

    Raises:
        ValueError: Shapes do not fit, rows do not sum to one, or y is none of the classes.

    Example:
        >>> class_probabilities(torch.tensor([0.25]), torch.tensor([1]))
        (tensor([[0.7500, 0.2500]]), tensor([1]))
    """
    table = probabilities
    if table.dim() == 1:
        table = torch.stack([1 - table, table], -1)
    if table.dim() != 2 or len(table) != len(y) or not len(y):
        raise ValueError(
            f"probabilities are (n, classes), or (n,) for two classes, with y (n,): got shapes "
            f"{tuple(probabilities.shape)} and {tuple(y.shape)}"
        )
    sums = table.sum(-1)
    if not bool(((sums - 1).abs() < 1e-3).all() and (table >= 0).all() and (table <= 1).all()):
        raise ValueError("probabilities must be from 0 to 1 and each row must sum to 1")
    index = y.long()
    if not bool(((index == y) & (index >= 0) & (index < table.shape[-1])).all()):
        raise ValueError(f"y must hold class numbers from 0 to {table.shape[-1] - 1}")
    return table, index


def brier(probabilities: Float[Tensor, "..."], y: Shaped[Tensor, "n"]) -> Float[Tensor, ""]:
    r"""Brier score, the mean of :math:`\sum_k (p_k - 1\{y = k\})^2`; from 0 (best) to 2.

    Args:
        probabilities: ``(n, classes)``, or ``(n,)`` for two classes.
        y: Class numbers.

    Source: Brier (1950), *Verification of forecasts expressed in terms of probability*, eq. 2.

    Example:
        >>> brier(torch.tensor([[0.8, 0.2]]), torch.tensor([0]))
        tensor(0.0800)
    """
    table, index = class_probabilities(probabilities, y)
    hit = torch.nn.functional.one_hot(index, table.shape[-1]).to(table)
    return (table - hit).square().sum(-1).mean()


def reliability(
    probabilities: Float[Tensor, "..."],
    y: Shaped[Tensor, "n"],
    *,
    bins: int = 15,
    binning: Binning = "mass",
    label: int | None = None,
) -> Reliability:
    """Predicted probabilities beside observed frequencies, by bins of the former.

    Args:
        probabilities: ``(n, classes)``, or ``(n,)`` for two classes (then of class 1).
        y: Class numbers.
        bins: Their number.
        binning: "mass" for bins with equally many rows, "width" for equally wide ones.
        label: The class that is looked at; None for the most probable one of each row.

    Raises:
        ValueError: Shapes or values do not fit, or ``bins`` is below 1.

    Source: DeGroot & Fienberg (1983), *The comparison and evaluation of forecasters*; Guo et al.
    (2017), *On calibration of modern neural networks*, eq. 2.

    Example:
        >>> p = torch.tensor([0.1, 0.4, 0.6, 0.9])
        >>> reliability(p, torch.tensor([0, 0, 1, 1]), bins=1).frequency
        tensor([0.5000])
    """
    table, index = class_probabilities(probabilities, y)
    if label is None and probabilities.dim() == 1:
        label = 1
    confidence, chosen = table.max(-1) if label is None else (table[:, label], label)
    hit = (index == chosen).to(table)
    number = _bins(confidence, bins, binning)
    count = torch.bincount(number, minlength=bins)
    kept = count > 0
    size = count[kept].to(table)
    mean = torch.bincount(number, confidence, minlength=bins)[kept] / size
    share = torch.bincount(number, hit, minlength=bins)[kept] / size
    deviation = (mean * (1 - mean) / size).sqrt()
    return Reliability(mean.to(table), share.to(table), count[kept], deviation.to(table))


def _bins(confidence: Tensor, bins: int, binning: Binning) -> Tensor:
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    if binning == "width":
        return (confidence * bins).long().clamp_max(bins - 1)
    if binning != "mass":
        raise ValueError(f"binning is 'mass' or 'width', got {binning!r}")
    # Equal values share a bin: cut at the values of equally spaced ranks.
    ranks = torch.arange(1, bins, device=confidence.device) * len(confidence) // bins
    edges = confidence.sort().values[ranks].unique()
    return torch.bucketize(confidence.contiguous(), edges, right=True)


def calibration_error(
    probabilities: Float[Tensor, "..."],
    y: Shaped[Tensor, "n"],
    *,
    bins: int = 15,
    binning: Binning = "mass",
    norm: Literal[1, 2] = 1,
    debiased: bool = True,
    classwise: bool = False,
) -> Float[Tensor, ""]:
    r"""Expected calibration error :math:`(\sum_b \frac{n_b}{n} |\bar p_b - \bar y_b|^q)^{1/q}`.

    The plain estimate is too large, because frequencies of few rows scatter; ``debiased`` takes off
    what that scatter adds: for q = 2 exactly (:math:`\bar y (1 - \bar y) / (n_b - 1)` per bin), for
    q = 1 the excess of a folded normal mean at the estimate, which is about half of it where the
    predictions are right. The result is never below 0.

    Args:
        probabilities: ``(n, classes)``, or ``(n,)`` for two classes.
        y: Class numbers.
        bins: Bins per class.
        binning: "mass" for bins with equally many rows, "width" for equally wide ones.
        norm: q, 1 or 2.
        debiased: Whether the scatter is taken off.
        classwise: The mean over all classes (of mean powers) in place of the most probable class.

    Raises:
        ValueError: Shapes or values do not fit.

    Source: Kumar, Liang & Ma (2019), *Verified uncertainty calibration*, section 5 (debiased);
    Kull et al. (2019), *Beyond temperature scaling*, eq. 3 (class-wise).

    Example:
        >>> p, y = torch.full((100,), 0.7), (torch.arange(100) < 70).long()
        >>> calibration_error(p, y), calibration_error(1 - p, y, debiased=False)
        (tensor(0.), tensor(0.4000))
    """
    if norm not in (1, 2):
        raise ValueError(f"norm is 1 or 2, got {norm!r}")
    table, index = class_probabilities(probabilities, y)
    labels: list[int | None] = list(range(table.shape[-1])) if classwise else [None]
    if not classwise and probabilities.dim() == 1:
        labels = [1]
    total = torch.zeros((), dtype=table.dtype, device=table.device)
    for label in labels:
        found = reliability(table, index, bins=bins, binning=binning, label=label)
        weight = found.count / found.count.sum()
        total = total + (weight * _gap(found, norm, debiased)).sum() / len(labels)
    return total.clamp_min(0) ** (1 / norm)


def _gap(found: Reliability, norm: int, debiased: bool) -> Tensor:
    gap = (found.confidence - found.frequency).abs()
    rest = found.frequency * (1 - found.frequency)
    noise = rest / (found.count - 1).clamp_min(1)
    if norm == 2:
        return gap.square() - noise if debiased else gap.square()
    if not debiased:
        return gap
    # E|N(gap, noise)| − gap is how much the absolute value adds on average.
    scale = noise.sqrt().clamp_min(1e-12)
    z = gap / scale
    folded = scale * math.sqrt(2 / math.pi) * torch.exp(-z.square() / 2) + gap * (2 * ndtr(z) - 1)
    return gap - (folded - gap)


def coverage(
    lower: Float[Tensor, "*batch"], upper: Float[Tensor, "*batch"], y: Float[Tensor, "*batch"]
) -> Float[Tensor, ""]:
    """Share of the values that lie between their limits.

    Example:
        >>> coverage(torch.zeros(4), torch.ones(4), torch.tensor([-1.0, 0.0, 0.5, 2.0]))
        tensor(0.5000)
    """
    return ((lower <= y) & (y <= upper)).to(lower.dtype).mean()
