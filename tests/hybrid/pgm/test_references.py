"""Networks that everybody knows against pyAgrum; `pgm_references.py` wrote the answers."""

import json
from pathlib import Path

import pytest
import torch
from pgm_cases import normalised

from hybrid.pgm import BayesianNetwork
from hybrid.pgm.formats.files import write_description

FOLDER = Path(__file__).parent / "references"


@pytest.fixture(params=["asia", "child", "alarm"])
def case(request, tmp_path):
    """A network that was read from a file, its evidence, and pyAgrum's answers."""
    description = normalised(request.param)
    write_description(tmp_path / "network.bif.gz", description)
    rows = json.loads((FOLDER / f"{request.param}.json").read_text())
    evidence = {
        name: torch.tensor([row["evidence"].get(name, -1) for row in rows])
        for name in description.states
    }
    return BayesianNetwork.read(tmp_path / "network.bif.gz"), evidence, rows


def test_marginals(case):
    network, evidence, rows = case
    found = network.marginals(evidence)
    for name in network.variables:
        wanted = torch.tensor([row["marginals"][name] for row in rows], dtype=torch.float64)
        assert float((found[name] - wanted).abs().max()) < 1e-12


def test_one_row_is_answered_like_many(case):
    network, evidence, _ = case
    many = network.marginals(evidence)
    one = network.marginals({name: column[:1] for name, column in evidence.items()})
    assert all(float((one[name] - many[name][:1]).abs().max()) < 1e-13 for name in many)


def test_log_probability(case):
    network, evidence, rows = case
    wanted = torch.tensor([row["log_probability"] for row in rows], dtype=torch.float64)
    assert float((network.log_probability(evidence) - wanted).abs().max()) < 1e-10


def test_the_most_probable_states_are_as_probable_as_any(case):
    network, evidence, rows = case
    wanted = torch.tensor([row["maximum"] for row in rows], dtype=torch.float64)
    found = network.most_probable(evidence)
    for name, column in evidence.items():
        assert torch.equal(torch.where(column >= 0, column, found.states[name]), found.states[name])
    assert float((network.log_probability(found.states) - wanted).abs().max()) < 1e-10
