"""Derivations: from the query to the formula, for each way to answer."""

import itertools

import pytest
from random_queries import flaw, model_of

from causal.graph import Graph
from causal.identification.observational import identify


@pytest.mark.parametrize(
    ("text", "treatments", "given", "rules"),
    [
        ("Z -> X -> Y; Z -> Y", "X", "", ["total probability", "rule 3", "rule 2"]),
        ("X -> Y", "X", "", ["rule 2"]),
        ("Y -> X", "X", "", ["rule 3"]),
        ("X -> Y; Z -> X; Z -> Y", "X", "Z", ["rule 2"]),
        ("X -> Y", "", "", []),
    ],
)
def test_short_proofs(text, treatments, given, rules):
    graph = Graph.parse(text)
    found = identify(graph, outcomes="Y", treatments=set(treatments), given=set(given))
    assert [step.rule for step in found.steps] == rules
    assert flaw(found, model_of(graph, 0)) is None


def test_nested_ratios_are_proved():
    """Two napkins, one inside the other, where the recursion has several stages."""
    text = "W -> R -> X -> Y; W <-> X; W <-> Y; V -> S -> W; V <-> W; V <-> Y"
    graph = Graph.parse(text)
    found = identify(graph, outcomes="Y", treatments="X")
    assert flaw(found, model_of(graph, 1)) is None


def test_proofs_of_long_formulas_are_made_when_asked_for():
    names = [f"V{k:02d}" for k in range(40)]
    graph = Graph(itertools.pairwise(names), zip(names, names[2:], strict=False))
    found = identify(graph, outcomes=names[-1], treatments=names[20])
    assert found.steps[0].before is found.query
    assert found.steps[-1].after is found.expression
    assert all(step.verify(graph) for step in found.steps)
