"""Steps along natural gradients, against the methods that they equal."""

import math

import pennylane as qml
import pytest
import torch
from natural_steps import ROWS, data, fit, network, one_step
from torch import Tensor, nn

import hybrid
import quantum
from hybrid.optim import (
    CircuitMetric,
    Euclidean,
    LevenbergMarquardt,
    NaturalGradient,
    Variational,
    groups,
)


class Mean(nn.Module):
    """A normal law of known scale, as users write them."""

    event_shape, support = torch.Size(), torch.distributions.constraints.real

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(5.0).double())
        self.scale = scale

    def forward(self, context: Tensor) -> torch.distributions.Normal:
        return torch.distributions.Normal(self.mean.expand(context.shape[:-1]), self.scale)


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_of_a_normal_mean_one_step_is_newtons(form: str) -> None:
    law = Mean(3.0)
    objective = hybrid.objectives.ELBO(law, data_size=ROWS)
    y = data()[1]
    one_step(objective, (torch.zeros(ROWS, 0).double(), y), damping=0.0, form=form)
    assert torch.allclose(law.mean, y.mean())


@pytest.mark.parametrize("width", [3, 60])  # more parameters than rows: in the rows' space
def test_linear_regression_is_solved_by_one_step_of_fit(width: int) -> None:
    net = nn.Linear(width, 1, bias=False).double()
    _ = nn.init.zeros_(net.weight)
    objective = hybrid.objectives.Supervised(net, nn.MSELoss())
    x, y = data(width)
    natural = lambda p: NaturalGradient(p, objective, damping=0.0)  # noqa: E731
    fit(objective, (x, y.unsqueeze(-1)), optimizer=natural, epochs=1, batch_size=ROWS)
    assert torch.allclose(net.weight[0], torch.linalg.pinv(x) @ y)


def test_of_logistic_regression_it_is_a_step_of_reweighted_least_squares() -> None:
    law = hybrid.heads.Bernoulli(nn.Identity(), features=3).double()
    objective = hybrid.objectives.ELBO(law, data_size=ROWS)
    x = data()[0]
    y = (torch.rand(ROWS) < 0.5).double()
    design = torch.cat([x, torch.ones(ROWS, 1).double()], -1)
    flat = lambda: torch.cat([p.detach().reshape(-1) for p in law.parameters()])  # noqa: E731
    before = flat()
    p = torch.sigmoid(design @ before)
    matrix = design.mT @ ((p * (1 - p)).unsqueeze(-1) * design)
    expected = before + torch.linalg.solve(matrix, design.mT @ (y - p))
    one_step(objective, (x, y), damping=0.0)
    assert torch.allclose(flat(), expected)


class Written(nn.Module):
    """One normal law whose scale is written in different ways."""

    event_shape, support = torch.Size(), torch.distributions.constraints.real

    def __init__(self, mean: float, raw: float, written: str) -> None:
        super().__init__()
        self.numbers = nn.Parameter(torch.tensor([mean, raw]).double())
        self.written = written

    def forward(self, context: Tensor) -> torch.distributions.Normal:
        mean, raw = self.numbers
        scale = {"scale": raw, "log": raw.exp(), "precision": raw**-0.5}[self.written]
        shape = context.shape[:-1]
        return torch.distributions.Normal(mean.expand(shape), scale.expand(shape))


def test_small_steps_go_the_same_way_however_the_law_is_written() -> None:
    batch = torch.zeros(ROWS, 0).double(), data()[1]
    scale = torch.tensor(2.0).double()
    raws = {"scale": scale, "log": scale.log(), "precision": scale**-2}
    moved = []
    for written, raw in raws.items():
        law = Written(0.5, float(raw), written)
        objective = hybrid.objectives.ELBO(law, data_size=ROWS)
        one_step(objective, batch, damping=0.0, lr=1e-5)
        found = law(batch[0])
        moved.append(torch.stack([found.loc[0] - 0.5, found.scale[0] - 2.0]).detach())
    assert torch.allclose(moved[0], moved[1], rtol=1e-3)
    assert torch.allclose(moved[0], moved[2], rtol=1e-3)


def circuit(inputs: Tensor, weights: Tensor):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.RX(weights[0], wires=0)
    qml.RY(weights[1], wires=1)
    qml.CNOT(wires=[0, 1])
    qml.RZ(weights[2], wires=0)
    qml.RX(weights[3], wires=1)
    return qml.expval(qml.Z(1))


class Energy(nn.Module):
    """What a variational circuit minimises."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = quantum.CircuitLayer(circuit, {"weights": 4}, in_features=2).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).mean()


@pytest.mark.parametrize("approximation", ["block-diag", "diag"])
def test_with_a_circuits_metric_it_is_pennylanes_optimizer(approximation: str) -> None:
    objective, x = Energy(), torch.tensor([[0.3, -0.8]]).double()
    weights = qml.numpy.array(objective.layer.weights.detach().numpy(), requires_grad=True)
    inputs = qml.numpy.array(x[0].numpy(), requires_grad=False)
    device = qml.device("default.qubit", wires=3)
    cost = qml.QNode(lambda w: circuit(inputs, w), device)
    other = qml.QNGOptimizer(0.1, approx=approximation, lam=1e-3)
    metric = qml.metric_tensor(cost, approx=approximation)
    for _ in range(2):
        weights = other.step(cost, weights, metric_tensor_fn=metric)
        one_step(objective, x, lr=0.1, damping=1e-3, metric=CircuitMetric(approximation))
    assert torch.allclose(objective.layer.weights, torch.tensor(weights.unwrap()), atol=1e-7)


def mixed() -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    layer = quantum.CircuitLayer(circuit, {"weights": 4}, in_features=2)
    body = nn.Sequential(nn.Linear(3, 2), layer, nn.Unflatten(-1, (-1, 1)))
    body = nn.Sequential(nn.Linear(3, 2), hybrid.layers.Skip(nn.Sequential(nn.Tanh(), pair())))
    return body, data()


def pair() -> nn.Module:
    def two(inputs: Tensor, weights: Tensor):
        circuit(inputs, weights)
        return [qml.expval(qml.Z(0)), qml.expval(qml.Z(1))]

    return quantum.CircuitLayer(two, {"weights": 4}, in_features=2)


def test_a_circuits_block_beside_others_and_wrong_blocks_are_named() -> None:
    body, batch = mixed()
    objective = hybrid.objectives.ELBO(hybrid.heads.Normal(body, features=4), data_size=ROWS)
    objective.double()
    blocks = {"*.weights": {"metric": CircuitMetric(), "damping": 0.05, "lr": 0.1}, "*": {}}
    optimizer = NaturalGradient(groups(objective, blocks), objective)
    history = fit(objective, batch, optimizer=optimizer, epochs=8, batch_size=ROWS)
    assert history.loss[-1] < history.loss[0]
    assert [len(g["params"]) for g in optimizer.param_groups] == [1, 4]
    wrong = lambda p: NaturalGradient(p, objective, metric=CircuitMetric())  # noqa: E731
    with pytest.raises(ValueError, match=r"weights of circuits, and 'model.body.0.0.weight'"):
        fit(objective, batch, optimizer=wrong, epochs=1)
    wrong = lambda p: NaturalGradient(p, objective, metric=Variational())  # noqa: E731
    with pytest.raises(ValueError, match=r"MeanField posteriors, and 'model.body.0.0.weight'"):
        fit(objective, batch, optimizer=wrong, epochs=1)


def test_natural_gradient_inference_finds_the_posterior_of_a_linear_law() -> None:
    x, y = data(2)

    class Line(nn.Module):
        event_shape, support = torch.Size(), torch.distributions.constraints.real

        def __init__(self) -> None:
            super().__init__()
            self.body = hybrid.bayes.variational(nn.Linear(2, 1, bias=False).double())

        def forward(self, context: Tensor) -> torch.distributions.Normal:
            return torch.distributions.Normal(self.body(context).squeeze(-1), 0.5)

    law = Line()
    objective = hybrid.objectives.ELBO(law, data_size=ROWS, draws=64)
    natural = lambda p: NaturalGradient(  # noqa: E731
        p, objective, lr=0.3, damping=0.0, metric=Variational()
    )
    fit(objective, (x, y), optimizer=natural, epochs=60, batch_size=ROWS, seed=0)
    precision = x.mT @ x / 0.25 + torch.eye(2).double()
    mean = torch.linalg.solve(precision, x.mT @ y / 0.25)
    scale = precision.diagonal().rsqrt()  # the best factorised normal
    found = torch.cat([law.body.weights(4000, torch.Generator().manual_seed(0))["weight"]])
    assert torch.allclose(found.mean(0)[0], mean, atol=0.3 * float(scale.max()))
    assert torch.allclose(found.std(0)[0], scale, rtol=0.1)


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_adaptive_steps_never_raise_the_loss_of_a_whole_batch(form: str) -> None:
    objective, batch = network()
    optimizer = NaturalGradient(objective.parameters(), objective, form=form)
    history = fit(objective, batch, optimizer=optimizer, epochs=25, batch_size=ROWS)
    steps = list(zip(history.loss, history.loss[1:], strict=False))
    assert all(second <= first + 1e-9 for first, second in steps)
    assert history.loss[-1] < history.loss[0] - 0.5


def test_a_step_to_nan_is_taken_back_and_damped() -> None:
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.at = nn.Parameter(torch.tensor(1.0))

        def forward(self, batch: Tensor) -> Tensor:
            return self.at.sqrt() * batch.mean()

    objective = Root()
    adaptive = LevenbergMarquardt(1e-3, factor=4.0, least=1e-4, radius=math.inf)
    metric = lambda objective, batch, parameters: torch.tensor([0.1])  # noqa: E731
    optimizer = one_step(objective, torch.ones(2), damping=adaptive, metric=metric)
    assert 0 <= objective.at.item() < 1
    assert optimizer.param_groups[0]["damping"] > 0.1


def test_an_adaptive_step_is_no_longer_than_its_radius() -> None:
    law = Mean(3.0)
    objective = hybrid.objectives.ELBO(law, data_size=ROWS)
    batch = torch.zeros(ROWS, 0).double(), data()[1] - 100  # 35 standard deviations away
    adaptive = LevenbergMarquardt(1e-9, least=1e-9, radius=0.5)
    one_step(objective, batch, damping=adaptive)
    assert law.mean.item() == pytest.approx(5.0 - 0.5 * 3.0)


def test_adaptive_damping_follows_the_promise() -> None:
    adaptive = LevenbergMarquardt(1.0, factor=2.0, least=0.5, most=4.0)
    assert [adaptive.changed(1.0, ratio) for ratio in (0.9, 0.5, 0.1)] == [0.5, 1.0, 2.0]
    assert adaptive.changed(0.5, 1.0) == 0.5
    assert adaptive.raised(1.0) == 4.0
    for options in ({"least": 0.0}, {"initial": 1e-3}, {"most": 1e-3}):
        with pytest.raises(ValueError, match="0 < least ≤ initial ≤ most"):
            LevenbergMarquardt(**options)
    with pytest.raises(ValueError, match="factor must be above 1"):
        LevenbergMarquardt(factor=1.0)
    with pytest.raises(ValueError, match="radius must be above 0"):
        LevenbergMarquardt(radius=0.0)
    with pytest.raises(ValueError, match="tries must be at least 1"):
        LevenbergMarquardt(tries=0)


def test_a_metric_of_ones_own_and_none() -> None:
    objective, batch = network()
    before = [p.clone() for p in objective.parameters()]
    one_step(objective, batch, lr=0.1, metric=Euclidean(), damping=7.0)
    for parameter, old in zip(objective.parameters(), before, strict=True):
        assert torch.allclose(parameter, old - 0.1 * parameter.grad)
    before = [p.clone() for p in objective.parameters()]
    size = sum(p.numel() for p in before)
    fours = lambda objective, batch, parameters: torch.full((size,), 4.0)  # noqa: E731
    one_step(objective, batch, lr=0.1, metric=fours, damping=1.0)
    for parameter, old in zip(objective.parameters(), before, strict=True):
        assert torch.allclose(parameter, old - 0.02 * parameter.grad)
