"""ID and IDC: published graphs, the truth on random models, and refusals against brute force."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from random_queries import error, flaw, model_of, random_query

from causal.expression import canonical, subexpressions
from causal.graph import Graph
from causal.identification.experiments import terms
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable

# graph, outcomes, treatments, given, formula, most terms (those that causaleffect prints)
PUBLISHED = [
    ("X -> M -> Y; X <-> Y", "Y", "X", "", "sum_{M} P(M | X) sum_{X'} P(Y | M, X') P(X')", 3),
    ("Z -> X -> Y; Z -> Y", "Y", "X", "", "sum_{Z} P(Y | X, Z) P(Z)", 2),
    ("X -> Y; Z -> X; Z -> Y; X <-> Z", "Y", "X", "", "sum_{Z} P(Y | X, Z) P(Z)", 2),
    ("z -> x; z -> w; x -> y; w -> y", "y", "x w", "", "P(y | w, x)", 1),
    (
        "W -> R -> X -> Y; W <-> X; W <-> Y", "Y", "X", "",
        "(sum_{W} P(X, Y | R, W) P(W)) / (sum_{W} P(X | R, W) P(W))", 5,
    ),
    (
        "W -> X; W -> Z; X -> Z; Z -> Y; X <-> Y", "Y", "X", "",
        "sum_{W, Z} P(Z | W, X) P(W) sum_{X'} P(Y | W, X', Z) P(X' | W)", 4,
    ),
    ("W -> X; W -> Z; X -> Z; Z -> Y; X <-> Y", "Z", "X", "W", "P(Z | W, X)", 2),
    (
        "X -> Z1 -> Y; Z3 -> Y; Z2 -> X; Z2 -> Z1; Z2 -> Z3; X <-> Y; X <-> Z3; X <-> Z2; Y <-> Z2",
        "Z1 Z2 Z3 Y", "X", "",
        "P(Z1 | X, Z2) P(Z2, Z3) sum_{X'} P(Y | X', Z1, Z2, Z3) P(X' | Z2, Z3)", 5,
    ),
    (
        "X -> Z1 -> Z2 -> Y; Z1 <-> Y; X <-> Z2; Z3 -> X; Z3 -> Y; Z3 <-> Z2", "Y", "X", "",
        None, 9,
    ),
]  # fmt: skip

# graph, outcomes, treatments, given
REFUSED = [
    ("X -> Y; X <-> Y", "Y", "X", ""),
    ("X -> Z -> Y; X <-> Z", "Y", "X", ""),
    ("X -> Z -> Y; X <-> Z; Z <-> Y", "Y", "X", ""),
    ("X -> Y; Z -> Y; X <-> Z; Z <-> Y", "Y", "X", ""),
    ("Z -> X -> Y; X <-> Z; Z <-> Y; X <-> Y", "Y", "X", ""),
    ("X -> Z1 -> Y; Z2 -> Y; X <-> Z2; Z1 <-> Z2", "Y", "X", ""),
    ("W1 -> X -> Y1; W2 -> Y2; X <-> W1; W1 <-> Y1; W1 <-> W2; W2 <-> X", "Y1 Y2", "X", ""),
    ("Z1 -> X -> Z2 -> Y; Z1 <-> X; Z1 <-> Z2; Z1 <-> Y; X <-> Y", "Y", "X", ""),
    ("X -> Y; X <-> Y; Y -> Z", "Y", "X", "Z"),
]


def asked(outcomes, treatments, given):
    return {
        "outcomes": set(outcomes.split()),
        "treatments": set(treatments.split()),
        "given": set(given.split()),
    }


@pytest.mark.parametrize(("text", "outcomes", "treatments", "given", "formula", "most"), PUBLISHED)
def test_published_formulas(text, outcomes, treatments, given, formula, most):
    graph = Graph.parse(text)
    found = identify(graph, **asked(outcomes, treatments, given))
    assert formula is None or str(found).split(" = ", 1)[1] == formula
    assert terms(found.expression) <= most
    for seed in range(4):
        model = model_of(
            graph, seed, cards={name: 2 + (k + seed) % 2 for k, name in enumerate(graph.nodes)}
        )
        assert error(found, model) < 1e-9
    assert flaw(found, model) is None


@pytest.mark.parametrize(("text", "outcomes", "treatments", "given"), REFUSED)
def test_published_refusals(text, outcomes, treatments, given):
    graph = Graph.parse(text)
    with pytest.raises(Unidentifiable, match="has no formula: it needs the effect of") as caught:
        identify(graph, **asked(outcomes, treatments, given))
    check_hedge(graph, caught.value.hedge, set(treatments.split()) | set(given.split()))


def check_hedge(graph, hedge, causes):
    """Two nested connected sets, all of whose nodes are ancestors of the roots in them."""
    assert hedge.roots <= hedge.bottom < hedge.top
    assert (hedge.top - hedge.bottom) & causes
    for part in (hedge.bottom, hedge.top):
        inside = graph.remove_incoming(hedge.experiment).subgraph(part)
        assert len(inside.districts) == 1
        assert inside.ancestors(hedge.roots) == part


def test_napkin_names_its_free_variable():
    napkin = Graph.parse("W -> R -> X -> Y; W <-> X; W <-> Y")
    assert identify(napkin, outcomes="Y", treatments="X").free == ("R",)


def test_what_changes_nothing_is_not_in_the_formula():
    graph = Graph.parse("X; W -> Y; Z -> W; V")
    found = identify(graph, outcomes="Y", treatments={"X", "W"}, given={"Z", "V"})
    assert str(found) == "P(Y | do(W, X), V, Z) = P(Y | W)"
    assert flaw(found, model_of(graph, 0)) is None


def test_random_queries_against_enumeration():
    """Every formula is right and in short form, and its derivation is a proof."""
    rng = np.random.default_rng(4)
    solved = refused = 0
    for number in range(300):
        graph, outcomes, treatments, given = random_query(rng)
        try:
            found = identify(graph, outcomes=outcomes, treatments=treatments, given=given)
        except Unidentifiable as refusal:
            check_hedge(graph, refusal.hedge, treatments | given)
            refused += 1
            continue
        solved += 1
        model = model_of(graph, rng)
        assert error(found, model) < 1e-9, (str(graph), str(found))
        assert canonical(found.expression) is found.expression
        if number % 5 == 0:
            assert flaw(found, model) is None, (str(graph), str(found))
    assert solved > 150
    assert refused > 20


def subsets(names):
    return (
        frozenset(chosen)
        for size in range(1, len(names) + 1)
        for chosen in itertools.combinations(sorted(names), size)
    )


def hedge_exists(graph, outcomes, treatments):
    """Brute force over all pairs of sets (Shpitser & Pearl 2006, theorem 4)."""
    after = graph.remove_incoming(treatments)
    wanted = after.ancestors(outcomes)
    connected = [part for part in subsets(graph.nodes) if len(graph.subgraph(part).districts) == 1]
    for bottom in connected:
        inside = graph.subgraph(bottom)
        roots = frozenset(name for name in bottom if not inside.children(name))
        if bottom & treatments or not roots <= wanted:
            continue
        for top in connected:
            if bottom < top and top & treatments and graph.subgraph(top).ancestors(roots) == top:
                return True
    return False


def test_verdicts_equal_brute_force_search_for_hedges():
    rng = np.random.default_rng(7)
    verdicts = []
    for _ in range(200):
        graph, outcomes, treatments, _given = random_query(rng, most=5)
        try:
            identify(graph, outcomes=outcomes, treatments=treatments)
            verdicts.append(True)
        except Unidentifiable:
            verdicts.append(False)
        assert verdicts[-1] is not hedge_exists(graph, outcomes, treatments), str(graph)
    assert 20 < sum(verdicts) < 190


def grid(side):
    node = [[f"G{i:02d}{j:02d}" for j in range(side)] for i in range(side)]
    down = [(node[i][j], node[i + 1][j]) for i in range(side - 1) for j in range(side)]
    right = [(node[i][j], node[i][j + 1]) for i in range(side) for j in range(side - 1)]
    hidden = [(node[i][j], node[i + 1][j + 1]) for i in range(side - 1) for j in range(side - 1)]
    return Graph(down + right, hidden), node[-1][-1], node[side // 2][side // 2]


def chain(length):
    names = [f"V{k:03d}" for k in range(length)]
    graph = Graph(itertools.pairwise(names), zip(names, names[2:], strict=False))
    return graph, names[-1], names[length // 2]


def dense(length):
    """All arrows, and hidden causes between nodes that the treatment does not affect."""
    names = [f"V{k:03d}" for k in range(length)]
    hidden = [*itertools.pairwise(names[: length // 2]), (names[0], names[-1])]
    return Graph(itertools.combinations(names, 2), hidden), names[-1], names[length // 2]


def napkins(count):
    """Napkins inside each other: each c-factor is a ratio of sums of the one around it."""
    directed, hidden, last = [("X", "Y")], [], "X"
    for k in range(count):
        directed += [(f"W{k}", f"R{k}"), (f"R{k}", last)]
        hidden += [(f"W{k}", last), (f"W{k}", "Y")]
        last = f"W{k}"
    return Graph(directed, hidden), "Y", "X"


@pytest.mark.parametrize(
    ("case", "most"), [(grid(10), 400), (chain(100), 400), (dense(100), 10), (napkins(30), 200)]
)
def test_formulas_stay_small(case, most):
    graph, outcome, treatment = case
    found = identify(graph, outcomes=outcome, treatments=treatment)
    assert len(subexpressions(found.expression)) <= most
    assert terms(found.expression) <= most


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"outcomes": ()}, "at least one outcome"),
        ({"outcomes": "Q"}, r"unknown node\(s\) \['Q'\]"),
        ({"treatments": {"X", "Y"}}, "'Y' is both in outcomes and in treatments"),
        ({"given": "X"}, "'X' is both in treatments and in given"),
        ({"experiments": "X"}, r"a list of sets of names, as in \[\{'X'\}\]"),
        ({"experiments": []}, "no distribution is supplied"),
        ({"experiments": [{"Q"}]}, r"unknown node\(s\) \['Q'\]"),
    ],
)
def test_mistakes_are_named(changes, message):
    query = {"outcomes": "Y", "treatments": "X"} | changes
    with pytest.raises(ValueError, match=message):
        identify(Graph.parse("X -> M -> Y"), **query)


def test_same_formula_in_every_process():
    code = (
        "from causal.graph import Graph;"
        "from causal.identification.observational import identify;"
        "g = Graph.parse('X -> Z1 -> Z2 -> Y; Z1 <-> Y; X <-> Z2; Z3 -> X; Z3 -> Y; Z3 <-> Z2');"
        "print(identify(g, outcomes='Y', treatments='X'))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(printed) == 1
