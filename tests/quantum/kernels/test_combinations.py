"""Angles that the kernel computes itself, against the same angles computed in PyTorch."""

import math

import pennylane as qml
import pytest
import torch
from torch.func import functional_call, hessian

from quantum.kernels.combinations import Combination, Factor, Source, combinations
from quantum.kernels.library import load
from quantum.layer import CircuitLayer
from quantum.tracing.recorder import record

needs_kernel = pytest.mark.skipif(load() is None, reason="there is no compiled kernel here")
CLOSE = {"rtol": 0, "atol": 1e-10}


def arithmetic(x, w):
    """Angles of every kind: affine, products of inputs, of weights, of both, powers, sums."""
    return [
        2.0 * (math.pi - x[..., 0]) * (math.pi - x[..., 1]),
        w[0] * x[..., 1] + 0.3,
        w[0] * w[1] - w[2],
        (x[..., 0] + w[1]) ** 2 / 3.0,
        -(x[..., 0] * x[..., 1] * w[2]) * 0.5,
        1.0 - (x * w[:2]).sum(-1),
        w[1] ** 3,
        torch.stack([w[0], w[2]]).sum() + (w[:2] * 0.7)[1],
        (x[..., 0] - w[0]) * (x[..., 1] + w[0] + 1.0) * 0.25 + x[..., 0] - 0.1,
    ]


def circuit(inputs, weights):
    angles = arithmetic(inputs, weights)
    for wire in range(3):
        qml.RY(angles[wire], wires=wire)
    qml.CNOT(wires=[0, 1])
    qml.RZ(angles[3], wires=1)
    qml.CRX(angles[4], wires=[1, 2])
    qml.IsingZZ(angles[5], wires=[0, 2])
    qml.RX(angles[6], wires=0)
    qml.IsingXX(angles[7], wires=[1, 2])
    qml.PhaseShift(angles[8], wires=2)
    qml.Hadamard(2)
    return [
        qml.expval(qml.Z(0)),
        qml.expval(0.5 * qml.Z(2) + 2.0 * qml.X(1) @ qml.Z(2)),
        qml.expval(qml.Y(1)),
    ]


def layers(dtype=torch.float64):
    made = CircuitLayer(circuit, {"weights": (3,)}, in_features=2)
    plain = CircuitLayer(circuit, {"weights": (3,)}, in_features=2, gradient="backprop")
    plain.load_state_dict(made.state_dict())
    return made.to(dtype), plain.to(dtype)


@needs_kernel
def test_nothing_is_left_to_pytorch():
    layer, _ = layers()
    assert layer.engine == "kernel"
    kernel = layer._evaluator.kernel
    assert kernel.direct
    assert kernel.simple


@needs_kernel
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize(
    ("rows", "draws"),
    [((), ()), ((1,), ()), ((3,), ()), ((16,), ()), ((257,), ()), ((4, 5), ()), ((6,), (3, 1))],
)
def test_values_and_gradients(rows, draws, dtype, atol):
    layer, plain = layers(dtype)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*rows, 2, generator=generator, dtype=torch.float64)
    w = torch.randn(*draws, 3, generator=generator, dtype=torch.float64)
    found = []
    for of, kind in ((layer, dtype), (plain.double(), torch.float64)):
        inputs, weights = x.to(kind).requires_grad_(), w.to(kind).requires_grad_()
        answer = functional_call(of, {"weights": weights}, (inputs,))
        cotangent = torch.linspace(-1, 2, answer.numel(), dtype=kind).reshape(answer.shape)
        gradients = torch.autograd.grad((answer * cotangent).sum(), [inputs, weights])
        found.append([answer, *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=atol, atol=atol)


@needs_kernel
def test_second_derivatives_come_from_the_reference():
    layer, plain = layers()
    x = torch.tensor([0.4, -1.3], dtype=torch.float64)
    w = layer.weights.detach()

    def score(of):
        return lambda w, x: functional_call(of, {"weights": w}, (x,)).square().sum()

    torch.testing.assert_close(
        hessian(score(layer), argnums=(0, 1))(w, x),
        hessian(score(plain), argnums=(0, 1))(w, x),
        **CLOSE,
    )


@needs_kernel
def test_an_angle_that_is_computed_in_pytorch_beside_others():
    def mixed(inputs, weights):
        qml.RX(torch.sin(inputs[..., 0]) * weights[0], wires=0)
        qml.RY(weights[0] * inputs[..., 1], wires=0)
        return qml.expval(qml.Z(0))

    found = []
    for gradient in ("auto", "backprop"):
        layer = CircuitLayer(mixed, {"weights": (1,)}, gradient=gradient, init=torch.nn.init.ones_)
        layer.double()
        x = torch.tensor([[0.3, 0.4], [1.0, -2.0]], dtype=torch.float64, requires_grad=True)
        first = torch.autograd.grad(layer(x).sum(), x, create_graph=True)[0]
        second = torch.autograd.grad(first.square().sum(), [x, layer.weights])
        found.append([layer(x), first, *second])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_combinations_have_the_values_of_what_was_recorded():
    recording = record(arithmetic, [(2,), (3,)])
    x, w = torch.tensor([0.7, -0.2]).double(), torch.tensor([0.5, 1.5, -2.0]).double()
    expected = recording.replay([x, w])
    found = combinations(recording)
    computed = {slot for group in recording.groups for slot in group.slots}
    assert set(found) == computed

    def entry(source):
        return float((x, w)[source.array][source.position])

    def value(item):
        if isinstance(item, Source):
            return entry(item)
        return math.prod(f.constant + sum(c * entry(s) for s, c in f.terms) for f in item)

    for slot, combination in found.items():
        total = combination.constant + sum(c * value(item) for item, c in combination.terms)
        assert total == pytest.approx(float(expected[slot]), abs=1e-12)


def test_what_is_no_combination_is_left_out():
    recording = record(
        lambda x, w: [x[0].sin(), x[0] / w[0], x[0].detach() * 2, (x * w).prod(), x[0].abs()],
        [(2,), (2,)],
    )
    assert combinations(recording) == {}


def test_products_that_grow_are_none():
    x = Combination(0.0, ((Source(0, 0), 1.0),))
    assert (x * x * x * x) * x is None
    total = x * x + x
    assert total * x is None
    assert (x * 3.0 + Combination(1.0)) * x == Combination(
        0.0,
        (
            (
                (Factor(0.0, ((Source(0, 0), 1.0),)), Factor(1.0, ((Source(0, 0), 3.0),))),
                1.0,
            ),
        ),
    )
