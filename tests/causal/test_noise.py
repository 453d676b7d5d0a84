"""Laws of noise recovery: replay inverts abduct; the noise's law does not depend on parameters."""

import pyro.distributions as dist
import pytest
import torch
import torch.distributions as td

from causal.law import as_pyro
from causal.noise import NoiseNotRecoverable, abduct, replay


def t(*values, dtype):
    return torch.tensor(values, dtype=dtype)


SCALAR = {
    "normal": lambda a, b: td.Normal(a, b),
    "laplace": lambda a, b: td.Laplace(a, b),
    "cauchy": lambda a, b: td.Cauchy(a, b),
    "gumbel": lambda a, b: td.Gumbel(a, b),
    "student": lambda a, b: td.StudentT(5.0, a, b),
    "lognormal": lambda a, b: td.LogNormal(a, b),
    "halfnormal": lambda a, b: td.HalfNormal(b),
    "halfcauchy": lambda a, b: td.HalfCauchy(b),
    "exponential": lambda a, b: td.Exponential(b),
    "weibull": lambda a, b: td.Weibull(b, a.abs() + 1),
    "pareto": lambda a, b: td.Pareto(b, a.abs() + 1),
    "kumaraswamy": lambda a, b: td.Kumaraswamy(a.abs() + 1, b),
    "uniform": lambda a, b: td.Uniform(a, a + b),
    "logistic": lambda a, b: td.TransformedDistribution(
        td.Uniform(torch.zeros_like(a), 1.0),
        [td.transforms.SigmoidTransform().inv, td.transforms.AffineTransform(a, b)],
    ),
    "relaxed": lambda a, b: td.RelaxedBernoulli(b, logits=a),
    "pyro": lambda a, b: dist.Normal(a, b),
    "delta": lambda a, b: dist.Delta(a),
    "expanded": lambda a, b: dist.Normal(a, b).expand((3, *a.shape)),
}


@pytest.mark.parametrize("name", SCALAR)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_replay_inverts_abduct(name, dtype):
    a, b = torch.randn(200, dtype=dtype), torch.rand(200, dtype=dtype) + 0.5
    law = SCALAR[name](a, b)
    value = law.sample()
    noise = abduct(law, value)
    assert noise.dtype == dtype
    back = replay(law, noise)
    # Scales of up to a few units; values near 0 come from cancelling numbers of size one.
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(back, value, rtol=tolerance, atol=tolerance)
    wrapped = as_pyro(law)
    torch.testing.assert_close(abduct(wrapped, value), noise, rtol=0, atol=0)


@pytest.mark.parametrize("name", set(SCALAR) - {"delta", "student"})
def test_noise_has_one_law_whatever_the_parameters(name):
    n = 4000
    like = torch.ones(n, dtype=torch.float64)
    small = SCALAR[name](-0.5 * like, 0.7 * like)
    large = SCALAR[name](1.5 * like, 2.0 * like)
    noise = [abduct(law, law.sample()).reshape(-1)[:n].sort().values for law in (small, large)]
    grid = torch.cat(noise).sort().values
    cdfs = [torch.searchsorted(e, grid, right=True) / n for e in noise]
    assert (cdfs[0] - cdfs[1]).abs().max() < 1.95 * (2 / n) ** 0.5  # Kolmogorov-Smirnov, p = 0.001


@pytest.mark.parametrize("name", ["uniform", "exponential", "weibull", "lognormal"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_round_trip_in_the_tails(name, dtype):
    z = torch.linspace(-5, 5, 101, dtype=torch.float64)
    a, b = torch.zeros(101, dtype=torch.float64) + 1, torch.ones(101, dtype=torch.float64)
    exact = SCALAR[name](a, b)
    value = exact.icdf(td.Normal(0.0, 1.0).cdf(z)).to(dtype)
    law = SCALAR[name](a.to(dtype), b.to(dtype))
    if name == "uniform":
        value = value[(value > 1) & (value < 2)]
        law = td.Uniform(torch.ones_like(value), torch.ones_like(value) + 1)
    torch.testing.assert_close(replay(law, abduct(law, value)), value, rtol=1e-6, atol=0)


def test_student_t_needs_the_same_df():
    noise = abduct(td.StudentT(4.0, 0.0, 1.0), torch.tensor(1.0))
    assert replay(td.StudentT(4.0, 1.0, 2.0), noise) == 3.0
    with pytest.raises(NoiseNotRecoverable, match="df differs"):
        replay(td.StudentT(5.0, 1.0, 2.0), noise)


def test_deterministic_law_refuses_contradicting_evidence():
    law = dist.Delta(torch.zeros(3))
    with pytest.raises(ValueError, match="contradicts"):
        abduct(law, torch.ones(3))
    assert replay(dist.Delta(torch.ones(3)), abduct(law, torch.zeros(3))).tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("law", "value", "conventions"),
    [
        (td.Bernoulli(0.3), torch.tensor(1.0), ("quantile",)),
        (td.Categorical(torch.ones(3)), torch.tensor(1), ("gumbel", "quantile")),
        (td.Independent(td.Normal(torch.zeros(2), 1.0), 1), torch.zeros(2), ("elementwise",)),
        (td.MultivariateNormal(torch.zeros(2), torch.eye(2)), torch.zeros(2), ("triangular",)),
        (td.Poisson(2.0), torch.tensor(1.0), ()),
        (td.Gamma(2.0, 1.0), torch.tensor(1.0), ()),
        (td.Dirichlet(torch.ones(3)), torch.ones(3) / 3, ()),
    ],
)
def test_refuses_without_a_convention(law, value, conventions):
    with pytest.raises(NoiseNotRecoverable) as caught:
        abduct(law, value)
    assert caught.value.conventions == conventions
    assert all(name in str(caught.value) for name in conventions)
    assert type(law).__name__ in str(caught.value)
    with pytest.raises(NoiseNotRecoverable):
        abduct(law, value, convention="no such thing")


def test_vector_conventions():
    mean, square = torch.randn(4, 3).double(), torch.randn(3, 3).double()
    covariance = square @ square.T + torch.eye(3)
    law = td.MultivariateNormal(mean, covariance)
    value = law.sample()
    noise = abduct(law, value, convention="triangular")
    torch.testing.assert_close(replay(law, noise, convention="triangular"), value)
    torch.testing.assert_close(
        value, mean + (torch.linalg.cholesky(covariance) @ noise[..., None])[..., 0]
    )
    law = td.Independent(td.Normal(mean, 2.0), 1)
    noise = abduct(law, value, convention="elementwise")
    torch.testing.assert_close(noise, (value - mean) / 2)
    law = td.Independent(td.Bernoulli(logits=mean), 1)
    value = law.sample()
    noise = abduct(law, value, convention="quantile")
    assert torch.equal(replay(law, noise, convention="quantile"), value)


CLASSES = {
    "binary": ("quantile", lambda x: td.Bernoulli(logits=x[..., 0])),
    "quantile": ("quantile", lambda x: td.Categorical(logits=x)),
    "gumbel": ("gumbel", lambda x: td.Categorical(logits=x)),
}


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_classes_round_trip_and_keep_the_marginal(name, scale):
    convention, make = CLASSES[name]
    law = make(scale * torch.randn(20_000, 4, dtype=torch.float64))
    value = law.sample()
    noise = abduct(law, value, convention=convention)
    assert torch.equal(replay(law, noise, convention=convention).to(value), value)
    # Replayed under another law, the mixture over observed values is that law.
    other = make(torch.tensor([0.3, -0.5, 1.0, 0.0], dtype=torch.float64).expand(20_000, 4))
    replayed = replay(other, noise, convention=convention).long()
    frequency = torch.bincount(replayed, minlength=4)[: 2 if name == "binary" else 4] / 20_000
    expected = other.probs[0]
    expected = torch.stack([1 - expected, expected]) if name == "binary" else expected
    torch.testing.assert_close(frequency.double(), expected, atol=0.02, rtol=0)


def test_gumbel_posterior_agrees_with_rejection():
    logits = torch.tensor([0.3, -0.4, 0.9], dtype=torch.float64)
    prior = td.Gumbel(torch.zeros(300_000, 3, dtype=torch.float64), 1.0).sample()
    accepted = prior[(prior + logits).argmax(-1) == 1]
    law = td.Categorical(logits=logits.expand(60_000, 3))
    mine = abduct(law, torch.ones(60_000), convention="gumbel")
    torch.testing.assert_close(mine.mean(0), accepted.mean(0), atol=0.03, rtol=0)
    torch.testing.assert_close(mine.T.cov(), accepted.T.cov(), atol=0.06, rtol=0)


def test_impossible_class_and_zero_probabilities():
    law = td.Categorical(logits=torch.tensor([[0.5, 0.0, 0.5]]).log())
    with pytest.raises(ValueError, match="probability 0"):
        abduct(law, torch.tensor([1]), convention="gumbel")
    noise = abduct(law, torch.tensor([2]), convention="gumbel")
    assert noise.isfinite().all()
    assert replay(law, noise, convention="gumbel") == 2


def test_generator_leaves_the_global_state_alone():
    law, value = td.Bernoulli(torch.full((5,), 0.4)), torch.ones(5)
    before = torch.get_rng_state()
    noise = [
        abduct(law, value, convention="quantile", generator=torch.Generator().manual_seed(1))
        for _ in range(2)
    ]
    assert torch.equal(*noise)
    assert torch.equal(torch.get_rng_state(), before)


def test_users_register_their_own():
    class Shifted(td.Distribution):
        arg_constraints = {}
        support = td.constraints.real

        def __init__(self, shift):
            self.shift = shift
            super().__init__(shift.shape, validate_args=False)

    law = Shifted(torch.tensor([1.0, 2.0]))
    with pytest.raises(NoiseNotRecoverable, match=r"abduct\.register"):
        abduct(law, torch.zeros(2))

    @abduct.register(Shifted)
    def noise(distribution, value):
        return value - distribution.shift

    replay.register(Shifted, lambda distribution, e, convention=None: e + distribution.shift)
    assert replay(law, abduct(law, torch.zeros(2))).tolist() == [0, 0]
    with pytest.raises(TypeError, match="convention and generator"):
        abduct(law, torch.zeros(2), conventions="x")
    assert noise(law, torch.ones(2)).tolist() == [0, -1]


def test_gradients_reach_the_parameters():
    loc = torch.tensor([0.5], requires_grad=True)
    noise = abduct(td.Normal(loc, 1.0), torch.tensor([2.0]))
    replay(td.Normal(3 * loc, 1.0), noise).sum().backward()
    assert loc.grad.item() == 2.0
