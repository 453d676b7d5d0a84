"""Closed forms of the Fisher information against sampled scores."""

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from torch.distributions import Distribution

from hybrid.information.roots import exact_information, information, sampled_information

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
    "one-hot": lambda a, b: dist.OneHotCategorical(logits=torch.stack([a, b, a * b], -1)),
    "binomial": lambda a, b: dist.Binomial(3, logits=a - 2 * b),
    "student": lambda a, b: dist.StudentT((2 * a + 1).exp(), a + b, b.exp()),
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
        dist.NegativeBinomial(torch.full((5,), 4.0), logits=torch.zeros(5)),
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


def test_student_tends_to_normal_without_rounding() -> None:
    known = [torch.full((1,), df) for df in (1e2, 1e4, 1e6)]
    for df in known:
        root = information(dist.StudentT(df, torch.zeros(1), 2.0)).root[0]
        matrix = root.mT @ root
        assert torch.allclose(matrix.diagonal()[:2], torch.tensor([0.25, 0.5]), rtol=10 / df.item())
        assert 0 <= float(matrix[2, 2]) <= 7 / df.item() ** 4 + 1e-12


def test_exact_ones_have_no_limit_and_none_is_made_up() -> None:
    wide = dist.Normal(torch.zeros(5, 40), 1.0).to_event(1)
    found = exact_information(wide)
    assert found is not None
    assert found.root.shape == (5, 80, 80)
    assert exact_information(wide, 64) is None
    assert exact_information(dist.Gumbel(torch.zeros(5), 1.0)) is None
    assert exact_information(dist.Binomial(100, torch.full((5,), 0.5)), 64) is None


def test_classes_of_probability_zero() -> None:
    probabilities = torch.tensor([0.5, 0.5, 0.0])
    root = information(dist.Categorical(probs=probabilities)).root
    expected = probabilities.diag() - probabilities.outer(probabilities)
    assert torch.allclose(root.mT @ root, expected)
