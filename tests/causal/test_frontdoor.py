"""Front-door sets against the criterion path by path."""

import itertools
import random

import pytest
from mixed_paths import MixedPaths, random_mixed_graph, subsets

from causal.frontdoor import frontdoor_sets
from causal.graph import Graph


def graph_of(seed):
    hidden = (0.1, 0.2, 0.3)[seed % 3]
    return Graph(*random_mixed_graph(random.Random(seed), 4 + seed % 3, hidden=hidden))


def by_paths(graph, paths, treatments, outcomes, rest):
    """All sets that meet the three conditions, from the paths themselves."""
    causal = [
        path
        for x, y in itertools.product(treatments, outcomes)
        for path in paths.between(x, y)
        if paths.causal(path)
    ]
    without = MixedPaths(graph.remove_outgoing(treatments))
    for chosen in subsets(rest):
        if not all(paths.inner(path) & chosen for path in causal):
            continue
        if not without.separated(treatments, chosen, set()):
            continue
        if MixedPaths(graph.remove_outgoing(chosen)).separated(chosen, outcomes, treatments):
            yield frozenset(chosen)


@pytest.mark.parametrize("seed", range(60))
def test_frontdoor_equals_the_criterion_on_paths(seed):
    graph = graph_of(seed)
    paths, rng = MixedPaths(graph), random.Random(seed)
    for sizes in ((1, 1), (1, 1), (1, 1), (2, 1), (1, 2)):
        mixed = rng.sample(graph.nodes, len(graph.nodes))
        treatments, outcomes = set(mixed[: sizes[0]]), set(mixed[sizes[0] : sum(sizes)])
        rest = set(mixed[sum(sizes) :])
        expected = set(by_paths(graph, paths, treatments, outcomes, rest))
        ends = {"treatments": treatments, "outcomes": outcomes}
        listed = list(frontdoor_sets(graph, **ends))
        assert len(listed) == len(set(listed))
        assert set(listed) == expected
        if listed:
            assert not any(other < listed[0] for other in expected)
        required = {name for name in rest if rng.random() < 0.3}
        allowed = {name for name in rest if rng.random() < 0.7}
        assert set(frontdoor_sets(graph, **ends, required=required, allowed=allowed)) == {
            z for z in expected if required <= z <= allowed | required
        }


def test_examples():
    pearl = Graph.parse("X -> Z -> Y; X <-> Y")
    assert list(frontdoor_sets(pearl, treatments="X", outcomes="Y")) == [{"Z"}]
    # B alone leaves the path B <- A -> Y open, and A alone the path X -> B -> Y.
    both = Graph.parse("X -> A -> Y; X -> B -> Y; A -> B; X <-> Y")
    assert list(frontdoor_sets(both, treatments="X", outcomes="Y")) == [{"A", "B"}]
    mixed = Graph.parse("X -> M -> Y; X <-> M; X <-> Y")
    assert list(frontdoor_sets(mixed, treatments="X", outcomes="Y")) == []
    assert list(frontdoor_sets(Graph.parse("X -> Y"), treatments="X", outcomes="Y")) == []
    assert list(frontdoor_sets(Graph.parse("X <-> Y"), treatments="X", outcomes="Y")) == [set()]


@pytest.mark.parametrize("shape", ["chain", "wide"])
def test_the_first_of_very_many_comes_at_once(shape):
    mediators = [f"m{k:02}" for k in range(60)]
    if shape == "chain":
        edges = list(itertools.pairwise(["X", *mediators, "Y"]))
    else:
        edges = [e for m in mediators for e in (("X", m), (m, "Y"))]
    graph = Graph(edges, [("X", "Y")])
    found = list(itertools.islice(frontdoor_sets(graph, treatments="X", outcomes="Y"), 20))
    assert len(found[0]) == (1 if shape == "chain" else 60)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"treatments": "Q", "outcomes": "Y"}, r"unknown node\(s\) \['Q'\]"),
        ({"treatments": "X", "outcomes": "X"}, "'X' is both in treatments and in outcomes"),
        ({"treatments": "X", "outcomes": ()}, "outcomes is empty"),
        ({"treatments": "X", "outcomes": "Y", "required": "Y"}, "in outcomes and in required"),
    ],
)
def test_errors_name_the_thing(options, message):
    with pytest.raises(ValueError, match=message):
        frontdoor_sets(Graph.parse("X -> M -> Y"), **options)
