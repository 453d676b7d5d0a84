"""Published queries: verdicts, values on random models, derivations, and the page about them."""

import pytest
import torch
from enumerated import drawn, experiments, truth
from published import CASES
from published_table import PAGE, page

from causal.evaluation.query import evaluate_estimand, specification_spread
from causal.factor import Factor
from causal.graph import Graph
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable

MODELS = 20
SOLVED = [case for case in CASES if case.identified]
REFUSED = [case for case in CASES if not case.identified]


def title(case):
    return f"{case.source}: {case.outcomes}"


def stacked(factors):
    return Factor(factors[0].names, torch.stack([factor.values for factor in factors]))


@pytest.mark.parametrize("case", SOLVED, ids=title)
def test_published_formulas_are_exact(case):
    graph, query = Graph.parse(case.graph), case.query()
    found = identify(graph, **query)
    asked = query["outcomes"], query["treatments"], query["given"]
    # Every fourth without a floor on cells: stronger effects.
    floors = [None if seed % 4 == 3 else 0.01 for seed in range(MODELS)]
    models = [drawn(graph, seed, cell=floor) for seed, floor in enumerate(floors)]

    def tables(names):
        return stacked([experiments(model)(names) for model in models])

    value = evaluate_estimand(found, experiments=tables)
    exact = stacked([truth(model, *asked) for model in models]).permute(value.names)
    torch.testing.assert_close(value.values, exact.values, rtol=0, atol=1e-9)
    if found.free:
        assert specification_spread(found, experiments=tables).values.max() < 1e-9
    current = found.query
    for step in found.steps:
        assert step.before is current
        assert step.verify(graph), step
        current = step.after
    assert current is found.expression


@pytest.mark.parametrize("case", REFUSED, ids=title)
def test_published_refusals_carry_a_hedge(case):
    graph = Graph.parse(case.graph)
    with pytest.raises(Unidentifiable) as caught:
        identify(graph, **case.query())
    for hedge in caught.value.thicket:
        if hedge.experiment & hedge.bottom:
            continue  # the experiment sets a part of what the query needs: it cannot serve
        assert hedge.roots <= hedge.bottom < hedge.top <= set(graph.nodes)
        for part in (hedge.bottom, hedge.top):
            inside = graph.remove_incoming(hedge.experiment).subgraph(part)
            assert len(inside.districts) == 1
            assert inside.ancestors(hedge.roots) == part


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == page(), "run: python tests/support/published_table.py"
