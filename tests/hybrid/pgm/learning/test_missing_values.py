import numpy as np
import pytest
import torch
from pgm_cases import normalised
from pgm_learning_rate import divergences, slope

from causal.graph import Graph
from hybrid.pgm import BayesianNetwork, ImpossibleEvidence, NoisyOr
from hybrid.pgm.learning.closed_form import maximum_likelihood, tables_in
from hybrid.pgm.learning.missing_values import expectation_maximisation

GRAPHS = ["A -> B", "A -> B -> C", "A -> B <- C; A -> D", "H -> A; H -> B; H -> C"]


def random_network(text, generator, states=3):
    graph = Graph.parse(text)
    tables = {}
    for name in graph.nodes:
        shape = [states] * (len(graph.parents(name)) + 1)
        table = torch.rand(shape, generator=generator, dtype=torch.float64)
        tables[name] = table / table.sum(-1, keepdim=True)
    return BayesianNetwork(graph, tables)


def rows_of(network, count, share, generator, *, hidden=()):
    rows = network.sample(count, generator=generator)
    for name, column in rows.items():
        column[torch.rand(count, generator=generator) < share] = -1
        if name in hidden:
            column[:] = -1
    return rows


@pytest.mark.parametrize("text", GRAPHS)
@pytest.mark.parametrize("pseudo_count", [0.0, 1.0, {"A": 3.0}])
def test_the_objective_never_falls(text, pseudo_count):
    generator = torch.Generator().manual_seed(1)
    truth, start = (random_network(text, generator) for _ in range(2))
    rows = rows_of(truth, 200, 0.3, generator, hidden={"H"})
    learned = expectation_maximisation(
        start, rows, pseudo_count=pseudo_count, tolerance=1e-9, iterations=15
    )
    rises = np.diff(learned.objective)
    assert len(rises) > 2
    assert rises.min() >= -1e-10 * abs(learned.objective[0])


def test_complete_rows_need_one_iteration():
    generator = torch.Generator().manual_seed(2)
    network = random_network(GRAPHS[2], generator)
    rows = rows_of(network, 300, 0.0, generator)
    learned = expectation_maximisation(network, rows, pseudo_count=0.5)
    exact = tables_in(maximum_likelihood(network, rows, pseudo_count=0.5))
    assert len(learned.objective) == 3
    for name, table in tables_in(learned.network).items():
        assert torch.allclose(table, exact[name], atol=1e-14)


def test_the_end_is_a_stationary_point():
    generator = torch.Generator().manual_seed(3)
    truth, start = (random_network("A -> B -> C", generator, 2) for _ in range(2))
    rows = rows_of(truth, 400, 0.3, generator)
    learned = expectation_maximisation(start, rows, tolerance=1e-11, iterations=400)
    leaves = {n: t.log().requires_grad_() for n, t in tables_in(learned.network).items()}
    tables = {name: leaf.softmax(-1) for name, leaf in leaves.items()}
    learned.network.log_probability(rows, tables=tables).sum().backward()
    for leaf in leaves.values():
        assert float(leaf.grad.abs().max()) < 1e-2


def test_missing_values_at_random_leave_the_truth_in_sight():
    # P(B | A) from the rows that have B, P(A) from all: the closed form of a monotone pattern.
    rows = {"A": [0, 0, 0, 1, 1, 0], "B": [0, 1, 1, 1, 1, -1]}
    learned = expectation_maximisation(Graph.parse("A -> B"), rows, tolerance=0.0, iterations=500)
    tables = tables_in(learned.network)
    assert tables["A"].tolist() == pytest.approx([4 / 6, 2 / 6])
    assert tables["B"][0].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert tables["B"][1].tolist() == pytest.approx([0, 1])


def test_weights_are_repetitions():
    generator = torch.Generator().manual_seed(4)
    network = random_network("A -> B", generator, 2)
    rows = rows_of(network, 20, 0.3, generator)
    counts = torch.arange(20) % 3
    repeated = {name: column.repeat_interleave(counts) for name, column in rows.items()}
    one = expectation_maximisation(network, rows, weights=counts.double())
    two = expectation_maximisation(network, repeated)
    for name, table in tables_in(one.network).items():
        assert torch.allclose(table, tables_in(two.network)[name], atol=1e-12)


def test_other_nodes_stay_as_they_are():
    nodes = {"A": [0.5, 0.5], "B": NoisyOr({"A": 0.7}, leak=0.2), "C": [[0.5, 0.5], [0.2, 0.8]]}
    start = BayesianNetwork(Graph.parse("A -> B -> C"), nodes)
    generator = torch.Generator().manual_seed(5)
    rows = rows_of(start, 200, 0.4, generator)
    learned = expectation_maximisation(start, rows)
    assert learned.network.node("B") is start.node("B")
    assert learned.converged
    assert np.diff(learned.objective).min() >= -1e-9


def test_impossible_rows_are_named():
    network = BayesianNetwork(Graph.parse("A -> B"), {"A": [1.0, 0.0], "B": [[0.5, 0.5]] * 2})
    with pytest.raises(ImpossibleEvidence, match="row"):
        expectation_maximisation(network, {"A": [0, 1], "B": [0, 1]})


def test_too_few_iterations_are_told():
    generator = torch.Generator().manual_seed(6)
    truth, start = (random_network("H -> A; H -> B; H -> C", generator) for _ in range(2))
    rows = rows_of(truth, 100, 0.0, generator, hidden={"H"})
    learned = expectation_maximisation(start, rows, tolerance=0.0, iterations=3)
    assert not learned.converged
    assert len(learned.objective) == 4


def test_what_is_learned_nears_the_truth_as_rows_grow():
    sizes = [1000, 16000]
    found = divergences(normalised("asia"), sizes, seeds=2, tolerance=1e-4)
    assert abs(slope(sizes, found) + 1) < 0.25
