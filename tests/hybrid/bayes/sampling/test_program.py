"""Pyro models as densities: supports, Jacobians, refusals, and what stays untouched."""

import pyro
import pyro.distributions as dist
import pytest
import torch

from hybrid.bayes.sampling.density import Density
from hybrid.bayes.sampling.program import latent_sites, program_density


def density(model, *args) -> Density:
    sites, dtype, device, _ = latent_sites(model, args, torch.Generator().manual_seed(0))
    return program_density(model, args, sites, dtype, device)


LAWS = {
    "real": dist.Normal(torch.tensor(1.0), 2.0),
    "positive": dist.LogNormal(torch.tensor(0.0), 1.0),
    "interval": dist.Uniform(torch.tensor(-1.0), torch.tensor(3.0)),
    "simplex": dist.Dirichlet(torch.tensor([1.0, 2.0, 3.0])),
    "vector": dist.HalfNormal(torch.ones(3)).to_event(1),
    "correlations": dist.LKJCholesky(3, torch.tensor(2.0)),
}


@pytest.mark.parametrize("name", LAWS)
def test_values_lie_in_the_support_and_jacobians_count(name) -> None:
    law = LAWS[name]
    found = density(lambda: pyro.sample("x", law))
    q = torch.randn(found.example.shape)
    value = found.named(q)["x"]
    assert law.support.check(value).all()
    onto = torch.distributions.biject_to(law.support)
    free = onto.inv(value)
    expected = law.log_prob(value).sum() + onto.log_abs_det_jacobian(free, value).sum()
    torch.testing.assert_close(found.energy(q), -expected)


def test_a_support_may_depend_on_another_site() -> None:
    def model():
        a = pyro.sample("a", dist.Uniform(torch.tensor(0.0), torch.tensor(1.0)))
        pyro.sample("b", dist.Uniform(torch.tensor(0.0), 1 - a))

    found = density(model)
    for q in torch.randn(20, 2):
        values = found.named(q)
        assert values["a"] + values["b"] < 1


def test_plates_scales_factors_and_deterministic_sites() -> None:
    y = torch.tensor([1.0, 2.0])

    def model(y):
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        pyro.deterministic("twice", 2 * mean)
        pyro.factor("extra", -mean.square())
        with pyro.plate("rows", len(y)), pyro.poutine.scale(scale=3.0):
            pyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    found = density(model, y)
    q = torch.tensor([0.5])
    normal = dist.Normal(0.0, 1.0)
    expected = normal.log_prob(q).sum() - 0.25 + 3 * normal.log_prob(y - 0.5).sum()
    torch.testing.assert_close(found.energy(q), -expected)
    assert list(found.named(q)) == ["mean", "twice"]


def test_double_data_makes_double_chains() -> None:
    def model():
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mean, 1.0), obs=torch.tensor(1.0, dtype=torch.float64))

    assert density(model).example.dtype == torch.float64


def test_discrete_sites_and_minibatches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'z'.*discrete"):
        density(lambda: pyro.sample("z", dist.Bernoulli(0.5)))

    def part():
        with pyro.plate("rows", 10, subsample_size=3):
            pyro.sample("x", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="'rows' takes 3 of 10"):
        density(part)


def test_the_store_the_checks_and_the_random_state_stay() -> None:
    def model():
        scale = pyro.param("new", torch.tensor(1.0))
        pyro.sample("x", dist.Normal(0.0, scale))

    pyro.param("old", torch.tensor(2.0))
    state = torch.get_rng_state()
    checked = torch.distributions.Distribution._validate_args
    found = density(model)
    found.energy(torch.zeros(1))
    found.named(torch.zeros(1))
    assert list(pyro.get_param_store()) == ["old"]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.distributions.Distribution._validate_args == checked
