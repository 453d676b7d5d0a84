"""Every family and prior, in every place where a network may stand."""

import copy
import pickle
import threading

import pennylane as qml
import pytest
import torch
from torch import nn

import hybrid
from causal.draws import divergence, fixed
from causal.graph import Graph
from causal.scm import SCM
from hybrid.backbones import MLP, ConvNet
from hybrid.bayes import FlowPosterior, FullRank, LowRank, MeanField, Posterior, priors, variational
from hybrid.heads import Categorical, Normal
from hybrid.objectives import ELBO
from hybrid.testing import check_law, check_objective
from quantum.layer import CircuitLayer

FAMILIES = {
    "mean field": MeanField(scale=0.1),
    "low rank": LowRank(2, scale=0.1),
    "full": FullRank(scale=0.1),
    "flow": FlowPosterior(hidden=(8,), scale=0.1),
    "mixture": MeanField(scale=0.1, prior=priors.Mixture()),
    "low rank, laplace": LowRank(2, scale=0.1, prior=priors.Laplace(0.5)),
    "full, scales": FullRank(scale=0.1, prior=priors.HierarchicalScale()),
    "flow, horseshoe": FlowPosterior(hidden=(8,), scale=0.1, prior=priors.Horseshoe(0.3)),
}
X = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
Y = X[:, 0] - 0.5 * X[:, 1]


def family(function):
    return pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)(function)


def circuit():
    def quantum_function(inputs, weights):
        qml.AngleEmbedding(inputs, wires=range(2))
        qml.BasicEntanglerLayers(weights, wires=range(2))
        return [qml.expval(qml.Z(wire)) for wire in range(2)]

    return CircuitLayer(quantum_function, {"weights": (2, 2)}, in_features=2)


@family
def test_laws_and_objectives_conform(family):
    law = variational(Normal(MLP(3, [4], 2)), family)
    check_law(law, 3)
    check_objective(ELBO(law, data_size=12, draws=3), (X, Y))
    check_law(variational(Categorical(MLP(3, [4], 2), states=3), family).double(), 3)


@family
def test_circuits(family):
    law = variational(Normal(nn.Sequential(nn.Linear(3, 2), circuit())), family)
    check_law(law, 3)
    with fixed(law, 4, torch.Generator().manual_seed(0)):
        assert law(X.unsqueeze(0)).batch_shape == (4, 12)


@family
def test_training_prediction_and_files(family, tmp_path):
    torch.manual_seed(0)
    law = variational(Normal(MLP(3, [4], 2)), family)
    objective = ELBO(law, data_size=12, draws=2)
    before = {name: value.detach().clone() for name, value in law.named_parameters()}
    history = hybrid.fit(
        objective,
        (X, Y),
        optimizer=lambda parameters: torch.optim.Adam(parameters, 1e-2),
        epochs=4,
        batch_size=6,
        seed=0,
    )
    assert len(history) == 4
    same = [n for n, p in law.named_parameters() if torch.equal(p, before[n])]
    assert not same
    hybrid.save(law, tmp_path / "law")
    torch.manual_seed(1)
    other = variational(Normal(MLP(3, [4], 2)), family)
    hybrid.load(tmp_path / "law", into=other)
    results = []
    for module in (law, other, copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        state = torch.get_rng_state()
        found = hybrid.predict(module, X, draws=20, generator=torch.Generator().manual_seed(0))
        assert torch.equal(torch.get_rng_state(), state)
        results.append(found.mean)
    assert all(torch.equal(result, results[0]) for result in results)


@family
def test_structural_causal_models(family):
    graph = Graph.parse("X -> Y; Z -> X; Z -> Y")
    laws = {"Z": Normal(None), "X": Normal(MLP(1, [3], 2)), "Y": Normal(MLP(2, [3], 2))}
    scm = variational(SCM(graph, laws), family)
    data = {name: torch.randn(8) for name in "XYZ"}
    loss = ELBO(scm, data_size=8, draws=3)(data).total
    loss.backward()
    assert not [name for name, p in scm.named_parameters() if p.grad is None]
    effect = scm.effect("Y", do={"X": 1.0}, against={"X": 0.0}, evidence=data, draws=5)
    assert effect.draws.shape == (5,)
    partly = variational(SCM(graph, laws), family, include="*of_Y*", exclude="*.bias")
    assert [name for name, _ in partly.named_modules() if name.endswith("spread")] == [
        name for name, _ in scm.named_modules() if name.endswith("spread") and "of_Y" in name
    ]


@family
def test_images_sequences_and_frozen_parts(family):
    net = ConvNet(1, [2], 3)
    random = variational(Categorical(net, states=2), family, include="*")
    images = torch.randn(5, 1, 8, 8)
    assert random(images, draws=3).batch_shape == (3, 5)
    layer = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    layer[0].requires_grad_(False)
    posterior = Posterior(layer, family)
    assert set(posterior.weights(2)) == {"1.weight", "1.bias"}
    assert posterior(torch.zeros(3)).shape == (2,)
    recurrent = Posterior(hybrid.backbones.RNN(2, 3, 2), family)
    assert recurrent(torch.randn(4, 5, 2), draws=2).shape[:2] == (2, 4)


@family
def test_threads_do_not_mix(family):
    torch.manual_seed(0)
    law = variational(Normal(MLP(3, [4], 2)), family)

    def answer(seed):
        with torch.no_grad(), fixed(law, seed + 1, torch.Generator().manual_seed(seed)):
            return law(X.unsqueeze(0)).mean, divergence(law)

    expected, results = [answer(seed) for seed in range(4)], {}
    threads = [
        threading.Thread(target=lambda seed=seed: results.update({seed: answer(seed)}))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, (mean, distance) in enumerate(expected):
        assert torch.equal(results[seed][0], mean)
        assert torch.equal(results[seed][1], distance)
