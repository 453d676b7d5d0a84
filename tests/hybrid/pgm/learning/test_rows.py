import numpy as np
import pandas as pd
import pytest
import torch

from hybrid.pgm.learning.rows import labels_of, numbered

LABELS = {"A": ("no", "yes"), "B": ("0", "1", "2")}
SIZES = {"A": 2, "B": 3}


@pytest.mark.parametrize(
    "values",
    [
        ["yes", None, "no"],
        np.array(["yes", np.nan, "no"], dtype=object),
        pd.Series(["yes", None, "no"]),
        pd.Series(["yes", None, "no"], dtype="category"),
        pd.Series(["yes", pd.NA, "no"], dtype="string"),
        [1, -1, 0],
        [1.0, float("nan"), 0.0],
        torch.tensor([1, -1, 0]),
        torch.tensor([1, -1, 0], dtype=torch.int8),
        pd.Series([1, None, 0]),
        pd.Series([1, None, 0], dtype="Int64"),
        pd.Series([True, None, False], dtype="boolean"),
        pd.Series([True, None, False], dtype=object),
        [True, None, False],
    ],
)
def test_names_numbers_and_what_is_missing(values):
    column = numbered({"A": values}, SIZES, LABELS, SIZES)["A"]
    assert column.dtype == torch.long
    assert column.tolist() == [1, -1, 0]


def test_numbers_are_numbers_even_where_names_are_digits():
    labels = {"B": ("2", "1", "0")}
    assert numbered({"B": [2]}, SIZES, labels, SIZES)["B"].tolist() == [2]
    assert numbered({"B": ["2"]}, SIZES, labels, SIZES)["B"].tolist() == [0]


def test_frames():
    frame = pd.DataFrame({"B": [2, 0], "A": ["no", None]})
    found = numbered(frame, SIZES, LABELS, SIZES)
    assert {name: column.tolist() for name, column in found.items()} == {"A": [0, -1], "B": [2, 0]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"A": ["maybe"]}, r"'A' has no state 'maybe' \(row 0\): its states are \['no', 'yes'\]"),
        ({"A": [0, 2]}, "'A' is 2 in row 1: its states are 0 … 1, and −1 says"),
        ({"A": [0, -2]}, "'A' is -2 in row 1"),
        ({"A": [0.5]}, "'A' is 0.5 in row 0: expected the number of a state"),
        ({"A": [[0], [1]]}, r"'A' has shape \(2, 1\): expected one state a row"),
        ({"A": [0, 1], "B": [0]}, "columns have different lengths"),
        ({"C": [0]}, r"data have columns \['C'\], the network has the variables"),
        ({"A": []}, "data have no rows"),
        ({}, "data have no columns"),
        ({"A": [0, object()]}, "'A' has neither state numbers nor state names"),
    ],
)
def test_errors(data, message):
    with pytest.raises(ValueError, match=message):
        numbered(data, SIZES, LABELS, SIZES)


def test_a_network_without_names_of_states():
    with pytest.raises(
        ValueError, match="'A' has state names in the data, but none in the network"
    ):
        numbered({"A": ["yes"]}, SIZES, {}, SIZES)


def test_states_from_data():
    frame = pd.DataFrame(
        {
            "size": pd.Categorical(["small", "large", None], categories=["small", "mid", "large"]),
            "colour": ["red", None, "blue"],
            "count": [3, 0, None],
            "flag": [False, True, True],
        }
    )
    sizes, labels = labels_of(frame)
    assert sizes == {"size": 3, "colour": 2, "count": 4, "flag": 2}
    assert labels == {"size": ("small", "mid", "large"), "colour": ("blue", "red")}


def test_a_column_without_values_says_nothing():
    with pytest.raises(ValueError, match="the column 'A' has no value"):
        labels_of({"A": [None, None]})
