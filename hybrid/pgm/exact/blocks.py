"""How many rows are computed at a time, and what is too large altogether (floor 0)."""

from collections.abc import Iterator, Sequence

from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.trees.tree import JunctionTree, TooLarge
from quantum.resources import available_bytes

__all__ = ["blocks", "require_memory"]

# Bytes of a tree's values in a block: about what a core's caches hold, or enough to keep all of a
# graphics processor at work. Of large trees a few rows are computed together all the same: calls
# cost more than caches save. The numbers are fixed because random draws depend on the blocks.
_BLOCK = {"cpu": 2**21, "cuda": 2**30}
_ROWS, _LARGEST = 32, 2**28
_UNCHECKED = 2**26  # asking what is free costs more than so little can

Block = tuple[int, int, list[Tensor], Evidence]


def require_memory(tree: JunctionTree, like: Tensor, copies: int = 2) -> None:
    """Raise before anything is allocated if one row of a tree does not fit.

    Args:
        tree: The tree.
        like: A tensor of the dtype and device.
        copies: How often the tree's values are held.

    Raises:
        TooLarge: It does not fit.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> import torch
        >>> require_memory(junction_tree((2,) * 90, (tuple(range(90)),)), torch.empty(0))
        Traceback (most recent call last):
        ...
        hybrid.pgm.trees.tree.TooLarge: the junction tree has 1,237,940,039,... cells: ...
    """
    needed = copies * tree.cells * like.element_size()
    if needed > _UNCHECKED:
        available = available_bytes(like.device)
        if needed > available:
            raise TooLarge(tree.cells, needed, available)


def blocks(
    tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence, weight: int = 1
) -> Iterator[Block]:
    """Parts of the rows that are computed together.

    Args:
        tree: The tree.
        tables: One for each factor, shared or with rows in front.
        evidence: What the rows observe.
        weight: Values that are held for each cell.

    Yields:
        The first row, the row after the last, and tables and evidence of these rows.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> import torch
        >>> tree = junction_tree((2,) * 16, (tuple(range(16)),))
        >>> table = torch.ones([2] * 16, dtype=torch.float64)
        >>> [(start, stop) for start, stop, *_ in blocks(tree, [table], Evidence(40))]
        [(0, 32), (32, 40)]
    """
    like = tables[0]
    budget = _BLOCK.get(like.device.type, _BLOCK["cuda"])
    size = tree.cells * like.element_size() * weight
    step = max(1, budget // size, min(_ROWS, _LARGEST // size))
    if step >= evidence.rows:
        yield 0, evidence.rows, list(tables), evidence
        return
    for start in range(0, evidence.rows, step):
        stop = min(start + step, evidence.rows)
        parts = [
            table[start:stop] if table.dim() > len(scope) else table
            for table, scope in zip(tables, tree.scopes, strict=True)
        ]
        yield start, stop, parts, evidence.part(start, stop)
