"""Trainings that are interrupted and resumed, in one process; killed ones are in test_killed."""

import signal

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR, OneCycleLR, ReduceLROnPlateau
from torch.utils.data import DataLoader, Dataset, IterableDataset

from hybrid.storage.archive import CheckpointError
from hybrid.storage.checkpoint import load, save
from hybrid.training.averaging import Average
from hybrid.training.callbacks import EarlyStopping, Schedule
from hybrid.training.runtime import Checkpoints, Runtime
from hybrid.training.schedules import warm_up
from hybrid.training.trainer import fit

X = torch.linspace(-1, 1, 22).unsqueeze(-1)
Y = 2 * X.squeeze(-1) + 0.5


class Noisy(nn.Module):
    """Random, with buffers that change: persistent ones, left-out ones, and one that grows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.network = nn.Sequential(nn.Linear(1, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.register_buffer("calls", torch.zeros(()), persistent=False)
        self.register_buffer("seen", torch.zeros(0), persistent=False)

    def forward(self, batch):
        x, y = batch
        self.calls += 1
        self.seen = torch.cat((self.seen, x.mean().detach().reshape(1)))
        found = self.network(x).squeeze(-1) + 0.1 * torch.randn(len(x))
        return (found - y).square().mean() + 1e-3 * self.calls * self.network[0].weight.sum()


class Rows(Dataset):
    """Rows with noise from the global random state."""

    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index] + 0.1 * torch.randn(1), Y[index]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


class StopAt:
    """Ends the training as a kill would, after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, state):
        if state.step == self.step:
            raise StopIteration

    def on_epoch_end(self, state):
        return None


def adam(parameters):
    return torch.optim.Adam(parameters, 0.02)


def lbfgs(parameters):
    return torch.optim.LBFGS(parameters, 0.1, max_iter=3)


def both(objective, history):
    state = [*objective.state_dict().values(), objective.calls, objective.seen]
    return state, (history.loss, history.parts, history.validation, history.epochs)


def run(folder=None, resume=False, stop=None, make=list, data=lambda: (X, Y), steps=2, **more):
    objective = Noisy()
    keep = None if folder is None else Checkpoints(folder, steps=steps)
    callbacks = [*make(), *([] if stop is None else [StopAt(stop)])]
    settings = {"optimizer": adam, "epochs": 4, "batch_size": 5, "seed": 1, "progress": False}
    history = fit(
        objective, data(), callbacks=callbacks, validation=(X[:7], Y[:7]),
        runtime=Runtime(checkpoint=keep, resume=resume), **{**settings, **more},
    )  # fmt: skip
    return both(objective, history)


def identical(first, second):
    assert first[1] == second[1]
    for one, two in zip(first[0], second[0], strict=True):
        assert torch.equal(one, two)


def check(folder, stop, **more):
    whole = run(**more)
    with pytest.raises(StopIteration):
        run(folder, stop=stop, **more)
    torch.rand(7)  # what the next process's random state is does not matter
    identical(run(folder, resume=True, **more), whole)


@pytest.mark.parametrize("stop", [1, 5, 11, 20])
def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(tmp_path, stop):
    check(tmp_path, stop)


@pytest.mark.parametrize("steps", [None, 3])
def test_whenever_checkpoints_are_kept(tmp_path, steps):
    check(tmp_path, 13, steps=steps)


@pytest.mark.parametrize(
    "optimizer",
    [
        lbfgs,
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        {"*.0.*": lbfgs, "*.[12].*": adam},
    ],
)
def test_any_optimizer(tmp_path, optimizer):
    check(tmp_path, 7, optimizer=optimizer)


@pytest.mark.parametrize("accumulate", [3])
def test_with_accumulation(tmp_path, accumulate):
    check(tmp_path, 5, accumulate=accumulate)


@pytest.mark.parametrize(
    "data",
    [
        Rows,
        Stream,
        lambda: DataLoader(Rows(), 5, shuffle=True),
        lambda: DataLoader(Rows(), 5, shuffle=True, generator=torch.Generator().manual_seed(9)),
    ],
    ids=["Dataset", "stream", "loader", "loader with a generator"],
)
@pytest.mark.parametrize("stop", [12])
def test_the_order_of_any_data(tmp_path, data, stop):
    check(tmp_path, stop, data=data)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [EarlyStopping(1)],
        lambda: [Schedule(lambda o: CosineAnnealingLR(o, 30), every="step")],
        lambda: [Schedule(warm_up(7, lambda o: CosineAnnealingLR(o, 9)), every="step")],
        lambda: [Schedule(lambda o: MultiStepLR(o, [1, 2]))],
        lambda: [Schedule(lambda o: ReduceLROnPlateau(o, patience=0))],
        lambda: [Schedule(lambda o: OneCycleLR(o, 0.1, total_steps=30), every="step")],
        lambda: [Average(0.9), EarlyStopping(9)],
        lambda: [Average(None, after=1)],
    ],
)
def test_callbacks_go_on(tmp_path, make):
    check(tmp_path, 13, make=make)


def test_without_a_seed_the_global_state_goes_on(tmp_path):
    torch.manual_seed(8)
    whole = run(seed=None)
    torch.manual_seed(8)
    with pytest.raises(StopIteration):
        run(tmp_path, stop=8, seed=None)
    identical(run(tmp_path, resume=True, seed=None), whole)


def test_keeping_checkpoints_changes_nothing(tmp_path):
    identical(run(tmp_path), run())


def test_a_finished_training_resumes_to_its_end_or_goes_on(tmp_path):
    whole = run(tmp_path)
    identical(run(tmp_path, resume=True), whole)
    identical(run(tmp_path, resume=True, epochs=6), run(epochs=6))


def test_a_training_that_was_stopped_early_stays_stopped(tmp_path):
    make = lambda: [EarlyStopping(1, minimum_change=10.0)]  # noqa: E731
    whole = run(tmp_path, make=make)
    assert whole[1][3] == (1, 2)
    identical(run(tmp_path, resume=True, make=make), whole)


def test_a_checkpoint_is_a_saved_module_and_the_best_one_too(tmp_path):
    state, (_, _, validation, _) = run(tmp_path)
    last, best = Noisy(), Noisy()
    load(sorted(tmp_path.glob("step-*"))[-1], into=last)
    load(tmp_path / "best", into=best)
    saved = zip(last.state_dict().values(), state, strict=False)
    assert all(torch.equal(one, two) for one, two in saved)
    same = torch.equal(best.network[0].weight, last.network[0].weight)
    assert same == (min(validation) == validation[-1])


def test_going_on_elsewhere_from_a_named_checkpoint(tmp_path):
    whole = run(tmp_path / "a", steps=None)
    second = tmp_path / "a" / "step-00000010"
    identical(run(tmp_path / "b", resume=second), whole)
    identical(run(resume=str(second)), whole)
    identical(run(tmp_path / "a", resume=second), whole)


# ------------------------------------------------------------------- interrupted


class Press:
    """Presses Ctrl-C, or sends another signal, within a step."""

    def __init__(self, step, number=signal.SIGINT):
        self.step, self.number = step, number

    def on_gradients(self, state):
        if state.step == self.step:
            signal.raise_signal(self.number)

    def on_epoch_end(self, state):
        return None


@pytest.fixture
def _listening():
    """Ctrl-C as in a terminal: a process that was started in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_listening")
@pytest.mark.parametrize("step", [0, 4])
def test_ctrl_c_finishes_the_step_keeps_it_and_resumes(tmp_path, step):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, make=lambda: [Press(step)], steps=None)
    assert signal.getsignal(signal.SIGINT) is before
    assert (tmp_path / f"step-{step + 1:08d}").is_dir()
    identical(run(tmp_path, resume=True, steps=None), run())


def test_a_handler_that_lets_the_process_live_still_ends_the_training(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append(1))
    try:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, make=lambda: [Press(3, signal.SIGTERM)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [1]
    identical(run(tmp_path, resume=True), run())


# ------------------------------------------------------------------------ errors


def test_another_training_is_refused_by_what_differs(tmp_path):
    run(tmp_path)
    with pytest.raises(CheckpointError, match=r"had seed = 1, this one has 2"):
        run(tmp_path, resume=True, seed=2)
    with pytest.raises(CheckpointError, match=r"had batch_size = 5, this one has 6"):
        run(tmp_path, resume=True, batch_size=6, epochs=9)
    with pytest.raises(CheckpointError, match=r"had callbacks \[\] with a state"):
        run(tmp_path, resume=True, make=lambda: [EarlyStopping()])
    with pytest.raises(CheckpointError, match=r"optimizer is a torch.*Adam, this one a .*SGD"):
        run(tmp_path, resume=True, optimizer=lambda p: torch.optim.SGD(p, 0.1))
    with pytest.raises(CheckpointError, match="had 1 optimizers, this one has 2"):
        run(tmp_path / "b", resume=tmp_path, optimizer={"*.0.*": adam, "*.[12].*": adam}, epochs=5)


def test_a_module_is_no_training(tmp_path):
    save(Noisy(), tmp_path / "step-00000001")
    with pytest.raises(CheckpointError, match="a module, not a training"):
        run(resume=tmp_path)


def test_a_callback_with_a_state_that_is_no_data(tmp_path):
    class Odd(StopAt):
        def state_dict(self):
            return {"made": object()}

        def load_state_dict(self, state):
            return None

    with pytest.raises(CheckpointError, match=r"callback\.0\.made is a object"):
        run(tmp_path, make=lambda: [Odd(99)])
