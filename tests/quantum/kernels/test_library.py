"""The kernel's library: it changes nothing of the process, and its absence is said once."""

import logging
import math
import os
import subprocess
import sys

import numpy as np
import pennylane as qml
import pytest
import torch

import quantum
from hybrid.doctor import examine
from quantum.kernels import executor, library, loading

SCRIPT = """
import ctypes, logging, sys
import numpy as np, torch, pennylane as qml, quantum
logging.basicConfig(level=logging.WARNING, stream=sys.stdout)
def circuit(x):
    qml.RX(x[0], wires=0)
    return qml.expval(qml.Z(0))
layer = quantum.CircuitLayer(circuit, {}, in_features=1)
layer(torch.zeros(3, 1)), quantum.CircuitLayer(circuit, {}, in_features=1)(torch.zeros(3, 1))
print("ENGINE", layer.engine)
tiny = np.float32(1e-40)
print("TINY", float(tiny * np.float32(1.0)) > 0, float(torch.tensor(1e-40) * 1) > 0)
print("NAN", np.isnan(np.float32("nan") + 1), layer(torch.full((1, 1), float("nan"))).isnan().all().item())
"""


def run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_subnormal_numbers_and_nan_survive_loading():
    out = run()
    assert "TINY True True" in out
    assert "NAN True True" in out


def test_the_kernel_can_be_switched_off():
    assert "ENGINE torch" in run(BORROMEAN_ENGINE="torch")


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(library, "_path", lambda name: None)
    library.load.cache_clear()
    yield
    monkeypatch.undo()
    library.load.cache_clear()


def circuit(x, w):
    qml.AngleEmbedding(x, wires=range(3))
    qml.StronglyEntanglingLayers(w, wires=range(3))
    return [qml.expval(qml.Z(0) @ qml.X(1)), qml.expval(qml.Y(2))]


def test_without_the_library_circuits_run_in_torch_and_it_is_said_once(absent, caplog):
    with caplog.at_level(logging.WARNING, logger="quantum"):
        layers = [quantum.CircuitLayer(circuit, {"w": (2, 3, 3)}, in_features=3) for _ in range(2)]
        answers = [layer(torch.zeros(2, 3)) for layer in layers]
    assert [layer.engine for layer in layers] == ["torch", "torch"]
    assert all(answer.isfinite().all() for answer in answers)
    assert sum("no compiled circuit kernel" in record.message for record in caplog.records) == 1
    assert "no compiled kernel" in examine().facts["circuit engine"]
    assert not library.available()


@pytest.mark.skipif(not library.available(), reason="no compiled kernel in this installation")
@pytest.mark.parametrize("name", loading.SETS)
def test_instruction_sets_agree(name):
    path = library._path(name)
    if path is None or not library._runs(name):
        assert name != "portable"
        return
    import ctypes

    from quantum.circuits.reading import capture
    from quantum.kernels.compiled import compiled
    from quantum.kernels.executor import Executor

    program = capture(circuit, {"x": (3,), "w": (2, 3, 3)})
    made = compiled(program)
    own = Executor(
        program,
        made,
        library.Circuit(library._declared(ctypes.CDLL(str(path))), made.code, made.reals),
    )
    x = torch.linspace(-1, 2, 51, dtype=torch.float64).reshape(17, 3).requires_grad_()
    w = torch.linspace(0, 5, 18, dtype=torch.float64).reshape(2, 3, 3).requires_grad_()
    first = torch.cat(own.run([x, w], torch.complex128, False), -1)
    second = torch.cat(executor.executor(program).run([x, w], torch.complex128, False), -1)
    torch.testing.assert_close(first, second, rtol=0, atol=1e-13)
    for a, b in zip(
        torch.autograd.grad(first.sum(), [x, w]),
        torch.autograd.grad(second.sum(), [x, w]),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_threads_give_the_same_answer():
    layer = quantum.CircuitLayer(circuit, {"w": (2, 3, 3)}, in_features=3)
    x = torch.randn(
        4096, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            answer = layer(x)
            found.append([answer, *torch.autograd.grad(answer.square().sum(), [x, layer.w])])
    finally:
        torch.set_num_threads(before)
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-10)


def test_angles_near_half_turns_keep_their_accuracy():
    def turns(x, w):
        for wire in range(4):
            qml.RY(x[wire], wires=wire)
        for layer in range(30):
            for wire in range(4):
                qml.RY(w[layer, wire], wires=wire)
                qml.CNOT(wires=[wire, (wire + 1) % 4])
        return [qml.expval(qml.Z(wire)) for wire in range(4)]

    layer = quantum.CircuitLayer(turns, {"w": (30, 4)}, in_features=4)
    twin = quantum.CircuitLayer(turns, {"w": (30, 4)}, in_features=4, gradient="backprop")
    for offset in (0.0, 1e-12, 1e-7, -1e-5):
        w = torch.full((30, 4), math.pi + offset)
        x = torch.rand(5, 4, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            layer.w.copy_(w)
            twin.w.copy_(w)
        torch.testing.assert_close(layer(x), twin(x), rtol=0, atol=1e-5)
        a, b = (
            torch.autograd.grad(layer(x).sum(), layer.w)[0],
            torch.autograd.grad(twin(x).sum(), twin.w)[0],
        )
        torch.testing.assert_close(a, b, rtol=0, atol=3e-5)


def test_drift_over_a_hundred_layers_in_single_precision():
    def deep(x, w):
        qml.AngleEmbedding(x, wires=range(6))
        qml.StronglyEntanglingLayers(w, wires=range(6))
        return [qml.expval(qml.Z(wire)) for wire in range(6)]

    layer = quantum.CircuitLayer(deep, {"w": (100, 6, 3)}, in_features=6)
    x = torch.rand(9, 6, generator=torch.Generator().manual_seed(2)).requires_grad_()
    wide = x.detach().double().requires_grad_()
    single = torch.autograd.grad(layer(x).sum(), [x, layer.w])
    layer.double()
    double = torch.autograd.grad(layer(wide).sum(), [wide, layer.w])
    for a, b in zip(single, double, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-4)


def test_arrays_that_are_not_contiguous_are_read_right():
    layer = quantum.CircuitLayer(circuit, {"w": (2, 3, 3)}, in_features=3)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 17))).T
    torch.testing.assert_close(layer(x), layer(x.contiguous()), rtol=0, atol=0)


def test_the_default_device_of_the_user_is_not_used():
    layer = quantum.CircuitLayer(circuit, {"w": (2, 3, 3)}, in_features=3)
    x = torch.rand(5, 3, generator=torch.Generator().manual_seed(3)).requires_grad_()
    expected = torch.autograd.grad(layer(x).sum(), x)[0]
    with torch.device("meta"):
        answer = layer(x)
        (gradient,) = torch.autograd.grad(answer, x, torch.ones(5, 2, device="cpu"))
    assert answer.device.type == "cpu"
    assert torch.equal(gradient, expected)
