"""Roots that are not modelled: rows come back as they are."""

import copy
import pickle

import pyro
import pytest
import torch
from torch.distributions import constraints

from causal.noise import abduct, replay
from hybrid.bayes import variational
from hybrid.heads import Empirical


def test_rows_are_resampled_whole():
    data = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    law = Empirical(data)
    rows = law(torch.zeros(4, 5, 0)).sample((6,))
    assert rows.shape == (6, 4, 5, 2)
    assert torch.equal(rows[..., 1], 10 * rows[..., 0])
    assert set(rows[..., 0].flatten().tolist()) == {1.0, 2.0, 3.0}
    assert law.event_shape == (2,)
    assert law.support.event_dim == 1
    assert Empirical(data[:, 0]).support is constraints.real


def test_log_prob_is_a_constant_of_the_right_shape():
    distribution = Empirical(torch.randn(3, 2))(torch.zeros(5, 0))
    assert torch.equal(distribution.log_prob(torch.randn(5, 2)), torch.zeros(5))
    assert distribution.expand((4, 5)).log_prob(torch.randn(5, 2)).shape == (4, 5)
    with pyro.plate("rows", 5):
        assert pyro.sample("w", distribution).shape == (5, 2)


def test_moments_and_noise():
    data = torch.randn(50, dtype=torch.float64)
    distribution = Empirical(data)(torch.zeros(3, 0))
    torch.testing.assert_close(distribution.mean, data.mean().expand(3))
    torch.testing.assert_close(distribution.variance, data.var(correction=0).expand(3))
    value = torch.tensor([7.0, 8.0, 9.0])
    assert torch.equal(replay(distribution, abduct(distribution, value)), value)


def test_integers_infinity_and_copies():
    law = Empirical(torch.tensor([1, 2], dtype=torch.int8))
    assert law.data.dtype == torch.get_default_dtype()
    assert law.double().data.dtype == torch.float64
    assert Empirical(torch.tensor([1.0, torch.inf])).data.isinf().any()
    for twin in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        assert torch.equal(twin.data, law.data)


def test_bad_data():
    with pytest.raises(ValueError, match="at least one row"):
        Empirical(torch.zeros(0))
    with pytest.raises(ValueError, match=r"1 of 2 rows hold NaN.*row 1"):
        Empirical(torch.tensor([[0.0, 1.0], [2.0, torch.nan]]))
    with pytest.raises(ValueError, match="no trainable parameter"):
        variational(Empirical(torch.zeros(3)))


def test_only_a_root_and_only_rows():
    law = Empirical(torch.zeros(3, 2))
    law.bind_columns(())
    with pytest.raises(ValueError, match=r"law of a root.*'T'"):
        law.bind_columns(("T",))
    with pytest.raises(ValueError, match="rows' shape"):
        law(torch.zeros(5, 0)).log_prob(torch.zeros(5, 3))
    for data in ([1.0, 2.0], torch.tensor(1.0)):
        with pytest.raises(TypeError, match="data"):
            Empirical(data)
