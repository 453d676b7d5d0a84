import numpy as np
import pandas as pd
import pytest
import torch
from pgm_cases import normalised, sampled

from causal.graph import Graph
from hybrid.pgm import BayesianNetwork, NoisyOr, Table
from hybrid.pgm.learning.closed_form import maximum_likelihood, tables_in
from hybrid.pgm.learning.counting import family_counts, prior_counts

EDGE = Graph.parse("A -> B")


def asia_rows(rows):
    network = normalised("asia")
    states = sampled(network, rows, np.random.default_rng(0))
    columns = {name: torch.from_numpy(states[:, i]) for i, name in enumerate(network.states)}
    edges = [(a, name) for name, above in network.parents.items() for a in above]
    return Graph(edges), columns, network


@pytest.mark.parametrize("pseudo_count", [0.0, 2.0])
def test_counts_divided_by_counts(pseudo_count):
    graph, columns, _ = asia_rows(300)
    learned = tables_in(maximum_likelihood(graph, columns, pseudo_count=pseudo_count))
    frame = pd.DataFrame({name: column.numpy() for name, column in columns.items()})
    for name, table in learned.items():
        family = [*graph.parents(name), name]
        for cell in np.ndindex(*table.shape):
            here = (frame[family] == list(cell)).all(axis=1).sum()
            above = (frame[family[:-1]] == list(cell[:-1])).all(axis=1).sum()
            total = above + 2 * pseudo_count
            wanted = (here + pseudo_count) / total if total else 0.5
            assert float(table[cell]) == pytest.approx(wanted, abs=1e-15)


def test_values_of_pgmpy():
    from pgmpy.models import DiscreteBayesianNetwork
    from pgmpy.parameter_estimator import DiscreteMLE

    graph, columns, _ = asia_rows(2000)
    frame = pd.DataFrame({name: column.numpy() for name, column in columns.items()})
    theirs = DiscreteBayesianNetwork(list(graph.directed))
    names = {name: [0, 1] for name in columns}
    fitted = DiscreteMLE(state_names=names).fit(theirs, frame)
    tables = {cpd.variable: cpd for cpd in fitted.parameters_}
    ours = maximum_likelihood(graph, columns).to_pgmpy()
    for name in graph.nodes:
        mine, other = ours.get_cpds(name), tables[name]
        order = [mine.variables.index(variable) for variable in other.variables]
        assert np.allclose(np.transpose(mine.values, order), other.values, atol=1e-15)


def test_no_other_tables_are_more_probable():
    graph, columns, _ = asia_rows(500)
    best = maximum_likelihood(graph, columns)
    height = best.log_probability(columns).sum()
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        tables = {
            name: 0.9 * table + 0.1 * torch.rand(table.shape, generator=generator).double()
            for name, table in tables_in(best).items()
        }
        tables = {name: table / table.sum(-1, keepdim=True) for name, table in tables.items()}
        assert BayesianNetwork(graph, tables).log_probability(columns).sum() < height


def test_weights_are_repetitions():
    columns = {"A": torch.tensor([0, 1, 1]), "B": torch.tensor([1, 0, 1])}
    weights = torch.tensor([2.0, 1.0, 3.0])
    repeated = {name: column.repeat_interleave(weights.long()) for name, column in columns.items()}
    weighted = tables_in(maximum_likelihood(EDGE, columns, weights=weights))
    for name, table in tables_in(maximum_likelihood(EDGE, repeated)).items():
        assert torch.equal(table, weighted[name])


def test_a_configuration_without_rows_keeps_its_probabilities():
    network = BayesianNetwork(EDGE, {"A": [0.5, 0.5], "B": [[0.1, 0.9], [0.3, 0.7]]})
    learned = maximum_likelihood(network, {"A": [0, 0], "B": [0, 1]})
    assert tables_in(learned)["B"].tolist() == [[0.5, 0.5], [0.3, 0.7]]
    assert tables_in(network)["B"].tolist() == [[0.1, 0.9], [0.3, 0.7]]


def test_names_of_states_are_kept_and_other_nodes_shared():
    nodes = {"A": Table([0.5, 0.5], trainable=True), "B": NoisyOr({"A": 0.5})}
    network = BayesianNetwork(EDGE, nodes, states={"A": ("no", "yes")})
    learned = maximum_likelihood(network, {"A": ["no", "yes", "yes", "yes"], "B": [0, 0, 1, 1]})
    assert learned.states["A"] == ("no", "yes")
    assert learned.node("B") is network.node("B")
    assert learned.node("A").trainable
    assert tables_in(learned)["A"].tolist() == pytest.approx([0.25, 0.75])


def test_structural_zeros_by_a_table_of_pseudo_counts():
    prior = {"A": torch.tensor([1.0, 0.0])}
    network = BayesianNetwork(EDGE, {"A": [0.5, 0.5], "B": [[0.1, 0.9], [0.3, 0.7]]})
    learned = maximum_likelihood(network, {"A": [0, 0], "B": [0, 1]}, pseudo_count=prior)
    assert tables_in(learned)["A"].tolist() == [1, 0]


@pytest.mark.parametrize(
    ("data", "pseudo_count", "message"),
    [
        ({"A": [0, 1], "B": [0, -1]}, 0, "'B' is missing in row 1: complete data are needed here"),
        ({"A": [0, 1]}, 0, "data have no column 'B', so its states are unknown"),
        ({"A": [0, 1], "B": [0, 1]}, -1, "pseudo_count of 'A' is -1: expected numbers from 0 on"),
        ({"A": [0, 1], "B": [0, 1]}, {"B": [1.0, 2.0]}, r"of 'B' has shape \(2,\), not \(2, 2\)"),
    ],
)
def test_errors(data, pseudo_count, message):
    with pytest.raises(ValueError, match=message):
        maximum_likelihood(EDGE, data, pseudo_count=pseudo_count)


def test_a_network_needs_all_columns():
    network = BayesianNetwork(EDGE, {"A": [0.5, 0.5], "B": [[0.1, 0.9], [0.3, 0.7]]})
    with pytest.raises(ValueError, match="data have no column 'B': complete data"):
        maximum_likelihood(network, {"A": [0, 1]})


def test_counts_and_priors_have_the_shape_of_the_table():
    counts = family_counts({"A": torch.tensor([2, 2])}, ("A",), {"A": 3}, torch.tensor([0.5, 1.0]))
    assert counts.tolist() == [0, 0, 1.5]
    assert prior_counts(0.5, "A", (2, 3)).shape == (2, 3)
