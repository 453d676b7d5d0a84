"""Log likelihood of checked rows, without looking at them again (floor 0)."""

from typing import Any, TypeVar

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions import constraints
from torch.nn import functional as F

from hybrid.normal_density import HALF_LOG_TAU, is_plain_normal, squares_and_logs

__all__ = ["belongs", "summed", "unchecked"]

Kind = TypeVar("Kind", bound=td.Distribution)


def belongs(x: Tensor, support: constraints.Constraint) -> bool:
    """Whether all values lie in the support; the frequent supports by few operations.

    Example:
        >>> belongs(torch.tensor([0.0, 1.0]), constraints.boolean)
        True
        >>> belongs(torch.tensor([[0.0, float("nan")]]), constraints.real_vector)
        False
    """
    inner: Any = support
    while isinstance(inner, type(constraints.real_vector)):
        inner = inner.base_constraint
    if inner is constraints.real:
        return not bool(x.sum().isnan()) or not bool(x.isnan().any())  # the sum may be inf - inf
    if inner is constraints.boolean:
        return torch.equal(x.clamp(0, 1).round(), x)
    return bool(support.check(x).all())


def unchecked(distribution: Kind) -> Kind:
    """The same distribution, which does not check values.

    Example:
        >>> normal = unchecked(td.Normal(0.0, 1.0, validate_args=True))
        >>> bool(normal.log_prob(torch.tensor(float("nan"))).isnan())
        True
    """
    if not distribution._validate_args and not isinstance(distribution, td.Independent):
        return distribution
    new = object.__new__(type(distribution))
    new.__dict__.update(distribution.__dict__)
    new._validate_args = False
    if isinstance(new, td.Independent):
        new.base_dist = unchecked(new.base_dist)
    return new


def summed(distribution: td.Distribution, x: Tensor) -> Tensor:
    r"""Sum of :math:`\log p(x)` over all rows, in fewer operations for normal and binary entries.

    Args:
        distribution: Of the rows' batch shape.
        x: Rows in its support.

    Example:
        >>> binary = td.Independent(td.Bernoulli(logits=torch.zeros(5, 3)), 1)
        >>> torch.allclose(
        ...     summed(binary, torch.ones(5, 3)), binary.log_prob(torch.ones(5, 3)).sum()
        ... )
        True
    """
    entries: Any = distribution
    while isinstance(entries, td.Independent):
        entries = entries.base_dist
    if entries.batch_shape == x.shape:
        binary = type(entries).log_prob is td.Bernoulli.log_prob  # a subclass may have its own
        if binary and "logits" in entries.__dict__:
            return -F.binary_cross_entropy_with_logits(entries.logits, x, reduction="sum")
        if is_plain_normal(entries):
            squares, logs = squares_and_logs(entries, x)
            return -0.5 * squares.sum() - logs.sum() - HALF_LOG_TAU * x.numel()
    return unchecked(distribution).log_prob(x).sum()
