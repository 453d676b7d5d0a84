"""The choice of a short formula: adjustment, pruned conditions, variables left out."""

import pytest
from random_queries import error, flaw, model_of

from causal.graph import Graph
from causal.identification.answers import Adjustment, Factorisation, answered
from causal.identification.districts import Stuck
from causal.identification.observational import identify
from causal.identification.reduction import Query


def way(text, outcomes, treatments, given="", supplied=(0,)):
    graph = Graph.parse(text)
    query = Query(*(graph.mask(set(names)) for names in (outcomes, treatments, given)))
    return answered(graph.bits, query, query, supplied)


def test_kinds_of_answers():
    assert isinstance(way("X -> Y; Z -> X; Z -> Y", "Y", "X"), Adjustment)
    assert isinstance(way("X -> M -> Y; X <-> Y", "Y", "X"), Factorisation)
    stuck = way("X -> Y; X <-> Y", "Y", "X")
    assert isinstance(stuck, tuple)
    assert isinstance(stuck[0], Stuck)


@pytest.mark.parametrize(
    ("text", "given", "formula"),
    [
        # an instrument of the treatment is in the district's conditions, yet nothing needs it
        ("W -> X -> M -> Y; X <-> Y", "", "sum_{M} P(M | X) sum_{X'} P(Y | M, X') P(X')"),
        # one mediator is enough
        ("X -> A -> B -> Y; X <-> Y", "", "sum_{B} P(B | X) sum_{X'} P(Y | B, X') P(X')"),
        # the covariates nearest to the outcome, as few as will do
        ("Z -> X -> Y; Z -> V -> Y; U -> Z", "", "sum_{V} P(Y | V, X) P(V)"),
        # conditions that change one factor only stand there only
        ("X -> Y; Z -> X; Z -> Y; W -> Y; X <-> Z", "W", "sum_{Z} P(Y | W, X, Z) P(Z)"),
        ("X -> Y; Z -> X; Z -> Y; W -> Z", "W", "sum_{Z} P(Y | X, Z) P(Z | W)"),
    ],
)
def test_short_forms(text, given, formula):
    graph = Graph.parse(text)
    found = identify(graph, outcomes="Y", treatments="X", given=set(given))
    assert str(found).split(" = ", 1)[1] == formula
    model = model_of(graph, 2)
    assert error(found, model) < 1e-9
    assert flaw(found, model) is None


def test_variables_of_experiments_stay():
    """What an experiment set must be named in what is read from it."""
    graph = Graph.parse("W -> X -> M -> Y; X <-> Y")
    found = identify(graph, outcomes="Y", treatments="X", experiments=[{"W"}])
    assert found.free == ("W",)
    assert error(found, model_of(graph, 3)) < 1e-9
