"""The convention "quantile" of laws with atoms."""

import pytest
import torch

from causal.noise import NoiseNotRecoverable, abduct
from hybrid.heads.hurdle import HurdleDistribution
from hybrid.heads.lognormal import LogNormal


def law():
    positive = LogNormal(None)(torch.zeros(3, 0))
    return HurdleDistribution(torch.zeros(3), positive)


def test_the_generator_draws_the_rank_within_an_atom():
    zeros = torch.zeros(3)
    state = torch.get_rng_state()
    first, second = (
        abduct(law(), zeros, convention="quantile", generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    )
    assert torch.equal(first, second)
    assert torch.equal(state, torch.get_rng_state())
    assert (first < 0).all()  # half of the mass lies on zero


def test_refusals():
    with pytest.raises(NoiseNotRecoverable) as caught:
        abduct(law(), torch.zeros(3))
    assert caught.value.conventions == ("quantile",)
    with pytest.raises(ValueError, match=r"probability 0|support"):
        abduct(law(), torch.full((3,), -1.0), convention="quantile")
