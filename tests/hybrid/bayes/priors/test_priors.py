"""Priors against torch's distributions, numerical integration and each other."""

import copy
import math
import pickle

import pytest
import torch
import torch.distributions as td
from scipy import integrate
from torch import nn

from hybrid.bayes import FullRank, LowRank, MeanField, Posterior, variational
from hybrid.bayes.flat import flattened
from hybrid.bayes.priors import (
    ByName,
    HierarchicalScale,
    Horseshoe,
    Laplace,
    Mixture,
    Normal,
    Prior,
)
from hybrid.bayes.priors.prior import monte_carlo_divergence
from hybrid.bayes.priors.scales import Scales
from hybrid.storage.checkpoint import load, save

PRIORS = {
    "normal": Normal(0.7),
    "normal around the start": Normal(0.7, mean="initial"),
    "laplace": Laplace(0.4),
    "mixture": Mixture(scales=(1.0, 0.1), shares=(0.25, 0.75)),
    "hierarchical": HierarchicalScale(0.5),
    "hierarchical per parameter": HierarchicalScale(0.5, per="parameter"),
    "hierarchical for all": HierarchicalScale(0.5, per="model"),
    "horseshoe": Horseshoe(0.2),
    "horseshoe per input": Horseshoe(0.2, per="input"),
    "horseshoe per output": Horseshoe(0.2, per="output"),
    "by name": ByName({"*bias": Normal(3.0), "2*": Horseshoe(0.1)}, rest=Laplace(0.4)),
}
FAMILIES = {"mean field": MeanField, "low rank": lambda **k: LowRank(2, **k), "full": FullRank}


def network(dtype=torch.float64):
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)


def moved(family, prior):
    posterior = Posterior(network(), FAMILIES[family](scale=0.3, prior=prior))
    generator = torch.Generator().manual_seed(0)
    for parameter in posterior.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data += 0.2 * noise
    return posterior


def integral(function, low=-30.0, high=30.0):
    return integrate.quad(function, low, high, limit=800, points=[0.0], epsabs=1e-8)[0]


@pytest.mark.parametrize("prior", [Laplace(0.4), Mixture((1.0, 0.1), (0.25, 0.75)), Normal(0.6)])
def test_one_weight_against_numerical_integration(prior):
    density = prior.over({"w": torch.zeros(1, dtype=torch.float64)})
    reference = {
        Laplace: lambda: td.Laplace(torch.tensor(0.0).double(), 0.4),
        Normal: lambda: td.Normal(torch.tensor(0.0).double(), 0.6),
        Mixture: lambda: td.MixtureSameFamily(
            td.Categorical(torch.tensor([0.25, 0.75]).double()),
            td.Normal(torch.zeros(2).double(), torch.tensor([1.0, 0.1]).double()),
        ),
    }[type(prior)]()
    value = torch.linspace(-2, 2, 9, dtype=torch.float64).unsqueeze(-1)
    torch.testing.assert_close(density.surprisal(value), -reference.log_prob(value[:, 0]))
    for mean, scale in ((0.0, 0.3), (0.5, 0.05), (-1.2, 1.5)):
        q = td.Normal(torch.tensor(mean).double(), scale)

        def integrand(w, q=q):
            point = torch.tensor(w).double()
            return (
                q.log_prob(point).exp() * (q.log_prob(point) - reference.log_prob(point))
            ).item()

        exact = integral(integrand, mean - 12 * scale, mean + 12 * scale)
        noise = torch.randn(200_000, 1, dtype=torch.float64)
        found = density.divergence_of(
            torch.tensor([mean]).double(),
            torch.tensor([scale]).double(),
            lambda mean=mean, scale=scale, noise=noise: mean + scale * noise,
        )
        closed = not isinstance(prior, Mixture)
        assert found.item() == pytest.approx(exact, abs=1e-6 if closed else 0.02)


@pytest.mark.parametrize("width", [0.1, 1.0])
@pytest.mark.parametrize(("location", "spread"), [(0.0, 0.1), (-2.0, 0.5), (1.0, 1.0)])
def test_scales_against_numerical_integration(width, location, spread):
    scales = Scales(torch.ones(1, dtype=torch.float64), width)
    with torch.no_grad():
        scales.location.fill_(location)
        scales.raw_spread.fill_(math.log(math.expm1(spread)))
    q, p = td.Normal(torch.tensor(location).double(), spread), td.HalfCauchy(width)

    def density(t, of):
        point = torch.tensor(t).double()
        prior = (p.log_prob(point.exp()) + point).item()  # of log s
        return q.log_prob(point).exp().item() * of(point.item(), q.log_prob(point).item(), prior)

    low, high = location - 12 * spread, location + 12 * spread
    exact = integrate.quad(lambda t: density(t, lambda _, a, b: a - b), low, high, limit=400)[0]
    assert scales.divergence_of_scales().item() == pytest.approx(exact, abs=2e-5)
    exact = integrate.quad(lambda t: density(t, lambda v, *_: math.exp(-2 * v)), low, high)[0]
    assert scales.expected_precision().item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("family", FAMILIES)
def test_closed_divergence_is_the_mean_over_draws(family, prior):
    posterior = moved(family, PRIORS[prior])
    with torch.no_grad():
        weights = posterior.weights(40_000, torch.Generator().manual_seed(1))
        flat = flattened(weights.values(), lead=1)
        density = td.MultivariateNormal(flat.mean(0), torch.cov(flat.mT))
        surprisals = posterior.spread.prior.surprisal(flat)
        each = density.log_prob(flat) + surprisals
        with posterior.fixed(2_000, torch.Generator().manual_seed(1)):
            found = posterior.divergence()
    error = 5 * surprisals.std().item() / math.sqrt(2_000)
    assert found.item() == pytest.approx(each.mean().item(), abs=error)


@pytest.mark.parametrize("per", ["weight", "input", "output"])
def test_joint_divergence_of_weights_and_scales(per):
    prior = Horseshoe(0.2, per=per)
    density = prior.over({"w": torch.full((2, 3), 0.3, dtype=torch.float64)})
    mean, scale = torch.linspace(-1, 1, 6).double(), torch.linspace(0.1, 0.4, 6).double()
    torch.manual_seed(0)
    draws = 100_000
    local, shared = (
        td.LogNormal(part.location, nn.functional.softplus(part.raw_spread))
        for part in (density.local, density.shared)
    )
    w, one, all_of = td.Normal(mean, scale), local.sample((draws,)), shared.sample((draws,))
    weights = w.sample((draws,))
    index = {
        "weight": torch.arange(6),
        "input": torch.tensor([0, 1, 2] * 2),
        "output": torch.tensor([0, 0, 0, 1, 1, 1]),
    }[per]
    assert one.shape[-1] == index.max() + 1
    q = w.log_prob(weights).sum(-1) + local.log_prob(one).sum(-1) + shared.log_prob(all_of).sum(-1)
    p = td.Normal(0.0, one[:, index] * all_of).log_prob(weights).sum(-1)
    p = p + td.HalfCauchy(1.0).log_prob(one).sum(-1)
    p = p + td.HalfCauchy(torch.tensor(0.2)).log_prob(all_of).sum(-1)
    found = density.divergence_of(mean, scale, lambda: weights)
    assert found.item() == pytest.approx(
        (q - p).mean().item(), abs=5 * ((q - p).std() / draws**0.5).item()
    )
    each = density.surprisal(weights) + w.log_prob(weights).sum(-1)
    assert found.item() == pytest.approx(each.mean().item(), abs=0.2)


def test_groups_of_learnt_scales():
    weights = dict(network().named_parameters())
    sizes = {"layer": 2, "parameter": 4, "model": 1}
    for per, size in sizes.items():
        density = HierarchicalScale(per=per).over(weights)
        assert density.scales.location.shape == (size,)
    density = HierarchicalScale().over({"a.w": torch.full((3,), 2.0), "b.w": torch.zeros(2)})
    torch.testing.assert_close(density.scales.location.exp(), torch.tensor([2.0, 1.0]))


@pytest.mark.parametrize("prior", PRIORS)
def test_everything_learnt_has_a_gradient_and_survives_copies(prior, tmp_path):
    posterior = moved("mean field", PRIORS[prior])

    def answer(module):
        with module.fixed(4, torch.Generator().manual_seed(3)):
            outputs = module(torch.ones(1, 5, 3, dtype=torch.float64))
            return outputs, module.divergence()

    outputs, divergence = answer(posterior)
    (outputs.sum() + divergence).backward()
    for name, parameter in posterior.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    other = Posterior(network(), MeanField(scale=0.3, prior=PRIORS[prior]))
    save(posterior, tmp_path / "posterior")
    load(tmp_path / "posterior", into=other)
    twins = [copy.deepcopy(posterior), pickle.loads(pickle.dumps(posterior)), other]
    for twin in twins:
        for one, two in zip(answer(twin), (outputs, divergence), strict=True):
            assert torch.equal(one, two)
    single = Posterior(network(torch.float32), MeanField(prior=PRIORS[prior]))
    assert single.divergence().dtype == torch.float32
    assert isinstance(PRIORS[prior], Prior)


def test_monte_carlo_uses_the_held_draws_and_leaves_the_global_state_alone():
    posterior = moved("low rank", Mixture())
    before = torch.get_rng_state()
    with torch.no_grad(), posterior.fixed(6, torch.Generator().manual_seed(0)):
        one, two = posterior.divergence(), posterior.divergence()
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.no_grad(), posterior.fixed(None, torch.Generator().manual_seed(0)):
        assert posterior.divergence().shape == ()
    assert not torch.equal(posterior.divergence(), posterior.divergence())
    with torch.no_grad(), posterior.fixed(6, torch.Generator().manual_seed(0)):
        weights = posterior.weights(6, torch.Generator().manual_seed(0))
        flat = flattened(weights.values(), lead=1)
        spread = posterior.spread
        scale = nn.functional.softplus(spread._flat(posterior._means())[1])
        marginal = scale * spread.mixing.inflation()
        expected = monte_carlo_divergence(spread.prior, marginal, lambda: flat)
        shared = spread.mixing.inflation().log().sum() - spread.mixing.log_determinant()
        torch.testing.assert_close(posterior.divergence(), expected + shared)


def test_scalar_parameters():
    layer = nn.Module()
    layer.temperature = nn.Parameter(torch.tensor(0.3))
    layer.weight = nn.Parameter(torch.tensor([0.1, -0.2]))
    for prior in (Laplace(), Horseshoe(), HierarchicalScale(), Mixture()):
        for make in FAMILIES.values():
            posterior = Posterior(layer, make(prior=prior))
            assert posterior.divergence().isfinite()
            assert posterior.weights(3)["temperature"].shape == (3,)


@pytest.mark.parametrize("prior", ["laplace", "mixture", "horseshoe", "hierarchical"])
def test_what_a_layer_states_stays_normal(prior):
    layer = network()
    layer[2].prior_scales = {"weight": math.pi}
    posterior = Posterior(layer, MeanField(scale=0.3, prior=PRIORS[prior]))
    names = [name for name, _ in layer.named_parameters() if name != "2.weight"]
    others = {name: dict(layer.named_parameters())[name] for name in names}
    weights = posterior.weights(5)
    normal = td.Normal(0.0, math.pi).log_prob(weights["2.weight"]).sum((-2, -1))
    rest = PRIORS[prior].over(others).surprisal(flattened([weights[n] for n in names], lead=1))
    found = posterior.spread.prior.surprisal(flattened(weights.values(), lead=1))
    torch.testing.assert_close(found, rest - normal)


def test_priors_by_name_inside_models_have_the_names_of_the_model():
    models = nn.ModuleDict({"a": Plain(), "b": Plain()})
    prior = ByName({"a.body.0.weight": Laplace(0.1), "b.*.bias": Normal(9.0)}, rest=Normal(2.0))
    random = variational(models, MeanField(prior=prior))
    expected = {
        "a": {"0.weight": Laplace(0.1), "0.bias": Normal(2.0)},
        "b": {"0.weight": Normal(2.0), "0.bias": Normal(9.0)},
    }
    for name, priors in expected.items():
        posterior = random[name].body
        weights = posterior.weights(4)
        total = sum(
            priors[key].over({key: value[0]}).surprisal(value.flatten(1))
            for key, value in weights.items()
        )
        found = posterior.spread.prior.surprisal(flattened(weights.values(), lead=1))
        torch.testing.assert_close(found, total)
    with pytest.raises(ValueError, match=r"pattern 'c\.\*' matches no random parameter"):
        variational(models, MeanField(prior=ByName({"c.*": Laplace()})))
    with pytest.raises(ValueError, match=r"pattern 'a\.\*' matches no random parameter"):
        variational(models, MeanField(), prior=ByName({"a.*": Laplace()}), exclude="a.*")
    with pytest.raises(ValueError, match="matches no random parameter"):
        Posterior(nn.Linear(2, 1), MeanField(prior=ByName({"gamma": Laplace()})))
    layer = variational(nn.Linear(2, 1), MeanField(prior=ByName({"bias": Laplace()})))
    assert layer.divergence().isfinite()


class Plain(nn.Module):
    """A law with one linear layer."""

    event_shape, support = torch.Size(), td.constraints.real

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 1))

    def link(self, raw):
        return td.Normal(raw.squeeze(-1), 1.0)

    def forward(self, context):
        return self.link(self.body(context))


def test_a_named_prior_counts_before_what_a_layer_states():
    layer = nn.Linear(2, 1)
    layer.prior_scales = {"weight": math.pi}
    weights = dict(layer.named_parameters())
    stated = {"weight": math.pi}
    named = ByName({"weight": Normal(0.5)}).over(weights, stated)
    other = ByName({"bias": Normal(0.5)}).over(weights, stated)
    value = torch.tensor([1.0, 0.0, 0.0])
    normal = td.Normal
    for density, scale, bias in ((named, 0.5, 1.0), (other, math.pi, 0.5)):
        expected = normal(0.0, scale).log_prob(value[:2]).sum() + normal(0.0, bias).log_prob(
            value[2]
        )
        torch.testing.assert_close(density.surprisal(value), -expected)


def test_prior_objects_beside_a_family():
    for make in FAMILIES.values():
        given = variational(network(), make(), prior=Laplace(0.3))
        own = variational(network(), make(prior=Laplace(0.3)))
        torch.testing.assert_close(given.divergence(), own.divergence(), rtol=0.1, atol=0.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normal(0.0), "must be positive, got 0"),
        (lambda: Laplace(-1.0), "must be positive"),
        (lambda: Mixture(()), "scales must be positive"),
        (lambda: Mixture((1.0, 2.0), (0.5, 0.6)), "with sum 1"),
        (lambda: Mixture((1.0, 2.0), (1.0,)), "one positive number for each of 2"),
        (lambda: HierarchicalScale(math.inf), "must be positive"),
        (lambda: Horseshoe(0.0), "must be positive"),
        (lambda: ByName({}), "at least one pattern"),
        (lambda: MeanField(prior=Laplace(), prior_scale=2.0), "say the scale in"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_what_is_no_prior():
    with pytest.raises((TypeError, ValueError)):
        ByName({"*": 3.0})
    with pytest.raises((TypeError, ValueError)):
        MeanField(prior=Laplace)
    with pytest.raises((TypeError, ValueError)):
        MeanField(prior="middle")


def test_the_horseshoe_shrinks_noise_and_keeps_signals():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(80, 12, dtype=torch.float64, generator=generator)
    signal = torch.zeros(12, dtype=torch.float64)
    signal[:2] = torch.tensor([2.0, -1.5])
    y = x @ signal + torch.randn(80, dtype=torch.float64, generator=generator)
    found = {}
    for name, prior in (("horseshoe", Horseshoe(0.1, per="input")), ("normal", Normal(1.0))):
        torch.manual_seed(1)
        layer = nn.Linear(12, 1, bias=False).double()
        posterior = Posterior(layer, MeanField(scale=0.1, prior=prior))
        optimizer = torch.optim.LBFGS(
            posterior.parameters(), max_iter=100, line_search_fn="strong_wolfe"
        )

        def closure(posterior=posterior, layer=layer, optimizer=optimizer):
            optimizer.zero_grad()
            scale = nn.functional.softplus(posterior.spread.raw_scale["weight"][0])
            residual = y - x @ layer.weight[0]
            loss = (residual.square().sum() + (x.square() @ scale.square()).sum()) / 2
            loss = loss + posterior.divergence()
            loss.backward()
            return loss

        optimizer.step(closure)
        found[name] = layer.weight.detach()[0]
    assert (found["horseshoe"][:2] - signal[:2]).abs().max() < 0.25
    assert found["horseshoe"][2:].abs().mean() < 0.4 * found["normal"][2:].abs().mean()
