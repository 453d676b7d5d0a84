"""The flow posterior against its own Jacobian, grids and what it starts from."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn
from torch.distributions import Distribution, Normal

from hybrid import heads
from hybrid.backbones import MLP
from hybrid.bayes import FlowPosterior, FullRank, MeanField, Posterior, variational
from hybrid.bayes.flat import flattened
from hybrid.objectives import ELBO
from hybrid.storage.checkpoint import load, save
from hybrid.training.trainer import fit

KINDS = {"affine": {}, "splines": {"splines": True}, "narrow": {"hidden": (4, 3)}}


def moved(kind, layer=None, amount=0.3):
    torch.manual_seed(0)
    layer = nn.Linear(3, 2).double() if layer is None else layer
    posterior = Posterior(layer, FlowPosterior(scale=0.3, **KINDS[kind]))
    for parameter in posterior.parameters():
        parameter.data += amount * torch.randn_like(parameter)
    return posterior


def flat(posterior, draws, seed=0):
    weights = posterior.weights(draws, torch.Generator().manual_seed(seed))
    return flattened(weights.values(), lead=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(3, 2), (1, 1)])
def test_it_starts_as_mean_field(kind, shape):
    layer = nn.Linear(*shape).double()
    start = Posterior(layer, FlowPosterior(scale=0.3, **KINDS[kind]))
    torch.testing.assert_close(flat(start, 7), flat(Posterior(layer, MeanField(scale=0.3)), 7))
    layer = nn.Linear(1, 1, bias=False)
    one = Posterior(layer, FlowPosterior(**KINDS[kind]))
    assert one.weights()["weight"].shape == (1, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_log_density_is_that_of_the_map(kind):
    posterior = moved(kind)
    noise = torch.randn(1, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    weights = posterior.weights(1, torch.Generator().manual_seed(3))
    scale = nn.functional.softplus(flattened(posterior.spread.raw_scale.values()))

    def map_of(z):
        return scale * posterior.spread.flow(None).call_and_ladj(z)[0]

    jacobian = torch.autograd.functional.jacobian(map_of, noise[0])
    base = Normal(0.0, 1.0).log_prob(noise).sum()
    expected = base - torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(weights.log_density[0], expected)
    mean = flattened(posterior.mean.parameters())
    torch.testing.assert_close(flattened(weights.values(), lead=1)[0], mean + map_of(noise[0]))


@pytest.mark.parametrize("kind", KINDS)
def test_divergence_against_a_histogram(kind):
    posterior = moved(kind, nn.Linear(1, 1, bias=False).double(), amount=0.5)
    with torch.no_grad(), posterior.fixed(50_000, torch.Generator().manual_seed(0)):
        divergence = posterior.divergence().item()
    values = flat(posterior, 400_000, seed=1)[:, 0].detach()
    low, high = values.min().item(), values.max().item()
    count = torch.histc(values, 400, low, high)
    width = (high - low) / 400
    centres = low + width * (torch.arange(400).double() + 0.5)
    share = count / count.sum()
    log_prior = Normal(0.0, 1.0).log_prob(centres)
    exact = (torch.special.xlogy(share, share / width) - share * log_prior).sum().item()
    assert divergence == pytest.approx(exact, abs=0.03)


def test_it_finds_a_posterior_that_no_normal_one_fits():
    # Only w² is seen: its posterior for w > 0 is skewed, y = w² / s with small s.
    torch.manual_seed(0)

    def bound(posterior, draws, seed):
        with posterior.fixed(draws, torch.Generator().manual_seed(seed)):
            one, two = posterior(torch.eye(2, dtype=torch.float64).unsqueeze(0)).unbind(1)
            log = Normal(0.0, 0.3).log_prob(two[:, 0] - one[:, 0].square()).mean()
            return log - posterior.divergence()

    found = {}
    for name, family in (("flow", FlowPosterior(hidden=(16,), scale=0.3)), ("full", FullRank())):
        posterior = Posterior(nn.Linear(2, 1, bias=False).double(), family)
        posterior.mean.weight.data.zero_()
        optimizer = torch.optim.Adam(posterior.parameters(), 0.04)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
        for step in range(150):
            optimizer.zero_grad()
            (-bound(posterior, 64, step)).backward()
            optimizer.step()
            schedule.step()
        with torch.no_grad():
            found[name] = bound(posterior, 20_000, 1_000).item()
    grid = torch.linspace(-6, 6, 1201, dtype=torch.float64)
    one, two = torch.meshgrid(grid, grid, indexing="ij")
    log = Normal(0.0, 0.3).log_prob(two - one.square())
    log = log + Normal(0.0, 1.0).log_prob(one) + Normal(0.0, 1.0).log_prob(two)
    evidence = torch.logsumexp(log.flatten(), 0).item() + 2 * math.log(0.01)
    assert found["full"] < found["flow"] - 0.2
    assert found["flow"] < evidence + 0.02
    assert found["flow"] > evidence - 0.25


@pytest.mark.parametrize("kind", KINDS)
def test_copies_and_files_answer_alike(kind, tmp_path):
    posterior, other = moved(kind), moved(kind, amount=0.1)

    def answer(module):
        with module.fixed(4, torch.Generator().manual_seed(3)):
            outputs = module(torch.ones(1, 5, 3, dtype=torch.float64))
            return outputs, module.divergence()

    outputs, divergence = answer(posterior)
    (outputs.sum() + divergence).backward()
    assert not [n for n, p in posterior.named_parameters() if p.grad is None]
    save(posterior, tmp_path / "posterior")
    load(tmp_path / "posterior", into=other)
    for twin in (copy.deepcopy(posterior), pickle.loads(pickle.dumps(posterior)), other):
        for one, two in zip(answer(twin), (outputs, divergence), strict=True):
            assert torch.equal(one, two)


def test_gradients_are_those_of_finite_differences():
    posterior = moved("affine")
    parameters = list(posterior.parameters())

    def loss():
        with posterior.fixed(3, torch.Generator().manual_seed(2)):
            fit = posterior(torch.ones(1, 5, 3, dtype=torch.float64)).square().mean()
            return fit + posterior.divergence()

    gradients = torch.autograd.grad(loss(), parameters)
    for parameter, gradient in zip(parameters, gradients, strict=True):
        direction = torch.randn_like(parameter)
        slopes = []
        for step in (1e-6, -2e-6, 1e-6):
            parameter.data += step * direction
            slopes.append(loss().item())
        slope = (slopes[0] - slopes[1]) / 2e-6
        assert (gradient * direction).sum().item() == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_the_global_state_stays():
    posterior = moved("affine")
    before = torch.get_rng_state()
    with torch.no_grad(), posterior.fixed(6, torch.Generator().manual_seed(0)):
        assert torch.equal(posterior.divergence(), posterior.divergence())
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(posterior.divergence(), posterior.divergence())
    assert Distribution._validate_args


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"over 10100 weights has about 3\.9 million.*LowRank"):
        Posterior(nn.Linear(100, 100), FlowPosterior())
    for options in ({"transforms": 0}, {"hidden": ()}, {"hidden": (0,)}):
        with pytest.raises(ValueError, match="at least one transform"):
            FlowPosterior(**options)
    with pytest.raises(TypeError, match="its own sample"):
        moved("affine").spread.divergence_at({"w": torch.zeros(2)}, {"w": torch.zeros(1, 2)})


def test_steps_of_a_hundredth_do_not_send_the_weights_far():
    """An unbounded stretch made losses of 1e7 here."""
    torch.manual_seed(0)
    x = torch.linspace(-2, 2, 100).unsqueeze(-1)
    law = variational(heads.Normal(MLP(1, [8], 2)), FlowPosterior())
    history = fit(
        ELBO(law, data_size=100), (x, torch.sin(2 * x.squeeze(-1))), epochs=60, batch_size=50,
        optimizer=lambda p: torch.optim.Adam(p, 1e-2), seed=0, progress=False,
    )  # fmt: skip
    assert max(history.loss) < 3 * history.loss[0]
