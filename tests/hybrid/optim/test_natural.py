"""Steps along natural gradients, against the methods that they equal."""

import copy
import math
import pickle
from functools import partial
from pathlib import Path

import pennylane as qml
import pytest
import torch
from torch import Tensor, nn

import hybrid
import quantum
from hybrid.optim import (
    CircuitMetric,
    EmpiricalFisher,
    Euclidean,
    LevenbergMarquardt,
    NaturalGradient,
    Variational,
    groups,
)

ROWS = 40
fit = partial(hybrid.fit, progress=False)


def data(width: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.randn(ROWS, width).double()
    return x, x @ torch.arange(1.0, width + 1).double() + 0.1 * torch.randn(ROWS).double()


def one_step(objective: nn.Module, batch, **options) -> NaturalGradient:
    optimizer = NaturalGradient(objective.parameters(), objective, **options)
    optimizer.zero_grad()
    loss = objective(batch)
    (loss if isinstance(loss, Tensor) else loss.total).backward()
    optimizer.observe(batch)
    optimizer.step()
    return optimizer


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


def network(**options) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(2)
    law = hybrid.heads.Normal(hybrid.backbones.MLP(3, [8], 4), features=4).double()
    return hybrid.objectives.ELBO(law, data_size=ROWS), data()


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


def test_accumulated_batches_are_one_batch() -> None:
    results = []
    for size, accumulate in ((ROWS, 1), (ROWS // 4, 4)):
        objective, batch = network()
        natural = lambda p, o=objective: NaturalGradient(p, o, damping=0.1)  # noqa: E731
        fit(
            objective,
            batch,
            optimizer=natural,
            epochs=1,
            batch_size=size,
            accumulate=accumulate,
            seed=0,
        )
        results.append(torch.cat([p.detach().reshape(-1) for p in objective.parameters()]))
    assert torch.allclose(*results)


def test_random_numbers_are_the_trainings_own() -> None:
    def trained(**options) -> Tensor:
        torch.manual_seed(5)
        law = hybrid.bayes.variational(hybrid.heads.Normal(nn.Linear(3, 2), features=2).double())
        objective = hybrid.objectives.ELBO(law, data_size=ROWS)
        natural = lambda p: NaturalGradient(p, objective, lr=0.1, **options)  # noqa: E731
        fit(objective, data(), optimizer=natural, epochs=3, batch_size=16, seed=0)
        return torch.cat([p.detach().reshape(-1) for p in objective.parameters()])

    torch.manual_seed(3)
    before = torch.get_rng_state()
    objective, batch = network()
    torch.set_rng_state(before)
    fit(objective, batch, optimizer=lambda p: NaturalGradient(p, objective), epochs=2, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(trained(), trained())
    generators = [torch.Generator().manual_seed(7) for _ in range(2)]
    first, second = (trained(generator=g) for g in generators)
    assert torch.equal(first, second)
    generator = torch.Generator().manual_seed(7)
    optimizer = NaturalGradient(objective.parameters(), objective, generator=generator)
    objective(batch).total.backward()
    before = torch.get_rng_state()
    optimizer.observe(batch)
    optimizer.step()
    assert torch.equal(torch.get_rng_state(), before)


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    def trained(epochs: int, **options) -> Tensor:
        objective, batch = network()
        natural = lambda p: NaturalGradient(p, objective)  # noqa: E731
        fit(objective, batch, optimizer=natural, epochs=epochs, batch_size=16, seed=0, **options)
        return torch.cat([p.detach().reshape(-1) for p in objective.parameters()])

    runtime = hybrid.Runtime(checkpoint=str(tmp_path), resume=True)
    trained(2, runtime=runtime)
    assert torch.equal(trained(4, runtime=runtime), trained(4))


def test_copies_and_pickles_go_on_alike(tmp_path: Path) -> None:
    objective, batch = network()
    optimizer = one_step(objective, batch)
    twins = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    hybrid.save(objective, tmp_path / "a", optimizer=optimizer)
    other, _ = network()
    loaded = NaturalGradient(other.parameters(), other)
    hybrid.load(tmp_path / "a", into=other, optimizer=loaded)
    ends = []
    for each in (optimizer, *twins, loaded):
        own = each.objective
        each.zero_grad()
        own(batch).total.backward()
        each.observe(batch)
        each.step()
        ends.append(torch.cat([p.detach().reshape(-1) for p in own.parameters()]))
    assert len({each.objective for each in (optimizer, *twins, loaded)}) == 4
    for end in ends[1:]:
        assert torch.equal(end, ends[0])


def test_frozen_and_unused_parameters_stay() -> None:
    objective, batch = network()
    frozen = next(objective.parameters()).requires_grad_(False)
    before = frozen.clone()
    objective.unused = nn.Parameter(torch.ones(2).double())
    optimizer = lambda p: NaturalGradient(p, objective, metric=EmpiricalFisher())  # noqa: E731
    history = fit(objective, batch, optimizer=optimizer, epochs=5)
    assert history.loss[-1] < history.loss[0]
    assert torch.equal(frozen, before)
    assert objective.unused.tolist() == [1.0, 1.0]


def test_a_parameter_that_the_metric_does_not_see_takes_plain_steps() -> None:
    objective, batch = network()
    size = Own(objective)
    one_step(size, batch, lr=0.1, damping=1e-6)
    assert size.extra.item() == pytest.approx(0.8)


class Own(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.extra = inner, nn.Parameter(torch.tensor(1.0).double())

    def forward(self, batch) -> Tensor:
        return self.inner(batch).total + self.extra.square()


def test_half_precision_parameters_are_measured_in_single() -> None:
    net = nn.Linear(3, 1).bfloat16()
    objective = hybrid.objectives.Supervised(net, nn.MSELoss())
    x = torch.randn(16, 3).bfloat16()
    one_step(objective, (x, x[:, :1]), damping=0.1)
    assert all(p.isfinite().all() and p.dtype == torch.bfloat16 for p in net.parameters())


def test_several_optimisers_by_pattern_and_clipping() -> None:
    objective, batch = network()
    split = {
        "*.weight": lambda p: NaturalGradient(p, objective, damping=0.1),
        "*.bias": lambda p: torch.optim.Adam(p, 0.01),
    }
    history = fit(
        objective, batch, optimizer=split, epochs=10, batch_size=ROWS, callbacks=[hybrid.Clip(1.0)]
    )
    assert history.loss[-1] < history.loss[0]


def test_a_metric_that_is_nan_stops_with_its_name_or_is_skipped() -> None:
    objective, batch = network()
    calls = []

    def broken(objective: nn.Module, batch: object, parameters: list) -> Tensor:
        calls.append(1)
        size = sum(p.numel() for p in parameters)
        return torch.full((size,), float("nan") if len(calls) == 2 else 1.0)

    natural = lambda p: NaturalGradient(p, objective, metric=broken, damping=0.1)  # noqa: E731
    with pytest.raises(hybrid.NonFiniteError, match=r"the metric .*broken.* has NaN"):
        fit(objective, batch, optimizer=natural, epochs=3, batch_size=ROWS)
    assert all(bool(p.isfinite().all()) for p in objective.parameters())
    calls.clear()
    history = fit(
        objective, batch, optimizer=natural, epochs=1, batch_size=ROWS // 2, nonfinite="skip"
    )
    assert history.skipped == (1,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": 0.0}, ValueError, "lr must be above 0 and finite: 0.0"),
        ({"damping": -1.0}, ValueError, "damping of a group must be a number, 0 or above: got -1"),
        ({"form": "block"}, ValueError, "form must be 'full' or 'diagonal', got 'block'"),
        ({"memory": 0}, ValueError, "memory must be a positive number of bytes: 0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict, error: type, message: str) -> None:
    objective, _ = network()
    with pytest.raises(error, match=message):
        NaturalGradient(objective.parameters(), objective, **options)


def test_wrong_uses_say_what_to_do() -> None:
    objective, batch = network()
    optimizer = NaturalGradient(objective.parameters(), objective)
    with pytest.raises(RuntimeError, match=r"call observe\(batch\) between the backward pass"):
        optimizer.step()
    with pytest.raises(ValueError, match="needs the batch that the gradients come from"):
        optimizer.observe()
    with pytest.raises(TypeError, match="is complex: give it to another optimiser"):
        NaturalGradient([nn.Parameter(torch.ones(2, dtype=torch.complex64))], objective)
    with pytest.raises(TypeError, match="metric must be a metric such as"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "metric": "Fisher"})
    del batch
