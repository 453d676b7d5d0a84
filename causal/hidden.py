"""Hidden common causes of a structural causal model, as nodes of a larger graph (floor 0)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor
from torch.distributions import constraints

from causal.graph import Edge, Graph

__all__ = ["Hidden", "expanded", "named_causes", "settled"]


@dataclass(frozen=True)
class Hidden:
    r"""A hidden common cause: ``size`` independent standard normal numbers for each row.

    .. math:: u \sim N(0, I), \qquad x_a = f_a(x_{pa(a)}, u, \epsilon_a), \quad
        x_b = f_b(x_{pa(b)}, u, \epsilon_b)

    It is a Law without parameters. What the cause is in its own units is for the mechanisms at both
    ends of its edge to learn.

    Args:
        size: The number of columns.

    Raises:
        ValueError: ``size`` is below 1.
        TypeError: ``size`` is no whole number.

    Example:
        >>> import torch
        >>> Hidden().event_shape, Hidden(size=3)(torch.zeros(5, 0)).event_shape
        (torch.Size([]), torch.Size([3]))
    """

    size: int = 1

    def __post_init__(self) -> None:
        size: Any = self.size
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"the size of a hidden cause is a number of columns, got {size!r}")
        if size < 1:
            raise ValueError(f"the size of a hidden cause is at least 1, got {size}")

    @property
    def event_shape(self) -> torch.Size:
        """``()`` for one column, else ``(size,)``."""
        return torch.Size([] if self.size == 1 else [self.size])

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        return constraints.real if self.size == 1 else constraints.real_vector

    def __call__(self, context: Tensor) -> td.Distribution:
        r"""Standard normal, with the batch shape of a context (\*batch, 0)."""
        zeros = context.new_zeros((*context.shape[:-1], *self.event_shape))
        normal = td.Normal(zeros, torch.ones_like(zeros))
        return normal if self.size == 1 else td.Independent(normal, 1)


def settled(graph: Graph, hidden: Any = None) -> dict[Edge, Hidden]:
    """The hidden cause of each bidirected edge, in sorted order; `Hidden()` where none is stated.

    Args:
        graph: A graph.
        hidden: Hidden causes by edge, the ends in either order.

    Raises:
        ValueError: The graph lacks an edge, or one is named twice.
        TypeError: Something that is no `Hidden` by edge.

    Example:
        >>> settled(Graph.parse("X <-> Y; Y <-> Z"), {("Z", "Y"): Hidden(2)})
        {('X', 'Y'): Hidden(size=1), ('Y', 'Z'): Hidden(size=2)}
    """
    if hidden is not None and not isinstance(hidden, Mapping):
        raise TypeError(
            f"hidden takes hidden causes by edge, {{('X', 'Y'): Hidden(size=1)}}, got {hidden!r}"
        )
    edges = sorted(graph.bidirected)
    stated: dict[Edge, Hidden] = {}
    for ends, cause in (hidden or {}).items():
        if not isinstance(ends, tuple) or len(ends) != 2:
            raise TypeError(f"hidden names an edge by its two ends, ('X', 'Y'), got {ends!r}")
        if not isinstance(cause, Hidden):
            raise TypeError(f"the hidden cause of {ends} is a causal.Hidden, got {cause!r}")
        first, second = sorted(ends)
        if (first, second) not in edges:
            raise ValueError(
                f"hidden names {first} <-> {second}, which the graph lacks: its bidirected edges "
                f"are {[f'{a} <-> {b}' for a, b in edges]}"
            )
        if (first, second) in stated:
            raise ValueError(f"hidden names {first} <-> {second} twice")
        stated[first, second] = cause
    return {edge: stated.get(edge, Hidden()) for edge in edges}


def named_causes(graph: Graph) -> dict[str, Edge]:
    """A name for each hidden cause that is no variable's, in the order of the sorted edges.

    Example:
        >>> named_causes(Graph.parse("X <-> Y"))
        {'X<->Y': ('X', 'Y')}
    """
    names: dict[str, Edge] = {}
    for first, second in sorted(graph.bidirected):
        name = f"{first}<->{second}"
        while name in graph or name in names:  # names may hold arrows themselves
            name += "'"
        names[name] = (first, second)
    return names


def expanded(graph: Graph) -> Graph:
    """The graph with a node for each hidden cause, in place of its bidirected edge.

    Example:
        >>> expanded(Graph.parse("X -> Y; X <-> Y"))
        Graph.parse('X -> Y; "X<->Y" -> X; "X<->Y" -> Y')
    """
    if not graph.bidirected:
        return graph
    arrows = [(name, end) for name, edge in named_causes(graph).items() for end in edge]
    return Graph([*graph.directed, *arrows], nodes=graph.nodes)
