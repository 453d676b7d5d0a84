"""Flows: density by the change of variables, inverses, and no silent broadcasting."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from causal.noise import NoiseNotRecoverable, abduct, replay
from hybrid.bayes import variational
from hybrid.flows import NeuralSpline


def bent(event=None, width=3):
    """A flow away from the identity."""
    body = nn.Linear(width, 4) if width else None
    law = NeuralSpline(body, event=event, transforms=2, hidden=(8,)).double()
    for parameter in law.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return law


def test_scalar_density_integrates_to_one_and_is_the_slope_of_the_cdf():
    law = bent()
    context = torch.randn(1, 3, dtype=torch.float64)
    grid = torch.linspace(-8, 8, 200_001, dtype=torch.float64).unsqueeze(-1)
    total = torch.trapezoid(law(context).log_prob(grid).exp().squeeze(-1), grid.squeeze(-1))
    assert total.item() == pytest.approx(1.0, abs=1e-6)
    y = torch.linspace(-3, 3, 7, dtype=torch.float64).unsqueeze(-1).requires_grad_()
    (slope,) = torch.autograd.grad(law(context).cdf(y).sum(), y)
    torch.testing.assert_close(slope, law(context).log_prob(y).exp())


@pytest.mark.parametrize("event", [None, 1, 3])
def test_log_prob_is_the_jacobians(event):
    law = bent(event)
    distribution = law(torch.randn(3, dtype=torch.float64))
    y = distribution.sample()
    jacobian = torch.autograd.functional.jacobian(distribution.noise_of, y)
    size = 1 if event is None else event
    ladj = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
    z = distribution.noise_of(y)
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum()
    torch.testing.assert_close(distribution.log_prob(y), normal + ladj)


def test_cdf_and_icdf_are_inverse():
    distribution = bent()(torch.randn(5, 3, dtype=torch.float64))
    u = torch.linspace(0.01, 0.99, 5, dtype=torch.float64)
    torch.testing.assert_close(distribution.cdf(distribution.icdf(u)), u)
    with pytest.raises(NotImplementedError, match="scalar"):
        bent(2)(torch.randn(5, 3).double()).cdf(torch.zeros(5, 2).double())
    with pytest.raises(NotImplementedError):
        _ = distribution.mean


def test_samples_have_the_density():
    distribution = bent()(torch.randn(3, dtype=torch.float64))
    samples = distribution.sample((50_000,))
    for q in (0.1, 0.5, 0.9):
        share = (samples <= distribution.icdf(torch.tensor(q).double())).double().mean()
        assert share.item() == pytest.approx(q, abs=0.01)


def test_expansion_keeps_every_axis():
    law = bent(width=0)
    one = law(torch.zeros(1, 0))
    wide = one.expand((4, 5))
    value = torch.randn(5, dtype=torch.float64)
    assert wide.sample((2,)).shape == (2, 4, 5)
    assert wide.log_prob(value).shape == (4, 5)
    torch.testing.assert_close(wide.log_prob(value)[0], law(torch.zeros(5, 0)).log_prob(value))


def test_samples_pass_gradients():
    law = bent()
    law(torch.randn(5, 3, dtype=torch.float64)).rsample((10,)).square().mean().backward()
    assert all(p.grad.isfinite().all() for p in law.parameters())
    assert sum(p.grad.abs().sum() for p in law.parameters()) > 0


def test_vector_flows_need_the_triangular_convention():
    distribution = bent(3)(torch.randn(5, 3, dtype=torch.float64))
    value = distribution.sample()
    with pytest.raises(NoiseNotRecoverable, match="triangular") as caught:
        abduct(distribution, value)
    assert caught.value.conventions == ("triangular",)
    noise = abduct(distribution, value, convention="triangular")
    torch.testing.assert_close(replay(distribution, noise, convention="triangular"), value)


def test_counterfactual_equals_the_closed_form():
    law = bent()
    factual, other = (law(torch.randn(5, 3, dtype=torch.float64)) for _ in range(2))
    value = factual.sample()
    torch.testing.assert_close(
        replay(other, abduct(factual, value)), other.icdf(factual.cdf(value)), atol=1e-7, rtol=1e-7
    )


def test_a_scalar_flow_is_random_as_a_whole():
    law = variational(bent())
    means = dict(law.named_parameters())
    random = [name for name in means if "raw_scale" in name]
    assert len(means) == 2 * len(random)


@pytest.mark.parametrize("options", [{"transforms": 0}, {"bins": 1}, {"hidden": (0,)}])
def test_bad_sizes(options):
    with pytest.raises(ValueError, match="transforms"):
        NeuralSpline(nn.Linear(3, 4), **options)


def test_importing_flows_leaves_torchs_checks_on():
    code = (
        "import torch\n"
        "from torch.distributions import Distribution, Normal\n"
        "before = Distribution._validate_args\n"
        "import hybrid.flows\n"
        "assert Distribution._validate_args is before is True\n"
        "try:\n    Normal(0.0, -1.0)\n"
        "except ValueError:\n    print('checked')\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "checked"


def test_a_value_of_another_width_raises():
    for event, shape in ((1, (5,)), (1, (5, 2)), (3, (5, 1))):
        flow = bent(event)(torch.zeros(5, 3, dtype=torch.float64))
        for ask in (flow.log_prob, flow.noise_of):
            with pytest.raises(ValueError, match=r"event_shape|shape \("):
                ask(torch.zeros(shape, dtype=torch.float64))
    with pytest.raises(TypeError, match="hidden"):
        NeuralSpline(None, hidden=64)
