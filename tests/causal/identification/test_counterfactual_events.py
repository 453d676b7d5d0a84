"""Counterfactual queries: verdicts of the literature, values by enumeration, proofs."""

import itertools
import random
import re

import numpy as np
import pytest
import torch
from enumeration import Model

from causal.expression import ONE, At, Probability, Product, Ratio, Sum, canonical, subexpressions
from causal.factor import Factor
from causal.graph import Graph
from causal.identification.conflict import ConflictingWorlds
from causal.identification.counterfactual_contrasts import (
    effect_on_treated,
    natural_direct_effect,
    natural_indirect_effect,
)
from causal.identification.counterfactual_events import identify_counterfactual
from causal.identification.counterfactual_steps import Cancellation, Splitting, Unfolding
from causal.identification.events import Event, probability_of
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable

E = Event


def enumerated(expression, model):
    """The expression on the model's own tables: (names, array). Names left are free."""
    order, found = sorted(model.nodes), {}

    def aligned(node, names):
        mine, table = found[node]
        shape = [model.cards[n] if n in mine else 1 for n in names]
        return table.reshape(shape)

    for node in subexpressions(expression):
        names = sorted(node.arguments)
        if isinstance(node, Probability):
            table = model.interventional(node.do)
            gone = [axis for axis, n in enumerate(order) if n not in node.arguments]
            table = table.sum(tuple(gone))
            axes = tuple(names.index(n) for n in node.outcomes)
            table = table / table.sum(axes, keepdims=True)
        elif isinstance(node, Product):
            table = np.ones([model.cards[n] for n in names])
            for factor in node.factors:
                table = table * aligned(factor, names)
        elif isinstance(node, Ratio):
            table = aligned(node.above, names) / aligned(node.below, names)
        elif isinstance(node, Sum):
            inner, table = found[node.of]
            table = table.sum(tuple(axis for axis, n in enumerate(inner) if n in node.over))
            for name in node.over - node.of.arguments:
                table = table * model.cards[name]
        elif isinstance(node, At):
            inner, table = found[node.of]
            table = table[tuple(dict(node.values).get(n, slice(None)) for n in inner)]
        found[node] = names, table
    return found[expression]


def plain(event):
    """The event as the enumeration takes it."""
    do = {name: plain(to) if isinstance(to, Event) else to for name, to in event.do}
    return event.variable, event.value, do


def check_values(query, models, seed=0, cards=2):
    graph = query.graph
    for number in range(models):
        model = Model.random(
            graph.directed, graph.bidirected, graph.nodes, rng=[seed, number], cards=cards
        )
        try:
            truth = model.counterfactual([*map(plain, query.events)], [*map(plain, query.given)])
        except ZeroDivisionError:  # a condition that this model happens to exclude
            continue
        value = 0.0 if query.expression is None else enumerated(query.expression, model)[1]
        np.testing.assert_allclose(value, truth, rtol=0, atol=1e-9, err_msg=str(query))


# Names: as in the papers; verdicts: by experiments, by observations. Sources: SP = Shpitser & Pearl
# 2007/2008 (ID*, IDC*), CLB = Correa, Lee & Bareinboim 2021, T = the documentation and tests of the
# R package cfid (Tikka 2023), P = Pearl 2001 and 2009, A = Avin, Shpitser & Pearl 2005.
DRUG = "X -> W -> Y; D -> Z -> Y; X <-> Y"
Y_X, X1, Z_D, D0 = E("Y", 0, {"X": 0}), E("X", 1), E("Z", 0, {"D": 0}), E("D", 0)
ZIGZAG = "X -> Y <-> A <-> B <-> Z; X -> Z"
CHAIN = "X -> Z -> Y; X <-> Z"
MEDIATION = "X -> M -> Y; X -> Y"
M_X0 = E("M", do={"X": 0})
NDE = E("Y", 1, {"X": 1, "M": M_X0})
WITNESS = "X -> A -> M -> Y; A -> Y"
YES, NO = True, False
PUBLISHED = [
    ("SP fig. 9: one district", DRUG, [Y_X, X1, Z_D, D0], [], YES, YES),
    ("SP fig. 9: IDC*", DRUG, [Y_X], [X1, Z_D, D0], YES, YES),
    ("SP fig. 9 with X -> Y", DRUG + "; X -> Y", [Y_X, X1, Z_D, D0], [], NO, NO),
    ("SP fig. 9 with X -> Y: IDC*", DRUG + "; X -> Y", [Y_X], [X1, Z_D, D0], NO, NO),
    ("SP: necessity and sufficiency", "X -> Y", [E("Y", 1, {"X": 1}), Y_X], [], NO, NO),
    ("SP: probability of necessity", "X -> Y", [Y_X], [E("Y", 1), X1], NO, NO),
    ("SP: no confounding", "X -> Y", [Y_X, X1], [], YES, YES),
    ("SP: bow, treated", "X -> Y; X <-> Y", [Y_X, X1], [], NO, NO),
    ("SP: bow, consistency", "X -> Y; X <-> Y", [Y_X, E("X", 0)], [], YES, YES),
    ("SP: bow, experiment", "X -> Y; X <-> Y", [Y_X], [], YES, NO),
    ("SP: zig-zag", ZIGZAG, [Y_X, E("A", 0), E("B", 0), E("Z", 0, {"X": 1})], [], NO, NO),
    ("SP: zig-zag, one world", ZIGZAG,
     [Y_X, E("A", 0), E("B", 0), E("Z", 0, {"X": 0})], [], YES, YES),
    ("SP: zig-zag, broken", ZIGZAG, [Y_X, E("A", 0), E("Z", 0, {"X": 1})], [], YES, YES),
    ("SP: front door, treated", "X -> M -> Y; X <-> Y", [Y_X], [X1], YES, YES),
    ("SP: back door, treated", "X -> Y; Z -> X; Z -> Y", [Y_X], [X1], YES, YES),
    ("SP: napkin", "W -> R -> X -> Y; W <-> X; W <-> Y", [Y_X], [], YES, YES),
    ("T: W observed as well", DRUG, [Y_X, X1, Z_D, D0, E("W", 0)], [], NO, NO),
    ("T: two worlds", "X -> Y", [Y_X, E("Y", 1, {"X": 1})], [], NO, NO),
    ("T: tautology", DRUG, [E("Y", 0, {"Y": 0})], [], YES, YES),
    ("T: with a tautology", DRUG, [Y_X, X1, Z_D, D0, E("Y", 0, {"Y": 0})], [], YES, YES),
    ("T: no bidirected edge", "C -> A -> Y; C -> Y", [E("Y", 0, {"A": 1})], [E("A", 0)], YES, YES),
    ("T: chain", CHAIN, [E("Y", 1, {"Z": 0})], [], YES, YES),
    ("T: chain, conjunction", CHAIN,
     [E("Y", 1, {"Z": 0}), E("Z", 0, {"X": 0}), E("X", 0)], [], YES, YES),
    ("T: empty condition left", "X -> Y <- Z", [E("Y", 0)], [E("X", 0), E("Z", 0)], YES, YES),
    ("T: other response", "X -> Z -> Y", [E("Z", 0), E("Z", 1, {"X": 0}), X1], [], NO, NO),
    ("T: bow, both worlds", "X -> Y; X <-> Y", [Y_X, E("Y", 0)], [], NO, NO),
    ("T: summed district", "X -> Y; X <-> Y <-> Z; Z -> Y", [Y_X], [], YES, NO),
    ("T: no formula for a district", "Z -> X -> Y",
     [Y_X, E("Y", 1, {"X": 1}), E("Z", 0)], [], NO, NO),
    ("T: incompatible sum", "E -> S -> T -> W; E -> W; E <-> T; S <-> W",
     [E("W", 0, {"E": 0, "T": 0}), E("T", 0)], [], NO, NO),
    ("T: pipeline", "X -> Z -> Y; Y <-> Z", [Y_X], [E("Z", 0, {"X": 0})], YES, YES),
    ("T: by experiments alone", "X -> Z -> Y <-> Z <-> X", [Y_X], [E("Z", 0, {"X": 0})], YES, NO),
    ("P: natural direct effect", MEDIATION, [NDE], [], YES, YES),
    ("P: confounded mediator", MEDIATION + "; M <-> Y", [NDE], [], NO, NO),
    ("P: confounded treatment", MEDIATION + "; X <-> Y", [NDE], [], YES, NO),
    ("P: treatment and mediator", MEDIATION + "; X <-> M", [NDE], [], YES, NO),
    ("P: observed confounders", MEDIATION + "; C -> X; C -> M; C -> Y", [NDE], [], YES, YES),
    ("P: affected confounder", MEDIATION + "; X -> L; L -> M; L -> Y", [NDE], [], NO, NO),
    ("A: recanting witness", WITNESS, [E("Y", 1, {"X": 1, "M": M_X0})], [], NO, NO),
    ("A: all mediators", WITNESS,
     [E("Y", 1, {"X": 1, "M": M_X0, "A": E("A", do={"X": 0})})], [], YES, YES),
    ("CLB: nested, treated", MEDIATION, [NDE], [E("X", 0)], YES, YES),
    ("CLB: nested, given its mediator", MEDIATION, [NDE], [E("M", 1, {"X": 0})], YES, YES),
    ("CLB: nested, given the outcome", MEDIATION, [NDE], [E("Y", 1)], NO, NO),
    ("CLB: nested in nested", "X -> M -> N -> Y; X -> N; X -> Y",
     [E("Y", 1, {"X": 1, "N": E("N", do={"X": 0, "M": E("M", do={"X": 1})})})], [], YES, YES),
    ("the condition has a part of its own", "Z -> X; X -> Y; Z <-> X",
     [E("Y", 1, {"X": 0})], [E("X", 1), E("X", 0, {"Z": 0})], YES, YES),
    ("the condition becomes the same", "C -> B",
     [E("C", 1)], [E("B", 0, {"C": 0}), E("B", 1, {"C": 1})], YES, YES),
]  # fmt: skip


def answered(graph, events, given, available):
    try:
        return identify_counterfactual(graph, events=events, given=given, available=available)
    except Unidentifiable:
        return None


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


def random_graph(draw, nodes):
    names = list("ABCDEF"[:nodes])
    order = draw.sample(names, nodes)
    arrows, arcs = draw.choice([0.3, 0.5, 0.7]), draw.choice([0.0, 0.15, 0.3, 0.5])
    pairs = list(itertools.combinations(order, 2))
    directed = [pair for pair in pairs if draw.random() < arrows]
    return Graph(directed, [pair for pair in pairs if draw.random() < arcs], names)


def random_event(draw, graph, depth=1):
    variable, settings = draw.choice(graph.nodes), {}
    for name in draw.sample(graph.nodes, min(draw.choice([0, 1, 1, 2]), len(graph.nodes))):
        nested = depth and draw.random() < 0.3
        world = random_event(draw, graph, depth - 1).do if nested else ()
        settings[name] = E(name, do=world) if nested else draw.randrange(2)
    if draw.random() < 0.9:
        settings.pop(variable, None)
    return E(variable, draw.randrange(2), settings)


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


def test_steps_are_checked():
    graph = Graph.parse("X -> M -> Y; X -> Y; X <-> M")
    steps = identify_counterfactual(graph, events=[NDE], given=[E("M", 1, {"X": 0})]).steps
    assert [type(step) for step in steps][:2] == [Unfolding, Cancellation]
    assert steps[0].before == "P(M_{X=0}=1, Y_{M_{X=0}, X=1}=1)"
    assert steps[0].after == "P(M_{X=0}=1, Y_{M=1, X=1}=1)"
    assert steps[1].after == steps[2].before == steps[2].after == "P(Y_{M=1, X=1}=1)"
    unfolding, cancellation, splitting = steps[:3]
    assert not unfolding.verify(Graph.parse("X -> M -> Y; Z -> Y"))
    assert not cancellation.verify(Graph.parse("X -> M -> Y; X -> Y; M <-> Y"))
    assert not splitting.verify(Graph.parse("X -> M -> Y"))
    wrong = Unfolding((E("Y", 0, {"X": 1, "M": M_X0}),), unfolding.responses)
    assert not wrong.verify(graph)
    joined = Splitting(tuple((response,) for response in unfolding.responses))
    assert joined.verify(graph)
    assert not joined.verify(Graph.parse("X -> M -> Y; X -> Y; M <-> Y"))


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


def test_formulas_are_written_in_latex():
    query = identify_counterfactual(Graph.parse(MEDIATION), events=NDE, available="observations")
    assert query.latex() == (
        r"P(Y_{M_{X = 0}, X = 1} = 1) = \sum_{M} P(M \mid X=0) \, P(Y=1 \mid M, X=1)"
    )
    assert identify_counterfactual(Graph.parse(MEDIATION), events=NDE).experiments == (
        frozenset("X"),
        frozenset("MX"),
    )


def test_states_may_be_named():
    graph = Graph.parse("Z -> X -> Y; Z -> Y")
    effect = effect_on_treated(
        graph, E("Y", "well"), do={"X": "drug"}, against={"X": "none"}, available="observations"
    )
    assert str(effect.second) == (
        "P(Y_{X=none}=well | X=drug) = sum_{Z} P(Y=well | X=none, Z) P(Z | X=drug)"
    )


CONTRASTS = [effect_on_treated, natural_direct_effect, natural_indirect_effect]


@pytest.mark.parametrize("contrast", CONTRASTS)
@pytest.mark.parametrize("available", ["experiments", "observations"])
def test_contrasts_equal_enumeration(contrast, available):
    graph = Graph.parse("C -> X; C -> M; C -> Y; X -> M -> Y; X -> Y; X -> N -> Y; N -> M")
    effect = contrast(graph, E("Y", 1), do={"X": 1}, against={"X": 0}, available=available)
    for part in (effect.first, effect.second):
        check_values(part, 5)
    mediators = {name: E(name, do={"X": 0}) for name in ("M", "N")}
    if contrast is natural_direct_effect:
        assert effect.first.events == (E("Y", 1, {"X": 1, **mediators}),)
    assert r"\\" in effect.latex()
    assert str(effect).count("P(Y_{") == 2


def test_contrasts_tell_the_mend():
    graph, outcome = Graph.parse(MEDIATION), E("Y", 1)
    for contrast in CONTRASTS:
        with pytest.raises(ValueError, match="same variables"):
            contrast(graph, outcome, do={"X": 1}, against={"M": 0})
        with pytest.raises(ValueError, match="'Y' is the outcome"):
            contrast(graph, outcome, do={"Y": 1}, against={"Y": 0})
        with pytest.raises(ValueError, match="without do"):
            contrast(graph, NDE, do={"X": 1}, against={"X": 0})
        with pytest.raises(ValueError, match="unknown node"):
            contrast(graph, outcome, do={"Q": 1}, against={"Q": 0})
    with pytest.raises(ValueError, match=r"\['X'\] are the treatment"):
        natural_direct_effect(graph, outcome, do={"X": 1}, against={"X": 0}, mediators={"X", "M"})


def test_a_chain_of_sixty_confounded_variables():
    names = [f"v{k:02}" for k in range(60)]
    graph = Graph(itertools.pairwise(names), zip(names, names[2:], strict=False))
    one_world = [E(name, 1, {names[30]: 0}) for name in names[40:45]]
    query = answered(graph, one_world, [E(names[2], 0)], "experiments")
    assert query is not None
    assert all(step.verify(graph) for step in query.steps)
    two_worlds = [*one_world, E(names[41], 1, {names[30]: 1})]
    assert answered(graph, two_worlds, [E(names[2], 0)], "experiments") is None


def tables(models, do=()):
    """The models' distributions as one batched Factor."""
    values = np.stack([model.interventional(do) for model in models])
    return Factor(sorted(models[0].nodes), torch.tensor(values))


@pytest.mark.parametrize("available", ["experiments", "observations"])
def test_values_on_batched_tables(available):
    graph = Graph.parse("Z -> X -> M -> Y; X <-> Y; Z -> M")
    models = [Model.random(graph.directed, graph.bidirected, rng=k) for k in range(4)]
    events, given = [Y_X, E("M", 1, {"X": 0})], [E("X", 1), E("Z", 0)]
    query = identify_counterfactual(graph, events=events, given=given, available=available)
    joint = tables(models).values.requires_grad_()
    value = query.evaluate(
        Factor(sorted(graph.nodes), joint), experiments=lambda do: tables(models, do)
    )
    asked = [*map(plain, events)], [*map(plain, given)]
    truth = [model.counterfactual(*asked) for model in models]
    assert value.shape == (4,)
    torch.testing.assert_close(value, torch.tensor(truth, dtype=torch.float64), rtol=0, atol=1e-9)
    if available == "observations":
        value.sum().backward()
        assert bool(joint.grad.isfinite().all())
        assert bool((joint.grad.abs().flatten(1).sum(1) > 0).all())
    contrast = effect_on_treated(
        graph, E("Y", 1), do={"X": 1}, against={"X": 0}, available="observations"
    )
    treated = [E("X", 1)]
    first, second = (
        [m.counterfactual([plain(e)], [*map(plain, treated)]) for m in models]
        for e in (E("Y", 1, {"X": 1}), E("Y", 1, {"X": 0}))
    )
    effect = contrast.evaluate(tables(models))
    expected = torch.tensor(first, dtype=torch.float64) - torch.tensor(second, dtype=torch.float64)
    torch.testing.assert_close(effect, expected, rtol=0, atol=1e-9)


def test_values_of_special_queries():
    model = Model.random([("R", "X"), ("W", "R"), ("X", "Y")], [("W", "X"), ("W", "Y")], rng=0)
    napkin = Graph.parse("W -> R -> X -> Y; W <-> X; W <-> Y")
    joint = tables([model])
    zero = identify_counterfactual(napkin, events=[Y_X, E("Y", 1, {"X": 0})])
    assert zero.evaluate(joint).tolist() == [0.0]
    query = identify_counterfactual(napkin, events=Y_X, available="observations")
    assert query.free == ("R",)
    truth = torch.tensor([model.counterfactual([plain(Y_X)])], dtype=torch.float64)
    for free in ("average", {"R": 0}, {"R": 1}):
        torch.testing.assert_close(query.evaluate(joint, free=free), truth, rtol=0, atol=1e-9)
    named = Factor(("X", "Y"), torch.tensor([[0.1, 0.3], [0.2, 0.4]]), {"X": ("no", "yes")})
    by_name = identify_counterfactual(Graph.parse("X -> Y"), events=E("Y", 1, {"X": "yes"}))
    assert by_name.experiments == (frozenset("X"),)
    with pytest.raises(ValueError, match="experiments with the key"):
        by_name.evaluate(named)
    seen = identify_counterfactual(
        Graph.parse("X -> Y"), events=E("Y", 1, {"X": "yes"}), available="observations"
    )
    assert seen.evaluate(named).item() == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="maybe"):
        identify_counterfactual(Graph.parse("X -> Y"), events=E("X", "maybe")).evaluate(named)
