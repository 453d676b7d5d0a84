"""Values to which variables can and cannot be set."""

from typing import Any

import pytest
import torch

from hybrid.pgm.networks.intervention import point_tables
from hybrid.pgm.networks.structure import Structure

COIN, LABELS = Structure(("X",), (3,), ((),)), {"X": ("low", "mid", "high")}


@pytest.mark.parametrize("value", [1, "mid", torch.tensor(1), True, 1.0])
def test_a_state(value: Any) -> None:
    assert point_tables(COIN, LABELS, {"X": value})["X"].probabilities().tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("huge", ValueError, r"do\('X'\): no state 'huge', its states are"),
        (-1, ValueError, r"expected one of the states 0 … 2"),
        (torch.tensor([0, 1]), ValueError, "or probabilities of all 3"),
        ([0.2, 0.3, 0.7], ValueError, "the table of 'X' sums to 1.2"),
        (None, TypeError, "expected a state's number or name"),
    ],
)
def test_what_is_no_state(value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        point_tables(COIN, LABELS, {"X": value})
