"""A circuit as an opaque operator, and its derivatives of every order, whatever engine runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pennylane as qml
import pytest
import torch
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, vmap

from quantum.layer import CircuitLayer

pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


def circuit(inputs, weights):
    qml.AngleEmbedding(inputs, wires=range(3), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(3))
    return [qml.expval(qml.Z(0)), qml.expval(qml.X(1) @ qml.Y(2))]


def layers(**settings):
    made = CircuitLayer(circuit, {"weights": (2, 3, 3)}, in_features=3, **settings)
    plain = CircuitLayer(circuit, {"weights": (2, 3, 3)}, in_features=3, gradient="backprop")
    plain.load_state_dict(made.state_dict())
    return made.double(), plain.double()


def rows(*lead):
    return torch.randn(*lead, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


COMPILED = """
import copy, gc, pickle, sys
import torch
from test_evaluation import circuit, rows
from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix

def compiled(model):
    return torch.compile(model, fullgraph=True, backend="aot_eager")

for simulator in (None, DensityMatrix()):
    layer = CircuitLayer(circuit, {"weights": (2, 3, 3)}, in_features=3, simulator=simulator)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), layer, torch.nn.Linear(2, 1))
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(1))
    fast = compiled(model)
    found = [fast(x), *torch.autograd.grad(fast(x).sum(), model.parameters())]
    expected = [model(x), *torch.autograd.grad(model(x).sum(), model.parameters())]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)

x = rows(5).float()
expected, copied = layer(x), [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
del layer, model, fast
gc.collect()
for twin in copied:
    torch.testing.assert_close(compiled(twin)(x), expected)
print("COMPILED")
"""


def test_a_compiled_model_gives_the_same_values_and_gradients():
    # In a process of its own: the run-time type checks of these tests cannot be compiled.
    folder = Path(__file__).parent
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder.parents[1])]),
    }
    command = [sys.executable, "-c", COMPILED]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert "COMPILED" in done.stdout, done.stderr


def test_transforms_of_every_order_agree_with_automatic_differentiation():
    layer, plain = layers()
    weights, x = layer.weights.detach(), rows()

    def score(of):
        return lambda w, x: functional_call(of, {"weights": w}, (x,)).square().sum()

    own, other = score(layer), score(plain)
    expected = hessian(other)(weights, x)
    close = {"rtol": 0, "atol": 1e-10}
    torch.testing.assert_close(hessian(own)(weights, x), expected, **close)
    torch.testing.assert_close(jacrev(jacrev(own))(weights, x), expected, **close)
    torch.testing.assert_close(jacfwd(own)(weights, x), grad(other)(weights, x), **close)
    batch, draws = rows(5), torch.stack([weights, 2 * weights, weights + 1])
    for axes, arguments in (((None, 0), (weights, batch)), ((0, None), (draws, x))):
        torch.testing.assert_close(
            vmap(grad(own), axes)(*arguments), vmap(grad(other), axes)(*arguments), **close
        )


def test_second_derivatives_of_ordinary_autograd():
    layer, plain = layers()
    found = []
    for of in (layer, plain):
        x = rows(4).requires_grad_()
        first = torch.autograd.grad(of(x).square().sum(), x, create_graph=True)[0]
        found.append(torch.autograd.grad(first.square().sum(), [x, of.weights]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-10)


def test_the_adjoint_alone_has_no_second_derivative():
    layer, _ = layers(gradient="adjoint")
    x = rows(4).requires_grad_()
    first = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="backprop"):
        first.sum().backward()
