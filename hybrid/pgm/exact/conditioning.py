"""Variables that every row observes, cut out of tables and tree (floor 2)."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.trees.restriction import restricted
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["Conditioned", "conditioned", "worth_cutting"]

# Cells times rows, and the share of all cells, that must be saved before another tree pays: its
# tables differ by row, which costs more than tables that all rows share. Sizes alone decide: the
# same rows are computed in the same way however often they are asked for.
_WORTH, _SHARE = 2e7, 0.4


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A problem without the variables that all rows observe.

    Args:
        tree: Its tree, of the variables that are left, numbered anew.
        tables: Tables at the observed states.
        evidence: What is observed in some rows only.
        left: The old numbers of the variables that are left.
        states: The states (rows,) of the others.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 3), ((0, 1),))
        >>> rows = Evidence(2, {0: torch.tensor([1, 0])})
        >>> conditioned(tree, [torch.arange(6.0).view(2, 3)], rows, (0,)).tables
        [tensor([[3., 4., 5.],
                [0., 1., 2.]])]
    """

    tree: JunctionTree
    tables: list[Tensor]
    evidence: Evidence
    left: tuple[int, ...]
    states: dict[int, Tensor]

    @functools.cached_property
    def number(self) -> dict[int, int]:
        """New numbers of the variables that are left."""
        return {old: new for new, old in enumerate(self.left)}


def worth_cutting(tree: JunctionTree, evidence: Evidence) -> tuple[int, ...]:
    """The variables that all rows observe, if that saves enough work; else ().

    Args:
        tree: The whole tree.
        evidence: What the rows observe.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> worth_cutting(junction_tree((2,), ((0,),)), Evidence(1, {0: torch.tensor([1])}))
        ()
    """
    if tree.cells * evidence.rows < _WORTH or not evidence.hard:
        return ()
    known = torch.stack([states.amin() for states in evidence.hard.values()]) >= 0
    cut = tuple(v for v, all_rows in zip(evidence.hard, known.tolist(), strict=True) if all_rows)
    if len(cut) == len(tree.cardinalities):
        cut = cut[1:]  # a tree has a variable
    saved = tree.cells - _cells_without(tree, cut)
    worth = saved * evidence.rows >= _WORTH and saved >= _SHARE * tree.cells
    return tuple(sorted(cut)) if worth else ()


def _cells_without(tree: JunctionTree, cut: Sequence[int]) -> float:
    logs = np.log(np.asarray(tree.cardinalities, dtype=float))
    logs[list(cut)] = 0.0
    return float(np.exp([logs[list(clique)].sum() for clique in tree.cliques]).sum())


@functools.lru_cache(maxsize=64)
def _without(tree: JunctionTree, left: tuple[int, ...]) -> JunctionTree:
    return restricted(tree, left, range(len(tree.scopes)))


def conditioned(
    tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence, cut: tuple[int, ...]
) -> Conditioned:
    """Put the observed states into the tables and take their variables out of the tree.

    No triangulation is made anew: cliques lose the variables, and those that their neighbours then
    hold are merged with them.

    Args:
        tree: The whole tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.
        cut: Variables that all rows observe.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 3), ((0, 1),))
        >>> rows = Evidence(1, {1: torch.tensor([2])})
        >>> conditioned(tree, [torch.arange(6.0).view(2, 3)], rows, (1,)).tables
        [tensor([[2., 5.]])]
    """
    left = tuple(v for v in range(len(tree.cardinalities)) if v not in set(cut))
    number = {old: new for new, old in enumerate(left)}
    states = {variable: evidence.hard[variable] for variable in cut}
    soft = {number[v]: values for v, values in evidence.soft.items() if v in number}
    hard = {number[v]: values for v, values in evidence.hard.items() if v in number}
    parts = [
        _taken(table, scope, states, evidence.rows)
        for table, scope in zip(tables, tree.scopes, strict=True)
    ]
    smaller = _without(tree, left)
    for variable, values in evidence.soft.items():
        if variable in states:  # a likelihood of what is known: a number for each row
            parts[0] = _scaled(parts[0], smaller.scopes[0], values, states[variable])
    return Conditioned(smaller, parts, Evidence(evidence.rows, hard, soft), left, states)


def _taken(table: Tensor, scope: tuple[int, ...], states: dict[int, Tensor], rows: int) -> Tensor:
    """A table at the observed states, with rows in front where it has one of their variables."""
    if not any(variable in states for variable in scope):
        return table
    own = table.dim() > len(scope)
    known = [axis for axis, variable in enumerate(scope) if variable in states]
    free = [axis for axis in range(len(scope)) if axis not in known]
    place = [states[scope[axis]] for axis in known]
    if own:
        table = table.permute(0, *(1 + axis for axis in (*known, *free)))
        return table[(torch.arange(rows, device=table.device), *place)]
    return table.permute(*known, *free)[tuple(place)]


def _scaled(table: Tensor, scope: tuple[int, ...], values: Tensor, states: Tensor) -> Tensor:
    factor = values.gather(1, states.unsqueeze(1)).reshape(-1, *[1] * len(scope))
    return table * factor
