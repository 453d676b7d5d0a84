"""Every objective under every kind of optimiser, and every backbone under one that is shared."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pennylane as qml
import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from sklearn.datasets import load_digits
from torch import Tensor, nn

import causal
import hybrid
import quantum
from causal.draws import seeded
from hybrid import heads
from hybrid.objectives import ELBO, EachMember, Pyro, Supervised, Weighted
from hybrid.optim import CircuitMetric, NaturalGradient, groups

ROWS = 24
Problem = tuple[nn.Module, Any]

OPTIMIZERS: dict[str, Callable[[nn.Module], Any]] = {
    "sgd": lambda _: lambda p: torch.optim.SGD(p, 0.02),
    "adam": lambda _: lambda p: torch.optim.Adam(p, 0.02),
    "l-bfgs": lambda _: lambda p: torch.optim.LBFGS(p, max_iter=3, line_search_fn="strong_wolfe"),
    "natural gradient": lambda objective: lambda p: NaturalGradient(p, objective),
    "natural gradient, diagonal": (
        lambda objective: lambda p: NaturalGradient(p, objective, lr=0.2, form="diagonal")
    ),
}


def circuit(inputs: Tensor, weights: Tensor):
    qml.AngleEmbedding(inputs, wires=range(2), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(wire)) for wire in range(2)]


def quantum_layer() -> nn.Module:
    return quantum.CircuitLayer(circuit, {"weights": (1, 2, 3)}, in_features=2)


def pairs(width: int = 2) -> tuple[Tensor, Tensor]:
    x = torch.randn(ROWS, width)
    return x, 2 * x[:, 0] + 0.3 * torch.randn(ROWS)


def normal(width: int = 2) -> nn.Module:
    return heads.Normal(nn.Sequential(nn.Linear(width, 4), nn.Tanh()), features=4)


def law() -> Problem:
    return ELBO(normal(), data_size=ROWS), pairs()


def posterior() -> Problem:
    return ELBO(hybrid.bayes.variational(normal()), data_size=ROWS, draws=4, seed=0), pairs()


def flow() -> Problem:
    model = hybrid.flows.NeuralSpline(nn.Linear(2, 4), features=4, transforms=1)
    return ELBO(model, data_size=ROWS), pairs()


def scm() -> Problem:
    graph = causal.Graph.parse("X -> T -> Y; X -> Y")
    x = torch.randn(ROWS)
    t = (x > torch.randn(ROWS)).int()
    laws = {"X": heads.Normal(None), "T": heads.Bernoulli(nn.Linear(1, 2)), "Y": normal()}
    return ELBO(causal.SCM(graph, laws), data_size=ROWS), {"X": x, "T": t, "Y": x + 2 * t}


def confounded() -> Problem:
    graph = causal.Graph.parse("X -> Y; X <-> Y")
    laws = {"X": heads.Normal(nn.Linear(1, 2)), "Y": normal()}
    guide = heads.Normal(nn.Linear(2, 4), event=1)
    model = causal.SCM(graph, laws, hidden={("X", "Y"): causal.Hidden(size=1)}, guide=guide)
    x, y = torch.randn(2, ROWS)
    return ELBO(model, data_size=ROWS, seed=0, draws=4), {"X": x, "Y": x + y}


def network() -> Problem:
    tables = {
        "a": hybrid.pgm.Table(torch.full((2,), 0.5), trainable=True),
        "b": hybrid.pgm.Table(torch.full((2, 2), 0.5), trainable=True),
    }
    model = hybrid.pgm.BayesianNetwork(causal.Graph.parse("a -> b"), tables)
    a = (torch.rand(ROWS) < 0.8).long()
    return ELBO(model, data_size=ROWS), {"a": a, "b": torch.where(a > 0, a, -1)}


def hidden_markov() -> Problem:
    model = hybrid.pgm.HiddenMarkovModel(
        torch.tensor([0.5, 0.5]),
        heads.Categorical(nn.Linear(3, 4), states=2),
        heads.Normal(nn.Linear(3, 4)),
    )
    return ELBO(model, data_size=ROWS), (torch.zeros(ROWS, 5, 1), torch.randn(ROWS, 5) + 3)


def chain_field() -> Problem:
    model = hybrid.pgm.LinearChainCRF(nn.Linear(2, 4), states=3)
    x = torch.randn(ROWS, 5, 2)
    return ELBO(model, data_size=ROWS), (x, (x[..., 0] > 0).long())


def supervised() -> Problem:
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 3))
    x = torch.randn(ROWS, 2)
    return Supervised(net, nn.CrossEntropyLoss()), (x, (x[:, 0] > 0).long())


def supervised_law() -> Problem:
    return Supervised(normal(), hybrid.losses.crps), pairs()


def supervised_posterior() -> Problem:
    net = hybrid.bayes.variational(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)))
    x, y = pairs()
    return Supervised(net, nn.MSELoss(), data_size=ROWS, draws=4, seed=0), (x, y.unsqueeze(-1))


def weighted() -> Problem:
    objective, data = law()
    robust = Supervised(objective.model, hybrid.losses.crps)
    return Weighted({"likelihood": objective, "crps": robust}, {"crps": 0.5}), data


def members() -> Problem:
    ensemble = hybrid.bayes.ensemble(normal(), members=3)
    return EachMember(ELBO(ensemble, data_size=ROWS, draws=3)), pairs()


def program() -> Problem:
    def model(y: Tensor) -> None:
        mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        with pyro.plate("rows", len(y)):
            pyro.sample("y", dist.Normal(mean, 1.0), obs=y)

    guide = AutoNormal(model)
    example = torch.randn(ROWS) + 3
    loss = Trace_ELBO(num_particles=4, vectorize_particles=True, max_plate_nesting=1)
    return Pyro(model, guide, example=example, loss=loss), example


def autoencoder() -> Problem:
    vae = hybrid.VAE(nn.Linear(3, 4), heads.Normal(nn.Linear(2, 4), event=3), latent=2)
    return vae.objective(), torch.randn(ROWS, 2) @ torch.randn(2, 3)


PROBLEMS = (
    law,
    posterior,
    flow,
    scm,
    confounded,
    network,
    hidden_markov,
    chain_field,
    supervised,
    supervised_law,
    supervised_posterior,
    weighted,
    members,
    program,
    autoencoder,
)


def loss(objective: nn.Module, batch: Any) -> float:
    """The loss of all data, with random numbers that are always the same."""
    with torch.no_grad(), seeded(torch.Generator().manual_seed(11)):
        totals = [objective(batch) for _ in range(8)]
    return sum(float(t if isinstance(t, Tensor) else t.total) for t in totals) / 8


fit = partial(hybrid.fit, progress=False, seed=0, batch_size=ROWS)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda make: make.__name__)
def test_every_objective_trains_under_every_optimiser(
    problem: Callable[[], Problem], optimizer: str
) -> None:
    objective, batch = problem()
    before = loss(objective, batch)
    fit(objective, batch, optimizer=OPTIMIZERS[optimizer](objective), epochs=6)
    assert loss(objective, batch) < before


def test_several_optimisers_by_pattern_train_one_model() -> None:
    body = nn.Sequential(nn.Linear(2, 2), hybrid.layers.Skip(quantum_layer()))
    objective, batch = ELBO(heads.Normal(body, features=4), data_size=ROWS), pairs()
    before = {name: p.detach().clone() for name, p in objective.named_parameters()}
    split = {
        "*.body.weights": lambda p: NaturalGradient(p, objective, lr=0.1, metric=CircuitMetric()),
        "*.0.0.*": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=2),
        "*.body.1.*": lambda p: torch.optim.Adam(p, 0.02),
    }
    start = loss(objective, batch)
    fit(objective, batch, optimizer=split, epochs=6)
    assert loss(objective, batch) < start
    for name, parameter in objective.named_parameters():
        assert not torch.equal(parameter, before[name]), name


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_an_uncovered_parameter_is_refused_by_name(optimizer: str) -> None:
    objective, batch = law()
    make = OPTIMIZERS[optimizer](objective)
    some = [p for name, p in objective.named_parameters() if name != "model.body.0.0.bias"]
    with pytest.raises(ValueError, match=r"no optimizer trains 'model.body.0.0.bias'"):
        fit(objective, batch, optimizer=lambda _: make(some), epochs=1)
    with pytest.raises(ValueError, match=r"no optimizer trains 'model.body.0.0.bias'"):
        fit(objective, batch, optimizer={"*.weight": make, "*.1.bias": make}, epochs=1)


# ------------------------------------------------------- one optimiser for everything


def images() -> tuple[Tensor, Tensor]:
    digits = load_digits()
    return torch.tensor(digits.images[:40] / 16).float().unsqueeze(1), torch.tensor(
        digits.target[:40]
    )


def sequences() -> tuple[Tensor, Tensor]:
    x = torch.randn(40, 5, 3)
    return x, x[:, -1, 0] + x.mean((1, 2))


def table() -> tuple[Tensor, Tensor]:
    x = torch.randn(40, 3)
    return x, x[:, 0] * x[:, 1]


def perceptron(activation: Any, out: int) -> nn.Module:
    return hybrid.backbones.MLP(3, [6], out, activation=activation)


BACKBONES: dict[str, tuple[Callable[[int], nn.Module], Callable[[], tuple[Tensor, Tensor]]]] = {
    "mlp, gelu": (lambda out: perceptron(nn.GELU, out), table),
    "mlp, prelu": (lambda out: perceptron(nn.PReLU, out), table),
    "convolution": (lambda out: hybrid.backbones.ConvNet(1, [3], out), images),
    "gru": (lambda out: hybrid.backbones.RNN(3, 4, out), sequences),
    "transformer": (
        lambda out: hybrid.backbones.Transformer(3, out, width=4, heads=2, layers=1, hidden=4),
        sequences,
    ),
}


@pytest.mark.parametrize("kind", ["plain", "variational", "circuit"])
@pytest.mark.parametrize("name", BACKBONES)
def test_one_shared_optimiser_trains_every_backbone(name: str, kind: str) -> None:
    make, rows = BACKBONES[name]
    body = make(2)
    if kind == "circuit":
        body = nn.Sequential(body, hybrid.layers.Skip(quantum_layer()))
    features, batch = (4 if kind == "circuit" else 2), rows()
    if name == "convolution":
        model = heads.Categorical(body, features=features, states=10)
    else:
        model = heads.Normal(body, features=features)
    if kind == "variational":
        model = hybrid.bayes.variational(model)
    objective = ELBO(model, data_size=40, draws=1 if kind == "plain" else 2, seed=0)
    before = {n: p.detach().clone() for n, p in objective.named_parameters()}
    start = loss(objective, batch)
    rates = {"*.weights": {"lr": 0.05}, "*": {}} if kind == "circuit" else {"*": {}}
    optimizer = torch.optim.Adam(groups(objective, rates), 0.01)
    fit(objective, batch, optimizer=optimizer, epochs=4, batch_size=40)
    assert loss(objective, batch) < start
    for n, parameter in objective.named_parameters():
        assert not torch.equal(parameter, before[n]), n


@pytest.mark.parametrize("name", BACKBONES)
def test_natural_gradient_trains_every_backbone_with_a_circuits_metric(name: str) -> None:
    make, rows = BACKBONES[name]
    body = nn.Sequential(make(2), hybrid.layers.Skip(quantum_layer()))
    batch = rows()
    if name == "convolution":
        model = heads.Categorical(body, features=4, states=10)
    else:
        model = heads.Normal(body, features=4)
    objective = ELBO(model, data_size=40)
    blocks = {"*.weights": {"metric": CircuitMetric(), "lr": 0.1, "damping": 0.1}, "*": {}}
    optimizer = NaturalGradient(groups(objective, blocks), objective)
    start = loss(objective, batch)
    fit(objective, batch, optimizer=optimizer, epochs=3, batch_size=40)
    assert loss(objective, batch) < start
