"""SGHMC: exact variances on Gaussian targets, a linear regression's posterior, collected draws."""

import copy
import pickle

import pytest
import torch
from torch import nn

import hybrid
from causal.draws import divergence, fixed
from hybrid.backbones import MLP
from hybrid.bayes import SGHMC, Collect
from hybrid.bayes.stochastic_gradient import friction_step
from hybrid.heads import Normal
from hybrid.objectives import ELBO
from hybrid.testing import check_law


@pytest.mark.parametrize("step", [0.05, 0.5, 1.2])
def test_positions_have_the_exact_variance_at_every_stable_step(step):
    """The stationary covariance solves a linear equation: no sampling error in this test."""
    curvature, friction, temperature = 2.0, 0.7, 1.5
    columns = []
    for start in ((1.0, 0.0), (0.0, 1.0)):
        position, velocity = (torch.tensor(value).double() for value in start)
        still = torch.zeros(()).double()
        moved = friction_step(position, velocity, curvature * position, still, step, friction)
        columns.append(torch.stack(moved))
    matrix = torch.stack(columns, 1)
    zero, one = torch.zeros(()).double(), torch.ones(()).double()
    kick = torch.stack(friction_step(zero, zero, zero, one, step, friction, temperature))
    noise = torch.outer(kick, kick)
    lyapunov = torch.eye(4).double() - torch.kron(matrix, matrix)
    covariance = torch.linalg.solve(lyapunov, noise.flatten()).reshape(2, 2)
    torch.testing.assert_close(covariance[0, 0], torch.tensor(temperature / curvature).double())


class Quadratic(nn.Module):
    """Per unit of data, half a sum of squares around 1 with curvatures ``a``."""

    def __init__(self, a, chains):
        super().__init__()
        self.a, self.theta = a, nn.Parameter(torch.zeros(chains, len(a)).double())

    def forward(self, batch):
        return 0.5 * (self.a * (self.theta - 1).square()).sum()


def test_a_gaussian_posterior_with_its_prior():
    a = torch.tensor([0.1, 0.4]).double()
    target = Quadratic(a, 500)
    precision = 50 * a + 1 / 0.5**2
    state = torch.get_rng_state()
    sampler = lambda p: SGHMC(p, lr=0.2, data_size=50, friction=2.0, prior_scale=0.5)  # noqa: E731
    kept = Collect(after=20, every=5)
    data = torch.zeros(10, 1).double()
    hybrid.fit(
        target, data, optimizer=sampler, epochs=120, batch_size=2, seed=0, callbacks=[kept],
        progress=False,
    )  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    draws = kept.draws["theta"].flatten(0, 1)
    assert kept.count == 100
    torch.testing.assert_close(draws.var(0), 1 / precision, rtol=0.03, atol=0)
    torch.testing.assert_close(draws.mean(0), 50 * a / precision, rtol=0.01, atol=0)


class Line(nn.Module):
    """A linear law with known noise, whose posterior is exact."""

    event_shape, support = torch.Size(), torch.distributions.constraints.real

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 1).double()

    def link(self, raw):
        return torch.distributions.Normal(raw.squeeze(-1), 0.5)

    def forward(self, context):
        return self.link(self.body(context))


def test_a_regression_in_batches():
    torch.manual_seed(0)
    x = torch.randn(200, 2).double()
    y = x @ torch.tensor([1.0, -0.5]).double() + 0.3 + 0.5 * torch.randn(200).double()
    law, kept = Line(), Collect(after=30, every=2)
    sampler = lambda p: SGHMC(p, lr=0.008, data_size=200, friction=20.0)  # noqa: E731
    hybrid.fit(
        ELBO(law, data_size=200), (x, y), optimizer=sampler, epochs=300, batch_size=100, seed=1,
        callbacks=[kept], progress=False,
    )  # fmt: skip
    design = torch.cat([x, torch.ones(200, 1).double()], 1)
    covariance = torch.linalg.inv(design.T @ design / 0.25 + torch.eye(3).double())
    mean = covariance @ design.T @ y / 0.25
    drawn = torch.cat([kept.draws["model.body.weight"][:, 0], kept.draws["model.body.bias"]], 1)
    scale = covariance.diag().sqrt()
    assert ((drawn.mean(0) - mean).abs() / scale).max() < 0.5
    assert (drawn.std(0) / scale - 1).abs().max() < 0.35
    random = kept.apply(law)
    assert divergence(random) == 0
    prediction = hybrid.predict(random, x[:5], draws=200)
    torch.testing.assert_close(prediction.mean, design[:5] @ mean, rtol=0, atol=0.05)


def collected(epochs=6, **more):
    torch.manual_seed(0)
    law = Normal(MLP(3, [4], 4)).double()
    x = torch.linspace(-1, 1, 48).double().reshape(16, 3)
    kept = Collect(after=2, every=2)
    sampler = lambda p: SGHMC(p, lr=0.01, data_size=16)  # noqa: E731
    hybrid.fit(
        ELBO(law, data_size=16), (x, x[:, 0]), optimizer=sampler, epochs=epochs, batch_size=4,
        seed=0, callbacks=[kept], progress=False, **more,
    )  # fmt: skip
    return law, kept, x


def test_the_law_keeps_its_contract(tmp_path):
    law, kept, x = collected()
    assert kept.count == 8
    random = kept.apply(law)
    check_law(random, 3)
    loaded = kept.apply(copy.deepcopy(law))
    hybrid.save(random, tmp_path / "law")
    hybrid.load(tmp_path / "law", into=loaded)
    answers = []
    for twin in (random, copy.deepcopy(random), pickle.loads(pickle.dumps(random)), loaded):
        with fixed(twin, 4, torch.Generator().manual_seed(3)):
            answers.append(twin(x.unsqueeze(0)).mean)
    assert all(torch.equal(answers[0], other) for other in answers)


def test_batch_norms_get_statistics_of_each_draw():
    torch.manual_seed(0)
    law = Normal(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), features=4)
    x, kept = torch.randn(16, 3), Collect(after=2)
    sampler = lambda p: SGHMC(p, lr=0.01, data_size=16)  # noqa: E731
    data = (x, x[:, 0])
    hybrid.fit(
        ELBO(law, data_size=16), data, optimizer=sampler, epochs=5, callbacks=[kept], progress=False
    )
    with pytest.raises(ValueError, match="has batch norms"):
        kept.apply(law)
    random = kept.apply(law, x).eval()
    assert hybrid.predict(random, x).draws == 3
    one = hybrid.bayes.member(random, 2).body[0]
    with torch.no_grad():
        torch.testing.assert_close(one[1].running_mean, one[0](x).mean(0))


def test_a_resumed_sampling_is_the_same(tmp_path):
    _, whole, _ = collected()
    collected(4, runtime=hybrid.Runtime(checkpoint=tmp_path / "run"))
    _, kept, _ = collected(6, runtime=hybrid.Runtime(checkpoint=tmp_path / "run", resume=True))
    for name, values in whole.draws.items():
        assert torch.equal(kept.draws[name], values)


def test_mistakes_are_named():
    parameter = nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match=r"lr must be a positive number: 0\.0"):
        SGHMC([parameter], 0.0, data_size=3)
    with pytest.raises(ValueError, match=r"temperature must not be negative: -1\.0"):
        SGHMC([parameter], data_size=3, temperature=-1.0)
    with pytest.raises(ValueError, match="data_size must be at least 1: 0"):
        SGHMC([parameter], data_size=0)
    with pytest.raises(ValueError, match="Collect has kept no weights"):
        Collect().apply(nn.Linear(2, 1))


def test_kept_weights_follow_the_dtype_of_the_law_they_are_given_to():
    law = Normal(nn.Linear(2, 4))
    kept = Collect()
    data = (torch.randn(8, 2), torch.randn(8))
    sampler = lambda parameters: SGHMC(parameters, lr=0.01, data_size=8)  # noqa: E731
    objective = ELBO(law, data_size=8)
    hybrid.fit(objective, data, optimizer=sampler, epochs=3, callbacks=[kept], progress=False)
    random = kept.apply(Normal(nn.Linear(2, 4)).double())
    assert random(data[0], draws=2).mean.dtype == torch.float64


def test_groups_added_later_are_checked_too():
    sampler = SGHMC([nn.Parameter(torch.ones(1))], lr=0.1, data_size=5)
    with pytest.raises(ValueError, match=r"prior_scale must be a positive number: -1\.0"):
        sampler.add_param_group({"params": [nn.Parameter(torch.ones(1))], "prior_scale": -1.0})
    assert len(sampler.param_groups) == 1
    sampler.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.2})
    assert [group["lr"] for group in sampler.param_groups] == [0.1, 0.2]
