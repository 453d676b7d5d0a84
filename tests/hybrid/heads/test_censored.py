"""The censored normal law against scipy, Monte Carlo, finite differences and its own tails."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from causal.noise import abduct, replay
from hybrid.heads import Censored

INF = math.inf
# loc, scale, lower, upper
CASES = [
    (0.3, 1.5, 0.0, INF),
    (0.3, 1.5, -INF, 1.0),
    (0.3, 1.5, -INF, INF),
    (0.3, 1.5, -0.5, 1.0),
    (-4.0, 1.0, 0.0, 2.0),
    (7.0, 2.0, 0.0, 2.0),
    (0.5, 3.0, 0.499, 0.501),
    (-9.0, 1.0, 0.0, INF),
    (9.0, 1.0, -INF, 0.0),
]


def law(loc, scale, lower, upper, dtype=torch.float64):
    loc, scale, lower, upper = (torch.tensor(v, dtype=dtype) for v in (loc, scale, lower, upper))
    return Censored(loc, scale, lower, upper)


def moments_by_quadrature(loc, scale, lower, upper):
    """Mean and variance around the nearest limit, where rounding is smallest."""
    normal = stats.norm(loc, scale)
    centre = float(np.clip(loc, lower, upper))
    low, high = max(lower, loc - 40 * scale), min(upper, loc + 40 * scale)
    middle = float(np.clip(loc, low, high))

    def integral(power):
        def f(y):
            return (y - centre) ** power * normal.pdf(y)

        parts = [(low, middle), (middle, high)]
        return sum(integrate.quad(f, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in parts if a < b)

    atoms = [(lower, normal.cdf(lower)), (upper, normal.sf(upper))]
    atoms = [(y - centre, p) for y, p in atoms if np.isfinite(y)]
    first = integral(1) + sum(d * p for d, p in atoms)
    second = integral(2) + sum(d * d * p for d, p in atoms)
    return centre + first, second - first**2, first


@pytest.mark.parametrize("case", CASES)
def test_mean_and_variance_against_quadrature(case):
    mean, variance, shift = moments_by_quadrature(*case)
    distribution = law(*case)
    centre = min(max(case[0], case[2]), case[3])
    assert distribution.mean.item() == pytest.approx(mean, rel=1e-10, abs=1e-14)
    assert distribution._shift().item() * case[1] == pytest.approx(shift, rel=1e-7, abs=1e-13)
    assert distribution.mean.item() - centre == pytest.approx(shift, rel=1e-6, abs=1e-13)
    assert distribution.variance.item() == pytest.approx(variance, rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_single_precision(case):
    exact, single = law(*case), law(*case, dtype=torch.float32)
    torch.testing.assert_close(single.mean.double(), exact.mean, rtol=1e-5, atol=1e-6)
    if case[3] - case[2] > 0.1:  # a narrow window costs digits, not the order of magnitude
        torch.testing.assert_close(single.variance.double(), exact.variance, rtol=1e-2, atol=1e-6)
    sample = single.sample((100,))
    assert sample.dtype == torch.float32
    assert single.log_prob(sample).isfinite().all()


@pytest.mark.parametrize("case", CASES)
def test_log_prob_and_cdf_against_scipy(case):
    loc, scale, lower, upper = case
    normal, distribution = stats.norm(loc, scale), law(*case)
    inside = np.clip(np.linspace(loc - 2 * scale, loc + 2 * scale, 9), lower, upper)
    for y in inside:
        value = torch.tensor(y, dtype=torch.float64)
        expected = normal.logpdf(y)
        expected = normal.logcdf(lower) if y <= lower else expected
        expected = normal.logsf(upper) if y >= upper else expected
        assert distribution.log_prob(value).item() == pytest.approx(expected, rel=1e-10)
        cdf = 1.0 if y >= upper else normal.cdf(y)
        assert distribution.cdf(value).item() == pytest.approx(cdf, rel=1e-10)
    plain = law(*case)
    plain._validate_args = False
    for y in (lower - 1, upper + 1):
        if np.isfinite(y):
            value = torch.tensor(y, dtype=torch.float64)
            assert plain.log_prob(value) == -INF
            assert plain.cdf(value) == float(y > upper)


def test_total_probability_is_one():
    distribution = law(0.3, 1.5, -0.5, 1.0)
    density = integrate.quad(
        lambda y: distribution.log_prob(torch.tensor(y, dtype=torch.float64)).exp().item(),
        -0.5 + 1e-12,
        1.0 - 1e-12,
    )[0]
    atoms = sum(
        distribution.log_prob(torch.tensor(y, dtype=torch.float64)).exp() for y in (-0.5, 1.0)
    )
    assert density + atoms.item() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("case", CASES[:6])
def test_moments_against_samples(case):
    samples = law(*case).sample((200_000,))
    mean, variance = law(*case).mean, law(*case).variance
    error = (variance / len(samples)).sqrt()
    assert (samples.mean() - mean).abs() < 5 * error
    spread = ((samples - mean).pow(4).mean() / len(samples)).sqrt()
    assert (samples.var() - variance).abs() < 5 * spread
    ranks = torch.linspace(0.01, 0.99, 21, dtype=torch.float64)
    quantiles = law(*case).icdf(ranks)
    counts = (samples[:, None] <= quantiles).double().mean(0)
    assert (counts >= ranks - 5e-3).all()  # equality but for atoms


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_right_and_finite(case):
    loc, scale, lower, upper = case
    values = [y for y in (lower, upper, min(max(loc, lower), upper) * 0.999) if np.isfinite(y)]

    def build(loc, scale):
        return Censored(loc, scale, lower, upper, validate_args=False)

    inputs = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (loc, scale)]
    for y in values:
        value = torch.tensor(min(max(y, lower), upper), dtype=torch.float64)
        assert torch.autograd.gradcheck(lambda a, b, v=value: build(a, b).log_prob(v), inputs)
    assert torch.autograd.gradcheck(lambda a, b: build(a, b).mean, inputs)
    assert torch.autograd.gradcheck(lambda a, b: build(a, b).variance, inputs)


def test_gradients_in_far_tails_are_finite():
    loc = torch.tensor([-500.0, 500.0, -30.0, 30.0, 0.0], requires_grad=True)
    scale = torch.full((5,), 0.5, requires_grad=True)
    for lower, upper in [(0.0, INF), (-INF, 0.0), (-1.0, 1.0), (-INF, INF)]:
        distribution = Censored(loc, scale, lower, upper)
        for value in (distribution.sample(), distribution.mean.detach()):
            total = distribution.log_prob(value).sum()
            total = total + distribution.mean.sum() + distribution.variance.sum()
            grads = torch.autograd.grad(total, [loc, scale])
            assert total.isfinite()
            assert all(grad.isfinite().all() for grad in grads)
    pathwise = torch.autograd.grad(Censored(loc, scale, 0.0, INF).rsample().sum(), [loc, scale])
    assert torch.equal(pathwise[0], (loc > 0).float().masked_fill(loc == 0, pathwise[0][-1]))


def test_noise_inside_is_exact_and_on_atoms_has_its_conditional_law():
    generator = torch.Generator().manual_seed(0)
    n = 100_000
    for loc in (-6.0, -2.0, 0.4, 3.0):
        distribution = law(loc, 1.0, 0.0, INF).expand((n,))
        z = abduct(distribution, torch.zeros(n, dtype=torch.float64), generator=generator)
        assert (loc + z <= 0).all()
        limit = -loc
        truncated = stats.truncnorm(-np.inf, limit)
        assert stats.kstest(z.numpy(), truncated.cdf).pvalue > 1e-4
        upper = Censored(-distribution.loc, distribution.scale, upper=0.0)
        mirrored = abduct(upper, torch.zeros(n, dtype=torch.float64), generator=generator)
        assert stats.kstest(-mirrored.numpy(), truncated.cdf).pvalue > 1e-4
    inside = torch.tensor([0.5, 2.5], dtype=torch.float64)
    noise = abduct(law(1.0, 2.0, 0.0, 3.0).expand((2,)), inside)
    torch.testing.assert_close(noise, (inside - 1) / 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("depth", [0.0, 3.9, 4.1, 8.0, 20.0, 300.0, -20.0])
def test_noise_beyond_a_limit_is_finite_in_the_tails(depth, dtype):
    distribution = law(depth, 1.0, 0.0, INF, dtype).expand((1000,))
    zero = torch.zeros(1000, dtype=dtype)
    noise = abduct(distribution, zero)
    assert noise.isfinite().all()
    torch.testing.assert_close(replay(distribution, noise), zero, atol=1e-4, rtol=0)
    excess = -depth - noise
    assert (excess >= 0).all()
    if depth >= 8:  # close to exponential with rate depth
        assert (excess.mean() * depth).item() == pytest.approx(1.0, abs=0.15)


def test_global_random_state_is_untouched_with_a_generator():
    before = torch.get_rng_state()
    distribution, zero = law(0.0, 1.0, 0.0, INF), torch.zeros((), dtype=torch.float64)
    one = abduct(distribution, zero, generator=torch.Generator().manual_seed(1))
    two = abduct(distribution, zero, generator=torch.Generator().manual_seed(1))
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)


def test_bad_limits_and_evidence():
    with pytest.raises(ValueError, match="below upper"):
        law(0.0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match=r"limits|support"):
        abduct(law(0.0, 1.0, 0.0, 1.0), torch.tensor(2.0, dtype=torch.float64))


def test_plain_numbers_are_enough():
    assert Censored(0.0, 1.0, 0.0).mean.item() == pytest.approx(1 / math.sqrt(2 * math.pi))
