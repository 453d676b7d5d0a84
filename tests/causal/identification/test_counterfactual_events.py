"""Counterfactual queries: verdicts of the literature, values by enumeration, refusals."""

import itertools
import random
import re

import numpy as np
import pytest
from counterfactual_queries import (
    CHAIN,
    D0,
    DRUG,
    MEDIATION,
    NDE,
    PUBLISHED,
    X1,
    Y_X,
    Z_D,
    E,
    answered,
    check_values,
    plain,
    random_event,
    random_graph,
)
from counterfactual_table import PAGE, page
from enumeration import Model

from causal.expression import ONE, canonical
from causal.graph import Graph
from causal.identification.conflict import ConflictingWorlds
from causal.identification.counterfactual_events import identify_counterfactual
from causal.identification.events import probability_of
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable


@pytest.mark.parametrize(
    ("graph", "events", "given", "by_experiments", "by_observations"),
    [row[1:] for row in PUBLISHED],
    ids=[row[0] for row in PUBLISHED],
)
def test_published_queries(graph, events, given, by_experiments, by_observations):
    graph = Graph.parse(graph)
    for available, expected in (
        ("experiments", by_experiments),
        ("observations", by_observations),
    ):
        query = answered(graph, events, given, available)
        assert (query is not None) is expected, available
        if query is not None:
            check_values(query, 6)
            assert canonical(query.expression) is query.expression
            assert all(step.verify(graph) for step in query.steps)
            if available == "observations":
                assert query.experiments in ((frozenset(),), ())


ZERO = [
    (DRUG, [E("Y", 0, {"Y": 1})], []),
    (DRUG, [Y_X, X1, Z_D, D0, E("Y", 1, {"X": 0, "Z": 0})], []),
    (DRUG, [Y_X, X1, Z_D, E("Z", 1, {"X": 0})], [D0]),
    (CHAIN, [E("X", 0)], [E("X", 1)]),
    ("X -> Z -> Y", [E("Z", 0), E("Z", 1, {"X": 0}), E("X", 0)], []),
    ("X -> Y; X <-> Y", [Y_X, E("Y", 1), E("X", 0)], []),
    ("X -> M -> Y", [E("Y", 1, {"M": 0}), E("M", 0), E("Y", 0)], []),
    (MEDIATION, [NDE, E("M", 1, {"X": 0}), E("Y", 0, {"X": 1, "M": 1})], []),
]


@pytest.mark.parametrize(("graph", "events", "given"), ZERO)
def test_contradictory_events_have_probability_zero(graph, events, given):
    query = identify_counterfactual(Graph.parse(graph), events=events, given=given)
    assert query.expression is None
    assert query.contradiction
    assert re.search(r" = 0 \(.*\)$", str(query))
    assert query.latex().endswith("= 0")
    assert query.steps == query.experiments == query.free == ()
    check_values(query, 5)


def test_an_impossible_condition_is_an_error():
    for given in ([E("Y", 0, {"Y": 1})], [E("X", 0), E("X", 1)], [Y_X, E("Y", 1), E("X", 0)]):
        with pytest.raises(ValueError, match=r"undefined: the condition has probability 0"):
            identify_counterfactual(Graph.parse("X -> Y"), events=E("Y", 1), given=given)


def test_implied_events_have_probability_one():
    graph = Graph.parse("X -> Y")
    for events, given in (
        ([E("Y", 0)], [E("Y", 0)]),
        ([E("Y", 0)], [Y_X, E("X", 0)]),
        ([E("X", 1, {"X": 1})], []),
        ([E("Y", 1)], [E("X", 0), E("Y", 1, {"X": E("X")})]),
    ):
        assert identify_counterfactual(graph, events=events, given=given).expression is ONE


@pytest.mark.parametrize("available", ["experiments", "observations"])
def test_random_queries_equal_enumeration(available):
    draw, counts = random.Random(20), {"formula": 0, "refused": 0, "zero": 0, "undefined": 0}
    for number in range(200 if available == "experiments" else 120):
        graph = random_graph(draw, draw.randint(3, 6))
        events = [random_event(draw, graph) for _ in range(draw.randint(1, 3))]
        given = [random_event(draw, graph) for _ in range(draw.choice([0, 0, 1, 2]))]
        try:
            query = identify_counterfactual(graph, events=events, given=given, available=available)
        except ValueError as error:
            refused = isinstance(error, Unidentifiable)
            asked = probability_of(dict.fromkeys(events), dict.fromkeys(given))
            reason = " has no formula| needs an experiment" if refused else " is undefined"
            with pytest.raises(ValueError, match=re.escape(asked) + f"({reason})"):
                raise
            counts["refused" if refused else "undefined"] += 1
            continue
        counts["zero" if query.expression is None else "formula"] += 1
        check_values(query, 1, seed=number)
        assert all(step.verify(graph) for step in query.steps), str(query)
    assert all(counts.values()), counts


def test_one_world_has_the_verdict_of_conditional_identification():
    draw = random.Random(21)
    for number in range(80):
        graph = random_graph(draw, draw.randint(2, 6))
        names = draw.sample(graph.nodes, len(graph.nodes))
        treatments, given = names[1 : 1 + draw.randint(0, 2)], names[3 : 3 + draw.randint(0, 2)]
        do = {name: draw.randrange(2) for name in treatments}
        query = answered(
            graph,
            [E(names[0], 1, do)],
            [E(name, draw.randrange(2), do) for name in given],
            "observations",
        )
        try:
            identify(graph, outcomes=names[0], treatments=treatments, given=given)
        except Unidentifiable:
            assert query is None, str(query)
        else:
            check_values(query, 1, seed=number)


def test_a_refusal_of_all_experiments_carries_the_conflict():
    graph = Graph.parse("X -> Y; X <-> Y; Z -> X; Q -> Y")
    with pytest.raises(
        ConflictingWorlds, match="of X, Y would have to meet X = 1 and X = 0"
    ) as caught:
        identify_counterfactual(graph, events=[Y_X], given=[X1])
    conflict = caught.value.conflict
    assert caught.value.hedge is conflict
    assert conflict.district == {"X", "Y"}
    assert conflict.variable == "X"
    assert set(conflict.values) == {0, 1}
    assert conflict.graph == graph
    with pytest.raises(ConflictingWorlds, match="the value that X takes by itself") as caught:
        identify_counterfactual(Graph.parse("X -> Y"), events=[Y_X, E("Y", 1)])
    assert caught.value.conflict.values in ((0, None), (None, 0))


def test_a_refusal_of_observations_carries_the_hedge():
    with pytest.raises(Unidentifiable, match=r"P\(Y_{X=0}=0\) needs an experiment") as caught:
        identify_counterfactual(
            Graph.parse("X -> Y; X <-> Y"), events=Y_X, available="observations"
        )
    assert caught.value.hedge.top == {"X", "Y"}
    assert caught.value.hedge.bottom == {"Y"}


def test_what_is_refused_differs_between_models_that_agree():
    """Y copies or reverses X, or ignores it: every experiment shows a fair coin."""
    nodes, parents, cards = ("X", "Y"), {"X": (), "Y": ("X",)}, {"X": 2, "Y": 2}
    noise = {"X": np.array([0.5, 0.5]), "Y": np.array([0.5, 0.5])}
    follows = np.array([[0, 1], [1, 0]])  # Y is X or its reverse
    ignores = np.array([[0, 1], [0, 1]])  # Y is the coin
    models = [
        Model(nodes, parents, cards, {}, noise, {"X": np.array([0, 1]), "Y": table})
        for table in (follows, ignores)
    ]
    for do in ((), ("X",)):
        np.testing.assert_allclose(*(model.interventional(do) for model in models))
    events = [Y_X, E("Y", 1, {"X": 1})]
    values = [model.counterfactual([*map(plain, events)]) for model in models]
    assert values == [0.5, 0.0]
    assert answered(Graph.parse("X -> Y"), events, [], "experiments") is None


def test_formulas_are_short():
    def text(graph, events, given=(), available="experiments"):
        query = identify_counterfactual(
            Graph.parse(graph), events=events, given=given, available=available
        )
        return str(query).split(" = ", maxsplit=1)[1]

    assert text(DRUG, Y_X) == "P(Y=0 | do(X=0))"
    assert text(DRUG, Y_X, [X1, Z_D, D0], "observations") == (
        "sum_{W} P(W | X=0) P(Y=0 | W, X=1, Z=0)"
    )
    assert text("W -> R -> X -> Y; W <-> X; W <-> Y", Y_X, E("R", 1)) == ("P(Y=0 | do(X=0), R=1)")
    assert text(MEDIATION, NDE, (), "observations") == "sum_{M} P(M | X=0) P(Y=1 | M, X=1)"


def test_a_chain_of_sixty_confounded_variables():
    names = [f"v{k:02}" for k in range(60)]
    graph = Graph(itertools.pairwise(names), zip(names, names[2:], strict=False))
    one_world = [E(name, 1, {names[30]: 0}) for name in names[40:45]]
    query = answered(graph, one_world, [E(names[2], 0)], "experiments")
    assert query is not None
    assert all(step.verify(graph) for step in query.steps)
    two_worlds = [*one_world, E(names[41], 1, {names[30]: 1})]
    assert answered(graph, two_worlds, [E(names[2], 0)], "experiments") is None


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == page(), "run: python tests/support/counterfactual_table.py"
