"""Log likelihood without a second look at the values."""

import math

import pyro.distributions as dist
import pytest
import torch
import torch.distributions as td
from torch.distributions import constraints

from hybrid.vae.likelihood import belongs, summed, unchecked


@pytest.mark.parametrize(
    ("values", "support", "expected"),
    [
        ([0.0, 1.0], constraints.boolean, True),
        ([0.0, 0.5], constraints.boolean, False),
        ([0.0, math.inf], constraints.boolean, False),
        ([0.0, math.nan], constraints.independent(constraints.boolean, 1), False),
        ([math.inf, -math.inf], constraints.real, True),
        ([math.inf, math.nan], constraints.real_vector, False),
        ([1.0, 2.0], constraints.positive, True),
        ([1.0, -2.0], constraints.positive, False),
    ],
)
def test_values_and_supports(values, support, expected):
    assert belongs(torch.tensor(values), support) is expected


def distributions():
    logits, scale = torch.randn(5, 3).double(), torch.rand(5, 3).double() + 0.5
    return [
        td.Independent(td.Normal(logits, scale), 1),
        dist.Normal(logits, scale).to_event(1),
        dist.Bernoulli(logits=logits).to_event(1),
        td.Independent(td.Bernoulli(probs=logits.sigmoid()), 1),
        dist.Laplace(logits, scale).to_event(1),
        td.Normal(logits[:, 0], 2.0),
        td.Poisson(scale),
    ]


@pytest.mark.parametrize("number", range(7))
def test_sums_are_those_of_the_rows(number):
    distribution = distributions()[number]
    x = distribution.sample()
    torch.testing.assert_close(summed(distribution, x), distribution.log_prob(x).sum())
    wide = distribution.expand((4, *distribution.batch_shape))
    torch.testing.assert_close(summed(wide, x), wide.log_prob(x).sum())


def test_unchecked_leaves_the_distribution():
    normal = td.Independent(td.Normal(torch.zeros(2), 1.0, validate_args=True), 1)
    missing = torch.tensor([0.0, math.nan])
    assert unchecked(normal).log_prob(missing).isnan()
    with pytest.raises(ValueError, match="support"):
        normal.log_prob(missing)
