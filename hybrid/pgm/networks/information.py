"""Entropies of tables (floor 1)."""

import torch
from torch import Tensor

__all__ = ["entropy_of", "expected_log", "mutual"]


def entropy_of(table: Tensor, count: int) -> Tensor:
    r"""Entropy :math:`-\sum_x p(x) \log p(x)` in nats over the last ``count`` axes.

    Args:
        table: Probabilities (\*batch, \*states).
        count: How many axes are states.

    Source: Cover & Thomas, "Elements of Information Theory" (2006), equation 2.1.

    Example:
        >>> entropy_of(torch.tensor([[0.5, 0.5], [1.0, 0.0]]), 1)
        tensor([0.6931, 0.0000])
    """
    return 0.0 - expected_log(table, table, count)  # 0 and not −0


def expected_log(table: Tensor, values: Tensor, count: int) -> Tensor:
    r""":math:`\sum_x p(x) \log f(x)` over the last ``count`` axes, with 0 log 0 = 0.

    Args:
        table: Probabilities (\*batch, \*states).
        values: What the logarithm is taken of, broadcasting to the table.
        count: How many axes are states.

    Example:
        >>> expected_log(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.5]), 1)
        tensor(-0.6931)
    """
    used = table > 0
    terms = torch.where(used, table, 0.0) * torch.where(used, values, 1.0).log()
    return terms.sum(tuple(range(-count, 0))) if count else terms


def mutual(table: Tensor, first: int, second: int) -> Tensor:
    r"""Mutual information :math:`H(A) + H(B) - H(A, B)` in nats.

    Args:
        table: Probabilities (\*batch, \*states of A, \*states of B).
        first: How many axes A has.
        second: How many axes B has.

    Source: Cover & Thomas, "Elements of Information Theory" (2006), equation 2.45.

    Example:
        >>> mutual(torch.tensor([[0.5, 0.0], [0.0, 0.5]]), 1, 1)
        tensor(0.6931)
    """
    one = table.sum(tuple(range(-second, 0)))
    two = table.sum(tuple(range(-first - second, -second)))
    parts = entropy_of(one, first) + entropy_of(two, second)
    return (parts - entropy_of(table, first + second)).clamp(min=0)
