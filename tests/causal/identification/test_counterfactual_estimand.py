"""Counterfactual estimands: text, LaTeX, and values on tables with gradients."""

import numpy as np
import pytest
import torch
from counterfactual_queries import MEDIATION, NDE, Y_X, E, plain
from enumeration import Model

from causal.factor import Factor
from causal.graph import Graph
from causal.identification.counterfactual_contrasts import effect_on_treated
from causal.identification.counterfactual_events import identify_counterfactual


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
