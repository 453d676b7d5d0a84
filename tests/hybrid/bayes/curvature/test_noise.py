"""A law whose noise is a number of its own."""

import pytest
import torch
from torch import nn

from hybrid.bayes.curvature.noise import KnownNoise
from hybrid.heads import Bernoulli, Normal
from hybrid.testing import check_law


@pytest.mark.parametrize("event", [None, 2])
def test_it_is_a_law(event):
    law = KnownNoise(Normal(nn.Linear(3, 4), event=event), torch.tensor(0.5))
    check_law(law, 3)
    assert torch.equal(law(torch.zeros(4, 3)).stddev, torch.full((4, *law.event_shape), 0.5))


def test_other_laws_are_refused():
    with pytest.raises(ValueError, match="got Bernoulli: leave it out"):
        KnownNoise(Bernoulli(nn.Linear(3, 4)), torch.tensor(0.5))(torch.zeros(4, 3))
