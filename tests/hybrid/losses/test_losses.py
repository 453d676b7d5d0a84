"""Losses: their limits are known losses, their modules are their functions, wrong data is named."""

import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hybrid import losses
from hybrid.heads.adaptive import RobustDistribution
from hybrid.heads.quantiles import QuantileDistribution

LOGITS = torch.randn(50, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
CLASSES = torch.arange(50) % 4
BINARY = LOGITS[:, 0]
COIN = (torch.arange(50) % 2).double()


def test_focal_is_cross_entropy_at_gamma_zero():
    found = losses.focal(LOGITS, CLASSES, gamma=0.0)
    torch.testing.assert_close(found, F.cross_entropy(LOGITS, CLASSES, reduction="none"))
    found = losses.focal(BINARY, COIN, gamma=0.0)
    expected = F.binary_cross_entropy_with_logits(BINARY, COIN, reduction="none")
    torch.testing.assert_close(found, expected)


def test_focal_by_its_formula():
    p = LOGITS.softmax(-1)[torch.arange(50), CLASSES]
    weights = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)
    expected = -weights[CLASSES] * (1 - p) ** 1.5 * p.log()
    found = losses.focal(LOGITS, CLASSES, gamma=1.5, weight=weights.tolist())
    torch.testing.assert_close(found, expected)


def test_focal_has_finite_gradients_where_it_is_sure():
    logits = torch.tensor([[200.0, 0.0], [0.0, 200.0]], requires_grad=True)
    for gamma in (0.0, 0.5, 2.0):
        (gradient,) = torch.autograd.grad(
            losses.focal(logits, torch.tensor([0, 0]), gamma).sum(), logits
        )
        assert gradient.isfinite().all()


def test_laws_and_logits_agree():
    categorical, bernoulli = dist.Categorical(logits=LOGITS), dist.Bernoulli(logits=BINARY)
    for loss in (losses.focal, losses.label_smoothing):
        torch.testing.assert_close(loss(categorical, CLASSES), loss(LOGITS, CLASSES))
        torch.testing.assert_close(loss(bernoulli, COIN), loss(BINARY, COIN))


def test_label_smoothing_is_torchs():
    expected = F.cross_entropy(LOGITS, CLASSES, reduction="none", label_smoothing=0.3)
    torch.testing.assert_close(losses.label_smoothing(LOGITS, CLASSES, 0.3), expected)


def test_beta_nll_has_the_mean_gradient_of_squared_error_at_one():
    mean = torch.tensor([0.0, 0.0], requires_grad=True)
    scale = torch.tensor([0.1, 10.0])
    y = torch.tensor([1.0, -2.0])
    (gradient,) = torch.autograd.grad(losses.beta_nll(dist.Normal(mean, scale), y, 1.0).sum(), mean)
    torch.testing.assert_close(gradient, -y)
    law = dist.Normal(mean.detach(), scale)
    torch.testing.assert_close(losses.beta_nll(law, y, 0.0), losses.negative_log_likelihood(law, y))
    vector = dist.Normal(torch.zeros(5, 2), scale).to_event(1)
    each = dist.Normal(torch.zeros(5, 2), scale)
    expected = losses.beta_nll(each, torch.ones(5, 2)).sum(-1)
    torch.testing.assert_close(losses.beta_nll(vector, torch.ones(5, 2)), expected)


def test_pinball_is_least_at_the_quantile():
    torch.manual_seed(0)
    y = torch.randn(20_001).sort().values
    candidates = torch.linspace(-2, 2, 401)
    for level in (0.1, 0.8):
        scores = torch.stack(
            [losses.pinball(c.expand(len(y), 1), y, [level]).mean() for c in candidates]
        )
        best = candidates[scores.argmin()]
        assert best.item() == pytest.approx(y.quantile(level).item(), abs=0.02)
    law = QuantileDistribution(torch.tensor([[-1.0, 1.0]]), (0.2, 0.7))
    y = torch.tensor([0.3])
    torch.testing.assert_close(losses.pinball(law, y), losses.pinball(law.knots, y, [0.2, 0.7]))


def test_adaptive_robust_recovers_alpha():
    torch.manual_seed(0)
    for planted in (0.4, 1.0, 1.7):
        y = RobustDistribution(torch.zeros(6000), 0.5, planted).sample()
        loss = losses.AdaptiveRobust()
        optimizer = torch.optim.LBFGS(loss.parameters(), max_iter=50, line_search_fn="strong_wolfe")

        def total(loss=loss, y=y, optimizer=optimizer):
            optimizer.zero_grad()
            value = loss(torch.zeros_like(y), y).mean()
            value.backward()
            return value

        optimizer.step(total)
        assert loss.alpha.item() == pytest.approx(planted, abs=0.2)
        assert loss.scale.item() == pytest.approx(0.5, rel=0.12)


def test_adaptive_robust_of_several_features_is_their_sum():
    loss, one = (
        losses.AdaptiveRobust(3, alpha=1.2, scale=2.0),
        losses.AdaptiveRobust(alpha=1.2, scale=2.0),
    )
    x, y = torch.randn(5, 3), torch.randn(5, 3)
    torch.testing.assert_close(loss(x, y), one(x, y).sum(-1))
    assert loss.raw_alpha.shape == (3,)


NORMAL = dist.Normal(BINARY, 2.0)
MODULES = {
    "focal": (losses.Focal(1.0), losses.focal(LOGITS, CLASSES, 1.0), LOGITS),
    "smoothing": (losses.LabelSmoothing(0.2), losses.label_smoothing(LOGITS, CLASSES, 0.2), LOGITS),
    "beta": (losses.BetaNLL(0.3), losses.beta_nll(NORMAL, CLASSES.double(), 0.3), NORMAL),
    "pinball": (
        losses.Pinball([0.1, 0.2, 0.3, 0.4]),
        losses.pinball(LOGITS, CLASSES.double(), [0.1, 0.2, 0.3, 0.4]),
        LOGITS,
    ),
    "crps": (losses.CRPS(), losses.crps(NORMAL, CLASSES.double()), NORMAL),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_functions(name):
    module, expected, predicted = MODULES[name]
    y = CLASSES if name in ("focal", "smoothing") else CLASSES.double()
    assert torch.equal(module(predicted, y), expected)
    assert expected.shape == (50,)


def test_energy_score_module():
    law = dist.Normal(torch.zeros(4, 2), 1.0).to_event(1)
    assert losses.EnergyScore(samples=16)(law, torch.zeros(4, 2)).shape == (4,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.focal(LOGITS, CLASSES, gamma=-1.0), "gamma"),
        (lambda: losses.focal(LOGITS, CLASSES + 1), "class numbers"),
        (lambda: losses.focal(LOGITS, CLASSES[:3]), "must agree"),
        (lambda: losses.focal(LOGITS, CLASSES, weight=[1.0]), "1 weights for 4"),
        (lambda: losses.label_smoothing(LOGITS, CLASSES, 2.0), "smoothing"),
        (lambda: losses.beta_nll(dist.Normal(BINARY, 1.0), COIN, 2.0), "beta"),
        (lambda: losses.beta_nll(dist.Normal(BINARY, 1.0), COIN[:, None]), "has shape"),
        (lambda: losses.pinball(LOGITS, COIN), "levels="),
        (lambda: losses.pinball(LOGITS, COIN, [0.5]), "4 quantiles"),
        (lambda: losses.pinball(LOGITS[:, :1], COIN[:3], [0.5]), "must agree"),
        (lambda: losses.AdaptiveRobust(alpha=2.0), "within"),
        (lambda: losses.AdaptiveRobust()(BINARY, BINARY[:3]), "must agree"),
    ],
)
def test_refusals(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_losses_of_classes_refuse_other_laws():
    with pytest.raises(TypeError, match="has none"):
        losses.focal(dist.Normal(BINARY, 1.0), COIN)


def test_modules_have_the_parameters_they_learn():
    assert [name for name, _ in losses.AdaptiveRobust().named_parameters()] == [
        "raw_alpha",
        "log_scale",
    ]
    assert not list(nn.ModuleList([losses.Focal(), losses.CRPS()]).parameters())
