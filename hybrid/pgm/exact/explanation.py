"""The best assignments of a block of rows, by messages that are lists (floor 2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.layout import messages, terms
from hybrid.pgm.exact.logarithms import logarithm
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["best_of_block"]


@dataclass(frozen=True, eq=False)
class _Choice:
    """How the k best sums of two lists were put together.

    Args:
        child: The clique whose list was the second one.
        picked: Number of the pair, (cells, k, rows).
        width: Length of the second list.
    """

    child: int
    picked: Tensor
    width: int


@dataclass(frozen=True, eq=False)
class _Sent:
    """A clique's message: for each cell of the separator the best completions.

    Args:
        values: (separator, k, rows), best first.
        picked: Number of the cell of the rest, and the place in that cell's list.
        width: Length of the cells' lists.
    """

    values: Tensor
    picked: Tensor
    width: int


def best_of_block(
    tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence, count: int
) -> tuple[Tensor, Tensor]:
    """The ``count`` assignments of each row with the largest products of factors.

    The algebra of lists: a sum of two lists is the best of all their pairs, a maximum the best of
    all members. Assignments differ, since each comes from one choice of cells.

    Args:
        tree: The tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.
        count: How many.

    Returns:
        States (rows, count, variables) and logarithms (rows, count), −∞ where there are no more.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((3,), ((0,),))
        >>> best_of_block(tree, [torch.tensor([1.0, 4.0, 2.0])], Evidence(1), 2)[0]
        tensor([[[1],
                 [2]]])
    """
    rows, sent, choices = evidence.rows, list[_Sent | None](), list[list[_Choice]]()
    values = []
    for clique, factors in enumerate(terms(tree, tables, evidence)):
        logs = tables[0].new_zeros((*tree.sizes(clique), rows))
        for term in factors:
            logs = logs + logarithm(term)
        values.append(logs.reshape(-1, 1, rows))
        choices.append([])
        sent.append(None)
    total, last = tables[0].new_zeros(1, 1, rows), list[_Choice]()
    ups = {way.child: way.up.shape for way in messages(tree)}
    for clique in reversed(tree.order):
        message = sent[clique] = _message(tree, clique, values[clique], count)
        parent = tree.parents[clique]
        if parent < 0:
            total, choice = _paired(total, message.values, clique, count)
            last.append(choice)
        else:
            width = message.values.shape[1]
            spread = message.values.reshape(*ups[clique], width, rows)
            spread = spread.expand(*tree.sizes(parent), width, rows).reshape(-1, width, rows)
            values[parent], choice = _paired(values[parent], spread, clique, count)
            choices[parent].append(choice)
    return _traced(tree, total, last, choices, [message for message in sent if message], count)


def _paired(one: Tensor, two: Tensor, child: int, count: int) -> tuple[Tensor, _Choice]:
    """The best sums of a member of each list."""
    width = two.shape[1]
    sums = (one.unsqueeze(2) + two.unsqueeze(1)).flatten(1, 2)
    values, picked = sums.topk(min(count, sums.shape[1]), dim=1)
    return values, _Choice(child, picked, width)


def _message(tree: JunctionTree, clique: int, values: Tensor, count: int) -> _Sent:
    """The best members of the lists of all cells with the same separator."""
    width, rows = values.shape[1:]
    order, inside = _split(tree, clique)
    sizes = tree.sizes(clique)
    whole = values.reshape(*sizes, width, rows).permute(*order, len(sizes), len(sizes) + 1)
    lists = whole.reshape(inside, -1, rows)
    found, picked = lists.topk(min(count, lists.shape[1]), dim=1)
    return _Sent(found, picked, width)


def _split(tree: JunctionTree, clique: int) -> tuple[list[int], int]:
    """Axes of a clique, those of its separator first, and the separator's number of cells."""
    held, separator = tree.cliques[clique], tree.separators[clique]
    first = [axis for axis, variable in enumerate(held) if variable in separator]
    rest = [axis for axis, variable in enumerate(held) if variable not in separator]
    return first + rest, math.prod(tree.cardinalities[variable] for variable in separator)


def _traced(
    tree: JunctionTree,
    total: Tensor,
    last: list[_Choice],
    choices: list[list[_Choice]],
    sent: list[_Sent],
    count: int,
) -> tuple[Tensor, Tensor]:
    """Follow the choices from the best sums back to states."""
    found, rows = total.shape[1:]
    states = total.new_zeros((len(tree.cardinalities), found, rows), dtype=torch.int64)
    every = torch.arange(rows, device=total.device)
    places: dict[int, Tensor] = {}

    def follow(made: list[_Choice], cell: Tensor | int, place: Tensor) -> Tensor:
        for choice in reversed(made):
            pair = choice.picked[cell, place, every]
            place, places[choice.child] = pair // choice.width, pair % choice.width
        return place

    follow(last, 0, torch.arange(found, device=total.device).unsqueeze(1).expand(found, rows))
    for clique in tree.order:
        separator = tree.separators[clique]
        inside = _number(tree, separator, states)
        pair = sent[clique].picked[inside, places[clique], every]
        rest = [variable for variable in tree.cliques[clique] if variable not in separator]
        _set_states(tree, rest, pair // sent[clique].width, states)
        cell = _number(tree, tree.cliques[clique], states)
        follow(choices[clique], cell, pair % sent[clique].width)
    logs = total[0].T
    if found < count:
        states = torch.cat([states, states[:, -1:].expand(-1, count - found, -1)], 1)
        logs = torch.nn.functional.pad(logs, (0, count - found), value=-torch.inf)
    return states.permute(2, 1, 0), logs


def _number(tree: JunctionTree, variables: Sequence[int], states: Tensor) -> Tensor:
    """The number of a cell of a table over these variables."""
    number = torch.zeros_like(states[0])
    for variable in variables:
        number = number * tree.cardinalities[variable] + states[variable]
    return number


def _set_states(
    tree: JunctionTree, variables: Sequence[int], number: Tensor, states: Tensor
) -> None:
    """The states of these variables in a cell, in place."""
    for variable in reversed(variables):
        states[variable] = number % tree.cardinalities[variable]
        number = number // tree.cardinalities[variable]
