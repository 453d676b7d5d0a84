"""Laws of counts against SciPy and against sums of their own probabilities."""

import pytest
import scipy.stats
import torch

from causal.noise import NoiseNotRecoverable, abduct, replay
from hybrid.heads import NegativeBinomial, Poisson
from hybrid.heads.counts import (
    NegativeBinomialDistribution,
    PoissonDistribution,
    smallest_count,
)
from hybrid.prediction import predict

RATES = torch.tensor([1e-4, 0.5, 4.0, 3e3], dtype=torch.float64)
SIZES = torch.tensor([0.05, 1.0, 8.0, 300.0], dtype=torch.float64)
LAWS = {
    "poisson": (PoissonDistribution(RATES), scipy.stats.poisson(RATES.numpy())),
    "negative binomial": (
        NegativeBinomialDistribution(SIZES, logits=(RATES / SIZES).log()),
        scipy.stats.nbinom(SIZES.numpy(), (SIZES / (SIZES + RATES)).numpy()),
    ),
}
every_law = pytest.mark.parametrize("name", LAWS)


@every_law
def test_against_scipy(name):
    law, oracle = LAWS[name]
    counts = torch.tensor([-1.0, 0.0, 0.5, 1.0, 7.0, 3000.0], dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(law.cdf(counts), torch.as_tensor(oracle.cdf(counts.numpy())))
    p = torch.tensor([1e-6, 0.3, 0.5, 0.95, 1 - 1e-6], dtype=torch.float64).unsqueeze(-1)
    assert torch.equal(law.icdf(p), torch.as_tensor(oracle.ppf(p.numpy())))
    torch.testing.assert_close(law.mean, torch.as_tensor(oracle.mean()))
    torch.testing.assert_close(law.variance, torch.as_tensor(oracle.var()))


@every_law
def test_convention_quantile(name):
    law, _ = LAWS[name]
    torch.manual_seed(0)
    value = law.sample((200,))
    noise = abduct(law, value, convention="quantile")
    assert torch.equal(replay(law, noise, convention="quantile"), value)
    # Over the law's own values the noise is standard normal.
    assert scipy.stats.kstest(noise[:, 2].numpy(), "norm").pvalue > 1e-3
    with pytest.raises(NoiseNotRecoverable, match="quantile"):
        abduct(law, value)
    more = PoissonDistribution(2 * RATES)
    assert (replay(more, noise, convention="quantile") >= value).all() or name != "poisson"


def test_smallest_count_at_the_ends():
    p = torch.tensor([0.0, 1.0])
    found = smallest_count(lambda k: 1 - 0.5 ** (k + 1), p)
    assert found.tolist() == [0.0, torch.inf]


def test_predictions_have_exact_quantiles():
    law = Poisson(None)
    prediction = predict(law, torch.zeros(3, 0))
    assert prediction.samples is None
    assert prediction.quantile(0.95).tolist() == [3.0, 3.0, 3.0]
    assert predict(NegativeBinomial(None), torch.zeros(1, 0)).quantile(0.5).item() == 0.0


def test_extreme_bodies_stay_finite():
    for law in (Poisson(None), NegativeBinomial(None)):
        for number in (-200.0, 200.0):
            with torch.no_grad():
                law.body.values.fill_(number)
            score = law(torch.zeros(2, 0)).log_prob(torch.tensor([0.0, 5.0]))
            assert score.isfinite().all()
            score.sum().backward()
            assert all(p.grad.isfinite().all() for p in law.parameters())
