"""Tables that stand in for a network's own are checked."""

from typing import Any

import pytest
import torch

from hybrid.pgm.networks.replacement import replacements
from hybrid.pgm.networks.structure import Structure

COIN = Structure(("X",), (2,), ((),))


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (torch.ones(3), ValueError, r"has shape \(3,\): expected \(2,\)"),
        (torch.tensor([-0.5, 1.5]), ValueError, "'X' holds negative or NaN values"),
        (torch.tensor([torch.nan, 1.0]), ValueError, "'X' holds negative or NaN values"),
        (torch.tensor([0, 1]), TypeError, "expected a floating-point tensor"),
    ],
)
def test_wrong_tables(table: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        replacements(COIN, {"X": table}, (5,))


def test_unknown_variable() -> None:
    with pytest.raises(ValueError, match="a table is given for 'Q'"):
        replacements(COIN, {"Q": torch.ones(2)}, ())
