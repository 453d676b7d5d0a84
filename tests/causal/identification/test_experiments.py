"""Formulas from experiments: gID and zID against the enumerated truth."""

import numpy as np
import pytest
from random_queries import error, flaw, model_of, random_query

from causal.graph import Graph
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable

# graph, outcomes, treatments, given, experiments
SOLVED = [
    ("X -> Y; X <-> Y", "Y", "X", "", ["X"]),
    # zID (Bareinboim & Pearl 2012): an experiment on Z instead of X
    ("Z -> X -> Y; Z <-> X; Z <-> Y", "Y", "X", "", ["", "Z"]),
    ("X -> Z -> Y; X <-> Z; X <-> Y", "Y", "X", "", ["", "Z", "X"]),
    # gID: no experiment alone answers the query
    ("X1 -> Y1; X2 -> Y2; X1 <-> Y1; X2 <-> Y2; Y1 -> Y2", "Y1 Y2", "X1 X2", "", ["X1", "X2"]),
    ("X1 -> X2 -> Y; X1 -> Y; X1 <-> X2; X2 <-> Y", "Y", "X1 X2", "", ["X2"]),
    ("X -> Y -> Z; X <-> Y", "Y", "X", "Z", ["X"]),
    # the treatment set in a larger experiment; the answer does not depend on the rest of it
    ("X -> Y; X <-> Y; W", "Y", "X", "", ["X W"]),
]
REFUSED = [
    ("X -> Y; X <-> Y; W -> X", "Y", "X", "", ["", "W"]),
    ("X1 -> Y; X2 -> Y; X1 <-> Y; X2 <-> Y", "Y", "X1 X2", "", ["", "X1", "X2"]),
]


def case(text, outcomes, treatments, given, experiments):
    return Graph.parse(text), {
        "outcomes": set(outcomes.split()),
        "treatments": set(treatments.split()),
        "given": set(given.split()),
        "experiments": [set(names.split()) for names in experiments],
    }


@pytest.mark.parametrize("described", SOLVED)
def test_known_queries_have_right_formulas(described):
    graph, query = case(*described)
    found = identify(graph, **query)
    for seed in range(4):
        model = model_of(graph, seed)
        assert error(found, model) < 1e-9
    assert flaw(found, model) is None


@pytest.mark.parametrize("described", REFUSED)
def test_known_refusals_carry_a_thicket(described):
    graph, query = case(*described)
    with pytest.raises(Unidentifiable) as caught:
        identify(graph, **query)
    thicket = caught.value.thicket
    assert caught.value.hedge is thicket[0]
    usable = [done for done in map(frozenset, query["experiments"]) if not done & {"Y"}]
    assert [hedge.experiment for hedge in thicket] == usable
    for hedge in thicket:
        assert hedge.bottom < hedge.top
        assert not hedge.top & hedge.experiment


def test_an_experiment_on_the_outcome_alone_tells_nothing():
    with pytest.raises(Unidentifiable, match="every supplied experiment sets one of these"):
        identify(Graph.parse("X -> Y"), outcomes="Y", treatments="X", experiments=[{"Y"}])


def test_the_very_experiment_is_the_answer():
    graph = Graph.parse("X -> Y; X <-> Y")
    found = identify(graph, outcomes="Y", treatments="X", experiments=[(), {"X"}])
    assert found.expression is found.query
    assert found.steps == ()


def test_observations_that_are_not_supplied_are_not_used():
    graph = Graph.parse("X -> Y; W -> X")
    found = identify(graph, outcomes="Y", treatments="X", experiments=[{"W"}])
    assert str(found) == "P(Y | do(X)) = P(Y | do(W), X)"
    assert found.free == ("W",)


def test_random_queries_against_enumeration():
    rng = np.random.default_rng(11)
    solved = refused = 0
    for number in range(150):
        graph, outcomes, treatments, given = random_query(rng, most=5)
        sets = [{n for n in graph.nodes if rng.random() < 0.3} for _ in range(rng.integers(1, 4))]
        query = {"outcomes": outcomes, "treatments": treatments, "given": given}
        try:
            found = identify(graph, **query, experiments=sets)
        except Unidentifiable:
            refused += 1
            continue
        solved += 1
        model = model_of(graph, rng)
        assert error(found, model) < 1e-9, (str(graph), str(found))
        if number % 5 == 0:
            assert flaw(found, model) is None, (str(graph), str(found))
    assert solved > 60
    assert refused > 15


def test_more_experiments_never_hurt():
    """What the observations tell, they tell beside experiments too."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        graph, outcomes, treatments, given = random_query(rng, most=5)
        query = {"outcomes": outcomes, "treatments": treatments, "given": given}
        try:
            identify(graph, **query)
        except Unidentifiable:
            continue
        chosen = {n for n in graph.nodes if rng.random() < 0.4}
        identify(graph, **query, experiments=[(), chosen])
