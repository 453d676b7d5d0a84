"""Limits by row: where they come from, what the body sees, and what is refused."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.distributions import constraints

from hybrid.bayes import variational
from hybrid.heads import Column, Tobit


class Spy(nn.Module):
    """Remembers what it was shown."""

    def __init__(self, width):
        super().__init__()
        self.linear = nn.Linear(width, 4)
        self.in_features, self.out_features = width, 4

    def forward(self, inputs):
        self.seen = inputs
        return self.linear(inputs)


CONTEXT = torch.tensor([[1.0, 5.0, 2.0], [3.0, torch.inf, 4.0]])


def test_the_body_never_sees_the_limit():
    spy = Spy(2)
    law = Tobit(spy, upper=Column("cap"))
    assert law.limit_columns == {"cap"}
    law.bind_columns(("age", "cap", "school"))
    distribution = law(CONTEXT)
    assert torch.equal(spy.seen, CONTEXT[:, [0, 2]])
    assert torch.equal(distribution.upper, CONTEXT[:, 1])
    assert torch.equal(distribution.lower, torch.zeros(2))
    score = distribution.log_prob(torch.tensor([5.0, 0.0]))
    score.sum().backward()
    assert all(p.grad.isfinite().all() for p in law.parameters())


def test_positions_need_no_binding_and_binding_names_them():
    law = Tobit(Spy(1), lower=Column(0), upper=Column(-2))
    context = torch.tensor([[-1.0, 1.0, 0.3]])
    distribution = law(context)
    assert (distribution.lower.item(), distribution.upper.item()) == (-1.0, 1.0)
    law.bind_columns(("floor", "cap", "x"))
    assert law.limit_columns == {"floor", "cap"}


def test_binding_survives_copies_and_conversion():
    law = Tobit(Spy(2), upper=Column("cap"))
    law.bind_columns(("age", "cap", "school"))
    for twin in (copy.deepcopy(law), pickle.loads(pickle.dumps(law)), variational(law)):
        assert torch.equal(twin(CONTEXT).upper, CONTEXT[:, 1])
    later = variational(Tobit(Spy(2), upper=Column("cap")))
    later.bind_columns(("age", "cap", "school"))
    assert torch.equal(later(CONTEXT, draws=3).upper[2], CONTEXT[:, 1])


def test_what_is_refused():
    law = Tobit(Spy(2), upper=Column("cap"))
    with pytest.raises(ValueError, match=r"'cap'.*named"):
        law(CONTEXT)
    with pytest.raises(ValueError, match="no column 'cap'"):
        law.bind_columns(("age", "school"))
    law.bind_columns(("age", "cap", "school"))
    with pytest.raises(ValueError, match="another law"):
        law.bind_columns(("cap", "age", "school"))
    for bad in (-1.0, torch.nan, 0.0):
        context = CONTEXT.clone()
        context[0, 1] = bad
        with pytest.raises(ValueError, match="not below the upper"):
            law(context)
    for lower, upper in [(1.0, 1.0), (2.0, 1.0), (float("nan"), 1.0)]:
        with pytest.raises(ValueError, match="below the upper"):
            Tobit(None, lower=lower, upper=upper)
    with pytest.raises(ValueError, match="same column"):
        Tobit(None, lower=Column("a"), upper=Column("a"))
    with pytest.raises(ValueError, match="no column 7"):
        Tobit(None, lower=Column(7)).bind_columns(("a",))


def test_support():
    assert Tobit(None, lower=None).support is constraints.real
    assert Tobit(None).support.lower_bound == 0.0
    assert Tobit(None, upper=1.0).support.upper_bound == 1.0
    assert Tobit(None, upper=Column("cap")).support is constraints.real
    assert Tobit(None).limit_columns == frozenset()


def test_no_limits_is_the_normal_law():
    law = Tobit(None, lower=None)
    distribution = law(torch.zeros(3, 0))
    normal = torch.distributions.Normal(distribution.loc, distribution.scale)
    y = torch.randn(3)
    torch.testing.assert_close(distribution.log_prob(y), normal.log_prob(y))
    torch.testing.assert_close(distribution.mean, normal.mean)
    torch.testing.assert_close(distribution.variance, normal.variance)


def test_maximum_likelihood_recovers_the_uncensored_law():
    y = (0.5 + 1.5 * torch.randn(4000)).clamp(0.0, 2.0)
    law = Tobit(None, upper=2.0)
    optimizer = torch.optim.Adam(law.parameters(), 0.05)
    for _ in range(200):
        optimizer.zero_grad()
        (-law(torch.zeros(4000, 0)).log_prob(y).mean()).backward()
        optimizer.step()
    distribution = law(torch.zeros(1, 0))
    assert distribution.loc.item() == pytest.approx(0.5, abs=0.15)
    assert distribution.scale.item() == pytest.approx(1.5, abs=0.15)


def test_limits_of_another_kind_are_named():
    with pytest.raises(TypeError, match="lower"):
        Tobit(nn.Linear(2, 4), lower="0")
    with pytest.raises(TypeError, match=r"key|position"):
        Column(1.5)
    with pytest.raises(ValueError, match="below"):
        Tobit(nn.Linear(2, 4), lower=float("inf"), upper=Column(0))
    assert Tobit(nn.Linear(2, 4), lower=1.0).lower == 1.0
