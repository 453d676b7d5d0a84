"""Rows in blocks."""

import torch

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.blocks import blocks, require_memory
from hybrid.pgm.trees.tree import junction_tree


def test_blocks_cover_all_rows_once() -> None:
    tree = junction_tree((2,) * 17, (tuple(range(17)), (0,)))
    shared, single = torch.ones([2] * 17), torch.rand(100, 2)
    seen = list(blocks(tree, [shared, single], Evidence(100, {1: torch.arange(100) % 2})))
    assert len(seen) > 1
    assert [start for start, *_ in seen[1:]] == [stop for _, stop, *_ in seen[:-1]]
    assert (seen[0][0], seen[-1][1]) == (0, 100)
    for start, stop, tables, evidence in seen:
        assert tables[0] is shared
        assert torch.equal(tables[1], single[start:stop])
        assert evidence.rows == stop - start
        assert torch.equal(evidence.hard[1], torch.arange(start, stop) % 2)


def test_what_fits_is_let_through() -> None:
    require_memory(junction_tree((2, 2), ((0, 1),)), torch.empty(0))
