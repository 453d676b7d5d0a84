"""Tables laid along cliques and read back."""

import itertools

import pytest
import torch

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.layout import axes_of, home_axes, indicator, messages, rows_first, terms
from hybrid.pgm.trees.tree import junction_tree

TREE = junction_tree((2, 3, 4), ((0, 1, 2),))


@pytest.mark.parametrize("rows", [None, 5])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_laid_and_read(size: int, rows: int | None) -> None:
    for variables in itertools.permutations(range(3), size):
        cards = [TREE.cardinalities[v] for v in variables]
        table = torch.rand(cards if rows is None else [rows, *cards])
        axes = axes_of(TREE, 0, variables)
        laid = axes.lay(table)
        assert laid.shape == (*axes.shape, rows or 1)
        back = rows_first(axes.compact(laid), rows or 1)
        assert torch.equal(back, table if rows else table.unsqueeze(0))
        rest = 24 // torch.Size(cards).numel()
        read = rows_first(axes.read(laid.expand(2, 3, 4, rows or 1)), rows or 1)
        torch.testing.assert_close(read, back * rest)


def test_terms_put_what_rows_share_first() -> None:
    single, shared = torch.rand(6, 2), torch.rand(2, 3, 4)
    tree = junction_tree((2, 3, 4), ((0,), (0, 1, 2)))
    evidence = Evidence(6, {1: torch.zeros(6, dtype=torch.int64)}, {2: torch.rand(6, 4)})
    (found,) = terms(tree, [single, shared], evidence)
    shapes = [(2, 3, 4, 1), (2, 1, 1, 6), (1, 3, 1, 6), (1, 1, 4, 6)]
    assert [term.shape for term in found] == shapes


def test_indicators() -> None:
    found = indicator(torch.tensor([2, -1, 0]), 3, torch.float32)
    assert found.T.tolist() == [[0, 0, 1], [1, 1, 1], [1, 0, 0]]


def test_sets_without_a_clique() -> None:
    tree = junction_tree((3, 3, 3), ((0, 1), (1, 2)))
    assert home_axes(tree, (2, 1)).clique == tree.home((1, 2))
    with pytest.raises(ValueError, match="together"):
        home_axes(tree, (0, 2))


def test_messages_go_parents_first() -> None:
    tree = junction_tree((3,) * 6, tuple((v, v + 1) for v in range(5)))
    reached = {clique for clique, parent in enumerate(tree.parents) if parent < 0}
    for way in messages(tree):
        assert way.parent in reached
        reached.add(way.child)
    assert len(reached) == len(tree.cliques)
