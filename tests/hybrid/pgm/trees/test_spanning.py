"""Junction forests: by all pairs, and by search where pairs are too many."""

import pytest
from random_graphs import assert_running_intersection, random_graph

from hybrid.pgm.trees import spanning
from hybrid.pgm.trees.elimination import cells_of
from hybrid.pgm.trees.spanning import contracted, rooted, spanning_forest
from hybrid.pgm.trees.triangulation import triangulate


@pytest.mark.parametrize("most", [10**9, 0])
@pytest.mark.parametrize("seed", range(12))
def test_running_intersection(seed: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spanning, "_MOST_PAIRS", most)
    graph, cards = random_graph(seed)
    cliques = triangulate(graph, cards)
    assert_running_intersection(cliques, spanning_forest(cliques, cards), len(cards))


@pytest.mark.parametrize("seed", range(12))
def test_contraction_keeps_it_and_adds_no_cell(seed: int) -> None:
    graph, cards = random_graph(seed)
    cliques = triangulate(graph, cards)
    merged, edges = contracted(cliques, spanning_forest(cliques, cards), cards)
    assert_running_intersection(merged, edges, len(cards))
    cells = [sum(cells_of(clique, cards) for clique in some) for some in (cliques, merged)]
    assert cells[1] <= cells[0]
    assert all(any(not clique & ~other for other in merged) for clique in cliques)


def test_roots_are_the_largest_of_their_trees() -> None:
    parents, order = rooted([1, 9, 2, 5, 7], [(0, 1), (1, 2), (3, 4)])
    assert parents == [1, -1, 1, 4, -1]
    assert all(
        order.index(parent) < order.index(n) for n, parent in enumerate(parents) if parent >= 0
    )


def test_a_hub_with_thousands_of_leaves() -> None:
    cliques = [1 | 2 << leaf for leaf in range(3000)]
    edges = spanning_forest(cliques, (2,) * 3001)
    assert len(edges) == 2999
    assert max(max(edge) for edge in edges) == 2999
