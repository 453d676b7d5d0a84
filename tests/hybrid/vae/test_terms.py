"""The terms of the bound: closed forms, noise, shapes."""

import pytest
import torch
import torch.distributions as td
from linear_gaussian import FullNormal, decoder_with, exact_posterior

from hybrid.flows import NeuralSpline
from hybrid.vae.autoencoder import VAE
from hybrid.vae.terms import averaged, drawn, normal_of, rates, terms_of


def normal(rows=4, latent=3):
    loc, scale = torch.randn(rows, latent).double(), torch.rand(rows, latent).double() + 0.1
    return td.Independent(td.Normal(loc, scale), 1)


def test_divergence_of_normal_codes_is_torchs():
    q, p = normal(), normal()
    each, entries = rates(q, p)
    assert entries
    torch.testing.assert_close(each.sum(-1), td.kl_divergence(q, p))


def test_other_divergences_come_from_torch_or_not_at_all():
    full = td.MultivariateNormal(torch.zeros(3), torch.eye(3))
    other = td.MultivariateNormal(torch.ones(3), torch.eye(3))
    each, entries = rates(full, other)
    assert not entries
    torch.testing.assert_close(each, torch.tensor(1.5))
    laplace = td.Independent(td.Laplace(torch.zeros(3), torch.ones(3)), 1)
    assert rates(full, laplace) is None
    assert normal_of(td.Independent(td.Normal(torch.zeros(2, 3), 1.0), 2)) is None


def test_mean_of_weights():
    weights = torch.rand(5, 7).double()
    torch.testing.assert_close(averaged(weights.log(), 0), weights.mean(0).log())


def posteriors():
    torch.manual_seed(1)
    flow = NeuralSpline(torch.nn.Linear(3, 4), event=2, transforms=1, hidden=(8,)).double()
    return {
        "normal": normal(5, 2),
        "flow": flow(torch.randn(5, 3).double()),
        "laplace": td.Independent(td.Laplace(torch.zeros(5, 2).double(), 1.0), 1),
        "full": td.MultivariateNormal(torch.zeros(5, 2).double(), torch.eye(2).double()),
    }


@pytest.mark.parametrize("kind", posteriors())
def test_draws_come_from_the_generator_alone(kind):
    distribution, like = posteriors()[kind], torch.zeros(()).double()
    before = torch.get_rng_state()
    first, second = (
        drawn(distribution, (6,), like, torch.Generator().manual_seed(3)) for _ in range(2)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert first.shape == (6, 5, 2)
    assert first.dtype == torch.float64
    assert torch.equal(first, second)
    drawn(distribution, (), like)
    assert not torch.equal(before, torch.get_rng_state())


def test_draws_have_the_distribution():
    q = normal(2, 2)
    values = drawn(q, (200_000,), q.mean, torch.Generator().manual_seed(0))
    torch.testing.assert_close(values.mean(0), q.mean, atol=0.02, rtol=0)
    torch.testing.assert_close(values.var(0), q.variance, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("kind", ["normal", "flow"])
def test_shared_noise_makes_rows_independent_of_their_place(kind):
    distribution = posteriors()[kind]
    like = torch.zeros(()).double()
    values = drawn(distribution, (4,), like, torch.Generator().manual_seed(0), shared=True).detach()
    if kind == "normal":
        noise = (values - distribution.mean) / distribution.stddev
    else:
        noise = distribution.noise_of(values)
    torch.testing.assert_close(noise, noise[:, :1].expand_as(noise), atol=1e-6, rtol=1e-5)


def test_a_posterior_without_gradient_is_refused():
    mixture = td.MixtureSameFamily(td.Categorical(torch.ones(2)), normal(2, 3))
    with pytest.raises(TypeError, match="no reparameterised draws"):
        drawn(mixture, (), torch.zeros(()))


def test_axes_are_draws_samples_rows():
    decoder = decoder_with(torch.randn(4, 2).double())
    vae = VAE(FullNormal(*exact_posterior(decoder)), decoder)
    x, context = torch.randn(1, 5, 4).double(), torch.zeros(1, 5, 0).double()
    plain = terms_of(vae, x[0], context[0])
    assert (plain.likelihood().shape, plain.ratio.shape, plain.code.shape) == ((5,), (5,), (5, 2))
    wide = terms_of(vae, x, context, samples=6, draws=3)
    assert wide.likelihood().shape == wide.ratio.shape == (3, 6, 5)
    assert wide.code.shape == (6, 3, 5, 2)
    assert wide.posterior.batch_shape == (3, 5)
    assert terms_of(vae, x, context, draws=3, ratio=False).ratio is None
    # codes and their terms keep together
    each = td.Independent(td.Normal(wide.code @ decoder.weight.mT + 1, 0.5), 1).log_prob(x)
    torch.testing.assert_close(wide.likelihood(), each.movedim(0, 1))
    ratio = vae.prior(context).log_prob(wide.code) - wide.posterior.log_prob(wide.code)
    torch.testing.assert_close(wide.ratio, ratio.movedim(0, 1))
