"""The log density of normal entries in fewer operations than torch's own (floor 0)."""

import math
from typing import Any

import torch.distributions as td
from torch import Tensor

__all__ = ["HALF_LOG_TAU", "is_plain_normal", "squares_and_logs"]

HALF_LOG_TAU = 0.5 * math.log(2 * math.pi)


def is_plain_normal(distribution: Any) -> bool:
    """Whether the density is that of ``Normal``, which a subclass may have changed.

    Example:
        >>> is_plain_normal(td.Normal(0.0, 1.0)), is_plain_normal(td.LogNormal(0.0, 1.0))
        (True, False)
    """
    return type(distribution).log_prob is td.Normal.log_prob


def squares_and_logs(normal: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    r"""The squares of standardised values, and the logarithms of the scales.

    .. math:: \log p(y) = -\tfrac12 \Big(\frac{y - \mu}{\sigma}\Big)^2 - \log \sigma
        - \tfrac12 \log 2\pi

    They stay apart because sums over entries, components or rows are cheaper before the rest.

    Args:
        normal: What `is_plain_normal` holds of.
        value: Values, broadcast against its batch.

    Example:
        >>> import torch
        >>> normal, y = td.Normal(torch.zeros(2), 2.0), torch.tensor([0.0, 4.0])
        >>> squares, logs = squares_and_logs(normal, y)
        >>> torch.allclose(-0.5 * squares - logs - HALF_LOG_TAU, normal.log_prob(y))
        True
    """
    distance = (value - normal.loc) / normal.scale
    return distance * distance, normal.scale.log()
