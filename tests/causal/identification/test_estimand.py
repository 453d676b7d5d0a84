"""What an answer says of itself."""

import pickle

import torch

from causal.evaluation.simulation import simulated_density, simulated_mean
from causal.factor import Factor
from causal.graph import Graph
from causal.identification.observational import identify

GRAPH = Graph.parse("X -> M -> Y; X <-> Y; W -> X")


def test_equation_as_text_and_latex():
    found = identify(GRAPH, outcomes="Y", treatments="X")
    assert str(found) == "P(Y | do(X)) = sum_{M} P(M | X) sum_{X'} P(Y | M, X') P(X')"
    assert found.latex() == (
        r"P(Y \mid \operatorname{do}(X)) = \sum_{M} P(M \mid X) \, "
        r"\sum_{X'} P(Y \mid M, X') \, P(X')"
    )


def test_names_of_the_query_get_no_second_meaning():
    """A bound name that the query has is primed even where the formula has it nowhere else."""
    found = identify(Graph.parse("X1 -> X2 -> Y; X1 <-> Y"), outcomes="Y", treatments={"X1", "X2"})
    assert "sum_{X1'}" in str(found)


def test_nothing_is_free_without_reason():
    assert identify(GRAPH, outcomes="Y", treatments="X", given="W").free == ()


def test_equality_and_pickling_leave_the_proof_apart():
    first = identify(GRAPH, outcomes="Y", treatments="X")
    second = identify(GRAPH, outcomes={"Y"}, treatments={"X"})
    assert first == second
    copied = pickle.loads(pickle.dumps(first))
    assert copied == first
    assert copied.expression is first.expression
    assert copied.steps == first.steps


def test_density_and_mean_are_the_simulated_ones():
    graph = Graph.parse("X -> M -> Y; X <-> Y")
    query = identify(graph, outcomes="Y", treatments="X")
    seeded = torch.Generator().manual_seed(0)
    values = torch.rand(2, 2, 2, generator=seeded, dtype=torch.float64)
    joint = Factor(("X", "M", "Y"), values / values.sum())
    rows = {"X": torch.tensor([0, 1, 1]), "Y": torch.tensor([1, 0, 1])}
    table = query.evaluate(joint).permute(("X", "Y")).values
    exact = table[rows["X"], rows["Y"]]
    for own, function, asked, truth in (
        (query.density, simulated_density, rows, exact),
        (query.mean, simulated_mean, {"X": rows["X"]}, table[rows["X"], 1]),
    ):
        found = own(joint, asked, samples=4000, generator=torch.Generator().manual_seed(1))
        generator = torch.Generator().manual_seed(1)
        expected = function(query, joint, asked, samples=4000, generator=generator)
        assert torch.equal(found, expected)
        torch.testing.assert_close(found, truth, rtol=0, atol=0.05)
