"""Steps: licences of the three rules, what makes a step fail, and rewriting."""

import dataclasses

import numpy as np
import pytest
from random_queries import random_query

from causal.expression import ONE, At, Probability, Product, Ratio, Sum
from causal.graph import Graph
from causal.identification.derivation import Separation, Step, licence, substitute
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable

FRONT_DOOR = Graph.parse("X -> M -> Y; X <-> Y")


def p(outcomes, given="", do=""):
    return Probability(set(outcomes), set(given), set(do))


@pytest.mark.parametrize(
    ("rule", "old", "new", "statement"),
    [
        (1, p("Y", "Z", "X"), p("Y", "", "X"),
         "Y is separated from Z given X without arrows into X"),
        (2, p("M", "", "X"), p("M", "X"), "M is separated from X without arrows out of X"),
        (2, p("Y", "M", "X"), p("Y", "", "XM"),
         "Y is separated from M given X without arrows into X without arrows out of M"),
        (3, p("Y", "", "XM"), p("Y", "", "M"),
         "Y is separated from X given M without arrows into M, X"),
        (3, p("Y", "M", "X"), p("Y", "M"), "Y is separated from X given M"),
    ],
)  # fmt: skip
def test_licences(rule, old, new, statement):
    graph = Graph.parse("X -> M -> Y; X <-> Y; Z")
    assert str(licence(graph, rule, old, new)) == statement
    assert licence(graph, rule, new, old) == licence(graph, rule, old, new)


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [(1, p("Y", "", "X"), p("Y")), (2, p("Y", "", "X"), p("Y")), (3, p("Y", "X"), p("Y")),
     (2, p("Y", "", "X"), p("M", "X"))],
)  # fmt: skip
def test_rules_that_do_not_fit_are_refused(rule, old, new):
    with pytest.raises(ValueError, match=f"rule {rule} does not turn"):
        licence(FRONT_DOOR, rule, old, new)


def test_a_false_statement_fails():
    wrong = licence(FRONT_DOOR, 2, p("Y", "", "X"), p("Y", "X"))
    assert not wrong.holds(FRONT_DOOR)
    step = Step("rule 2", p("Y", "", "X"), p("Y", "X"), (wrong,))
    assert not step.verify(FRONT_DOOR)


def test_a_true_statement_that_licenses_something_else_fails():
    other = Separation(frozenset("M"), frozenset("Y"), frozenset("X"), frozenset(), frozenset("M"))
    assert other.holds(FRONT_DOOR)
    old, new = p("M", "", "X"), p("M", "X")
    assert not Step("rule 2", old, new, (other,), ((old, new),)).verify(FRONT_DOOR)
    right = licence(FRONT_DOOR, 2, old, new)
    assert Step("rule 2", old, new, (right,), ((old, new),)).verify(FRONT_DOOR)
    assert not Step("rule 2", old, p("M"), (right,), ((old, new),)).verify(FRONT_DOOR)
    assert not Step("rule 2", old, new, (), ((old, new),)).verify(FRONT_DOOR)


def test_steps_fail_in_graphs_with_more_hidden_causes():
    """The derivation is checked against the graph that it is given, not the one it came from."""
    found = identify(FRONT_DOOR, outcomes="Y", treatments="X")
    other = Graph.parse("X -> M -> Y; X <-> Y; X <-> M; M <-> Y")
    assert all(step.verify(FRONT_DOOR) for step in found.steps)
    assert not all(step.verify(other) for step in found.steps)


def test_forged_steps_fail():
    """Another separation in a step's place is noticed."""
    rng = np.random.default_rng(0)
    forged = 0
    while forged < 10:
        graph, outcomes, treatments, given = random_query(rng)
        try:
            found = identify(graph, outcomes=outcomes, treatments=treatments, given=given)
        except Unidentifiable:
            continue
        for step in found.steps:
            if step.separations:
                swapped = tuple(
                    dataclasses.replace(s, first=s.second, second=s.first) for s in step.separations
                )
                assert not dataclasses.replace(step, separations=swapped).verify(graph)
                forged += 1


def test_substitute_keeps_the_shape():
    old, new = p("Y", "", "X"), p("Y", "X")
    before = At(Ratio(Sum("X", Product((old, ONE, old))), old), [("Y", 1)])
    after = At(Ratio(Sum("X", Product((new, ONE, new))), new), [("Y", 1)])
    assert substitute(before, {old: new}) is after
    assert substitute(before, {}) is before


def test_rules_of_probability_are_checked_by_short_forms():
    joint, parts = p("XY"), Product((p("Y", "X"), p("X")))
    assert Step("chain rule", joint, parts, (), ((joint, parts),)).verify(FRONT_DOOR)
    wrong = Product((p("Y", "X"), p("M")))
    assert not Step("chain rule", joint, wrong, (), ((joint, wrong),)).verify(FRONT_DOOR)
