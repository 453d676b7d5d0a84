"""The curvatures of several groups of parameters by one metric, over batches (floor 5)."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hybrid.optim.curvature import Curvature, Rows
from hybrid.optim.metric import Assembly, Derivatives, Metric

__all__ = ["Group", "measured"]


class Group(NamedTuple):
    """Parameters whose metric is wanted.

    Attributes:
        parameters: The parameters.
        form: "full" or "diagonal".

    Example:
        >>> Group([nn.Parameter(torch.zeros(2))], "full").size
        2
    """

    parameters: Sequence[nn.Parameter]
    form: str

    @property
    def size(self) -> int:
        """How many numbers the parameters have."""
        return sum(p.numel() for p in self.parameters)


def measured(
    metric: Metric,
    objective: nn.Module,
    batches: Sequence[tuple[Any, float]],
    groups: Sequence[Group],
    memory: int = 2**30,
) -> list[Curvature]:
    """The curvature of each group; what groups have to do with each other is left out.

    Args:
        metric: What measures.
        objective: On which objective.
        batches: Batches and their weights in the average.
        groups: The groups.
        memory: Bytes that each full metric may take.

    Raises:
        ValueError: A metric has not one entry per parameter, or takes more memory.
        TypeError: A metric is of an unknown kind.
        ArithmeticError: It is not finite.

    Example:
        >>> net = nn.Linear(1, 1)
        >>> twos = lambda objective, batch, parameters: torch.full((2,), 2.0)
        >>> measured(twos, net, [(None, 1.0)], [Group(list(net.parameters()), "full")])
        [Diagonal(values=tensor([2., 2.]))]
    """
    every = [p for group in groups for p in group.parameters]
    size = sum(group.size for group in groups)
    found = [
        (_checked(metric(objective, batch, every), size, metric), share) for batch, share in batches
    ]
    rows = None
    if not any(isinstance(each, Tensor) for each, _ in found):
        rows = sum(_count(each) for each, _ in found)
    flat = all(isinstance(each, Tensor) and each.dim() == 1 for each, _ in found)
    kinds = [p.dtype for p in every]
    like = every[0].new_empty(0, dtype=functools.reduce(torch.promote_types, kinds, torch.float32))
    assemblies: list[tuple[Assembly, slice]] = []
    start = 0
    for group in groups:
        form = "diagonal" if flat else group.form
        assembly = Assembly(like, group.size, form, rows, memory)
        assemblies.append((assembly, slice(start, start + group.size)))
        start += group.size
    for each, share in found:
        for part in map(Rows, each) if isinstance(each, Derivatives) else (each,):
            for assembly, columns in assemblies:
                assembly.add(part, columns, share)
    curvatures = [assembly.curvature() for assembly, _ in assemblies]
    if not all(bool(curvature.diagonal().isfinite().all()) for curvature in curvatures):
        raise ArithmeticError(f"the metric {metric!r} has NaN or infinite entries")
    return curvatures


def _count(found: Any) -> int:
    return len(found.rows) if isinstance(found, Rows) else len(found)


def _checked(found: Any, size: int, metric: Metric) -> Tensor | Rows | Derivatives:
    if isinstance(found, Derivatives):
        return found
    if isinstance(found, Rows):
        if found.rows.dim() == 2 and found.rows.shape[1] == size:
            return found
        raise ValueError(
            f"the metric {metric!r} returned Rows of shape {tuple(found.rows.shape)}: expected "
            f"(rows, {size}) for the {size} parameters it was given"
        )
    if not isinstance(found, Tensor):
        raise TypeError(
            f"the metric {metric!r} must return a tensor ({size},) or ({size}, {size}), or Rows, "
            f"got {type(found).__name__}"
        )
    if tuple(found.shape) not in ((size,), (size, size)):
        raise ValueError(
            f"the metric {metric!r} returned a tensor of shape {tuple(found.shape)}: expected "
            f"({size},) or ({size}, {size}) for the {size} parameters it was given"
        )
    return found
