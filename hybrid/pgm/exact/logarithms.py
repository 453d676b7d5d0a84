"""Messages in logarithms: slower, for rows that floating point cannot hold (floor 1)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hybrid.pgm.exact.layout import messages
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["collect_logs", "log_sum", "logarithm"]


def logarithm(values: Tensor) -> Tensor:
    """Elementwise logarithm; zeros give −inf, and no gradient instead of an infinite one.

    Example:
        >>> logarithm(torch.tensor([0.0, 1.0]))
        tensor([-inf, 0.])
    """
    positive = values > 0
    return torch.where(positive, torch.where(positive, values, 1).log(), -torch.inf)


def log_sum(values: Tensor, axes: Sequence[int]) -> Tensor:
    """Logarithm of the sum of exponentials; −inf alone gives −inf and a gradient of zero.

    Args:
        values: Logarithms.
        axes: Over which to sum.

    Example:
        >>> log_sum(torch.full((2, 3), -torch.inf), (0,))
        tensor([-inf, -inf, -inf])
    """
    if not axes:
        return values
    largest = values.detach().amax(tuple(axes), keepdim=True)
    largest = torch.where(largest.isfinite(), largest, 0)
    total = (values - largest).exp().sum(tuple(axes), keepdim=True)
    return (logarithm(total) + largest).squeeze(tuple(axes))


def collect_logs(
    tree: JunctionTree, terms: Sequence[Sequence[Tensor]]
) -> tuple[Tensor, list[Tensor]]:
    r"""Send messages from the leaves to the roots, as `collect` does, in logarithms.

    Args:
        tree: The tree.
        terms: Logarithms of what is multiplied in each clique.

    Returns:
        The logarithm of the partition function (rows or 1,), and of each clique's values, the
        messages of its children included, (\*sizes, rows or 1).

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> collect_logs(junction_tree((2,), ((0,),)), [[torch.tensor([[-800.0], [-800.0]])]])[0]
        tensor([-799.3068])
    """
    like = next(term for factors in terms for term in factors)
    values: list[Tensor] = []
    for clique, factors in enumerate(terms):
        value = like.new_zeros((1,) * (len(tree.cliques[clique]) + 1))
        for term in factors:
            value = value + term
        values.append(value)
    for way in reversed(messages(tree)):
        value = _full(values[way.child], tree.sizes(way.child))
        message = log_sum(value, way.down.rest)
        message = message.reshape(*way.up.shape, message.shape[-1])
        values[way.parent] = values[way.parent] + message
    values = [_full(value, tree.sizes(clique)) for clique, value in enumerate(values)]
    roots = [clique for clique, parent in enumerate(tree.parents) if parent < 0]
    totals = [log_sum(values[root], range(values[root].dim() - 1)) for root in roots]
    rows = max(total.shape[-1] for total in totals)
    return torch.stack([total.expand(rows) for total in totals]).sum(0), values


def _full(value: Tensor, sizes: tuple[int, ...]) -> Tensor:
    return value.expand(*sizes, value.shape[-1])
