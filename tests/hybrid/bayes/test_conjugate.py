"""Bayesian linear regression, where posterior and evidence are known in closed form."""

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal, constraints

from causal.draws import fixed
from hybrid.bayes import FlowPosterior, FullRank, LowRank, MeanField, variational
from hybrid.bayes.flat import flattened
from hybrid.objectives import ELBO

NOISE, PRIOR = 0.7, 1.5
FAMILIES = {
    "mean field": MeanField(prior_scale=PRIOR, scale=0.1),
    "low rank": LowRank(1, prior_scale=PRIOR, scale=0.1),
    "all ranks": LowRank(4, prior_scale=PRIOR, scale=0.1),
    "full": FullRank(prior_scale=PRIOR, scale=0.1),
    "flow": FlowPosterior(hidden=(8,), prior_scale=PRIOR, scale=0.1),
}


class Regression(nn.Module):
    """A law with known noise."""

    event_shape, support = torch.Size(), constraints.real

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 1).double()

    def link(self, raw):
        return Normal(raw.squeeze(-1), NOISE)

    def forward(self, context):
        return self.link(self.body(context))


def rows():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 3, dtype=torch.float64, generator=generator)
    x[:, 1] = 0.8 * x[:, 0] + 0.6 * x[:, 1]  # correlated weights
    y = x @ torch.tensor([1.0, -0.5, 0.3]).double() + 0.4
    return x, y + NOISE * torch.randn(30, dtype=torch.float64, generator=generator)


X, Y = rows()
DESIGN = torch.cat([X, torch.ones(30, 1).double()], 1)
PRECISION = DESIGN.mT @ DESIGN / NOISE**2 + torch.eye(4).double() / PRIOR**2
MEAN = torch.linalg.solve(PRECISION, DESIGN.mT @ Y / NOISE**2)
EVIDENCE = MultivariateNormal(
    torch.zeros(30).double(),
    NOISE**2 * torch.eye(30).double() + PRIOR**2 * DESIGN @ DESIGN.mT,
).log_prob(Y)


def trained(family):
    torch.manual_seed(0)
    law = variational(Regression(), family)
    objective = ELBO(law, data_size=30, draws=2048, seed=0)
    optimizer = torch.optim.LBFGS(law.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = objective((X, Y)).total
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        weights = law.body.weights(100_000, torch.Generator().manual_seed(1))
        bound = -30 * ELBO(law, data_size=30, draws=50_000, seed=2)((X, Y)).total
    return flattened(weights.values(), lead=1), bound


@pytest.mark.parametrize("name", FAMILIES)
def test_posterior_and_bound(name):
    draws, bound = trained(FAMILIES[name])
    exact = torch.linalg.inv(PRECISION)
    scale = exact.diagonal().sqrt()
    assert ((draws.mean(0) - MEAN).abs() / scale).max() < 0.1
    found = torch.cov(draws.mT)
    if name == "mean field":  # the best independent one: the diagonal of the precision
        exact = torch.diag(1 / PRECISION.diagonal())
    if name != "low rank":
        scale = exact.diagonal().sqrt()
        error = (found - exact) / scale / scale.unsqueeze(-1)
        assert error.abs().max() < 0.1
    assert bound < EVIDENCE + 0.03
    gap = 0.5 * (PRECISION.diagonal().log().sum() - torch.logdet(PRECISION))
    lost = {"mean field": gap, "low rank": gap / 2}.get(name, torch.zeros(()))
    assert EVIDENCE - bound < lost + 0.03
    if name == "mean field":
        assert EVIDENCE - bound == pytest.approx(gap.item(), abs=0.05)


def test_untrained_bounds_are_below_the_evidence():
    for family in FAMILIES.values():
        torch.manual_seed(1)
        law = variational(Regression(), family)
        with torch.no_grad():
            bound = -30 * ELBO(law, data_size=30, draws=100, seed=0)((X, Y)).total
            assert bound < EVIDENCE
            with fixed(law, 3):
                assert law(X.unsqueeze(0)).batch_shape == (3, 30)
