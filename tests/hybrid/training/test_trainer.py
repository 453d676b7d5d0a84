import io
import math
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hybrid.objectives import ELBO, Loss, Pyro
from hybrid.training.callbacks import EarlyStopping, Schedule
from hybrid.training.guard import NonFiniteError
from hybrid.training.trainer import fit

X = torch.linspace(-1, 1, 40, dtype=torch.float64).unsqueeze(-1)
Y = 2 * X.squeeze(-1) + 0.5


class Squares(nn.Module):
    """Mean squared distance, with a random part and named parts if asked."""

    def __init__(self, network=None, noise=0.0, parts=False):
        super().__init__()
        torch.manual_seed(5)
        self.network = network or nn.Linear(1, 1).double()
        self.noise, self.parts = noise, parts

    def forward(self, batch):
        x, y = batch
        found = self.network(x).squeeze(-1) + self.noise * torch.randn(len(x)).to(x)
        loss = (found - y).square().mean()
        return (
            Loss(loss, {"fit": loss, "weight": self.network.weight.sum()}) if self.parts else loss
        )


def numbers(module):
    return [p.detach().clone() for p in module.state_dict().values()]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.3)


# ------------------------------------------------------------------ learning


def test_fit_finds_the_minimum():
    objective = Squares()
    history = fit(objective, (X, Y), optimizer=sgd, epochs=60, batch_size=10, seed=0)
    assert objective.network.weight.item() == pytest.approx(2.0, abs=1e-4)
    assert objective.network.bias.item() == pytest.approx(0.5, abs=1e-4)
    assert history.loss[-1] < 1e-7 < history.loss[0]


def test_fit_is_the_hand_written_loop():
    objective, network = Squares(), Squares().network
    fit(objective, (X, Y), epochs=3, batch_size=16, seed=11)

    torch.manual_seed(0)
    torch.default_generator.manual_seed(
        int(torch.randint(2**62, (), generator=torch.Generator().manual_seed(11)))
    )
    order = torch.Generator().manual_seed(int(torch.randint(2**62, (2,))[0]))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(3):
        for index in torch.randperm(40, generator=order).split(16):
            optimizer.zero_grad()
            (network(X[index]).squeeze(-1) - Y[index]).square().mean().backward()
            optimizer.step()
    assert same(numbers(objective.network), numbers(network))


def test_loss_and_parts_are_means_over_rows():
    objective = Squares(parts=True)
    history = fit(objective, (X, Y), optimizer=lambda p: torch.optim.SGD(p, 0.0), batch_size=16)
    assert history.loss[0] == pytest.approx(objective((X, Y)).total.item(), abs=1e-12)
    assert history.parts["fit"] == pytest.approx(history.loss)
    assert history.parts["weight"][0] == pytest.approx(objective.network.weight.item())


def test_validation_is_a_mean_over_rows_and_the_same_in_every_epoch():
    objective = Squares(noise=1.0)
    frozen = lambda p: torch.optim.SGD(p, 0.0)  # noqa: E731
    history = fit(
        objective, (X, Y), optimizer=frozen, epochs=3, batch_size=16, validation=(X[:9], Y[:9])
    )
    assert len(set(history.validation)) == 1
    plain = fit(
        Squares(), (X, Y), optimizer=frozen, epochs=1, batch_size=4, validation=(X[:9], Y[:9])
    )
    assert plain.validation[0] == pytest.approx(Squares()((X[:9], Y[:9])).item())


def test_validation_does_not_touch_the_training():
    first, second = Squares(noise=0.1), Squares(noise=0.1)
    fit(first, (X, Y), epochs=3, batch_size=16, seed=1)
    fit(second, (X, Y), epochs=3, batch_size=16, seed=1, validation=(X, Y))
    assert same(numbers(first), numbers(second))


# ---------------------------------------------------------------- randomness


def test_a_seed_gives_the_same_bits_and_leaves_the_global_state():
    runs = []
    for before in (1, 2):
        objective = Squares(noise=0.1)
        torch.manual_seed(before)
        state = torch.get_rng_state()
        history = fit(objective, (X, Y), epochs=2, batch_size=16, seed=7)
        assert torch.equal(state, torch.get_rng_state())
        runs.append((numbers(objective), history.loss))
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]


def test_without_a_seed_the_global_state_decides_and_advances():
    runs = []
    for start in (1, 1, 2):
        objective = Squares(noise=0.1)
        torch.manual_seed(start)
        state = torch.get_rng_state()
        fit(objective, (X, Y), epochs=1, batch_size=16)
        assert not torch.equal(state, torch.get_rng_state())
        runs.append(numbers(objective))
    assert same(runs[0], runs[1])
    assert not same(runs[0], runs[2])


def test_the_global_state_comes_back_after_an_error_too():
    objective = Vector()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match="one number"):
        fit(objective, (X, Y), seed=0)
    assert torch.equal(state, torch.get_rng_state())


def test_lbfgs_sees_the_same_random_numbers_in_every_evaluation():
    seen = []

    class Recording(Squares):
        def forward(self, batch):
            seen.append(torch.rand(()).item())
            return super().forward(batch)

    objective = Recording()
    lbfgs = lambda p: torch.optim.LBFGS(p, max_iter=5, line_search_fn="strong_wolfe")  # noqa: E731
    history = fit(objective, (X, Y), optimizer=lbfgs, epochs=2, batch_size=40, seed=0)
    assert len(seen) > 4
    assert len(set(seen)) == 2  # one per step
    assert history.loss[-1] < history.loss[0]
    assert objective.network.weight.item() == pytest.approx(2.0, abs=1e-3)


def test_lbfgs_trains_an_elbo_with_common_random_numbers():
    objective = Squares(noise=0.5)
    fit(objective, (X, Y), optimizer=torch.optim.LBFGS, epochs=3, batch_size=40, seed=0)
    assert objective.network.weight.item() == pytest.approx(2.0, abs=0.5)


# ------------------------------------------------------------------ optimizers


def test_several_optimizers_by_pattern_lbfgs_among_them():
    objective = Squares()
    split = {"*.weight": torch.optim.LBFGS, "*.bias": sgd}
    history = fit(objective, (X, Y), optimizer=split, epochs=30, batch_size=40, seed=0)
    assert history.loss[-1] < 1e-3 * history.loss[0]


def test_an_optimizer_instance_keeps_its_state_over_two_calls():
    objective = Squares()
    adam = torch.optim.Adam(objective.parameters(), 0.01)
    fit(objective, (X, Y), optimizer=adam, epochs=1, batch_size=20)
    fit(objective, (X, Y), optimizer=adam, epochs=1, batch_size=20)
    assert adam.state[objective.network.weight]["step"].item() == 4


def test_errors_about_coverage_come_before_any_training():
    objective = Squares()
    before = numbers(objective)
    with pytest.raises(ValueError, match=r"no optimizer trains 'network\.bias'"):
        fit(objective, (X, Y), optimizer=torch.optim.SGD([objective.network.weight], 0.1))
    assert same(before, numbers(objective))


# ------------------------------------------------------------------------ data


def joint_frame():
    return pd.DataFrame({"A": X.squeeze(-1).numpy(), "B": Y.numpy()})


class Columns(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.0))

    def forward(self, batch):
        return (batch["B"] - self.slope * batch["A"]).square().mean()


@pytest.mark.parametrize(
    "data",
    [
        {"A": X.squeeze(-1).float(), "B": Y.float()},
        {"A": X.squeeze(-1).numpy(), "B": Y.numpy()},
        {"A": X.squeeze(-1).tolist(), "B": Y.tolist()},
        joint_frame(),
        joint_frame().astype("float32"),
    ],
)
def test_named_columns(data):
    objective = Columns()
    history = fit(objective, data, optimizer=sgd, epochs=30, batch_size=20, seed=0, validation=data)
    assert objective.slope.item() == pytest.approx(2.0, abs=0.1)
    assert objective.slope.dtype == torch.float32
    assert len(history.validation) == 30


def test_all_kinds_of_positional_data_train_alike():
    results = []
    for data in (
        (X, Y),
        [X, Y],
        (X.numpy(), Y.numpy()),
        TensorDataset(X, Y),
        torch.utils.data.Subset(TensorDataset(X, Y), range(40)),
    ):
        objective = Squares()
        fit(objective, data, epochs=2, batch_size=16, seed=0)
        results.append(numbers(objective))
    assert all(same(results[0], result) for result in results)


def test_datasets_and_loaders():
    pairs = [(x, y) for x, y in zip(X, Y, strict=True)]
    for data in (pairs_dataset(pairs), DataLoader(TensorDataset(X, Y), batch_size=16)):
        objective = Squares()
        history = fit(objective, data, optimizer=sgd, epochs=20, batch_size=16, seed=0)
        assert history.loss[-1] < 0.01
        again = Squares()
        fit(again, data, optimizer=sgd, epochs=20, batch_size=16, seed=0)
        assert same(numbers(objective), numbers(again))


def pairs_dataset(pairs):
    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(pairs)

        def __getitem__(self, index):
            return pairs[index]

    return Pairs()


def test_streams_of_unknown_length():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(zip(X, Y, strict=True))

    objective = Squares()
    history = fit(objective, Stream(), optimizer=sgd, epochs=20, batch_size=8, seed=0)
    assert history.loss[-1] < 0.01


def test_a_single_tensor_is_the_batch():
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = nn.Parameter(torch.zeros(1, dtype=torch.float64))

        def forward(self, batch):
            assert isinstance(batch, torch.Tensor)
            return (batch - self.mean).square().mean()

    objective = Mean()
    fit(objective, Y, optimizer=sgd, epochs=50, seed=0)
    assert objective.mean.item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ((X[:0], Y[:0]), ValueError, "data has no rows"),
        ((), ValueError, "empty tuple"),
        ({}, ValueError, "no columns"),
        ((X, Y[:-1]), ValueError, "x has 40 rows, y has 39"),
        ((X.index_fill(0, torch.tensor([3]), math.nan), Y), ValueError, "x is NaN in row 3"),
        ((X, Y.index_fill(0, torch.tensor([5]), math.nan)), ValueError, "y is NaN in row 5"),
        ({"A": Y, "B": Y[:-1]}, ValueError, "column 'A' has 40 rows, column 'B' has 39"),
        ({"A": Y, "B": torch.zeros(40)}, ValueError, r"column 'B' is constant \(0.0\)"),
        ({"A": Y, "W": torch.cat([X, X * 0 + 1], 1)}, ValueError, r"column 'W\[1\]' is constant"),
        (pd.DataFrame({"A": [1.0, np.nan], "B": [1, 2]}), ValueError, "'A' is NaN in row 1"),
        (pd.DataFrame({"A": [1, 2], "B": ["x", "y"]}), TypeError, "column 'B' has dtype"),
        ({"A": np.array(["x", "y"])}, TypeError, "column 'A' has dtype <U1, which is not numeric"),
        ("text", TypeError, "got str"),
        (pairs_dataset([]), ValueError, "data has no rows"),
    ],
)
def test_bad_data_is_named_at_the_start(data, kind, message):
    objective = Squares()
    before = numbers(objective)
    with pytest.raises(kind, match=message):
        fit(objective, data)
    assert same(before, numbers(objective))


def test_bad_validation_is_named_as_such():
    with pytest.raises(ValueError, match="validation: lengths differ"):
        fit(Squares(), (X, Y), validation=(X, Y[:3]))


# ---------------------------------------------------------------- bad objectives


class Vector(Squares):
    def forward(self, batch):
        return self.network(batch[0]).squeeze(-1)


class Complex(Squares):
    def forward(self, batch):
        return super().forward(batch) * 1j


class Detached(Squares):
    def forward(self, batch):
        return super().forward(batch).detach()


class Number(Squares):
    def forward(self, batch):
        return super().forward(batch).item()


class BadPart(Squares):
    def forward(self, batch):
        return Loss(super().forward(batch), {"rows": batch[1]})


class Fickle(Squares):
    calls = 0

    def forward(self, batch):
        self.calls += 1
        loss = super().forward(batch)
        return Loss(loss, {f"part{self.calls}": loss})


@pytest.mark.parametrize(
    ("objective", "kind", "message"),
    [
        (Vector(), ValueError, r"shape \(40,\): a loss is one number"),
        (Complex(), TypeError, "complex128: a loss is a real"),
        (Detached(), ValueError, "does not depend on its trainable parameters"),
        (Number(), TypeError, "got float"),
        (BadPart(), TypeError, "part 'rows'"),
        (Fickle(), ValueError, r"had the parts \('part1',\) and now \('part2',\)"),
        (nn.Identity(), ValueError, "Identity has no trainable parameter"),
        (Squares().requires_grad_(False), ValueError, "no trainable parameter"),
    ],
)
def test_bad_objectives(objective, kind, message):
    with pytest.raises(kind, match=message):
        fit(objective, (X, Y))


@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_bad_counts(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1: 0"):
        fit(Squares(), (X, Y), **{name: 0})


def test_bad_callback():
    class Wrong:
        pass

    with pytest.raises(TypeError, match="allback"):
        fit(Squares(), (X, Y), callbacks=[Wrong()])


# --------------------------------------------------------------------- NaN guard


class Planted(Squares):
    """Goes wrong at one call."""

    def __init__(self, how, at=5):
        torch.manual_seed(5)
        super().__init__(
            nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1), nn.Linear(1, 1)).double()
        )
        self.how, self.at, self.calls = how, at, 0
        self.good = None

    def forward(self, batch):
        self.calls += 1
        if self.calls == self.at:
            self.good = numbers(self)
        loss = super().forward(batch)
        if self.calls < self.at:
            return Loss(loss, {"fit": loss, "other": loss * 0})
        if self.how == "part":
            return Loss(loss, {"fit": loss, "other": loss * math.inf})
        if self.how == "total":
            return Loss(loss * math.nan, {"fit": loss, "other": loss * 0})
        if self.how == "gradient":
            root = (self.network[2].bias * 0).square().sum().sqrt()
            return Loss(loss + root, {"fit": loss, "other": loss * 0})
        with torch.no_grad():
            self.network[0].weight.fill_(math.nan)
        return Loss(super().forward(batch), {"fit": loss, "other": loss * 0})


@pytest.mark.parametrize(
    ("how", "part"),
    [
        ("part", "part 'other' of the loss"),
        ("total", "the loss"),
        ("gradient", "the gradient of parameter 'network.2.bias'"),
        ("parameter", "parameter 'network.0.weight'"),
    ],
)
def test_a_bad_number_stops_names_and_restores(how, part):
    objective = Planted(how)
    before = numbers(objective)
    optimizer = torch.optim.Adam(objective.parameters(), 0.1)
    with pytest.raises(NonFiniteError, match=r"epoch 2, step 5") as caught:
        fit(objective, (X, Y), optimizer=optimizer, epochs=3, batch_size=10, seed=0)
    assert caught.value.part == part
    assert (caught.value.epoch, caught.value.step) == (2, 5)
    after = numbers(objective)
    assert all(number.isfinite().all() for number in after)
    assert not same(before, after)
    # the state in which the fourth step found everything finite
    assert optimizer.state[objective.network[0].weight]["step"].item() == 3
    twin = Planted(how, at=10**6)
    with pytest.raises(StopIteration):
        fit(twin, (X, Y), optimizer=lambda p: torch.optim.Adam(p, 0.1), batch_size=10, seed=0,
            callbacks=[StopAfter(twin, 3)])  # fmt: skip
    parameters = zip(objective.parameters(), twin.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in parameters)


class StopAfter:
    def __init__(self, objective, steps):
        self.steps = steps

    def on_step_end(self, state):
        if state.step == self.steps:
            raise StopIteration

    def on_epoch_end(self, state):
        return None


def test_a_diverging_training_keeps_finite_parameters():
    objective = Squares()
    with pytest.raises(NonFiniteError):
        fit(objective, (X, Y), optimizer=lambda p: torch.optim.SGD(p, 1e200), epochs=10)
    assert all(number.isfinite().all() for number in numbers(objective))
    assert math.isfinite(objective((X, Y)).item())


def test_the_row_of_a_bad_batch_is_the_row_in_the_data():
    x = X.clone()
    x[17] = math.inf
    with pytest.raises(NonFiniteError, match="x, row 17 is not finite"):
        fit(Squares(), (x, Y), batch_size=8, seed=0)


def test_a_nan_from_a_loader_is_found():
    y = Y.clone()
    y[3] = math.nan
    with pytest.raises(NonFiniteError, match="y, row 3 is not finite"):
        fit(Squares(), DataLoader(TensorDataset(X, y), batch_size=8))


def test_a_distribution_that_refuses_nan_is_understood():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_scale = nn.Parameter(torch.zeros((), dtype=torch.float64))

        def forward(self, batch):
            law = dist.Normal(0.0, self.log_scale.exp(), validate_args=True)
            return -law.log_prob(batch).mean()

    objective = Scale()
    with pytest.raises(NonFiniteError) as caught:
        fit(objective, Y, optimizer=lambda p: torch.optim.SGD(p, math.nan), batch_size=8)
    assert caught.value.part == "parameter 'log_scale'"
    assert caught.value.__cause__ is not None
    assert objective.log_scale.item() == 0.0


def test_lbfgs_is_guarded():
    objective = Planted("total")
    with pytest.raises(NonFiniteError, match="the loss is not finite"):
        fit(objective, (X, Y), optimizer=torch.optim.LBFGS, epochs=3)
    assert all(number.isfinite().all() for number in numbers(objective))


def test_large_but_finite_gradients_are_no_error():
    class Large(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4))

        def forward(self, batch):
            return (self.weight * 3e38).mean() + (self.weight * 2e38).sum()

    fit(Large(), Y, optimizer=lambda p: torch.optim.SGD(p, 1e-40), epochs=1)


# -------------------------------------------------------------------- callbacks


def test_early_stopping_brings_the_best_back():
    objective = Squares(noise=0.0)
    losses = iter([3.0, 1.0, 2.0, 2.0, 2.0])

    class Told(Squares):
        def forward(self, batch):
            loss = super().forward(batch)
            return loss if self.training else loss * 0 + next(losses)

    objective = Told()
    stop = EarlyStopping(patience=2)
    kept = []

    class Keep:
        def on_epoch_end(self, state):
            kept.append(numbers(state.objective))

    history = fit(objective, (X, Y), epochs=9, validation=(X, Y), callbacks=[Keep(), stop], seed=0)
    assert history.epochs == (1, 2, 3, 4)
    assert history.validation == (3.0, 1.0, 2.0, 2.0)
    assert (stop.best, stop.best_epoch) == (1.0, 2)
    assert same(numbers(objective), kept[1])


@pytest.mark.parametrize(("every", "steps"), [("epoch", 3), ("step", 12)])
def test_schedules(every, steps):
    objective = Squares()
    optimizer = torch.optim.SGD(objective.parameters(), 1.0)
    schedule = Schedule(lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.5), every=every)
    fit(objective, (X, Y), optimizer=optimizer, epochs=3, batch_size=10, callbacks=[schedule])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5**steps)


# ------------------------------------------------------------- modes, bars, runtime


def test_training_modes_come_back_part_by_part():
    seen = []

    class Watching(Squares):
        def forward(self, batch):
            seen.append((self.training, self.network[1].training))
            return super().forward(batch)

    network = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.0), nn.Linear(1, 1)).double()
    objective = Watching(network).eval()
    objective.network[2].train()
    fit(objective, (X, Y), epochs=1, validation=(X, Y))
    assert seen == [(True, True), (False, False)]
    assert [m.training for m in objective.modules()] == [False, False, False, False, True]


def test_nothing_is_printed_where_there_is_no_terminal(capfd):
    fit(Squares(), (X, Y), epochs=1)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_the_bar_shows_the_loss_and_its_parts(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    fit(Squares(parts=True), (X, Y), epochs=2, validation=(X, Y))
    assert "epoch 2/2, loss" in screen.getvalue()
    assert "fit" in screen.getvalue()
    assert "validation" in screen.getvalue()
    screen.truncate(0)
    fit(Squares(), (X, Y), epochs=1, progress=False)
    assert not screen.getvalue().strip("\0")


def test_fit_changes_no_global_settings():
    dtype, threads, filters = (
        torch.get_default_dtype(),
        torch.get_num_threads(),
        list(warnings.filters),
    )
    grad = torch.is_grad_enabled()
    fit(Squares(), (X, Y), epochs=1)
    assert dtype == torch.get_default_dtype()
    assert threads == torch.get_num_threads()
    assert filters == list(warnings.filters)
    assert grad == torch.is_grad_enabled()


def test_fabric_is_not_loaded_unless_asked_for():
    code = """
import sys, torch
from hybrid.training.runtime import Runtime
from hybrid.training.trainer import fit
class Distance(torch.nn.Linear):
    def forward(self, batch):
        return super().forward(batch).square().mean()
fit(Distance(1, 1), torch.ones(4, 1), epochs=1)
fit(Distance(1, 1), torch.ones(4, 1), epochs=1, runtime=Runtime())
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"lightning_fabric", "lightning", "lightning_utilities"}, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------ objectives of the library


def test_every_objective_of_the_library_trains():
    class Line(nn.Module):
        event_shape, support = torch.Size(), dist.constraints.real

        def __init__(self):
            super().__init__()
            self.body = nn.Linear(1, 1)

        def forward(self, context):
            return dist.Normal(self.body(context).squeeze(-1), 1.0)

    history = fit(ELBO(Line(), data_size=40), (X, Y), optimizer=sgd, epochs=40, seed=0)
    assert history.loss[-1] < history.loss[0]
    assert sorted(history.parts) == ["divergence", "likelihood"]

    def model(batch):
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        with pyro.plate("rows", len(batch)):
            pyro.sample("y", dist.Normal(mean, 1.0), obs=batch)

    objective = Pyro(model, pyro.infer.autoguide.AutoNormal(model), example=Y)
    history = fit(objective, Y, optimizer=lambda p: torch.optim.Adam(p, 0.05), epochs=60, seed=0)
    assert history.loss[-1] < history.loss[0]
    (location,) = (p for n, p in objective.named_parameters() if "locs" in n)
    assert location.item() == pytest.approx(0.5, abs=0.15)


def test_the_last_update_is_looked_at():
    objective = Squares()
    before = objective.network.weight.clone()
    with pytest.raises(NonFiniteError, match=r"parameter 'network.weight' is not finite \(epoch 1"):
        fit(objective, (X, Y), optimizer=lambda p: torch.optim.SGD(p, math.inf), epochs=1)
    assert torch.equal(objective.network.weight, before)
    assert objective.network.weight.grad is None


def test_buffers_survive_a_bad_first_batch():
    network = nn.Sequential(nn.BatchNorm1d(1), nn.Linear(1, 1)).double()
    with pytest.raises(NonFiniteError, match="x, row"):
        fit(Squares(network), (torch.full_like(X, math.inf), Y))
    assert network[0].running_mean.tolist() == [0.0]


def test_a_validation_loss_that_is_not_finite_stops():
    class Bad(Squares):
        def forward(self, batch):
            return super().forward(batch) * (1.0 if self.training else math.nan)

    with pytest.raises(NonFiniteError, match="validation: the loss is not finite"):
        fit(Bad(), (X, Y), validation=(X, Y))


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"seed": 1.5}, "seed"),
        ({"runtime": 3}, "runtime"),
        ({"callbacks": EarlyStopping()}, "callbacks"),
        ({"epochs": 1.0}, "epochs"),
    ],
)
def test_wrong_settings_are_named(more, name):
    with pytest.raises(TypeError, match=name):
        fit(Squares(), (X, Y), **more)


def test_numpy_integers_are_whole_numbers():
    history = fit(Squares(), (X, Y), epochs=np.int64(2), batch_size=np.int32(8), seed=np.int64(3))
    assert len(history) == 2


COMPILED = """
import pennylane as qml, torch, hybrid, quantum

def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(2))
    qml.BasicEntanglerLayers(weights, wires=range(2))
    return [qml.expval(qml.Z(wire)) for wire in range(2)]

def objective():
    torch.manual_seed(0)
    layer = quantum.CircuitLayer(circuit, {"weights": (1, 2)}, in_features=2)
    body = torch.nn.Sequential(torch.nn.Linear(1, 2), layer)
    return hybrid.objectives.ELBO(hybrid.heads.Normal(body, features=2), data_size=40).double()

x = torch.linspace(-1, 1, 40, dtype=torch.float64).unsqueeze(-1)
plain, compiled = objective(), objective()
for trained in (plain, torch.compile(compiled, backend="aot_eager")):
    hybrid.fit(trained, (x, x.squeeze(-1)), epochs=2, batch_size=20, seed=0, progress=False)
for one, two in zip(plain.parameters(), compiled.parameters(), strict=True):
    torch.testing.assert_close(one, two)
"""


def test_a_compiled_objective_with_a_circuit_trains_as_the_eager_one():
    """In a process of its own: the run-time checks of the tests do not go through a compiler."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
