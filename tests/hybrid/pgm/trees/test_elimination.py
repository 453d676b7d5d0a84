"""Eliminations make triangulations, whatever the prices."""

import networkx as nx
import pytest
from random_graphs import assert_triangulates, filled, random_graph

from hybrid.pgm.trees.elimination import (
    Candidate,
    Holders,
    cells_of,
    eliminate,
    filled_in,
    interaction_graph,
    members,
    without_simplicial,
)
from hybrid.pgm.trees.triangulation import HEURISTICS


@pytest.mark.parametrize("heuristic", HEURISTICS)
@pytest.mark.parametrize("seed", range(10))
def test_cliques_and_cells_of_an_elimination(seed: int, heuristic: str) -> None:
    graph, cards = random_graph(seed)
    found = eliminate(graph, cards, HEURISTICS[heuristic])
    assert found is not None
    alone = [1 << variable for variable, around in enumerate(graph) if not around]
    assert_triangulates([*found[0], *alone], graph)
    assert found[1] == sum(cells_of(clique, cards) for clique in found[0])


@pytest.mark.parametrize("seed", range(10))
def test_fill_is_what_the_elimination_adds(seed: int) -> None:
    """Prices are renewed: what was last said of a variable is what happens."""
    graph, cards = random_graph(seed)
    said: dict[int, int] = {}

    def price(node: Candidate) -> float:
        said[node.variable] = node.fill
        return float(node.variable)  # nothing but the order of numbers

    found = eliminate(graph, cards, price)
    assert found is not None
    left, added = list(graph), 0
    waiting = [variable for variable, around in enumerate(graph) if around]
    while waiting:
        fills = {v: missing_pairs(left, v) for v in waiting}
        variable = min(waiting, key=lambda v: (0 if fills[v] == 0 else 1, v))
        added += fills[variable]
        if fills[variable]:
            assert said[variable] == fills[variable]
        for one in members(left[variable]):
            left[one] = (left[one] | left[variable]) & ~(1 << one | 1 << variable)
        waiting.remove(variable)
    before = sum(around.bit_count() for around in graph) // 2
    assert filled(found[0], len(graph)).number_of_edges() == before + added


def missing_pairs(graph: list[int], variable: int) -> int:
    around = list(members(graph[variable]))
    return sum(not graph[a] >> b & 1 for a in around for b in around if a < b)


def test_it_gives_up_at_the_limit() -> None:
    square = interaction_graph(4, [(0, 1), (1, 2), (2, 3), (3, 0)])
    price = HEURISTICS["fill"]
    assert eliminate(square, (2,) * 4, price, 16) is None
    assert eliminate(square, (2,) * 4, price, 17) is not None


@pytest.mark.parametrize("seed", range(10))
def test_what_simplicial_variables_leave_has_none(seed: int) -> None:
    graph, _ = random_graph(seed)
    cliques, left = without_simplicial(graph)
    whole = nx.Graph((a, b) for a, bits in enumerate(left) for b in members(bits))
    for variable in whole:
        around = list(whole[variable])
        joined = whole.subgraph(around).number_of_edges()
        assert joined < len(around) * (len(around) - 1) // 2
    assert len(cliques) + whole.number_of_nodes() == len(graph)
    assert not any(filled_in(clique, graph) for clique in cliques)


def test_holders_forget_what_was_removed() -> None:
    held = Holders()
    assert held.add(0b111)
    assert not held.add(0b101)
    held.remove(0b111)
    assert held.add(0b101)
    assert list(held) == [0b101]
    assert held.common(0b010) == 0
