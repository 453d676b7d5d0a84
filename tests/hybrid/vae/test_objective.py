"""The objective: exact evidence, maximum likelihood, gradients, weights and schedules."""

import itertools

import pytest
import torch
import torch.distributions as td
from linear_gaussian import (
    FullNormal,
    LinearNormal,
    decoder_with,
    evidence,
    exact_posterior,
    maximum_likelihood,
)
from torch import nn

import hybrid
from hybrid.vae.autoencoder import VAE
from hybrid.vae.objective import EvidenceBound


def orthogonal(rows=4, latent=2):
    """A decoder with orthogonal columns, whose posterior is a vector of independent numbers."""
    weight = torch.linalg.qr(torch.randn(rows, latent).double()).Q
    decoder = decoder_with(weight * torch.tensor([1.5, 0.7]).double())
    weight, bias, covariance = exact_posterior(decoder)
    return VAE(LinearNormal(weight, bias, covariance.diagonal().sqrt()), decoder)


def correlated(rows=4, latent=2):
    decoder = decoder_with(torch.randn(rows, latent).double())
    return VAE(FullNormal(*exact_posterior(decoder)), decoder)


def wide():
    """A posterior that is not the exact one."""
    vae = orthogonal()
    with torch.no_grad():
        vae.posterior.log_scale += 0.4
        vae.posterior.bias += 0.3
    return vae


OPTIONS = {
    "evidence": {},
    "samples": {"samples": 3},
    "importance": {"samples": 3, "importance": True},
    "doubly": {"doubly": True},
    "doubly, weighted": {"samples": 3, "importance": True, "doubly": True},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("make", [orthogonal, correlated])
def test_bound_is_the_evidence_where_the_posterior_is_exact(make, options):
    vae, x = make(), torch.randn(50, 4).double()
    exact = evidence(vae.decoder).log_prob(x)
    loss = vae.objective(**options)(x)
    tolerance = 1e-10
    if options.get("importance") or options.get("doubly"):
        torch.testing.assert_close(-loss.total, exact.mean(), atol=tolerance, rtol=0)
    elif make is orthogonal:  # the divergence in closed form, the likelihood drawn
        many = vae.objective(samples=20_000)(x).total
        torch.testing.assert_close(-many, exact.mean(), atol=0.01, rtol=0)
    torch.testing.assert_close(vae.log_probability(x), exact, atol=tolerance, rtol=0)


@pytest.mark.parametrize("make", [orthogonal, correlated])
def test_doubly_reparameterised_gradient_has_no_noise_at_the_optimum(make):
    vae, x = make(), torch.randn(20, 4).double()
    plain, doubly = vae.objective(), vae.objective(doubly=True)
    encoder = list(vae.posterior.parameters())
    noisy = torch.autograd.grad(plain(x).total, encoder)
    still = torch.autograd.grad(doubly(x).total, encoder)
    assert max(g.abs().max() for g in noisy) > 1e-2
    assert max(g.abs().max() for g in still) < 1e-10


@pytest.mark.parametrize("samples", [1, 4])
def test_doubly_reparameterised_gradient_has_the_same_mean(samples):
    vae = wide()
    x = torch.randn(1, 4).double().expand(200_000, 4)
    options = {"samples": samples, "importance": samples > 1}
    parameters = list(vae.parameters())
    found = [
        torch.autograd.grad(vae.objective(**options, doubly=doubly)(x).total, parameters)
        for doubly in (False, True)
    ]
    for first, second in zip(*found, strict=True):
        torch.testing.assert_close(first, second, atol=0.02, rtol=0.02)


def test_more_samples_tighten_the_bound_to_the_evidence():
    vae, x = wide(), torch.randn(40, 4).double()
    exact = evidence(vae.decoder).log_prob(x).mean()
    repeated = x.repeat(100, 1)
    bounds = [
        float(vae.log_probability(repeated, samples=k).mean().detach()) for k in (1, 2, 8, 64)
    ]
    closed = -float(vae.objective(samples=10)(repeated).total.detach())
    assert bounds[0] == pytest.approx(closed, abs=0.12)
    gaps = [float(exact) - bound for bound in bounds]
    assert all(first > second + 0.01 for first, second in itertools.pairwise(gaps))
    assert 0 < gaps[-1] < 0.02


def test_training_finds_the_maximum_likelihood():
    torch.manual_seed(3)
    truth = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 1.5], [0.5, -0.5]]).double()
    x = torch.randn(400, 2).double() @ truth.mT + 0.4 * torch.randn(400, 4).double()
    decoder = LinearNormal(torch.randn(4, 2).double(), torch.zeros(4).double(), 1.0)
    vae = VAE(
        FullNormal(torch.zeros(2, 4).double(), torch.zeros(2).double(), torch.eye(2).double()),
        decoder,
    )
    objective = vae.objective(doubly=True)
    adam = torch.optim.Adam(vae.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 400)
    for _ in range(400):
        adam.zero_grad()
        objective(x).total.backward()
        adam.step()
        schedule.step()
    covariance, likelihood = maximum_likelihood(x, 2)
    found = evidence(decoder)
    torch.testing.assert_close(found.covariance_matrix, covariance, atol=0.03, rtol=0.03)
    torch.testing.assert_close(found.log_prob(x).mean(), likelihood, atol=2e-3, rtol=0)
    bound = vae.log_probability(x, samples=1).mean()
    torch.testing.assert_close(bound, likelihood, atol=2e-3, rtol=0)


def small(event=3, latent=2, context=0):
    heads, linear = hybrid.heads, nn.Linear
    return VAE(
        heads.Normal(linear(event + context, 4), event=latent),
        heads.Normal(linear(latent + context, 4), event=event),
        prior=heads.Normal(linear(context, 4), event=latent) if context else None,
    ).double()


@pytest.mark.parametrize(
    "options",
    [{}, {"samples": 2}, {"samples": 2, "importance": True}, {"beta": 0.3, "free_bits": 0.001}],
)
@pytest.mark.parametrize("context", [0, 2])
def test_gradients_by_finite_differences(options, context):
    vae = small(context=context)
    x = torch.randn(6, 3).double()
    batch = (torch.randn(6, context).double(), x) if context else x
    objective = vae.objective(seed=0, **options)
    parameters = [p for p in objective.parameters() if p.requires_grad]
    found = torch.autograd.grad(objective(batch).total, parameters)
    for parameter, gradient in zip(parameters, found, strict=True):
        with torch.no_grad():
            place = tuple(0 for _ in parameter.shape)
            losses = []
            for step in (1e-5, -1e-5):
                parameter[place] += step
                losses.append(objective(batch).total)
                parameter[place] -= step
        slope = (losses[0] - losses[1]) / 2e-5
        torch.testing.assert_close(gradient[place], slope, atol=1e-7, rtol=1e-5)


def test_parts_are_reconstruction_and_rate():
    vae, x = small(), torch.randn(50, 3).double()
    loss = vae.objective(beta=0.5)(x)
    q = vae.encode(x)
    p = td.Independent(td.Normal(torch.zeros(2).double(), 1.0), 1)
    torch.testing.assert_close(loss.parts["rate"], td.kl_divergence(q, p.expand((50,))).mean())
    total = loss.parts["reconstruction"] + 0.5 * loss.parts["rate"]
    torch.testing.assert_close(loss.total, total)


def test_free_bits_are_free_entry_by_entry():
    vae, x = small(), torch.randn(50, 3).double()
    with torch.no_grad():
        vae.posterior.body[-1].bias[0] = 3.0  # the mean of the first entry
    q = vae.encode(x)
    first = td.kl_divergence(
        td.Normal(q.mean[:, 0], q.stddev[:, 0]), td.Normal(torch.zeros(1).double(), 1.0)
    ).mean()
    rate = vae.objective(free_bits=1.0)(x).parts["rate"]
    torch.testing.assert_close(rate, first + 1.0)
    flow = hybrid.flows.NeuralSpline(None, event=2, transforms=1, hidden=(4,)).double()
    joint = VAE(vae.posterior, vae.decoder, prior=flow)
    assert float(joint.objective(free_bits=100.0)(x).parts["rate"].detach()) == 200.0


def test_rate_without_closed_form_is_drawn():
    vae = small()
    torch.manual_seed(1)
    flow = hybrid.flows.NeuralSpline(None, event=2, transforms=1, hidden=(4,)).double()
    learnt = VAE(vae.posterior, vae.decoder, prior=flow)
    x = torch.randn(3, 3).double()
    drawn = learnt.objective(samples=4000)(x).parts["rate"]
    q = learnt.encode(x)
    z = q.sample((20_000,))
    expected = (q.log_prob(z) - flow(torch.zeros(3, 0).double()).log_prob(z)).mean()
    torch.testing.assert_close(drawn, expected, atol=0.05, rtol=0.02)


def test_schedules_count_the_steps_of_the_training():
    vae, x = small(), torch.randn(64, 3).double()
    objective = vae.objective(beta=hybrid.objectives.Ramp(0.0, 1.0, steps=10))
    loss = objective(x)
    assert torch.equal(loss.total, loss.parts["reconstruction"])
    hybrid.fit(objective, x, batch_size=16, epochs=2, callbacks=[objective], progress=False)
    assert int(objective.step) == 8
    loss = objective(x)
    expected = loss.parts["reconstruction"] + 0.8 * loss.parts["rate"]
    torch.testing.assert_close(loss.total, expected)
    assert "step" in objective.state_dict()


def test_a_seed_repeats_the_codes_and_leaves_the_global_state():
    vae, x = small(), torch.randn(8, 3).double()
    objective = vae.objective(seed=1, samples=2, importance=True)
    before = torch.get_rng_state()
    assert torch.equal(objective(x).total, objective(x).total)
    assert torch.equal(before, torch.get_rng_state())
    free = vae.objective()
    assert not torch.equal(free(x).total, free(x).total)


def test_random_weights_enter_by_draws_and_divergence():
    torch.manual_seed(0)
    vae = hybrid.bayes.variational(small(), hybrid.bayes.MeanField(scale=0.1))
    x = torch.randn(8, 3).double()
    loss = vae.objective(data_size=100, draws=5)(x)
    assert list(loss.parts) == ["reconstruction", "rate", "divergence"]
    torch.testing.assert_close(
        loss.parts["divergence"] * 100, sum(m.divergence() for m in (vae.decoder.body,))
    )
    loss.total.backward()
    assert all(p.grad is not None for p in vae.parameters())
    weighed = vae.objective(data_size=100, draws=5, samples=3, importance=True, doubly=True)(x)
    assert list(weighed.parts) == ["bound", "divergence"]
    hybrid.testing.check_objective(vae.objective(data_size=100, draws=2), x)


def test_the_law_under_the_elbo_has_the_same_mean():
    vae, x = wide(), torch.randn(1, 4).double().expand(20_000, 4)
    law = hybrid.objectives.ELBO(vae, data_size=100)((torch.zeros(20_000, 0).double(), x))
    torch.testing.assert_close(law.total, vae.objective()(x).total, atol=0.05, rtol=0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": -1.0}, "beta must be a finite number"),
        ({"free_bits": float("nan")}, "free_bits must be a finite number"),
        ({"beta": 0.5, "importance": True}, "weigh a divergence"),
        ({"free_bits": 0.5, "doubly": True}, "weigh a divergence"),
        ({"samples": 0}, "samples must be at least 1"),
    ],
)
def test_options_that_do_not_fit(options, words):
    with pytest.raises(ValueError, match=words):
        EvidenceBound(small(), **options)


def test_random_weights_need_the_size_of_the_data():
    with pytest.raises(ValueError, match="data_size"):
        hybrid.bayes.variational(small()).objective()


def test_batches_that_are_none():
    with pytest.raises(TypeError, match="a pair"):
        small().objective()({"x": torch.zeros(3)})
    with pytest.raises(ValueError, match="decoder's rows"):
        small().objective()(torch.zeros(4, 5).double())
