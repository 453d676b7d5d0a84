"""Triangulations are minimal, and small."""

import networkx as nx
import pytest
from random_graphs import assert_triangulates, filled, random_graph

from hybrid.pgm.trees.elimination import cells_of, eliminate, interaction_graph, members
from hybrid.pgm.trees.triangulation import HEURISTICS, thinned, triangulate


@pytest.mark.parametrize("seed", range(12))
def test_no_edge_is_superfluous(seed: int) -> None:
    graph, cards = random_graph(seed)
    cliques = triangulate(graph, cards)
    assert_triangulates(cliques, graph)
    whole = filled(cliques, len(graph))
    for a, b in list(whole.edges):
        if not graph[a] >> b & 1:
            less = whole.copy()
            less.remove_edge(a, b)
            assert not nx.is_chordal(less)


@pytest.mark.parametrize("seed", range(10))
def test_no_heuristic_alone_is_better(seed: int) -> None:
    graph, cards = random_graph(seed)
    alone = sum(cards[v] for v, around in enumerate(graph) if not around)
    cells = sum(cells_of(clique, cards) for clique in triangulate(graph, cards))
    for heuristic in HEURISTICS.values():
        found = eliminate(graph, cards, heuristic)
        assert found is not None
        assert cells <= found[1] + alone


def test_thinning_takes_a_complete_graph_apart() -> None:
    path = interaction_graph(6, [(v, v + 1) for v in range(5)])
    assert sorted(thinned([0b111111], path)) == [3 << v for v in range(5)]


def test_a_chordal_graph_stays_as_it_is() -> None:
    graph = interaction_graph(5, [(0, 1, 2), (1, 2, 3), (3, 4)])
    cliques = triangulate(graph, (2,) * 5)
    assert sorted(list(members(clique)) for clique in cliques) == [[0, 1, 2], [1, 2, 3], [3, 4]]
