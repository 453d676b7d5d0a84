"""Every head: its information is the mean product of scores, and both of its users run on it."""

from functools import partial

import pytest
import torch
from torch import nn

from hybrid.bayes import laplace
from hybrid.flows import NeuralSpline
from hybrid.heads import (
    AdaptiveRobust,
    Bernoulli,
    Beta,
    Categorical,
    Hurdle,
    Laplace,
    LogNormal,
    MixtureDensity,
    NegativeBinomial,
    Normal,
    Ordinal,
    Poisson,
    Quantile,
    Student,
    Tobit,
)
from hybrid.information.pulled_back import behind_link
from hybrid.objectives import ELBO
from hybrid.optim import NaturalGradient

HEADS = {
    "normal": Normal,
    "normal vector": partial(Normal, event=2),
    "bernoulli": Bernoulli,
    "categorical": partial(Categorical, states=4),
    "ordinal": partial(Ordinal, states=4),
    "student": Student,
    "student vector of known df": partial(Student, event=2, df=3.0),
    "laplace": Laplace,
    "log-normal": LogNormal,
    "beta": Beta,
    "poisson vector": partial(Poisson, event=2),
    "negative binomial": NegativeBinomial,
    "hurdle": Hurdle,
    "mixture": partial(MixtureDensity, components=2),
    "quantile": partial(Quantile, levels=[0.1, 0.4, 0.6, 0.9]),
    "adaptive robust": partial(AdaptiveRobust, alpha=1.2),
    "tobit": Tobit,
    "spline": partial(NeuralSpline, transforms=1, hidden=(4,)),
}
every_head = pytest.mark.parametrize("name", HEADS)


def law_and_data(name: str) -> tuple[nn.Module, tuple[torch.Tensor, torch.Tensor]]:
    torch.manual_seed(0)
    law = HEADS[name](nn.Sequential(nn.Linear(3, 6), nn.Tanh()))
    x = torch.randn(12, 3)
    with torch.no_grad():
        return law, (x, law(x).sample())


@every_head
def test_information_is_the_mean_product_of_scores(name: str) -> None:
    law, (x, _) = law_and_data(name)
    law.double()
    with torch.no_grad():
        raw = law.body(x[:2].double())
    samples = 10_000
    found = behind_link(law.link, raw, samples, torch.Generator().manual_seed(0))
    for row, roots in zip(raw, found, strict=True):
        given = row.expand(samples, -1).clone().requires_grad_()
        distribution = law.link(given)
        with torch.no_grad():
            values = distribution.sample()
        (score,) = torch.autograd.grad(distribution.log_prob(values).sum(), given)
        expected = score.mT @ score / samples
        error = torch.linalg.norm(roots.mT @ roots - expected)
        assert error < 0.12 * torch.linalg.norm(expected)


@every_head
def test_the_natural_gradient_descends(name: str) -> None:
    law, data = law_and_data(name)
    objective = ELBO(law, data_size=12)
    optimizer = NaturalGradient(objective.parameters(), objective)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = objective(data).total
        loss.backward()
        optimizer.observe(data)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2]


@every_head
@pytest.mark.parametrize("structure", ["diagonal", "kronecker", "last_layer", "full"])
def test_laplace_has_every_structure(name: str, structure: str) -> None:
    law, (x, y) = law_and_data(name)
    random = laplace(law, (x, y), structure, samples=4)
    with torch.no_grad():
        drawn = random(x, draws=3).log_prob(y)
    assert drawn.shape == (3, 12)
    assert bool(drawn.isfinite().all())
