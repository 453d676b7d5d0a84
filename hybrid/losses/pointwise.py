"""Losses as functions: one number per row (floor 1)."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor
from torch.nn import functional as F

from causal.law import log_probability_of

__all__ = [
    "beta_nll",
    "focal",
    "label_smoothing",
    "negative_log_likelihood",
    "pinball",
    "same_rows",
]


def negative_log_likelihood(distribution: Any, y: Tensor) -> Tensor:
    """Minus the log probability (density) of y, row by row; y is never broadcast.

    Example:
        >>> negative_log_likelihood(td.Normal(torch.zeros(2), 1.0), torch.tensor([0.0, 2.0]))
        tensor([0.9189, 2.9189])
    """
    return -log_probability_of(distribution, y)


def focal(
    predicted: Any, y: Tensor, gamma: float = 2.0, weight: Sequence[float] | None = None
) -> Tensor:
    r"""Focal loss :math:`-w_y (1 - p_y)^\gamma \log p_y`: rows that are sure and right count less.

    Args:
        predicted: Logits or a distribution over classes.
        y: Classes ``(*batch,)``.
        gamma: γ ≥ 0; 0 is cross-entropy.
        weight: One weight per class (two for two classes); None for 1.

    Raises:
        ValueError: γ is negative, the weights do not fit, or y is none of the classes.

    Source: Lin et al. (2017), *Focal loss for dense object detection*, eq. 4–5.

    Example:
        >>> logits, y = torch.tensor([[2.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
        >>> focal(logits, y), focal(logits, y, gamma=0.0)
        (tensor([0.0018, 1.6501]), tensor([0.1269, 2.1269]))
    """
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma must be 0 or more, got {gamma}")
    logs, index = _log_probabilities(predicted, y)
    log = logs.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    # 1 − p from the other classes, so that it neither cancels nor has an infinite slope at 0.
    others = logs.scatter(-1, index.unsqueeze(-1), -math.inf).logsumexp(-1)
    result = -torch.exp(gamma * others) * log if gamma else -log
    if weight is not None:
        if len(weight) != logs.shape[-1]:
            raise ValueError(f"{len(weight)} weights for {logs.shape[-1]} classes")
        result = result * result.new_tensor(weight)[index]
    return result


def label_smoothing(predicted: Any, y: Tensor, smoothing: float = 0.1) -> Tensor:
    r"""Cross-entropy against :math:`(1 - \epsilon)` on the class and ε spread over all k classes.

    Args:
        predicted: Logits or a distribution over classes.
        y: Classes ``(*batch,)``.
        smoothing: ε in [0, 1].

    Raises:
        ValueError: ε is outside, or y is none of the classes.

    Source: Szegedy et al. (2016), *Rethinking the Inception architecture*, section 7.

    Example:
        >>> logits, y = torch.tensor([[2.0, 0.0]]), torch.tensor([0])
        >>> label_smoothing(logits, y, 0.2), label_smoothing(logits, y, 0.0)
        (tensor([0.3269]), tensor([0.1269]))
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing must be between 0 and 1, got {smoothing}")
    logs, index = _log_probabilities(predicted, y)
    log = logs.gather(-1, index.unsqueeze(-1)).squeeze(-1)
    return -(1 - smoothing) * log - smoothing * logs.mean(-1)


def beta_nll(distribution: Any, y: Tensor, beta: float = 0.5) -> Tensor:
    r"""Negative log-likelihood, each row weighted by its own variance to the power β.

    .. math:: \lfloor \sigma^{2 \beta} \rfloor\, (-\log p(y))

    The weight has no gradient. β = 0 is the likelihood, whose gradient of the mean dies where the
    variance is large; β = 1 gives the mean the gradient of squared error.

    Args:
        distribution: Law with a variance, of scalars or of independent entries.
        y: Values ``(*batch, *event)``.
        beta: β in [0, 1].

    Raises:
        ValueError: β is outside, or y has another shape.

    Source: Seitzer et al. (2022), *On the pitfalls of heteroscedastic uncertainty estimation with
    probabilistic neural networks*, eq. 5.

    Example:
        >>> law = td.Normal(torch.zeros(2), torch.tensor([1.0, 4.0]))
        >>> beta_nll(law, torch.zeros(2)) / negative_log_likelihood(law, torch.zeros(2))
        tensor([1., 4.])
    """
    if not 0 <= beta <= 1:
        raise ValueError(f"beta must be between 0 and 1, got {beta}")
    log_probability_of(distribution, y)  # looks at the shapes
    dims = len(distribution.event_shape)
    while isinstance(distribution, td.Independent):
        distribution = distribution.base_dist
    each = -distribution.log_prob(y) * distribution.variance.detach().pow(beta)
    return each.sum(tuple(range(-dims, 0))) if dims else each


def pinball(predicted: Any, y: Tensor, levels: Sequence[float] | None = None) -> Tensor:
    r"""Mean over the levels of :math:`\max(\tau (y - q_\tau), (\tau - 1)(y - q_\tau))`.

    Args:
        predicted: Quantiles ``(*batch, levels)``, or a law that has ``knots`` and ``levels`` (the
            head `Quantile`).
        y: Values ``(*batch,)``.
        levels: Their levels within (0, 1), for quantiles that come as a tensor.

    Raises:
        ValueError: The levels are missing or do not fit, or y has another shape.

    Source: Koenker & Bassett (1978), *Regression quantiles*, eq. 3.

    Example:
        >>> pinball(torch.tensor([[0.0, 1.0]]), torch.tensor([3.0]), levels=[0.1, 0.9])
        tensor([1.0500])
    """
    quantiles, known = predicted, levels
    if isinstance(predicted, td.Distribution):
        quantiles, known = getattr(predicted, "knots", None), getattr(predicted, "levels", None)
    if quantiles is None or known is None:
        raise ValueError(
            "pinball needs quantiles and their levels=, or a law of hybrid.heads.Quantile"
        )
    tau = torch.tensor(tuple(known)).to(quantiles)
    if len(tau) != quantiles.shape[-1] or not bool(((tau > 0) & (tau < 1)).all()):
        raise ValueError(f"{quantiles.shape[-1]} quantiles for the levels {list(known)}")
    same_rows(quantiles.shape[:-1], y)
    over = y.unsqueeze(-1) - quantiles
    return torch.maximum(tau * over, (tau - 1) * over).mean(-1)


def _log_probabilities(predicted: Any, y: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities ``(*batch, classes)``, and y as an index ``(*batch,)``."""
    logits = predicted
    if isinstance(predicted, td.Distribution):
        if not isinstance(predicted, td.Bernoulli | td.Categorical):
            raise TypeError(
                f"this loss is of classes, {type(predicted).__name__} has none: give logits or the "
                "law of a Bernoulli, Categorical or Ordinal head"
            )
        logits = predicted.logits
        if isinstance(predicted, td.Bernoulli):
            logs = torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], -1)
        else:
            logs = logits.log_softmax(-1)
    elif logits.dim() == y.dim():
        logs = torch.stack([F.logsigmoid(-logits), F.logsigmoid(logits)], -1)
    else:
        logs = logits.log_softmax(-1)
    same_rows(logs.shape[:-1], y)
    index = y.long()
    if not bool(((index == y) & (index >= 0) & (index < logs.shape[-1])).all()):
        raise ValueError(f"y must hold class numbers from 0 to {logs.shape[-1] - 1}")
    return logs, index


def same_rows(rows: Sequence[int], y: Tensor) -> None:
    """Raise unless y has one value for each of the rows ``(*batch,)``.

    Example:
        >>> same_rows((3,), torch.zeros(3))
    """
    if tuple(y.shape) != tuple(rows):
        raise ValueError(
            f"y has shape {tuple(y.shape)}, the prediction is for {tuple(rows)}: they must agree, "
            "data is never broadcast"
        )
