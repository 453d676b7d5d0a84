"""From rows to counts, and from counts to tables (floor 1)."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["family_counts", "prior_counts", "table_of"]


def family_counts(
    columns: Mapping[str, Int[Tensor, " rows"]],
    family: tuple[str, ...],
    sizes: Mapping[str, int],
    weights: Float[Tensor, " rows"] | None = None,
) -> Float[Tensor, "..."]:
    r"""How often each configuration of some variables occurs in complete columns.

    .. math:: N(x) = \sum_r w_r \, [x^{(r)} = x]

    Args:
        columns: State numbers.
        family: Variables, in the order of the axes.
        sizes: The number of states of each.
        weights: :math:`w_r`; None for 1.

    Raises:
        ValueError: A column is missing, or a value in it.

    Example:
        >>> rows = {"A": torch.tensor([0, 1, 1]), "B": torch.tensor([1, 1, 0])}
        >>> family_counts(rows, ("A", "B"), {"A": 2, "B": 2})
        tensor([[0., 1.],
                [1., 1.]], dtype=torch.float64)
    """
    shape = [sizes[name] for name in family]
    index = torch.zeros((), dtype=torch.long)
    for name in family:
        if name not in columns:
            raise ValueError(f"data have no column {name!r}: {_ADVICE}")
        column = columns[name]
        missing = (column < 0).nonzero()
        if len(missing):
            raise ValueError(f"{name!r} is missing in row {int(missing[0, 0])}: {_ADVICE}")
        index = index * sizes[name] + column
    size = math.prod(shape)
    counts = torch.bincount(index, None if weights is None else weights.double(), size)
    return counts.double().reshape(shape)


_ADVICE = "complete data are needed here; expectation_maximisation learns from what there is"


def prior_counts(pseudo_count: Any, name: str, shape: tuple[int, ...]) -> Float[Tensor, "..."]:
    """The counts that a Dirichlet prior adds to those of the data.

    Args:
        pseudo_count: A number, or by variable a number or a table; a variable that is not named has
            0.
        name: The variable.
        shape: The shape of its table.

    Raises:
        ValueError: It is negative, or a table of another shape.

    Example:
        >>> prior_counts({"A": 0.5}, "A", (2,)), prior_counts({"A": 0.5}, "B", (2,))
        (tensor([0.5000, 0.5000], dtype=torch.float64), tensor([0., 0.], dtype=torch.float64))
    """
    given = pseudo_count.get(name, 0.0) if isinstance(pseudo_count, Mapping) else pseudo_count
    values = torch.as_tensor(given, dtype=torch.float64)
    if values.dim() and tuple(values.shape) != shape:
        raise ValueError(f"pseudo_count of {name!r} has shape {tuple(values.shape)}, not {shape}")
    if not bool(((values >= 0) & values.isfinite()).all()):
        raise ValueError(f"pseudo_count of {name!r} is {given}: expected numbers from 0 on")
    return values.expand(shape)


def table_of(counts: Float[Tensor, "..."], otherwise: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Rows of counts divided by their sums; rows without counts are taken from ``otherwise``.

    Example:
        >>> table_of(torch.tensor([[3.0, 1.0], [0.0, 0.0]]), torch.tensor([[0.5, 0.5], [0.2, 0.8]]))
        tensor([[0.7500, 0.2500],
                [0.2000, 0.8000]])
    """
    totals = counts.sum(-1, keepdim=True)
    return torch.where(totals > 0, counts / totals.where(totals > 0, 1.0), otherwise)
