"""A function at many positions: batched where it can be, in a loop where not, the same results."""

import pytest
import torch

from hybrid.bayes.sampling.mapping import at_each

POSITIONS = torch.randn(4100, 2, generator=torch.Generator().manual_seed(0))  # more than a chunk


def plain(x):
    return x.sum(), 2 * x


def alone(x):
    return (x.exp(),)


def branching(x):
    return (x if float(x[0]) > 0 else -x,)


@pytest.mark.parametrize("function", [plain, alone, branching])
def test_one_by_one(function):
    positions = POSITIONS if function is not branching else POSITIONS[:50]
    found = at_each(function, positions)
    for k in (0, 1, len(positions) // 2, len(positions) - 1):
        for column, wanted in zip(found, function(positions[k]), strict=True):
            torch.testing.assert_close(column[k], wanted)
    assert all(len(column) == len(positions) for column in found)
