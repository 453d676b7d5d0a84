"""Separation against the definition, path by path, on small random graphs."""

import itertools
import random

import pytest
from mixed_paths import MixedPaths, minimal, random_mixed_graph, subsets

from causal.graph import Graph
from causal.separation import (
    NoSeparator,
    minimal_separator,
    minimal_separators,
    open_path,
    separated,
)

GRAPHS = [
    Graph(*random_mixed_graph(random.Random(seed), 3 + seed % 4, hidden=(0.0, 0.3)[seed % 2]))
    for seed in range(48)
]


def queries(graph, seed, count):
    """Two disjoint sets of ends, and the rest."""
    rng = random.Random(seed)
    for _ in range(count):
        mixed = rng.sample(graph.nodes, len(graph.nodes))
        cut = rng.choice([1, 1, 2]) if len(mixed) > 3 else 1
        yield set(mixed[:1]), set(mixed[1 : 1 + cut]), set(mixed[1 + cut :])


def is_open(graph, words, first, second, given):
    """Whether a path in words runs along edges, and given its conditions is open."""
    names, arrows = words[::2], words[1::2]
    for (a, b), arrow in zip(itertools.pairwise(names), arrows, strict=True):
        edges = {"->": (a, b), "<-": (b, a), "<->": tuple(sorted((a, b)))}
        if edges[arrow] not in (graph.bidirected if arrow == "<->" else graph.directed):
            return False
    for node, (left, right) in zip(names[1:-1], itertools.pairwise(arrows), strict=True):
        collider = left.endswith(">") and right.startswith("<")
        if collider != (node in given) and not (collider and graph.descendants(node) & given):
            return False
    return (names[0], names[-1]) == (first, second)


@pytest.mark.parametrize("seed", range(48))
def test_separation_equals_path_enumeration(seed):
    graph = GRAPHS[seed]
    paths = MixedPaths(graph)
    for first, second in itertools.combinations(graph.nodes, 2):
        for given in subsets(set(graph.nodes) - {first, second}):
            expected = paths.separated({first}, {second}, given)
            assert separated(graph, first, second, given) == expected
            assert separated(graph, second, first, given=given) == expected
            witness = open_path(graph, first, second, given)
            assert (witness is None) == expected
            if witness:
                assert is_open(graph, witness.split(), first, second, given)


@pytest.mark.parametrize("seed", range(48))
def test_separators_equal_brute_force(seed):
    graph = GRAPHS[seed]
    paths = MixedPaths(graph)
    rng = random.Random(seed)
    for first, second, rest in queries(graph, seed, 4):
        for required, allowed in (
            (set(), rest),
            (set(), {name for name in rest if rng.random() < 0.7}),
            ({name for name in rest if rng.random() < 0.3}, rest),
        ):
            fitting = [
                given
                for given in subsets(rest)
                if required <= given <= allowed | required and paths.separated(first, second, given)
            ]
            expected = {frozenset(given) for given in minimal(fitting)}
            options = {"required": required, "allowed": allowed}
            listed = list(minimal_separators(graph, first, second, **options))
            assert len(listed) == len(set(listed))
            assert set(listed) == expected
            if expected:
                assert minimal_separator(graph, first, second, **options) in expected
            else:
                with pytest.raises(NoSeparator, match="separates"):
                    minimal_separator(graph, first, second, **options)


@pytest.mark.parametrize("seed", range(30))
def test_projection_keeps_separation(seed):
    graph = GRAPHS[18 + seed]
    hidden = set(random.Random(seed).sample(graph.nodes, len(graph.nodes) // 3))
    smaller = graph.project(hidden)
    for first, second in itertools.combinations(smaller.nodes, 2):
        for given in subsets(set(smaller.nodes) - {first, second}):
            assert separated(smaller, first, second, given) == separated(
                graph, first, second, given
            )


def test_ends_joined_and_sets_of_nodes():
    bow = Graph.parse("X -> Y; X <-> Y; Z")
    assert not separated(bow, "X", "Y", given="Z")
    assert separated(bow, {"X", "Y"}, "Z")
    assert separated(bow, set(), "Y")
    with pytest.raises(
        NoSeparator, match=r"no set of \['Z'\] separates X from Y: a path such as X -> Y always"
    ):
        minimal_separator(bow, "X", "Y")
    # C is a collider that only conditioning opens, and an ancestor of Y that leaving it out opens.
    inducing = Graph.parse("X -> C <-> Y; C -> Y")
    with pytest.raises(NoSeparator, match="such as X -> C <-> Y always"):
        minimal_separator(inducing, "X", "Y")


def test_a_ladder_has_exponentially_many_and_the_first_comes_at_once():
    rungs = [f"{k:02}" for k in range(40)]
    edges = [
        ("X", f"a{rungs[0]}"),
        ("X", f"b{rungs[0]}"),
        (f"a{rungs[-1]}", "Y"),
        (f"b{rungs[-1]}", "Y"),
    ]
    edges += [(f"{s}{i}", f"{s}{j}") for i, j in itertools.pairwise(rungs) for s in "ab"]
    graph = Graph(edges)
    first = list(itertools.islice(minimal_separators(graph, "X", "Y"), 200))
    assert len(set(first)) == 200
    assert all(len(found) == 2 and separated(graph, "X", "Y", found) for found in first)
    assert minimal_separator(graph, "X", "Y") == {"a00", "b00"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g: separated(g, "X", "Q"), r"unknown node\(s\) \['Q'\]"),
        (lambda g: separated(g, "X", {"X", "Y"}), "'X' is both in first and in second"),
        (lambda g: separated(g, "X", "Y", given="Y"), "'Y' is both in second and in given"),
        (lambda g: minimal_separator(g, "X", "Y", required="X"), "'X' is both in first and in req"),
        (lambda g: minimal_separators(g, "X", "Y", allowed={"Q"}), "unknown node"),
    ],
)
def test_errors_name_the_thing(call, message):
    with pytest.raises(ValueError, match=message):
        call(Graph.parse("X -> Y; Z"))
