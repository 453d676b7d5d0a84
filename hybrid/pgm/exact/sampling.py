"""Exact draws from the posterior of a block of rows (floor 2)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.layout import terms
from hybrid.pgm.exact.logarithms import collect_logs, logarithm
from hybrid.pgm.exact.propagation import collect
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["draw_block"]


def draw_block(
    tree: JunctionTree,
    tables: Sequence[Tensor],
    evidence: Evidence,
    n: int,
    generator: torch.Generator | None,
) -> Tensor:
    """Draw assignments, cliques from the roots on, each given its separator.

    Args:
        tree: The tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.
        n: Draws for each row.
        generator: Source of the draws; None: PyTorch's global one.

    Returns:
        States (rows, n, variables).

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2,), ((0,),))
        >>> draw_block(tree, [torch.tensor([0.0, 1.0])], Evidence(1), 3, None)
        tensor([[[1],
                 [1],
                 [1]]])
    """
    values = _values(tree, terms(tree, tables, evidence))
    device = tables[0].device
    shape = (evidence.rows, n)
    states = torch.zeros((len(tree.cardinalities), *shape), dtype=torch.int64, device=device)
    for clique in tree.order:
        uniform = torch.rand(shape, dtype=torch.float64, device=device, generator=generator)
        _draw_clique(tree, clique, values[clique], uniform, states)
    return states.permute(1, 2, 0)


def _values(tree: JunctionTree, factors: list[list[Tensor]]) -> list[Tensor]:
    """Of each clique, messages of its children included; any scale."""
    collected = collect(tree, factors)
    if collected.reliable.all():
        return collected.values
    _, logs = collect_logs(tree, [[logarithm(term) for term in clique] for clique in factors])
    return [_powers(tree, clique, log) for clique, log in enumerate(logs)]


def _powers(tree: JunctionTree, clique: int, logs: Tensor) -> Tensor:
    """Exponentials, those of each separator's cell on a scale of their own."""
    rest = [a for a, v in enumerate(tree.cliques[clique]) if v not in tree.separators[clique]]
    largest = logs.amax(rest, keepdim=True) if rest else logs
    return (logs - torch.where(largest.isfinite(), largest, 0)).exp()


def _draw_clique(
    tree: JunctionTree, clique: int, values: Tensor, uniform: Tensor, states: Tensor
) -> None:
    """Draw what the separator lacks by inversion, in place.

    The distribution functions of all cells of the separator stand one after the other, each one
    higher than the one before: one search finds all.
    """
    held, separator = tree.cliques[clique], tree.separators[clique]
    inside = [axis for axis, variable in enumerate(held) if variable in separator]
    rest = [axis for axis, variable in enumerate(held) if variable not in separator]
    if not rest:
        return
    blocks = math.prod(tree.cardinalities[variable] for variable in separator)
    values = values.permute(len(held), *inside, *rest).to(torch.float64)
    ladder = values.reshape(values.shape[0], blocks, -1).cumsum(-1)
    total = ladder[..., -1:]
    ladder = torch.where(total > 0, ladder / total, 1.0)
    step = torch.zeros_like(states[0])
    for variable in separator:
        step = step * tree.cardinalities[variable] + states[variable]
    lowest = torch.arange(blocks, dtype=torch.float64, device=values.device).unsqueeze(1)
    sought = torch.minimum(step + uniform, torch.nextafter(step + 1.0, step.double()))
    found = torch.searchsorted(
        (ladder + lowest).flatten(1),
        sought if ladder.shape[0] > 1 else sought.reshape(1, -1),
        right=True,
    ).reshape(step.shape)
    number = found - step * ladder.shape[-1]
    for axis in reversed(rest):
        cardinality = tree.cardinalities[held[axis]]
        states[held[axis]] = number % cardinality
        number = number // cardinality
