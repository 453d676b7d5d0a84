"""Marginals summed over rows, which take the memory of one row (floor 4)."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.blocks import blocks
from hybrid.pgm.exact.posterior import Sets, chosen, plain
from hybrid.pgm.kernels import execution
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["summed"]


def summed(
    tree: JunctionTree,
    tables: Sequence[Tensor],
    evidence: Evidence,
    sets: Sets,
    weights: Float[Tensor, " rows"] | None = None,
) -> tuple[Float[Tensor, " rows"], list[Float[Tensor, "..."]]]:
    r"""Partition functions of rows, and marginals summed over rows; nothing is recorded.

    .. math:: s(x_A) = \sum_r w_r \, p_r(x_A)

    Args:
        tree: The tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.
        sets: Sets of variables, each within one clique.
        weights: :math:`w_r`, of any sign; None for 1.

    Returns:
        :math:`\log Z` (rows,), and (\*cards) for each set; impossible rows add nothing.

    Source: Lauritzen, "The EM algorithm for graphical association models with missing data"
    (1995), section 3.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2,), ((0,),))
        >>> summed(tree, [torch.tensor([1.0, 3.0])], Evidence(4), ((0,),))[1]
        [tensor([1., 3.])]
    """
    with torch.no_grad():
        found = execution.sums(tree, tables, evidence, sets, weights)
        if found is None:
            parts = []
            for start, stop, part, seen in blocks(tree, tables, evidence):
                some = None if weights is None else weights[start:stop]
                parts.append(_added(tree, part, seen, sets, some))
            totals = [
                sum(pieces[1:], pieces[0]) for pieces in zip(*(t for _, t in parts), strict=True)
            ]
            return torch.cat([log for log, _ in parts]), totals
        logs, totals = found
        rows = logs.isinf().nonzero().squeeze(1)  # possible after all, when seen in logarithms?
        if len(rows):
            part, seen = chosen(tree, tables, evidence, rows)
            some = None if weights is None else weights[rows]
            logs[rows], more = _added(tree, part, seen, sets, some)
            totals = [a + b for a, b in zip(totals, more, strict=True)]
        return logs, totals


def _added(
    tree: JunctionTree,
    tables: Sequence[Tensor],
    evidence: Evidence,
    sets: Sets,
    weights: Tensor | None,
) -> tuple[Tensor, list[Tensor]]:
    logs, found = plain(tree, tables, evidence, sets)
    if weights is None:
        return logs, [values.sum(0) for values in found]
    return logs, [torch.tensordot(weights.to(values), values, 1) for values in found]
