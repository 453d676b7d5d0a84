"""Partition functions and marginals of rows, by whatever way fits them (floor 3).

Where no gradient is recorded a block of rows is collected and distributed. Where one is, marginals
are derivatives of the logarithm of the partition function by logarithms of potentials, so that they
are right at zeros and can be differentiated again. Rows that leave the range of floating point are
computed again with logarithms.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.blocks import blocks
from hybrid.pgm.exact.layout import Axes, home_axes, rows_first, terms
from hybrid.pgm.exact.logarithms import collect_logs, logarithm
from hybrid.pgm.exact.propagation import collect, distribute
from hybrid.pgm.kernels.execution import run
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["Sets", "chosen", "derived", "plain"]

Sets = tuple[tuple[int, ...], ...]
Answer = tuple[Tensor, list[Tensor]]


def plain(tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence, sets: Sets) -> Answer:
    r"""Partition functions and marginals; nothing is recorded for gradients.

    Args:
        tree: The tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.
        sets: Sets of variables, each within one clique.

    Returns:
        The logarithm of the partition function (rows,), and (rows, \*cards) for each set.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2,), ((0,),))
        >>> plain(tree, [torch.tensor([1.0, 3.0])], Evidence(1), ((0,),))
        (tensor([1.3863]), [tensor([[0.2500, 0.7500]])])
    """
    with torch.no_grad():
        found = run(tree, tables, evidence, sets)
        if found is not None and found[0].amin().item() > -math.inf:
            return found
        if found is None:
            parts = [_torch(tree, *part[2:], sets) for part in blocks(tree, tables, evidence)]
            found = _joined(parts)
            doubtful = found[0].isnan()
        else:
            doubtful = found[0].isinf()
        if doubtful.any():
            _rescue(tree, tables, evidence, sets, found, doubtful.nonzero().squeeze(1))
        return found


def _torch(tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence, sets: Sets) -> Answer:
    """A block of rows; NaN for the partition function of rows that need logarithms."""
    rows, places = evidence.rows, [home_axes(tree, variables) for variables in sets]
    collected = collect(tree, terms(tree, tables, evidence))
    log_partition = torch.where(collected.reliable, collected.log_partition, torch.nan)
    beliefs = distribute(tree, collected, {place.clique for place in places})
    found = [rows_first(place.read(beliefs[place.clique]), rows) for place in places]
    return log_partition.expand(rows), found


def _joined(parts: Sequence[Answer]) -> Answer:
    if len(parts) == 1:
        log_partition, found = parts[0]
        return log_partition.contiguous(), [values.contiguous() for values in found]
    logs = torch.cat([log for log, _ in parts])
    return logs, [torch.cat(pieces) for pieces in zip(*(found for _, found in parts), strict=True)]


def _rescue(
    tree: JunctionTree,
    tables: Sequence[Tensor],
    evidence: Evidence,
    sets: Sets,
    found: Answer,
    rows: Tensor,
) -> None:
    """Compute these rows again with logarithms, in place."""
    tables, evidence = chosen(tree, tables, evidence, rows)
    for start, stop, part, seen in blocks(tree, tables, evidence, weight=8):
        log_partition, values = _by_gradient(tree, part, seen, sets, True, False)
        found[0][rows[start:stop]] = log_partition
        for old, new in zip(found[1], values, strict=True):
            old[rows[start:stop]] = new


def chosen(
    tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence, rows: Tensor
) -> tuple[list[Tensor], Evidence]:
    """Tables and evidence of some rows, by their numbers.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2,), ((0,),))
        >>> chosen(tree, [torch.ones(3, 2)], Evidence(3), torch.tensor([0, 2]))[1].rows
        2
    """
    parts = [
        table[rows] if table.dim() > len(scope) else table
        for table, scope in zip(tables, tree.scopes, strict=True)
    ]
    return parts, evidence.chosen(rows)


def derived(tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence, sets: Sets) -> Answer:
    """Partition functions and marginals that autograd can follow, any number of times.

    At tables and likelihoods that are zero too, but for rows that need logarithms: there zeros get
    a gradient of zero.

    Args:
        tree: The tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.
        sets: Sets of variables, each within one clique.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> table = torch.tensor([1.0, 3.0], requires_grad=True)
        >>> log_partition, _ = derived(junction_tree((2,), ((0,),)), [table], Evidence(1), ())
        >>> log_partition.sum().backward()
        >>> table.grad
        tensor([0.2500, 0.2500])
    """
    parts = []
    for *_, part, seen in blocks(tree, tables, evidence):
        found = _by_gradient(tree, part, seen, sets, False, True)
        doubtful = found[0].isnan()
        if doubtful.any():
            found = _apart(tree, part, seen, sets, doubtful)
        parts.append(found)
    return _joined(parts)


def _apart(
    tree: JunctionTree,
    tables: Sequence[Tensor],
    evidence: Evidence,
    sets: Sets,
    doubtful: Tensor,
) -> Answer:
    """Doubtful rows with logarithms, the others again without them.

    In one graph the infinite numbers of some rows would spoil the gradients of all.
    """
    pieces, order = [], []
    for logs in (False, True):
        rows = (doubtful == logs).nonzero().squeeze(1)
        if len(rows):
            some = chosen(tree, tables, evidence, rows)
            pieces.append(_by_gradient(tree, *some, sets, logs, True))
            order.append(rows)
    log_partition, found = _joined(pieces)
    back = torch.cat(order).argsort()
    return log_partition[back], [values[back] for values in found]


def _by_gradient(
    tree: JunctionTree,
    tables: Sequence[Tensor],
    evidence: Evidence,
    sets: Sets,
    logs: bool,
    recorded: bool,
) -> Answer:
    """Marginals as derivatives by potentials that are one everywhere.

    Args:
        tree: The tree.
        tables: Of this block of rows.
        evidence: Of this block of rows.
        sets: The sets whose marginals are wanted.
        logs: Whether to compute with logarithms.
        recorded: Whether marginals are to be differentiable themselves.

    Returns:
        As `plain`; without logarithms the partition function of doubtful rows is NaN.
    """
    if not recorded:
        tables = [table.detach() for table in tables]
    with torch.set_grad_enabled(bool(sets) or recorded):
        factors = terms(tree, tables, evidence)
        if logs:
            factors = [[logarithm(term) for term in clique] for clique in factors]
        places, potentials = _potentials(tree, tables[0], evidence.rows, sets, float(not logs))

        def collected(*potentials: Tensor) -> tuple[Tensor, Tensor]:
            """The sum of all finite logarithms, and the logarithms, NaN for doubtful rows."""
            joined = [list(clique) for clique in factors]
            for place, potential in zip(places, potentials, strict=True):
                joined[place.clique].append(potential)
            if logs:
                found = shown = collect_logs(tree, joined)[0].expand(evidence.rows)
            else:
                answer = collect(tree, joined)
                found = answer.log_partition.expand(evidence.rows)
                shown = torch.where(answer.reliable, found, torch.nan)
            return torch.where(found.isfinite(), found, 0).sum(), shown

        log_partition, grads = _differentiated(collected, potentials, recorded)
    found = [place.compact(grad) for place, grad in zip(places, grads, strict=True)]
    return log_partition, [rows_first(values, evidence.rows) for values in found]


def _differentiated(
    function: Callable[..., tuple[Tensor, Tensor]], inputs: Sequence[Tensor], recorded: bool
) -> tuple[Tensor, Sequence[Tensor]]:
    """What a function gives second, and the derivatives of what it gives first."""
    if not inputs:
        return function()[1], ()
    if torch._C._functorch.maybe_current_level() is not None:  # autograd.grad is refused there
        answer: Any = torch.func.vjp(function, *inputs, has_aux=True)
        total, pull, shown = answer
        return shown, pull(torch.ones_like(total))
    watched = [values.requires_grad_() for values in inputs]
    total, shown = function(*watched)
    return shown, torch.autograd.grad(total, watched, create_graph=recorded)


def _potentials(
    tree: JunctionTree, like: Tensor, rows: int, sets: Sets, value: float
) -> tuple[list[Axes], list[Tensor]]:
    """For each set a potential of its own that changes nothing: all ones, or their logarithms."""
    places = [home_axes(tree, variables) for variables in sets]
    potentials = [like.new_full((*place.shape, rows), value) for place in places]
    return places, potentials
