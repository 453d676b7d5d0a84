"""To pgmpy and back, to files and back, bit by bit; pgmpy's own answers."""

import warnings

import numpy as np
import pytest
import torch
from network_files import shipped
from pgmpy.factors.discrete import TabularCPD
from pgmpy.models import DiscreteBayesianNetwork
from torch import nn

import causal
from hybrid.heads import Bernoulli, Normal
from hybrid.pgm import BayesianNetwork, Contextual, Table
from hybrid.pgm.networks.conversion import parts_of_description


def sprinkler() -> DiscreteBayesianNetwork:
    model = DiscreteBayesianNetwork([("rain", "wet"), ("clouds", "rain"), ("hose", "wet")])
    model.add_cpds(
        TabularCPD("clouds", 2, [[1 / 3], [2 / 3]], state_names={"clouds": ["few", "many"]}),
        TabularCPD(
            "rain", 2, [[0.9, 0.4], [0.1, 0.6]], ["clouds"], [2],
            state_names={"rain": ["no", "yes"], "clouds": ["few", "many"]},
        ),
        TabularCPD("hose", 3, [[0.7], [0.2], [0.1]]),
        TabularCPD(
            "wet", 2, [[0.9, 0.3, 0.2, 0.5, 0.01, 0.2], [0.1, 0.7, 0.8, 0.5, 0.99, 0.8]],
            ["rain", "hose"], [2, 3],
            state_names={"wet": ["no", "yes"], "rain": ["no", "yes"], "hose": [0, 1, 2]},
        ),
    )  # fmt: skip
    model.check_model()
    return model


def test_round_trip_keeps_every_bit() -> None:
    model = sprinkler()
    network = BayesianNetwork.from_pgmpy(model)
    assert network.states["rain"] == ("no", "yes")
    assert network.states["hose"] == ("0", "1", "2")
    back = network.to_pgmpy()
    back.check_model()
    assert set(back.edges) == set(model.edges)
    for cpd in model.get_cpds():
        other = back.get_cpds(cpd.variable)
        order = [other.variables.index(name) for name in cpd.variables]
        assert np.array_equal(other.values.transpose(order), cpd.values)
        assert other.state_names == cpd.state_names
    again = BayesianNetwork.from_pgmpy(back)
    assert torch.equal(again.factor().values, network.factor().values)


def test_pgmpy_says_the_same() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # pgmpy's own, of what it will rename
        from pgmpy.inference import VariableElimination
    model = sprinkler()
    network, elimination = BayesianNetwork.from_pgmpy(model), VariableElimination(model)
    for evidence in ({}, {"wet": "yes"}, {"wet": "no", "hose": 2}, {"clouds": "few", "wet": "yes"}):
        found = network.marginals(evidence)
        for name in set(model.nodes) - set(evidence):
            wanted = elimination.query([name], evidence, show_progress=False).values
            np.testing.assert_allclose(found[name].numpy(), wanted, atol=1e-14)
        best = network.most_probable(evidence)
        rest = [name for name in model.nodes if name not in evidence]
        wanted = elimination.map_query(rest, evidence, show_progress=False)
        named = {name: network.states[name][int(best[name])] for name in rest}
        assert named == {name: str(state) for name, state in wanted.items()}


@pytest.mark.parametrize("suffix", [".bif", ".xmlbif", ".uai", ".bif.gz"])
def test_files_keep_every_bit(tmp_path, suffix) -> None:
    network = BayesianNetwork.from_pgmpy(sprinkler())
    network.write(tmp_path / f"sprinkler{suffix}")
    back = BayesianNetwork.read(tmp_path / f"sprinkler{suffix}")
    assert back.factor().values.flatten().shape == network.factor().values.flatten().shape
    if suffix != ".uai":
        assert back.graph == network.graph
        assert back.states == network.states
        assert torch.equal(back.factor().values, network.factor().values)


def test_shipped_network_keeps_tables_that_are_rounded() -> None:
    description = shipped("alarm")
    graph, tables, states = parts_of_description(description)
    network = BayesianNetwork(graph, tables, states=states)
    back = network.to_pgmpy()
    for name, table in description.tables.items():
        cpd = back.get_cpds(name)
        order = [cpd.variables.index(v) for v in (*description.parents[name], name)]
        assert np.array_equal(cpd.values.transpose(order), table)
    rows = network.sample(50, generator=torch.Generator().manual_seed(0))
    assert bool(network.log_probability(rows).isfinite().all())


def test_what_cannot_be_written_is_named() -> None:
    graph = causal.Graph.parse("X -> Y")
    leafy = BayesianNetwork(graph, {"X": [0.5, 0.5], "Y": Normal(nn.Linear(1, 2))})
    with pytest.raises(ValueError, match="'Y' is continuous: pgmpy and files hold"):
        leafy.to_pgmpy()
    law = Contextual(Bernoulli(nn.Linear(3, 2)))
    with pytest.raises(ValueError, match="'Y' reads the rows' context"):
        BayesianNetwork(graph, {"X": [0.5, 0.5], "Y": law}).write("network.bif")
    fixed = BayesianNetwork(graph, {"X": Table([0.5, 0.5]), "Y": Bernoulli(nn.Linear(1, 2))})
    assert fixed.to_pgmpy().get_cpds("Y").values.shape == (2, 2)


def test_what_is_no_network_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a DiscreteBayesianNetwork of pgmpy, got dict"):
        BayesianNetwork.from_pgmpy({})
    model = DiscreteBayesianNetwork([("X", "Y")])
    with pytest.raises(ValueError, match="no table for 'X'"):
        BayesianNetwork.from_pgmpy(model)
