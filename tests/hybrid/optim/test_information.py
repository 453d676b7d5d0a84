"""Closed forms of the Fisher information against sampled scores."""

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from hybrid.optim.information import information, sampled_information

FAMILIES = {
    "normal": lambda a, b: dist.Normal(a, b.exp()),
    "log-normal": lambda a, b: dist.LogNormal(a, b.exp()),
    "laplace": lambda a, b: dist.Laplace(a, b.exp()),
    "bernoulli": lambda a, b: dist.Bernoulli(logits=a + b),
    "poisson": lambda a, b: dist.Poisson((a + b).exp()),
    "exponential": lambda a, b: dist.Exponential((a - b).exp()),
    "gamma": lambda a, b: dist.Gamma(a.exp(), b.exp()),
    "beta": lambda a, b: dist.Beta(a.exp(), b.exp()),
    "categorical": lambda a, b: dist.Categorical(logits=torch.stack([a, b, a * b], -1)),
}


def pulled_back(outputs: Tensor, root: Tensor, at: list[Tensor]) -> Tensor:
    """The information in ``at`` of one distribution."""
    rows = [
        torch.stack(torch.autograd.grad(outputs, at, one.reshape(outputs.shape), retain_graph=True))
        for one in root.reshape(-1, outputs.numel())
    ]
    stacked = torch.stack(rows).flatten(1)
    return stacked.mT @ stacked


@pytest.mark.parametrize("name", FAMILIES)
def test_closed_forms_are_the_mean_product_of_scores(name: str) -> None:
    at = [torch.tensor(0.3).double().requires_grad_(), torch.tensor(-0.4).double().requires_grad_()]
    found = pulled_back(*information(FAMILIES[name](*at)), at)
    copies = [a.detach().expand(400_000).clone().requires_grad_() for a in at]
    many = FAMILIES[name](*copies)
    scores = torch.stack(torch.autograd.grad(many.log_prob(many.sample()).sum(), copies), -1)
    assert torch.allclose(found, scores.mT @ scores / len(scores), atol=0.02 * float(found.max()))


def test_entries_of_vectors_add_up() -> None:
    location = torch.zeros(4, 3, requires_grad=True)
    outputs, root = information(dist.Normal(location, torch.tensor([1.0, 2.0, 4.0])).to_event(1))
    assert outputs.shape == (4, 6)
    assert root.shape == (4, 6, 6)
    matrix = root.mT @ root
    expected = torch.tensor([1.0, 2.0, 0.25, 0.5, 0.0625, 0.125])
    assert torch.allclose(matrix, expected.diag().expand(4, 6, 6))


def unknown() -> list[Distribution]:
    return [
        dist.StudentT(torch.full((5,), 4.0), torch.zeros(5), 1.0),
        dist.Normal(torch.zeros(5, 40), 1.0).to_event(1),
        dist.MultivariateNormal(torch.zeros(5, 2), torch.eye(2)),
    ]


@pytest.mark.parametrize("distribution", unknown(), ids=lambda d: type(d).__name__)
def test_other_and_large_distributions_are_sampled(distribution: Distribution) -> None:
    outputs, root = information(distribution)
    assert outputs.shape == (5, 1)
    assert root.shape == (5, 1, 1)
    outputs, root = sampled_information(distribution, 4)
    assert torch.allclose(root.square().sum((-2, -1)), torch.ones(5))
