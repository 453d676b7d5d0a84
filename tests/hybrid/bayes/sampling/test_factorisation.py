"""Matrices that cannot be factorised: no density there, for that chain alone, and no error."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from hybrid.bayes import NUTS, ChEES, sample
from hybrid.bayes.sampling.density import potential
from hybrid.bayes.sampling.factorisation import without_failure
from hybrid.bayes.sampling.program import latent_sites

DOUBLE = {"dtype": torch.float64}
X = torch.linspace(-1.0, 1.0, 5, **DOUBLE)


def covariance(scale: Tensor) -> Tensor:
    """Positive definite for scales above -0.1."""
    return scale * torch.ones(5, 5, **DOUBLE) + 0.5 * torch.eye(5, **DOUBLE)


def energy(q: Tensor) -> Tensor:
    law = dist.MultivariateNormal(0 * X, covariance(q[0]), validate_args=False)
    return -law.log_prob(X) + 0.5 * q.square().sum()


def factor_model(y: Tensor) -> None:
    scale = pyro.sample("scale", dist.Normal(torch.tensor(0.0, **DOUBLE), 1.0))
    pyro.sample("y", dist.MultivariateNormal(0 * y, covariance(scale)), obs=y)


@pytest.mark.parametrize("operation", ["cholesky", "inv", "solve"])
def test_energies_are_infinite_where_a_matrix_fails(operation) -> None:
    functions = {
        "cholesky": lambda m: torch.linalg.cholesky(m).sum(),
        "inv": lambda m: torch.linalg.inv(m).sum(),
        "solve": lambda m: torch.linalg.solve(m, torch.ones(2, **DOUBLE)).sum(),
    }
    found = without_failure(lambda q: functions[operation](q * torch.eye(2, **DOUBLE)))
    assert found(torch.tensor([1.0], **DOUBLE)).isfinite()
    assert found(torch.tensor([0.0], **DOUBLE)) == torch.inf


def test_other_chains_are_not_affected() -> None:
    found = potential(energy, torch.zeros(3, 1, **DOUBLE))
    assert found.route == "recorded"
    q = torch.tensor([[0.3], [-2.0], [1.0]], **DOUBLE, requires_grad=True)
    value, gradient = found.both(q.detach())
    assert value[1] == torch.inf
    for row in (0, 2):
        expected = energy(q[row])
        (slope,) = torch.autograd.grad(expected, q)
        torch.testing.assert_close(value[row], expected.detach())
        torch.testing.assert_close(gradient[row], slope[row])


def test_one_position_on_arrays() -> None:
    found = potential(energy, torch.zeros(1, **DOUBLE))
    assert found.arrays is not None
    value = found.arrays(torch.tensor([-2.0], **DOUBLE).numpy())[1]
    assert value == float("inf")


def test_the_first_run_asks_for_other_values() -> None:
    for seed in range(5):  # a half of the first values do not fit
        sites, *_ = latent_sites(factor_model, (X,), torch.Generator().manual_seed(seed))
        assert [site.name for site in sites] == ["scale"]


@pytest.mark.parametrize("method", [ChEES(), NUTS()], ids=repr)
def test_draws_lie_where_the_matrix_can_be_factorised(method) -> None:
    chains = 16 if isinstance(method, ChEES) else 1
    y = X + 0.3  # off the centre, so that the density falls towards where the matrix fails
    found = sample(factor_model, y, method=method, chains=chains, warmup=100, draws=100)
    assert found.facts["gradient"] == "recorded"
    assert (found["scale"] > -0.1).all()
    assert (found["scale"] < 0).any()


def test_a_matrix_that_never_fits_is_named() -> None:
    def model() -> None:
        scale = pyro.sample("scale", dist.HalfNormal(torch.tensor(1.0, **DOUBLE)))
        factor = torch.linalg.cholesky(-scale * torch.eye(2, **DOUBLE))
        pyro.factor("f", factor.sum())

    with pytest.raises((RuntimeError, ValueError), match=r"factori|positive-definite"):
        sample(model, chains=16, warmup=20, draws=20)
