"""Ordinal law: cumulative logits, proportional odds, recovery of planted cuts."""

import pytest
import torch
from torch import nn

from hybrid.bayes import variational
from hybrid.heads import Ordinal


def test_cumulative_logits_differ_by_the_cuts():
    law = Ordinal(nn.Linear(3, 4), states=5).double()
    context = 3 * torch.randn(7, 3, dtype=torch.float64)
    below = law(context).probs.cumsum(-1)[..., :-1].logit()
    gaps = below.diff(dim=-1)
    torch.testing.assert_close(gaps, gaps[:1].expand(7, -1))
    assert (gaps > 0).all()


def test_classes_are_equally_likely_at_first():
    probs = Ordinal(None, states=6)(torch.zeros(1, 0)).probs
    torch.testing.assert_close(probs, torch.full((1, 6), 1 / 6))


def test_tails_stay_finite():
    law = Ordinal(None, states=4)
    with torch.no_grad():
        law.body.values[0] = 80.0
    scores = law(torch.zeros(4, 0)).log_prob(torch.arange(4))
    assert scores.isfinite().all()
    scores.sum().backward()
    assert law.body.values.grad.isfinite().all()


def test_cuts_are_random_too():
    law = variational(Ordinal(nn.Linear(3, 4), states=3))
    names = [name for name, _ in law.named_parameters()]
    assert "body.mean.1.values" in names
    assert law(torch.zeros(5, 3), draws=4).probs.std(0).min() > 0
    with pytest.raises(ValueError, match="at least 2 states"):
        Ordinal(None, states=1)


def test_recovers_planted_cuts():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4000, 1, generator=generator)
    noise = torch.rand(4000, generator=generator).logit()
    cuts = torch.tensor([-1.0, 0.5, 2.0])
    y = (2 * x[:, 0] + noise).unsqueeze(-1).gt(cuts).sum(-1)
    law = Ordinal(nn.Identity(), features=1, states=4)
    optimizer = torch.optim.LBFGS(law.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = -law(x).log_prob(y).mean()
        value.backward()
        return value

    optimizer.step(loss)
    found = law(torch.zeros(1, 1)).probs.cumsum(-1)[0, :-1].logit()
    torch.testing.assert_close(found, cuts, atol=0.15, rtol=0)
