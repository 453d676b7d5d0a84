"""Adjustment sets against the criterion path by path, and variances in linear models."""

import contextlib
import itertools
import random

import numpy as np
import pytest
from mixed_paths import MixedPaths, minimal, random_mixed_graph, subsets

from causal.adjustment import (
    NoAdjustmentSet,
    NoOptimalSet,
    adjustment_set,
    adjustment_sets,
    is_adjustment_set,
)
from causal.graph import Graph


def graph_of(seed):
    hidden = (0.0, 0.15, 0.3)[seed % 3]
    return Graph(*random_mixed_graph(random.Random(seed), 4 + seed % 3, hidden=hidden))


def queries(graph, seed):
    rng = random.Random(seed)
    for treatments, outcomes in ((1, 1), (1, 1), (2, 1), (1, 2)):
        mixed = rng.sample(graph.nodes, len(graph.nodes))
        cut = treatments + outcomes
        if cut < len(mixed):
            yield set(mixed[:treatments]), set(mixed[treatments:cut]), set(mixed[cut:])


def valid_by_paths(paths, treatments, outcomes, rest):
    """All sets that meet the adjustment criterion, from the paths themselves."""
    proper = [
        path
        for x, y in itertools.product(treatments, outcomes)
        for path in paths.between(x, y)
        if not (paths.inner(path) | {y}) & treatments
    ]
    causal = [path for path in proper if paths.causal(path)]
    on_path = set().union(*(paths.inner(p) | {p[-1][1][0]} for p in causal))
    forbidden = set().union(*(paths.descendants(node) for node in on_path))
    others = [path for path in proper if not paths.causal(path)]
    return [
        given
        for given in subsets(rest - forbidden)
        if not any(paths.opened(path, given) for path in others)
    ]


@pytest.mark.parametrize("seed", range(60))
def test_adjustment_equals_the_criterion_on_paths(seed):
    graph = graph_of(seed)
    paths, rng = MixedPaths(graph), random.Random(seed)
    for treatments, outcomes, rest in queries(graph, seed):
        ends = {"treatments": treatments, "outcomes": outcomes}
        valid = valid_by_paths(paths, treatments, outcomes, rest)
        for given in subsets(rest):
            assert is_adjustment_set(graph, given, **ends) == (given in valid)
        for required, allowed in (
            (set(), rest),
            (set(), {name for name in rest if rng.random() < 0.7}),
            ({name for name in rest if rng.random() < 0.3}, rest),
        ):
            fitting = [z for z in valid if required <= z <= allowed | required]
            expected = {frozenset(z) for z in minimal(fitting)}
            options = {**ends, "required": required, "allowed": allowed}
            assert set(adjustment_sets(graph, **options)) == expected
            every = list(adjustment_sets(graph, minimal=False, **options))
            assert len(every) == len(set(every))
            assert set(every) == {frozenset(z) for z in fitting}
            if expected:
                assert adjustment_set(graph, **options) in expected
            else:
                with pytest.raises(NoAdjustmentSet):
                    adjustment_set(graph, **options)


def covariance(graph, rng, spread=1.0):
    """Of a random linear model with one hidden cause per bidirected edge; names in sorted order."""
    arcs = sorted(graph.bidirected)
    names = [*graph.nodes, *arcs]
    place = {name: k for k, name in enumerate(names)}
    weights = np.zeros((len(names), len(names)))
    for cause, effect in graph.directed:
        weights[place[effect], place[cause]] = rng.normal(0, spread)
    for arc in arcs:
        for end in arc:
            weights[place[end], place[arc]] = rng.normal(0, spread)
    noise = np.diag(rng.lognormal(0, spread, len(names)))
    flow = np.linalg.inv(np.eye(len(names)) - weights)
    full = flow @ noise @ flow.T
    return full[: len(graph.nodes), : len(graph.nodes)]


def variance(sigma, names, x, y, others):
    """Of the least-squares coefficient of x for y with `others`: Var(y | x, z) / Var(x | z)."""

    def given(a, conditions):
        rows = [names.index(name) for name in sorted(conditions)]
        k = names.index(a)
        if not rows:
            return sigma[k, k]
        block = sigma[np.ix_(rows, rows)]
        return sigma[k, k] - sigma[k, rows] @ np.linalg.solve(block, sigma[rows, k])

    return given(y, {x, *others}) / given(x, others)


@pytest.mark.parametrize("seed", range(40))
def test_optimal_set_has_the_smallest_variance(seed):
    graph = Graph(*random_mixed_graph(random.Random(seed), 6, hidden=0))
    rng, names = np.random.default_rng(seed), list(graph.nodes)
    for treatments, outcomes, _ in queries(graph, seed):
        if not outcomes <= graph.descendants(treatments):
            continue
        valid = list(
            adjustment_sets(graph, treatments=treatments, outcomes=outcomes, minimal=False)
        )
        if not valid:
            continue
        best = adjustment_set(graph, treatments=treatments, outcomes=outcomes, optimal=True)
        assert best in valid
        for _ in range(3):
            sigma = covariance(graph, rng)
            for x, y, other in itertools.product(treatments, outcomes, valid):
                with_best = variance(sigma, names, x, y, best | treatments - {x})
                assert with_best <= variance(sigma, names, x, y, other | treatments - {x}) * (
                    1 + 1e-9
                )


@pytest.mark.parametrize("seed", range(40))
def test_with_hidden_variables_the_optimal_set_is_never_beaten_or_refused(seed):
    graph = Graph(*random_mixed_graph(random.Random(seed), 5, hidden=0.3))
    names = list(graph.nodes)
    for x, y in itertools.permutations(names, 2):
        ends = {"treatments": x, "outcomes": y}
        valid = list(adjustment_sets(graph, minimal=False, **ends))
        if not valid or y not in graph.descendants(x):
            continue
        try:
            best, refused = adjustment_set(graph, optimal=True, **ends), False
        except NoOptimalSet as refusal:
            best, refused = refusal.candidate, True
        assert best in valid
        rng, beaten = np.random.default_rng(seed), False
        ancestors = graph.ancestors({x, y}) - {x}
        ancestors -= graph.descendants(graph.descendants(x) - {x} & ancestors)
        assert ancestors in valid
        for trial in range(400 if refused else 10):
            sigma = covariance(graph, rng, spread=(0.5, 1, 2)[trial % 3])
            smallest = min(variance(sigma, names, x, y, other) for other in valid)
            reached = variance(sigma, names, x, y, best)
            assert reached <= variance(sigma, names, x, y, ancestors) * (1 + 1e-7)
            beaten = smallest < reached * (1 - 1e-7)
            if beaten:
                break
        assert beaten == refused


def test_what_may_not_be_used_counts_as_hidden():
    graph = Graph.parse("X -> Y <- B <- A -> X; C -> Y; D -> C")
    ends = {"treatments": "X", "outcomes": "Y", "optimal": True}
    assert adjustment_set(graph, **ends) == {"B", "C"}
    assert adjustment_set(graph, **ends, allowed={"A", "C", "D"}) == {"A", "C"}
    assert adjustment_set(graph, **ends, allowed={"A", "D"}) == {"A", "D"}
    with pytest.raises(NoAdjustmentSet, match=r"no set of \['C', 'D'\] adjusts for .* X on Y"):
        adjustment_set(graph, **ends, allowed={"C", "D"})


@pytest.mark.parametrize(
    ("text", "candidate", "reason"),
    [
        ("A -> X -> Y; A <-> D <-> Y", "AD", "A tells of the outcome only together with"),
        ("X -> Y <-> B <- D <-> X", "", r"a set that holds \['B'\] is better in some models"),
    ],
)
def test_no_optimal_set(text, candidate, reason):
    with pytest.raises(NoOptimalSet, match=reason) as caught:
        adjustment_set(Graph.parse(text), treatments="X", outcomes="Y", optimal=True)
    assert caught.value.candidate == set(candidate)


def test_examples():
    confounded = Graph.parse("X -> Y; X <-> Y")
    with pytest.raises(
        NoAdjustmentSet, match="effect of X on Y: a path such as X <-> Y always stays open"
    ):
        adjustment_set(confounded, treatments="X", outcomes="Y")
    assert list(adjustment_sets(confounded, treatments="X", outcomes="Y")) == []
    butterfly = Graph.parse("A -> M <- B; A -> X; M -> X; M -> Y; B -> Y; X -> Y")
    found = set(adjustment_sets(butterfly, treatments="X", outcomes="Y"))
    assert found == {frozenset("AM"), frozenset("BM")}
    # Two treatments of which the second mediates the first, with a time-varying confounder.
    repeated = Graph.parse("X -> L -> Z -> Y; X -> Y; L -> Y")
    with pytest.raises(NoAdjustmentSet):
        adjustment_set(repeated, treatments={"X", "Z"}, outcomes="Y")
    # An effect of nothing on something still needs the two to be separated.
    assert adjustment_set(Graph.parse("Y <- A -> X"), treatments="X", outcomes="Y") == {"A"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"treatments": "Q", "outcomes": "Y"}, r"unknown node\(s\) \['Q'\]"),
        ({"treatments": "X", "outcomes": "X"}, "'X' is both in treatments and in outcomes"),
        ({"treatments": (), "outcomes": "Y"}, "treatments is empty"),
        ({"treatments": "X", "outcomes": "Y", "required": "X"}, "in treatments and in required"),
        ({"treatments": "X", "outcomes": "Y", "required": "M"}, r"\['M'\] cannot be adjusted for"),
        ({"treatments": "Y", "outcomes": "X", "optimal": True}, r"no treatment causes \['X'\]"),
        ({"treatments": "X", "outcomes": "Y", "optimal": True, "required": "Z"}, "leave out `req"),
        ({"treatments": {"X", "Z"}, "outcomes": "Y", "optimal": True}, "one treatment and one out"),
    ],
)  # fmt: skip
def test_errors_name_the_thing(options, message):
    with pytest.raises(ValueError, match=message):
        adjustment_set(Graph.parse("X -> M -> Y; Z -> Y; Z <-> M"), **options)


def chain(n):
    return Graph(itertools.pairwise([f"v{k:03}" for k in range(n)]))


def grid(side):
    cells = list(itertools.product(range(side), repeat=2))
    name = "{:02}{:02}".format
    right = [(name(a, b), name(a, b + 1)) for a, b in cells if b + 1 < side]
    down = [(name(a, b), name(a + 1, b)) for a, b in cells if a + 1 < side]
    return Graph(right + down)


def dense(n):
    rng = random.Random(0)
    names = [f"v{k:03}" for k in range(n)]
    pairs = list(itertools.combinations(names, 2))
    return Graph(
        [pair for pair in pairs if rng.random() < 0.5], rng.sample(pairs, n // 4), ["X", "Y"]
    )


@pytest.mark.parametrize(
    "graph", [chain(100), grid(10), dense(100)], ids=["chain", "grid", "dense"]
)
def test_large_graphs_answer_at_once(graph):
    names = graph.nodes
    for x, y in ((names[50], names[60]), (names[60], names[50]), (names[10], names[95])):
        first = list(itertools.islice(adjustment_sets(graph, treatments=x, outcomes=y), 5))
        every = itertools.islice(adjustment_sets(graph, treatments=x, outcomes=y, minimal=False), 5)
        for found in (*first, *every):
            assert is_adjustment_set(graph, found, treatments=x, outcomes=y)
        if y in graph.descendants(x):
            with contextlib.suppress(NoAdjustmentSet, NoOptimalSet):
                adjustment_set(graph, treatments=x, outcomes=y, optimal=True)
