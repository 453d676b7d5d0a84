"""Predictions against Monte Carlo, closed forms and each other."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from causal.draws import fixed
from hybrid.backbones import MLP, RNN, ConvNet
from hybrid.bayes import MeanField, variational
from hybrid.flows import NeuralSpline
from hybrid.heads import (
    Bernoulli,
    Categorical,
    Empirical,
    MixtureDensity,
    Normal,
    Poisson,
    Quantile,
    Student,
    Tobit,
)
from hybrid.prediction import Prediction, predict

X = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
LAWS = {
    "normal": lambda: Normal(MLP(3, [8], 4)),
    "normal vector": lambda: Normal(MLP(3, [8], 4), event=2),
    "tobit": lambda: Tobit(MLP(3, [8], 4), upper=0.7),
    "spline": lambda: NeuralSpline(MLP(3, [8], 4), transforms=1, hidden=(8,)),
    "spline vector": lambda: NeuralSpline(MLP(3, [8], 4), event=2, transforms=1, hidden=(8,)),
    "mixture": lambda: MixtureDensity(MLP(3, [8], 4), components=2),
    "quantile": lambda: Quantile(MLP(3, [8], 4)),
    "empirical": lambda: Empirical(torch.randn(50)),
}
CLASSES = {
    "bernoulli": lambda: Bernoulli(MLP(3, [8], 4)),
    "categorical": lambda: Categorical(MLP(3, [8], 4), states=3),
}


def seed(number=0):
    return torch.Generator().manual_seed(number)


def random(make):
    law = make().double()
    return law if isinstance(law, Empirical) else variational(law, MeanField(scale=0.4))


@pytest.mark.parametrize("name", LAWS)
def test_law_of_total_variance_against_monte_carlo(name):
    law = random(LAWS[name])
    draws, samples = (60, 300) if name == "spline vector" else (300, 500)
    prediction = predict(law, X, draws=draws, generator=seed(), samples=samples)
    assert prediction.mean.shape == (5, *law.event_shape)
    torch.testing.assert_close(prediction.variance, prediction.aleatoric + prediction.epistemic)
    with torch.no_grad(), fixed(law, draws, seed()):
        values = law(X.unsqueeze(0)).expand((draws, 5)).sample((samples,)).flatten(0, 1)
    assert (values.mean(0) - prediction.mean).abs().max() < 0.03
    torch.testing.assert_close(values.var(0), prediction.variance, rtol=0.06, atol=0.02)
    for q in (0.1, 0.5, 0.9):
        share = (values <= prediction.quantile(q) + 1e-9).double().mean(0)
        below = (values < prediction.quantile(q) - 1e-9).double().mean(0)
        assert (share > q - 0.025).all()
        assert (below < q + 0.025).all()
    lower, upper = prediction.interval(0.8)
    torch.testing.assert_close(lower, prediction.quantile(0.1))
    torch.testing.assert_close(upper, prediction.quantile(0.9))


def test_a_law_without_a_random_part():
    law = Normal(MLP(3, [8], 4)).double()
    prediction = predict(law, X)
    assert prediction.draws == 1
    with torch.no_grad():
        torch.testing.assert_close(prediction.mean, law(X).mean)
    assert torch.equal(prediction.epistemic, torch.zeros(5, dtype=torch.float64))
    assert predict(law, X, draws=4).distribution.batch_shape == (4, 5)
    torch.testing.assert_close(predict(law, X, draws=4).mean, prediction.mean)
    torch.testing.assert_close(
        prediction.quantile(0.9), law(X).icdf(torch.tensor(0.9).double()).detach()
    )


@pytest.mark.parametrize("name", LAWS)
def test_single_precision_stays(name):
    law = LAWS[name]()
    prediction = predict(law, X.float(), draws=3)
    for value in (prediction.mean, prediction.variance, prediction.quantile(0.3)):
        assert value.dtype == torch.float32


def test_mixture_quantiles_hit_atoms_and_gaps():
    normal = torch.distributions.Normal(
        torch.tensor([[-10.0], [10.0]], dtype=torch.float64), torch.ones(2, 1, dtype=torch.float64)
    )
    prediction = Prediction(normal)
    exact = -10 + torch.special.ndtri(torch.tensor(0.5, dtype=torch.float64))
    assert prediction.quantile(0.25).item() == pytest.approx(exact.item(), abs=1e-9)
    law = variational(Tobit(nn.Linear(3, 4)).double(), MeanField(scale=0.3))
    tobit = predict(law, X, draws=50, generator=seed())
    assert torch.equal(tobit.quantile(0.05), torch.zeros(5, dtype=torch.float64))


@pytest.mark.parametrize("name", CLASSES)
def test_entropies_of_classes(name):
    law = random(CLASSES[name])
    prediction = predict(law, X, draws=40, generator=seed())
    with torch.no_grad(), fixed(law, 40, seed()):
        probs = law(X.unsqueeze(0)).probs
    if name == "bernoulli":
        probs = torch.stack([1 - probs, probs], -1)
    torch.testing.assert_close(prediction.probabilities, probs.mean(0))
    entropy = lambda p: -(p * p.log()).sum(-1)  # noqa: E731
    torch.testing.assert_close(prediction.entropy, entropy(probs.mean(0)))
    torch.testing.assert_close(prediction.aleatoric_entropy, entropy(probs).mean(0))
    torch.testing.assert_close(
        prediction.mutual_information, prediction.entropy - prediction.aleatoric_entropy
    )
    assert (prediction.mutual_information > 0).all()
    assert (prediction.entropy <= math.log(law.states)).all()
    reached = (probs.mean(0).cumsum(-1) >= 0.5).int().argmax(-1)
    assert torch.equal(prediction.quantile(0.5).long(), reached)


def test_moments_of_two_classes_and_none_of_more():
    law = random(CLASSES["bernoulli"])
    prediction = predict(law, X, draws=30, generator=seed())
    p = prediction.probabilities[:, 1]
    torch.testing.assert_close(prediction.mean, p)
    torch.testing.assert_close(prediction.variance, p * (1 - p))
    with pytest.raises(AttributeError, match="no mean"):
        _ = predict(random(CLASSES["categorical"]), X).mean
    with pytest.raises(AttributeError, match="entropy is for laws with classes"):
        _ = predict(Normal(None), torch.zeros(2, 0)).entropy


def test_certain_classes_have_no_entropy():
    logits = torch.tensor([[[100.0, -100.0, -100.0]]])
    prediction = Prediction(torch.distributions.Categorical(logits=logits), states=3)
    assert prediction.entropy.item() == 0.0
    assert prediction.mutual_information.item() == 0.0


def test_randomness_and_what_is_held():
    law = random(LAWS["spline"])
    before = torch.get_rng_state()
    one, two = (predict(law, X, draws=7, generator=seed(4)) for _ in range(2))
    assert torch.equal(one.mean, two.mean)
    assert torch.equal(torch.get_rng_state(), before)
    assert predict(law, X).draws == 100
    with fixed(law, 6):
        assert predict(law, X).draws == 6
        assert torch.equal(
            predict(law, X).distribution.cdf(X[:, 0]), predict(law, X).distribution.cdf(X[:, 0])
        )
    with fixed(law):
        assert predict(law, X).draws == 1
    assert not one.mean.requires_grad


def test_modes_are_left_alone_and_results_frozen():
    law = random(LAWS["normal"])
    prediction = predict(law, X, draws=3)
    assert law.training
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.states = 2


def test_what_is_refused():
    law = random(LAWS["normal"])
    for q in (0.0, 1.0, -1.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            predict(law, X, draws=2).quantile(q)
    with pytest.raises(ValueError, match="level"):
        predict(law, X, draws=2).interval(1.5)
    with pytest.raises(ValueError, match="draws must be at least 1"):
        predict(law, X, draws=0)
    with pytest.raises(ValueError, match="takes 3 columns"):
        predict(law, X[:, :2])


def test_any_law_of_the_users():
    class Linear(nn.Module):
        event_shape, support = torch.Size(), torch.distributions.constraints.real

        def __init__(self):
            super().__init__()
            self.mean = variational(nn.Linear(3, 1).double(), MeanField(scale=0.5))

        def forward(self, context):
            return torch.distributions.StudentT(5.0, self.mean(context).squeeze(-1), 1.0)

    prediction = predict(Linear(), X, draws=20)
    assert prediction.mean.shape == (5,)
    assert prediction.samples is not None  # no quantiles in closed form
    assert (prediction.quantile(0.1) < prediction.quantile(0.9)).all()


def test_one_row_and_other_dtypes():
    law = variational(LAWS["normal"]()).double()
    one = predict(law, X[0], draws=3, generator=torch.Generator().manual_seed(0))
    all_rows = predict(law, X, draws=3, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(one.mean, all_rows.mean[0])
    assert predict(law, X.round().long(), draws=3).mean.dtype == torch.float64
    with pytest.raises(TypeError, match="takes a Law"):
        predict(nn.Linear(3, 1), X)


@pytest.mark.parametrize("make", [variational, lambda law: law])
def test_images_and_sequences(make):
    images, sequences = torch.randn(6, 1, 8, 8), torch.randn(2, 3, 5, 2)
    for body in (
        ConvNet(1, [4], 6),
        nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(-3), nn.Linear(72, 6)),
    ):
        prediction = predict(make(Categorical(body, features=6, states=3)), images)
        assert prediction.probabilities.shape == (6, 3)
    law = make(Normal(RNN(2, 4, 6)))
    assert predict(law, sequences).mean.shape == (2, 3)
    assert law(sequences, draws=2).batch_shape == (2, 2, 3)


@pytest.mark.parametrize("head", [Poisson, Student, Quantile, MixtureDensity])
def test_quantiles_in_closed_form(head):
    prediction = predict(variational(head(MLP(3, [8], 4)), MeanField(scale=0.4)), X.float(), 20)
    assert prediction.samples is None
    values = prediction.distribution.sample((2000,)).flatten(0, 1)
    for q in (0.1, 0.5, 0.9):
        found = prediction.quantile(q)
        assert ((values < found).float().mean(0) <= q + 0.03).all()
        assert ((values <= found).float().mean(0) >= q - 0.03).all()


@pytest.mark.parametrize("event", [None, 2])
def test_the_log_density_is_that_of_the_mixture_of_draws(event):
    torch.manual_seed(0)
    law = variational(Normal(torch.nn.Linear(3, 4), event=event)).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    y = torch.randn((6,) if event is None else (6, event), dtype=torch.float64)
    prediction = predict(law, x, draws=7)
    each = prediction.distribution.log_prob(y.expand(7, *y.shape))
    torch.testing.assert_close(prediction.log_probability(y), each.exp().mean(0).log())
    with pytest.raises(ValueError, match="never broadcast"):
        prediction.log_probability(y.unsqueeze(-1))


def test_the_log_probability_of_classes():
    torch.manual_seed(0)
    law = variational(Categorical(torch.nn.Linear(3, 4), states=4))
    prediction = predict(law, torch.randn(6, 3), draws=5)
    y = torch.arange(6) % 4
    wanted = prediction.probabilities.gather(-1, y.unsqueeze(-1)).squeeze(-1).log()
    torch.testing.assert_close(prediction.log_probability(y), wanted)
    with pytest.raises(ValueError, match="within the support"):
        prediction.log_probability(torch.full((6,), 9))
