"""Beta law against SciPy."""

import scipy.stats
import torch

from causal.noise import abduct, replay
from hybrid.heads import Beta
from hybrid.heads.beta import BetaDistribution

A = torch.tensor([0.3, 1.0, 2.0, 60.0], dtype=torch.float64)
B = torch.tensor([0.7, 1.0, 5.0, 8.0], dtype=torch.float64)


def test_cdf_and_quantiles():
    law, oracle = BetaDistribution(A, B), scipy.stats.beta(A.numpy(), B.numpy())
    x = torch.tensor([1e-6, 0.2, 0.5, 0.99], dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(law.cdf(x), torch.as_tensor(oracle.cdf(x.numpy())))
    torch.testing.assert_close(law.icdf(x), torch.as_tensor(oracle.ppf(x.numpy())))


def test_gradients():
    a, b = A[1:].clone().requires_grad_(), B[1:].clone().requires_grad_()
    x = torch.tensor([0.3, 0.4, 0.8], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b, x: BetaDistribution(a, b).cdf(x), (a, b, x))
    assert torch.autograd.gradcheck(lambda a, b, x: BetaDistribution(a, b).icdf(x), (a, b, x))


def test_noise_needs_no_convention():
    torch.manual_seed(0)
    law = BetaDistribution(A.float(), B.float())
    value = torch.tensor([0.2, 0.5, 0.7, 0.9])
    torch.testing.assert_close(replay(law, abduct(law, value)), value)


def test_samples_are_inside_and_scored():
    law = Beta(None)
    with torch.no_grad():
        law.body.values.copy_(torch.tensor([-6.0, -4.0]))
    distribution = law(torch.zeros(2000, 0))
    value = distribution.sample()
    assert distribution.log_prob(value).isfinite().all()
