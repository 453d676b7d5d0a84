"""The distribution of rows: axes, expansion, and the weights it was made with."""

import pyro
import pytest
import torch
from linear_gaussian import FullNormal, decoder_with, evidence, exact_posterior
from torch import nn

import hybrid
from hybrid.vae.autoencoder import VAE


def linear_gaussian(samples=1):
    decoder = decoder_with(torch.randn(4, 2).double())
    return VAE(FullNormal(*exact_posterior(decoder)), decoder, samples=samples)


def conditional(random=False, width=2):
    heads, linear = hybrid.heads, nn.Linear
    vae = VAE(
        heads.Normal(linear(3 + width, 4), event=2),
        heads.Normal(linear(2 + width, 4), event=3),
        prior=heads.Normal(linear(width, 4), event=2),
        samples=2,
    ).double()
    family = hybrid.bayes.MeanField(scale=0.5)
    return hybrid.bayes.variational(vae, family) if random else vae


def test_samples_have_the_evidences_moments():
    vae = linear_gaussian()
    exact = evidence(vae.decoder)
    values = vae(torch.zeros(2, 0).double()).sample((50_000,))
    assert values.shape == (50_000, 2, 4)
    flat = values.flatten(0, 1)
    torch.testing.assert_close(flat.mean(0), exact.mean, atol=0.05, rtol=0)
    torch.testing.assert_close(flat.mT.cov(), exact.covariance_matrix, atol=0.1, rtol=0.05)


def test_values_may_have_more_axes_in_front():
    vae = linear_gaussian(samples=3)
    marginal = vae(torch.zeros(5, 0).double())
    x = torch.randn(2, 7, 5, 4).double()
    exact = evidence(vae.decoder).log_prob(x)
    torch.testing.assert_close(marginal.log_prob(x), exact)
    torch.testing.assert_close(marginal.log_prob(x[0, 0, 0]), exact[0, 0, 0].expand(5))


def test_draws_lead():
    vae, context = conditional(random=True), torch.randn(5, 2).double()
    marginal = vae(context, draws=4)
    assert (marginal.batch_shape, marginal.event_shape) == ((4, 5), (3,))
    assert marginal.log_prob(torch.randn(5, 3).double()).shape == (4, 5)
    assert marginal.log_prob(torch.randn(7, 4, 5, 3).double()).shape == (7, 4, 5)
    assert marginal.sample((7, 2)).shape == (7, 2, 4, 5, 3)
    assert marginal.expand((4, 5)) is marginal
    with pytest.raises(NotImplementedError, match="in front of that of 4 draws"):
        marginal.expand((2, 4, 5))


def test_weights_stay_those_it_was_made_with():
    vae, context = conditional(random=True), torch.randn(5, 2).double()
    with hybrid.bayes.fixed(vae, 3):
        inside = vae(context.unsqueeze(0))
        x = torch.randn(5, 3).double()
        first = inside.log_prob(x)
    assert torch.equal(inside.log_prob(x), first)
    apart = vae(context, draws=3).log_prob(x)
    assert not torch.allclose(apart, first, rtol=1e-3)
    means = inside.sample((4000,)).mean(0)
    again = inside.sample((4000,)).mean(0)
    torch.testing.assert_close(means, again, atol=0.2, rtol=0.2)
    assert float((means[0] - means[1]).abs().max()) > 0.3


def test_draws_and_values_agree():
    """Each draw's estimate is that of the decoder with this draw's weights."""
    vae = conditional(random=True).eval()
    context, x = torch.randn(5, 2).double(), torch.randn(5, 3).double()
    with hybrid.bayes.fixed(vae, 3):
        found = vae(context.unsqueeze(0)).log_prob(x.expand(7, 3, 5, 3))
        plain = vae(context.unsqueeze(0)).log_prob(x)
    assert found.shape == (7, 3, 5)
    assert not torch.allclose(plain[0], plain[1])


def test_rows_share_their_noise_only_where_asked():
    vae, x = conditional(), torch.randn(1, 3).double().expand(6, 3)
    context = torch.zeros(6, 2).double()
    assert len(vae(context).log_prob(x).unique()) == 6
    with hybrid.bayes.fixed(vae):
        assert len(vae(context).log_prob(x).unique()) == 6
        vae.eval()
        assert len({round(v, 10) for v in vae(context).log_prob(x).tolist()}) == 1


def test_pyro_takes_it():
    marginal = conditional()(torch.zeros(5, 2).double())
    assert pyro.sample("x", marginal).shape == (5, 3)
    with pytest.raises(NotImplementedError):
        _ = marginal.mean
    with pytest.raises(RuntimeError):
        marginal.log_prob(torch.zeros(5, 4).double())


def test_conditions_count():
    vae = conditional()
    with torch.no_grad():
        for parameter in vae.parameters():
            nn.init.normal_(parameter, std=0.7)
    far = vae(torch.tensor([[0.0, 0.0], [5.0, 5.0]]).double()).sample((2000,)).mean(0)
    assert float((far[0] - far[1]).abs().max()) > 0.5
