"""C-factors against the enumerated Q[S] = P(S | do(everything else))."""

import numpy as np
from expression_values import value
from random_queries import model_of, random_query

from causal.graph import Graph
from causal.identification.districts import (
    Experiment,
    Identified,
    Stuck,
    identified,
    reach,
    topological,
)


def test_c_factors_are_the_interventional_distributions():
    rng = np.random.default_rng(5)
    solved = 0
    for _ in range(40):
        graph, *_sets = random_query(rng, most=5)
        bits, names = graph.bits, graph.nodes
        model = model_of(graph, rng)
        tables = {frozenset(): model.interventional()}
        experiment = Experiment.of(bits, 0, topological(bits, 0))
        for district in bits.districts(int(rng.integers(1, bits.nodes + 1))):
            found = identified(experiment, district)
            if isinstance(found, Stuck):
                continue
            solved += 1
            inside = bits.named(district)
            truth = model.interventional(set(names) - inside)
            np.testing.assert_allclose(
                *np.broadcast_arrays(value(found.expression, names, tables), truth), rtol=1e-8
            )
    assert solved > 30


def test_stages_of_a_napkin():
    graph = Graph.parse("W -> R -> X -> Y; W <-> X; W <-> Y")
    experiment = Experiment.of(graph.bits, 0, topological(graph.bits, 0))
    found = identified(experiment, graph.mask("Y"))
    assert isinstance(found, Identified)
    names = [(graph.bits.named(s.district), graph.bits.named(s.ancestral)) for s in found.stages]
    assert names == [({"W", "X", "Y"}, {"X", "Y"}), ({"Y"}, {"Y"})]


def test_topological_orders():
    rng = np.random.default_rng(2)
    for _ in range(30):
        graph, *_sets = random_query(rng)
        first = int(rng.integers(0, graph.bits.nodes + 1))
        order = topological(graph.bits, first)
        places = {graph.bits.names[node]: place for place, node in enumerate(order)}
        assert len(places) == len(graph.nodes)
        assert all(places[a] < places[b] for a, b in graph.directed)


def test_reach_stays_inside():
    assert reach(0b0001, (0b0010, 0b0100, 0b1000, 0), 0b1011) == 0b0011
