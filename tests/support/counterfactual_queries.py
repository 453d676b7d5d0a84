"""Counterfactual queries of the literature, random ones, and their values by enumeration."""

import itertools

import numpy as np
from enumeration import Model
from expression_values import value
from random_queries import Experiments

from causal.graph import Graph
from causal.identification.counterfactual_events import identify_counterfactual
from causal.identification.events import Event
from causal.identification.refusal import Unidentifiable

E = Event


def plain(event):
    """The event as the enumeration takes it."""
    do = {name: plain(to) if isinstance(to, Event) else to for name, to in event.do}
    return event.variable, event.value, do


def answered(graph, events, given, available):
    """The answer; None if it is refused."""
    try:
        return identify_counterfactual(graph, events=events, given=given, available=available)
    except Unidentifiable:
        return None


def check_values(query, models, seed=0):
    """The formula equals the truth in random models, whatever the values of its free names."""
    graph = query.graph
    for number in range(models):
        model = Model.random(graph.directed, graph.bidirected, graph.nodes, rng=[seed, number])
        try:
            truth = model.counterfactual([*map(plain, query.events)], [*map(plain, query.given)])
        except ZeroDivisionError:  # a condition that this model happens to exclude
            continue
        found = 0.0
        if query.expression is not None:
            found = value(query.expression, sorted(graph.nodes), Experiments(model))
        np.testing.assert_allclose(found, truth, rtol=0, atol=1e-9, err_msg=str(query))


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
