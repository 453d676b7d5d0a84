"""Smaller queries of the same value."""

import numpy as np
import pytest
from random_queries import model_of, random_query

from causal.graph import Graph
from causal.identification.reduction import Query, reductions


def shown(graph, query):
    return tuple(graph.bits.named(mask) for mask in (query.outcomes, query.treatments, query.given))


@pytest.mark.parametrize(
    ("text", "sets", "rules"),
    [
        ("X -> Y; Z", ("Y", "X", "Z"), [1]),
        ("X -> Y -> Z; W -> X", ("Y", "XW", ""), [3]),
        ("X -> Y; Z -> Y; X <-> Z", ("Y", "X", "Z"), [2]),
        ("X -> Y; X <-> Y", ("Y", "X", ""), []),
    ],
)
def test_known_moves(text, sets, rules):
    graph = Graph.parse(text)
    query = Query(*(graph.mask(set(names)) for names in sets))
    assert [rule for rule, _ in reductions(graph.bits, query)] == rules


def test_every_move_keeps_the_value():
    rng = np.random.default_rng(8)
    moves = set()
    for _ in range(80):
        graph, *sets = random_query(rng)
        names = list(graph.nodes)
        model = model_of(graph, rng)
        query = Query(*(graph.mask(part) for part in sets))
        old = spread(model, shown(graph, query), names)
        for rule, found in reductions(graph.bits, query):
            new = spread(model, shown(graph, found), names)
            np.testing.assert_allclose(*np.broadcast_arrays(old, new), rtol=1e-9)
            assert found.outcomes == query.outcomes
            assert found.all & ~query.all == 0
            moves.add(rule)
            old, query = new, found
    assert moves == {1, 2, 3}


def spread(model, sets, names):
    """The true answer over the axes of all names."""
    kept = frozenset().union(*sets)
    return model.query(*sets).reshape([model.cards[n] if n in kept else 1 for n in names])
