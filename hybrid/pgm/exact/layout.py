"""Tables and evidence laid along the axes of cliques, rows last (floor 0)."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.trees.tree import JunctionTree

__all__ = [
    "Axes",
    "Message",
    "axes_of",
    "home_axes",
    "indicator",
    "messages",
    "rows_first",
    "terms",
]


@dataclass(frozen=True)
class Axes:
    """How a table over some variables of a clique is laid along the clique's axes.

    Args:
        clique: The number of the clique.
        order: The table's axes in the order of the clique's.
        shape: Its sizes there, 1 for variables it does not have; the axis of rows is left out.
        rest: The clique's axes that it does not have.
        back: The clique's remaining axes in the order of the table's.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> axes_of(junction_tree((2, 3, 4), ((0, 1, 2),)), 0, (2, 0))
        Axes(clique=0, order=(1, 0), shape=(2, 1, 4), rest=(1,), back=(1, 0))
    """

    clique: int
    order: tuple[int, ...]
    shape: tuple[int, ...]
    rest: tuple[int, ...]
    back: tuple[int, ...]

    def lay(self, table: Tensor) -> Tensor:
        r"""A table (\*cards,) or (rows, \*cards) as (\*shape, rows or 1)."""
        last = len(self.order)
        table = table.movedim(0, -1) if table.dim() > last else table.unsqueeze(-1)
        if self.order != tuple(range(last)):
            table = table.permute(*self.order, last)
        return table.reshape(*self.shape, table.shape[-1])

    def read(self, values: Tensor) -> Tensor:
        r"""Sum a clique's values (\*sizes, rows) to a table (\*cards, rows)."""
        return self._ordered(values.sum(self.rest) if self.rest else values)

    def compact(self, values: Tensor) -> Tensor:
        r"""Values (\*shape, rows) as a table (\*cards, rows)."""
        return self._ordered(values.squeeze(self.rest) if self.rest else values)

    def _ordered(self, values: Tensor) -> Tensor:
        last = len(self.back)
        if self.back != tuple(range(last)):
            values = values.permute(*self.back, last)
        return values


@functools.lru_cache(maxsize=65536)
def axes_of(tree: JunctionTree, clique: int, variables: tuple[int, ...]) -> Axes:
    """How a table over these variables, in this order, is laid along a clique.

    Args:
        tree: The tree.
        clique: The number of the clique; it holds the variables.
        variables: One for each axis of the table.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> axes_of(junction_tree((2, 3), ((1, 0),)), 0, (1, 0)).order
        (1, 0)
    """
    held = tree.cliques[clique]
    kept = [variable for variable in held if variable in variables]
    return Axes(
        clique=clique,
        order=tuple(variables.index(variable) for variable in kept),
        shape=tuple(tree.cardinalities[v] if v in variables else 1 for v in held),
        rest=tuple(axis for axis, variable in enumerate(held) if variable not in variables),
        back=tuple(kept.index(variable) for variable in variables),
    )


@functools.lru_cache(maxsize=65536)
def home_axes(tree: JunctionTree, variables: tuple[int, ...]) -> Axes:
    """How a table over these variables is laid along the smallest clique that holds them.

    Args:
        tree: The tree.
        variables: One for each axis of the table.

    Raises:
        ValueError: No clique holds them all.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> home_axes(junction_tree((2, 3, 3), ((0, 1), (1, 2))), (0,)).shape
        (2, 1)
    """
    home = tree.home(variables)
    if home is None:
        raise ValueError(
            f"the variables {variables} share no clique of the tree: name them in `together` when "
            "the tree is made"
        )
    return axes_of(tree, home, variables)


@dataclass(frozen=True)
class Message:
    """The way between a clique and its parent.

    Args:
        child: The clique.
        parent: Its parent.
        down: The separator along the child's axes.
        up: The separator along the parent's axes.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> [(m.child, m.parent) for m in messages(junction_tree((2, 3, 3), ((0, 1), (1, 2))))]
        [(1, 0)]
    """

    child: int
    parent: int
    down: Axes
    up: Axes


@functools.lru_cache(maxsize=256)
def messages(tree: JunctionTree) -> tuple[Message, ...]:
    """The ways of a tree, those of parents before those of their children.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> len(messages(junction_tree((2, 3, 3), ((0, 1), (1, 2)))))
        1
    """
    found = []
    for child in tree.order:
        parent, separator = tree.parents[child], tree.separators[child]
        if parent >= 0:
            down = axes_of(tree, child, separator)
            found.append(Message(child, parent, down, axes_of(tree, parent, separator)))
    return tuple(found)


def indicator(states: Tensor, cardinality: int, dtype: torch.dtype) -> Tensor:
    """1 for the states that a row allows: the observed one, or all where it is −1.

    Args:
        states: (rows,).
        cardinality: How many states there are.
        dtype: Of the result, (cardinality, rows).

    Example:
        >>> indicator(torch.tensor([1, -1]), 2, torch.float64)
        tensor([[0., 1.],
                [1., 1.]], dtype=torch.float64)
    """
    numbers = torch.arange(cardinality, device=states.device).unsqueeze(-1)
    return ((numbers == states) | (states < 0)).to(dtype)


def terms(tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence) -> list[list[Tensor]]:
    r"""What is multiplied in each clique, shared tables first.

    Args:
        tree: The tree.
        tables: One for each factor, (\*cards of the scope) or (rows, \*cards of the scope).
        evidence: What the rows observe.

    Returns:
        For each clique tensors (\*sizes or 1, rows or 1).

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 3), ((0, 1),))
        >>> [term.shape for term in terms(tree, [torch.rand(3, 2).T], Evidence(5))[0]]
        [torch.Size([2, 3, 1])]
    """
    shared: list[list[Tensor]] = [[] for _ in tree.cliques]
    single: list[list[Tensor]] = [[] for _ in tree.cliques]
    for scope, home, table in zip(tree.scopes, tree.homes, tables, strict=True):
        place = single if table.dim() > len(scope) else shared
        place[home].append(axes_of(tree, home, scope).lay(table))
    dtype = tables[0].dtype if tables else torch.float64
    for variable, states in evidence.hard.items():
        home = tree.variable_homes[variable]
        allowed = indicator(states, tree.cardinalities[variable], dtype)
        single[home].append(allowed.view(*axes_of(tree, home, (variable,)).shape, -1))
    for variable, values in evidence.soft.items():
        home = tree.variable_homes[variable]
        single[home].append(axes_of(tree, home, (variable,)).lay(values))
    return [[*first, *second] for first, second in zip(shared, single, strict=True)]


def rows_first(values: Tensor, rows: int) -> Tensor:
    r"""Values (\*cards, rows or 1) as (rows, \*cards).

    Example:
        >>> rows_first(torch.zeros(2, 3, 1), 5).shape
        torch.Size([5, 2, 3])
    """
    return values.movedim(-1, 0).expand(rows, *values.shape[:-1])
