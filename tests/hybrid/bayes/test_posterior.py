"""The posterior's promises: shared means, names, axes, randomness, threads, copies."""

import copy
import pickle
import threading

import pytest
import torch
from torch import nn

from causal.draws import fixed
from hybrid.bayes import FullRank, MeanField, Posterior, dropout, ensemble, variational
from hybrid.bayes.curvature.tangent import Tangent
from hybrid.heads import Normal
from hybrid.layers import Skip


def posterior(scale=0.3):
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    return Posterior(net, MeanField(1.0, scale))


X = torch.linspace(-1, 1, 18).reshape(6, 3)


def test_means_are_the_layers_own_parameters():
    layer = nn.Linear(3, 2)
    wrapped = Posterior(layer, MeanField())
    assert wrapped.mean.weight is layer.weight
    assert list(dict(wrapped.named_parameters())) == [
        "mean.weight",
        "mean.bias",
        "spread.raw_scale.weight",
        "spread.raw_scale.bias",
    ]
    scale = nn.functional.softplus(wrapped.spread.raw_scale["weight"])
    torch.testing.assert_close(scale, torch.full_like(scale, 0.02))


def test_names_that_containers_use_are_legal():
    layer = nn.Linear(3, 2)
    for name in ("keys", "values", "training_", "raw_scale"):
        layer.register_parameter(name, nn.Parameter(torch.zeros(2)))
    wrapped = Posterior(layer, MeanField())
    assert set(wrapped.weights(2)) == {"weight", "bias", "keys", "values", "training_", "raw_scale"}
    twin = Posterior(copy.deepcopy(layer), MeanField())
    twin.load_state_dict(wrapped.state_dict())


def test_leading_axis_is_checked():
    wrapped = posterior()
    with fixed(wrapped, 4):
        assert wrapped(X.unsqueeze(0)).shape == (4, 6, 2)
        assert wrapped(X.expand(4, 6, 3)).shape == (4, 6, 2)
        for wrong in (X, X.expand(3, 6, 3)):
            with pytest.raises(ValueError, match=r"leading axis of 1 or 4, got shape \((6|3),"):
                wrapped(wrong)
    with fixed(wrapped):
        assert torch.equal(wrapped(X), wrapped(X))
    assert not torch.equal(wrapped(X), wrapped(X))


def test_generator_decides_and_global_state_stays():
    wrapped = posterior()
    before = torch.get_rng_state()
    results = []
    for seed in (0, 0, 1):
        with fixed(wrapped, 4, torch.Generator().manual_seed(seed)):
            results.append(wrapped(X.unsqueeze(0)))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(torch.get_rng_state(), before)
    wrapped(X)
    assert not torch.equal(torch.get_rng_state(), before)


def test_nested_queries_share_their_weights():
    wrapped = posterior()
    with fixed(wrapped, 4):
        outer = wrapped(X.unsqueeze(0))
        with fixed(wrapped) as draws:
            assert draws == 4
            assert torch.equal(wrapped(X.unsqueeze(0)), outer)
        assert torch.equal(wrapped(X, draws=4), outer)
        with pytest.raises(ValueError, match="already fixed"), fixed(wrapped, 3):
            pass


def test_threads_do_not_mix():
    wrapped, start, results = posterior(), threading.Barrier(4), {}

    def work(seed):
        generator = torch.Generator().manual_seed(seed)
        with fixed(wrapped, seed + 1, generator):
            start.wait()
            first = wrapped(X.unsqueeze(0))
            start.wait()
            results[seed] = torch.equal(wrapped(X.unsqueeze(0)), first) and len(first) == seed + 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), True)


def test_copies_and_files_answer_alike():
    wrapped = posterior()
    for parameter in wrapped.parameters():
        parameter.data += 0.1
    loaded = posterior()
    loaded.load_state_dict(wrapped.state_dict())

    def answer(module):
        with fixed(module, 4, torch.Generator().manual_seed(3)):
            return module(X.unsqueeze(0)), module.divergence()

    expected = answer(wrapped)
    for twin in (copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped)), loaded):
        for one, two in zip(answer(twin), expected, strict=True):
            assert torch.equal(one, two)


def test_frozen_parameters_stay_ordinary():
    layer = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    layer[0].requires_grad_(False)
    wrapped = Posterior(layer, MeanField())
    assert set(wrapped.weights(2)) == {"1.weight", "1.bias"}


def test_what_is_refused():
    with pytest.raises(ValueError, match="no trainable parameter"):
        Posterior(nn.ReLU(), MeanField())
    with pytest.raises(ValueError, match="already random"):
        Posterior(Skip(posterior()), MeanField())
    with pytest.raises(ValueError, match=r"no parameters \['gamma'\]"):
        Posterior(nn.Linear(3, 2), MeanField(), names=["gamma"])
    layer = nn.Linear(3, 2)
    layer.register_parameter("phase", nn.Parameter(torch.zeros(2, dtype=torch.complex64)))
    with pytest.raises(ValueError, match=r"\['phase'\] are not real"):
        Posterior(layer, MeanField())


@pytest.mark.parametrize("attribute", ["prior_scale", "prior_scales"])
def test_layers_state_prior_scales_under_either_name(attribute):
    layer = nn.Linear(3, 2)
    setattr(layer, attribute, {"weight": 3.0})
    normal = torch.distributions.Normal
    expected = sum(
        torch.distributions.kl_divergence(normal(p, 0.3), normal(0.0, s)).sum()
        for p, s in ((layer.weight, 3.0), (layer.bias, 1.0))
    )
    made = Posterior(nn.Sequential(layer), MeanField(scale=0.3))
    assert made.divergence().item() == pytest.approx(expected.item(), rel=1e-5)
    for wrong in ({"wieght": 3.0}, {"weight": -1.0}):
        setattr(layer, attribute, wrong)
        with pytest.raises(ValueError, match="prior scale"):
            Posterior(layer, MeanField())


@pytest.mark.parametrize(
    "wrap",
    [
        variational,
        lambda layer: variational(layer, FullRank()),
        lambda layer: ensemble(layer, members=2),
        lambda layer: dropout(layer, p=0.2),
        Tangent,
    ],
)
def test_widths_are_those_of_the_layer_inside(wrap):
    body = wrap(nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.1)))
    assert (body.in_features, body.out_features) == (3, 4)
    law = Normal(body)  # which reads the width of its features
    assert law(torch.zeros(7, 3)).batch_shape == (7,)
    with pytest.raises(ValueError, match="takes 3 columns, the context has 5"):
        law(torch.zeros(7, 5))
    assert wrap(nn.Sequential(Unknown(), nn.Dropout(0.1), nn.ReLU())).out_features is None


class Unknown(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.ones(3))

    def reset_parameters(self):
        nn.init.ones_(self.slope)

    def forward(self, inputs):
        return inputs * self.slope
