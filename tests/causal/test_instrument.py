"""Instruments against the definition path by path, and their estimates in linear models."""

import random

import numpy as np
import pytest
from mixed_paths import MixedPaths, random_mixed_graph, subsets

from causal.graph import Graph
from causal.instrument import instruments


def graph_of(seed):
    hidden = (0.1, 0.25)[seed % 2]
    density = (0.3, 0.5)[seed // 2 % 2]
    return Graph(*random_mixed_graph(random.Random(seed), 4 + seed % 3, density, hidden))


def on_causal_paths(paths, x, y):
    causal = [path for path in paths.between(x, y) if paths.causal(path)]
    return set().union(*(paths.inner(path) | {y} for path in causal))


def by_definition(graph, x, y, allowed):
    """All (instrument, set), and of those the ones with ancestors only."""
    paths = MixedPaths(graph)
    between = on_causal_paths(paths, x, y)
    firsts = {(x, node) for node in between}
    cut = Graph(graph.directed - firsts, graph.bidirected, graph.nodes)
    removed = MixedPaths(cut)
    free = allowed - {x, y} - set().union(*(paths.descendants(n) for n in {*between, y}))
    for z in sorted(free):
        for given in subsets(free - {z}):
            if removed.separated({z}, {y}, given) and not paths.separated({z}, {x}, given):
                yield z, frozenset(given), given <= cut.ancestors({z, y})


@pytest.mark.parametrize("seed", range(60))
def test_instruments_equal_the_definition_on_paths(seed):
    graph, rng = graph_of(seed), random.Random(seed)
    for trial in range(4):
        x, y = rng.sample(graph.nodes, 2)
        allowed = set(graph.nodes)
        if trial % 2:
            allowed = {name for name in graph.nodes if rng.random() < 0.8}
        pairs = list(by_definition(graph, x, y, allowed))
        found = dict(instruments(graph, treatments=x, outcomes=y, allowed=allowed))
        assert set(found) == {z for z, _, ancestral in pairs if ancestral}
        for z, given in found.items():
            assert any((z, given) == pair[:2] for pair in pairs)
        if trial % 2 == 0:
            assert bool(found) == bool(pairs)


def covariance(graph, rng):
    """Of a random linear model, and the coefficients of its edges."""
    arcs = sorted(graph.bidirected)
    names = [*graph.nodes, *arcs]
    weights = np.zeros((len(names), len(names)))
    for cause, effect in graph.directed:
        weights[names.index(effect), names.index(cause)] = rng.normal()
    for arc in arcs:
        for end in arc:
            weights[names.index(end), names.index(arc)] = rng.normal()
    flow = np.linalg.inv(np.eye(len(names)) - weights)
    return names, flow @ flow.T, flow


@pytest.mark.parametrize("seed", range(40))
def test_the_ratio_of_covariances_is_the_total_effect(seed):
    graph, rng = graph_of(100 + seed), np.random.default_rng(seed)
    names, sigma, flow = covariance(graph, rng)

    def partial(a, b, given):
        rows = [names.index(name) for name in sorted(given)]
        value = sigma[names.index(a), names.index(b)]
        if not rows:
            return value
        left, right = sigma[names.index(a), rows], sigma[rows, names.index(b)]
        return value - left @ np.linalg.solve(sigma[np.ix_(rows, rows)], right)

    for x in graph.nodes:
        for y in set(graph.nodes) - {x}:
            effect = flow[names.index(y), names.index(x)]  # the total effect of x on y
            for z, given in instruments(graph, treatments=x, outcomes=y):
                ratio = partial(z, y, given) / partial(z, x, given)
                assert ratio == pytest.approx(effect, abs=1e-6, rel=1e-6)


def test_examples():
    classic = Graph.parse("Z -> X -> Y; X <-> Y")
    assert list(instruments(classic, treatments="X", outcomes="Y")) == [("Z", frozenset())]
    assert list(instruments(classic, treatments="X", outcomes="Y", allowed=())) == []
    direct = Graph.parse("Z -> X -> Y; X <-> Y; Z -> Y")
    assert list(instruments(direct, treatments="X", outcomes="Y")) == []
    mediated = Graph.parse("Z -> X -> M -> Y; X -> Y; X <-> Y")
    assert list(instruments(mediated, treatments="X", outcomes="Y")) == [("Z", frozenset())]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"treatments": "Q", "outcomes": "Y"}, r"unknown node\(s\) \['Q'\]"),
        ({"treatments": "X", "outcomes": "X"}, "'X' is both in treatments and in outcomes"),
        ({"treatments": {"X", "Z"}, "outcomes": "Y"}, r"one of treatments, got \['X', 'Z'\]"),
    ],
)
def test_errors_name_the_thing(options, message):
    with pytest.raises(ValueError, match=message):
        instruments(Graph.parse("Z -> X -> Y"), **options)
