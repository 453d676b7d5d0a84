import subprocess
import sys

import pytest
import torch

from hybrid.training.runtime import Runtime, device_of, dtype_of, fabric_of
from hybrid.training.trainer import fit

CPU = torch.device("cpu")


class Distance(torch.nn.Linear):
    seen: tuple = ()

    def forward(self, batch):
        x, y = batch
        found = super().forward(x)
        self.seen = (x.dtype, found.dtype)
        return (found.squeeze(-1) - y).square().mean()


def data():
    x = torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    return x, 2 * x.squeeze(-1)


def train(runtime, **more):
    torch.manual_seed(3)
    objective = Distance(1, 1)
    sgd = lambda p: torch.optim.SGD(p, 0.1)  # noqa: E731
    fit(objective, data(), optimizer=sgd, epochs=10, seed=0, runtime=runtime, **more)
    return objective


def test_one_device_by_fabric_is_plain_torch():
    plain, fabric = train(None), train(Runtime(devices=1))
    assert torch.equal(plain.weight, fabric.weight)
    assert type(fabric) is Distance


def test_precision():
    mixed = train(Runtime(precision="bf16-mixed"))
    assert mixed.seen == (torch.float32, torch.bfloat16)
    assert mixed.weight.dtype == torch.float32
    assert mixed.weight.item() == pytest.approx(train(None).weight.item(), abs=0.05)


def test_lbfgs_and_validation_through_fabric():
    torch.manual_seed(3)
    objective = Distance(1, 1)
    history = fit(
        objective,
        data(),
        optimizer=torch.optim.LBFGS,
        epochs=2,
        validation=data(),
        runtime=Runtime(devices=1),
    )
    assert history.validation[-1] < 1e-6


def test_true_precision_converts_the_objective():
    assert train(Runtime(precision="64-true")).seen == (torch.float64, torch.float64)


def test_half_precision_is_refused():
    with pytest.raises(ValueError, match="use 'bf16-mixed'"):
        train(Runtime(precision="16-mixed"))


def test_processes_are_not_started_behind_the_users_back(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ValueError, match="asks for 2 processes: start the script by torchrun"):
        fabric_of(Runtime(devices=2), CPU)


def test_fabric_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(ImportError, match=r"pip install \"borromean\[distributed\]\""):
        fabric_of(Runtime(devices=1), CPU)


def test_device_and_dtype_of_modules():
    assert device_of(torch.nn.Linear(1, 1)) == CPU
    assert device_of(torch.nn.Identity()) is None
    assert dtype_of(torch.nn.Linear(1, 1).double()) == torch.float64
    assert dtype_of(torch.nn.Identity()) == torch.float32


def test_fabric_leaves_the_warning_filters():
    code = """
import warnings
import pyro, torch  # their own imports add filters
from hybrid.training.runtime import Runtime, fabric_of
before = list(warnings.filters)
fabric_of(Runtime(devices=1), torch.device("cpu"))
assert warnings.filters == before, warnings.filters
"""
    subprocess.run([sys.executable, "-c", code], check=True)
