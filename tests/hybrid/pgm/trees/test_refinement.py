"""Local changes leave a triangulation, never a larger one."""

import pytest
from random_graphs import assert_triangulates, random_graph

from hybrid.pgm.trees.elimination import cells_of, eliminate
from hybrid.pgm.trees.refinement import refined
from hybrid.pgm.trees.triangulation import triangulate


@pytest.mark.parametrize("seed", range(12))
def test_refined_cliques_are_a_triangulation_with_no_more_cells(seed: int) -> None:
    graph, cards = random_graph(seed, most=20)
    # A poor start, so that many steps change something.
    start = eliminate(graph, cards, lambda node: float(node.variable))
    assert start is not None
    alone = [1 << variable for variable, around in enumerate(graph) if not around]
    cliques = [*start[0], *alone]
    found = refined(cliques, graph, cards, 40)
    assert_triangulates(found, graph)
    cells = [sum(cells_of(clique, cards) for clique in some) for some in (cliques, found)]
    assert cells[1] <= cells[0]


def test_the_same_steps_give_the_same_cliques() -> None:
    graph, cards = random_graph(3, most=20)
    start = triangulate(graph, cards)
    assert refined(start, graph, cards, 25) == refined(start, graph, cards, 25)


def test_nothing_is_done_where_no_edge_was_added() -> None:
    assert refined([0b011, 0b110], [0b010, 0b101, 0b010], (2, 2, 2), 5) == [0b011, 0b110]
