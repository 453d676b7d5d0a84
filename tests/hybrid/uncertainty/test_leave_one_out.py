"""Leave-one-out: closed forms, ArviZ's own, and what the verdict says."""

import builtins
import math

import pytest

pytest.importorskip("arviz_stats", reason="the extra `bayes` is not installed")

import torch
from arviz_stats.base import array_stats
from torch import nn
from torch.distributions import MultivariateNormal, Normal

import hybrid
from hybrid.bayes import Draws
from hybrid.uncertainty import LeaveOneOut, compare, loo

SIGMA, TAU = 0.7, 2.0


def data(n=60, d=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    w = torch.randn(d, generator=generator, dtype=torch.float64)
    return x, x @ w + SIGMA * torch.randn(n, generator=generator, dtype=torch.float64)


def posterior(x, y):
    """Of the weights of a linear model with known noise: mean and precision."""
    precision = x.T @ x / SIGMA**2 + torch.eye(x.shape[1]).double() / TAU**2
    return torch.linalg.solve(precision, x.T @ y / SIGMA**2), precision


def exact(x, y):
    """Log predictive density of each row given the others."""
    found = []
    for i in range(len(y)):
        others = torch.arange(len(y)) != i
        mean, precision = posterior(x[others], y[others])
        variance = SIGMA**2 + x[i] @ torch.linalg.solve(precision, x[i])
        found.append(Normal(x[i] @ mean, variance.sqrt()).log_prob(y[i]))
    return torch.stack(found)


def likelihoods(x, y, draws=4000, columns=None, seed=0):
    x = x if columns is None else x[:, :columns]
    torch.manual_seed(seed)
    mean, precision = posterior(x, y)
    w = MultivariateNormal(mean, precision_matrix=precision).sample((draws,))
    return Normal(w @ x.T, SIGMA).log_prob(y)


def test_exact_leave_one_out_of_a_conjugate_model():
    x, y = data()
    found, wanted = loo(likelihoods(x, y)), exact(x, y)
    assert (found.pointwise - wanted).abs().max() < 0.06
    assert abs(found.elpd - wanted.sum()) < 0.15
    assert found.standard_error == pytest.approx(float(wanted.std() * math.sqrt(60)), rel=0.03)
    assert abs(found.p_loo - (found.in_sample - wanted).sum()) < 0.15
    assert found.p_loo == pytest.approx(4.0, abs=2.0)
    assert found.healthy
    assert str(found).endswith("(healthy)")


def test_arviz_agrees_array_by_array():
    x, y = data()
    terms = likelihoods(x, y).reshape(4, 1000, 60)
    ours = loo(terms.flatten(0, 1))
    density, k, excess = map(torch.as_tensor, array_stats.loo(terms.numpy(), 0, 1))
    torch.testing.assert_close(ours.pointwise, density)
    torch.testing.assert_close(ours.pareto_k, k)
    torch.testing.assert_close(ours.in_sample - ours.pointwise, excess)


def test_arviz_agrees_on_what_it_is_given():
    from arviz_stats.loo import loo as arviz_loo

    x, y = data()
    terms = likelihoods(x, y).reshape(4, 1000, 60)
    draws = Draws({"w": torch.randn(4, 1000, dtype=torch.float64)})
    tree = draws.to_arviz(log_likelihood={"y": terms})
    theirs = arviz_loo(tree, pointwise=True, reff=1.0)
    ours = loo(terms.flatten(0, 1))
    assert float(ours.elpd) == pytest.approx(theirs.elpd, rel=1e-9)
    assert float(ours.standard_error) == pytest.approx(theirs.se, rel=0.02)  # divisors n, n − 1
    assert float(ours.p_loo) == pytest.approx(theirs.p, rel=1e-6)
    assert ours.threshold == pytest.approx(theirs.good_k)
    torch.testing.assert_close(ours.pareto_k, torch.as_tensor(theirs.pareto_k.values))
    chains, own = loo(terms), arviz_loo(tree, pointwise=True)
    assert float(chains.elpd) == pytest.approx(own.elpd, abs=0.05)


def test_chains_that_move_slowly_smooth_a_longer_tail():
    x, y = data()
    terms = likelihoods(x, y, draws=1000)
    slow = terms.repeat_interleave(4, 0).reshape(4, 1000, 60)  # each draw stays for four
    assert not torch.equal(loo(slow).pareto_k, loo(slow.flatten(0, 1)).pareto_k)
    torch.testing.assert_close(loo(slow).elpd, loo(terms).elpd, atol=0.2, rtol=0)


def test_a_laws_draws():
    x, y = (part.float() for part in data())
    law = hybrid.bayes.variational(hybrid.heads.Normal(nn.Linear(4, 2)))
    generator = torch.Generator().manual_seed(0)
    prediction = hybrid.predict(law, x, draws=300, generator=generator)
    terms = prediction.log_likelihood(y)
    assert terms.shape == (300, 60)
    found = loo(terms)
    torch.testing.assert_close(found.in_sample, prediction.log_probability(y), rtol=1e-4, atol=1e-4)
    assert found.pointwise.dtype == torch.float32
    assert (found.pointwise <= found.in_sample + 1e-5).all()


def test_an_outlier_is_named():
    x, y = data(n=30)
    y[7] += 40.0
    found = loo(likelihoods(x, y, draws=1000))
    assert not found.healthy
    assert "in row 7" in str(found.healthy)
    assert int(found.pareto_k.argmax()) == 7


def test_models_are_compared_in_pairs():
    x, y = data(n=150)
    whole, part = loo(likelihoods(x, y)), loo(likelihoods(x, y, columns=2))
    found = compare(whole, part)
    each = whole.pointwise - part.pointwise
    assert found.difference == pytest.approx(float(whole.elpd - part.elpd))
    assert found.standard_error == pytest.approx(float(each.std() * 150**0.5))
    assert found.difference > 3 * found.standard_error
    assert found.healthy
    assert compare(part, whole).difference == -found.difference


@pytest.mark.filterwarnings("ignore:The inplace keyword:DeprecationWarning")
def test_arviz_compares_alike():
    from arviz_stats.loo import compare as arviz_compare

    x, y = data(n=150)
    terms = {"whole": likelihoods(x, y), "part": likelihoods(x, y, columns=2)}
    found = compare(*map(loo, terms.values()))
    posterior_draws = Draws({"w": torch.randn(1, 4000)})
    trees = {name: posterior_draws.to_arviz({"y": each[None]}) for name, each in terms.items()}
    theirs = arviz_compare(trees).loc["part"]
    assert abs(float(found.difference)) == pytest.approx(abs(theirs["elpd_diff"]), abs=0.06)
    assert float(found.standard_error) == pytest.approx(theirs["dse"], rel=0.01)


def test_few_rows_and_heavy_tails_spoil_a_comparison():
    few = LeaveOneOut(torch.zeros(20), torch.full((20,), 0.9), torch.zeros(20), draws=1000)
    reasons = str(compare(few, few).healthy)
    assert "there are 20 rows" in reasons
    assert "first model: Pareto k" in reasons
    longer = LeaveOneOut(torch.zeros(21), torch.zeros(21), torch.zeros(21), draws=1000)
    with pytest.raises(ValueError, match="got 20 and 21 rows"):
        compare(few, longer)


def test_a_row_that_all_draws_agree_on():
    terms = torch.randn(200, 5, dtype=torch.float64)
    terms[:, 2] = -1.5
    found = loo(terms.reshape(2, 100, 5))
    assert found.pointwise[2] == pytest.approx(-1.5)
    assert found.pareto_k[2] == 0


def test_weights_without_a_tail_are_not_trusted():
    terms = torch.randn(200, 5, dtype=torch.float64)
    terms[:, 3] = torch.where(torch.arange(200) % 2 == 0, -0.1, -2.0)
    found = loo(terms)
    assert found.pareto_k[3] == torch.inf
    assert found.pointwise[3] == pytest.approx(float(-terms[:, 3].neg().exp().mean().log()))
    assert "inf in row 3" in str(found.healthy)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        (torch.zeros(500), "got shape \\(500,\\)"),
        (torch.zeros(20, 3), "got 20 of 3"),
        (torch.full((200, 3), -torch.inf), "not finite in 3 rows, the first is 0"),
    ],
)
def test_errors_tell_the_mend(terms, message):
    with pytest.raises(ValueError, match=message):
        loo(terms)


def test_without_arviz(monkeypatch):
    real = builtins.__import__

    def without(name, *args):
        if name.startswith("arviz"):
            raise ImportError(name)
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'borromean\[bayes\]'"):
        loo(torch.randn(200, 3))
