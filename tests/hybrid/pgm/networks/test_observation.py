"""Evidence of every kind, and the errors that name variable and row."""

import numpy as np
import pandas as pd
import pytest
import torch

import causal
from hybrid.pgm import BayesianNetwork

LABELS = {"X": ("no", "yes"), "Y": ("low", "mid", "high")}


@pytest.fixture(scope="module")
def network() -> BayesianNetwork:
    tables = {"X": [0.3, 0.7], "Y": [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], "Z": [[0.5, 0.5]] * 3}
    return BayesianNetwork(causal.Graph.parse("X -> Y -> Z"), tables, states=LABELS)


@pytest.mark.parametrize(
    "column",
    [
        torch.tensor([2, -1, 0]),
        torch.tensor([2, -1, 0], dtype=torch.int32),
        np.array([2, -1, 0]),
        [2, -1, 0],
        ["high", None, "low"],
        np.array(["high", None, "low"], dtype=object),
        pd.Series(["high", float("nan"), "low"], index=[7, 3, 5]),
        pd.Series([2, -1, 0], index=[7, 3, 5]),
        pd.Series(["high", None, "low"], dtype="string"),
        pd.Series(["high", None, "low"], dtype="category"),
        pd.Series([2, None, 0], dtype="Int64"),
        [2, None, "low"],
        ["high", pd.NA, "low"],
        torch.tensor([[0.0, 0.0, 0.5], [1.0, 1.0, 1.0], [2.0, 0.0, 0.0]]),
    ],
)
def test_kinds_of_columns_agree(network, column) -> None:
    wanted = torch.tensor([[0.15 / 0.22, 0.07 / 0.22], [0.3, 0.7], [0.06 / 0.48, 0.42 / 0.48]])
    found = network.marginals({"Y": column})["X"]
    torch.testing.assert_close(found, wanted.double(), atol=1e-7, rtol=0)


def test_columns_without_any_state(network) -> None:
    prior = network.marginals()["X"]
    assert torch.equal(network.marginals({"Y": [None, None]})["X"], prior.expand(2, 2))
    assert network.marginals({"Y": []})["X"].shape == (0, 2)
    assert torch.equal(network.marginals({"Y": None})["X"], prior)


def test_tables_of_columns(network) -> None:
    frame = pd.DataFrame({"X": ["yes", "no"], "Z": [1, -1]})
    assert network.marginals(frame)["Y"].shape == (2, 3)
    assert network.log_probability(frame).shape == (2,)


def test_one_state_holds_in_every_row(network) -> None:
    rows = {"X": "yes", "Y": torch.tensor([0, 1]), "Z": 1}
    full = {"X": torch.tensor([1, 1]), "Y": torch.tensor([0, 1]), "Z": torch.tensor([1, 1])}
    assert torch.equal(network.log_probability(rows), network.log_probability(full))
    assert network.log_probability({"X": "yes", "Z": True}).shape == ()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"Q": torch.tensor([0])}, "unknown variable 'Q' in the evidence: the network has"),
        ({"Y": ["low", "huge"]}, r"'Y' has no state 'huge' in row 1: its states are \['low'"),
        ({"Y": "huge"}, "'Y' has no state 'huge': its states"),
        ({"Y": torch.tensor([0, 3])}, r"'Y' has the states 0 … 2 .* got 3 in row 1"),
        ({"Y": torch.tensor([0, -2])}, r"got -2 in row 1: use −1 where"),
        ({"Y": torch.tensor([0, 1]), "X": torch.tensor([0])}, "columns have different lengths"),
        ({"Y": torch.ones(2, 2)}, r"'Y' has 3 states, .* got shape \(2, 2\); state numbers"),
        ({"Y": torch.tensor([0.0, 1.0])}, "use .long()"),
        ({"Y": torch.tensor([[1.0, 1, 1], [1, -1, 1]])}, "'Y' has negative, .* in row 1"),
        ({"Y": torch.tensor([[1.0, 1, 1], [1, torch.nan, 1]])}, "NaN likelihoods in row 1"),
        ({"Y": torch.tensor([[1.0, 1, 1], [0, 0, 0]])}, "'Y' has only zeros in row 1"),
        ({"Y": torch.ones(4, 3), "X": torch.tensor([0, 1])}, "columns have different lengths"),
    ],
)
def test_wrong_rows_are_named(network, rows, message) -> None:
    with pytest.raises(ValueError, match=message):
        network.marginals(rows)
    with pytest.raises(ValueError, match=message):
        network.log_probability(rows)


def test_wrong_types(network) -> None:
    for rows in (torch.tensor([1]), "X", 3):
        with pytest.raises(TypeError, match="evidence is columns by name"):
            network.marginals(rows)
    with pytest.raises(TypeError, match="'Y' is not numeric"):
        network.marginals({"Y": [object()]})
    with pytest.raises(TypeError, match="'Y' is complex"):
        network.marginals({"Y": torch.tensor([1j])})


def test_names_and_conditions(network) -> None:
    with pytest.raises(ValueError, match="expected different finite variables"):
        network.marginals(names="Q")
    with pytest.raises(ValueError, match="expected different finite variables"):
        network.joint_marginals([("X", "X")])
    with pytest.raises(ValueError, match=r"given names \['Y'\], which have no values"):
        network.log_probability({"X": 1}, given="Y")
    with pytest.raises(ValueError, match=r"\['X'\] are in values and in given"):
        network.log_probability({"X": 1}, given={"X": 1})
    with pytest.raises(ValueError, match="n is a whole number from 0"):
        network.sample(-1)
    with pytest.raises(ValueError, match="count is a whole number from 1"):
        network.most_probable(count=True)
    assert network.sample(np.int64(2))["X"].shape == (2,)
    assert network.most_probable(count=np.int64(2)).log_joint.shape == (2,)
    with pytest.raises(ValueError, match="weights are finite"):
        network.expected_statistics({"X": [0, 1]}, weights=torch.tensor([1.0, torch.nan]))
    assert network.joint_marginals([]) == []
