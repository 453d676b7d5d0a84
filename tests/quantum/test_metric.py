"""The Fubini–Study metric: PennyLane's own, closed forms, symmetry."""

import math

import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp

from quantum.layer import CircuitLayer
from quantum.metric import metric_tensor
from quantum.simulators import DensityMatrix

DEVICE = qml.device("default.qubit")
# PyTorch's forward mode imports decompositions that it compiles in a way it calls deprecated.
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)


def layered(x, w):
    for k in range(3):
        qml.RY(x[k], wires=k)
        qml.RX(w[k], wires=k)
    qml.CNOT(wires=[0, 1])
    qml.IsingZZ(w[3], wires=[1, 2])
    qml.RY(w[4], wires=1)
    qml.IsingXX(w[5], wires=[0, 2])
    qml.RZ(w[6], wires=1)
    qml.CNOT(wires=[2, 0])
    qml.PhaseShift(w[7], wires=2)
    return qml.expval(qml.Z(0) @ qml.X(1))


def shared(x, w):
    """Weights in several gates, through functions, beside inputs."""
    for k in range(2):
        qml.RX(x[k], wires=k)
    for k in range(2):
        qml.RX(
            w[0] * x[k] + torch.sin(w[1]) if torch.is_tensor(w) else w[0] * x[k] + pnp.sin(w[1]), k
        )
        qml.RZ(w[2], wires=k)
        qml.RY(2 * w[0], wires=k)
    qml.MultiRZ(w[1], wires=[0, 1])
    return qml.expval(qml.Z(0))


def entangling(x, w):
    qml.AngleEmbedding(x, wires=range(3), rotation="Y")
    qml.StronglyEntanglingLayers(w[:9].reshape(1, 3, 3), wires=range(3))
    qml.SingleExcitation(w[9], wires=[0, 1])
    qml.U3(w[10], w[0], w[11], wires=2)
    return qml.expval(qml.Z(0))


def _layer(circuit, count, x, **more):
    layer = CircuitLayer(circuit, {"w": count}, in_features=len(x), dtype=torch.float64, **more)
    with torch.no_grad():
        layer.w.copy_(torch.linspace(0.2, 1.9, count, dtype=torch.float64))
    return layer


def _pennylane(circuit, x, w, **how):
    node = qml.QNode(circuit, DEVICE, interface="autograd")
    w = pnp.array(w.detach().numpy(), requires_grad=True)
    x = pnp.array(x.numpy(), requires_grad=False)
    function = qml.adjoint_metric_tensor if not how else qml.metric_tensor
    if how:
        return torch.as_tensor(function(node, **how)(x, w))
    return torch.as_tensor(function(node)(x, w))


X = torch.tensor([0.3, 0.7, 1.1], dtype=torch.float64)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("circuit", "count"), [(layered, 8), (shared, 3)])
def test_the_full_metric_agrees_with_pennylane(circuit, count):
    layer = _layer(circuit, count, X)
    expected = _pennylane(circuit, X, layer.w)
    torch.testing.assert_close(metric_tensor(layer, X), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("circuit", "count"), [(layered, 8), (shared, 3), (entangling, 12)])
def test_the_full_metric_is_that_of_the_states_of_default_qubit(circuit, count):
    """From the definition: Re(<di|dj> - <di|psi><psi|dj>)."""
    layer = _layer(circuit, count, X)

    @qml.qnode(DEVICE, interface="torch")
    def state(w):
        with qml.queuing.AnnotatedQueue() as queue:
            circuit(X, w)
        for operation in qml.tape.QuantumScript.from_queue(queue).operations:
            qml.apply(operation)
        return qml.state()

    def parts(w):
        return torch.view_as_real(state(w))

    w = layer.w.detach()
    slopes = torch.view_as_complex(
        torch.autograd.functional.jacobian(parts, w).movedim(1, -1).contiguous()
    )
    along = slopes.mH @ state(w)
    expected = (slopes.mH @ slopes - torch.outer(along, along.conj())).real
    torch.testing.assert_close(metric_tensor(layer, X), expected, atol=1e-10, rtol=0)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("approximation", ["block-diag", "diag"])
@pytest.mark.parametrize(("circuit", "count"), [(layered, 8), (shared, 3)])
def test_approximations_agree_with_pennylane(circuit, count, approximation):
    layer = _layer(circuit, count, X)
    expected = _pennylane(circuit, X, layer.w, approx=approximation)
    answer = metric_tensor(layer, X, approximation=approximation)
    torch.testing.assert_close(answer, expected, atol=1e-10, rtol=0)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_rotations_of_three_angles_are_three_layers():
    def circuit(x, w):
        qml.AngleEmbedding(x, wires=range(3))
        qml.StronglyEntanglingLayers(w.reshape(2, 3, 3), wires=range(3))
        return qml.expval(qml.Z(0))

    layer = _layer(circuit, 18, X)
    expected = _pennylane(circuit, X, layer.w, approx="block-diag")
    answer = metric_tensor(layer, X, approximation="block-diag")
    torch.testing.assert_close(answer, expected, atol=1e-10, rtol=0)


def test_one_qubit_has_the_metric_of_the_sphere():
    r"""RY(theta) then RZ(phi): :math:`ds^2 = (d\theta^2 + \sin^2\theta\, d\phi^2) / 4`."""

    def circuit(x, w):
        qml.RY(w[0] + x[0], wires=0)
        qml.RZ(w[1], wires=0)
        return qml.expval(qml.Z(0))

    layer = _layer(circuit, 2, [0])
    x = torch.tensor([[0.0], [0.4], [1.3]], dtype=torch.float64)
    sine = torch.sin(layer.w[0].detach() + x[:, 0])
    expected = torch.diag_embed(torch.stack([torch.ones(3), sine**2], -1).double()) / 4
    for approximation in (None, "block-diag", "diag"):
        answer = metric_tensor(layer, x, approximation=approximation)
        torch.testing.assert_close(answer, expected, atol=1e-12, rtol=0)


def test_rows_and_batched_weights_are_as_one_by_one():
    layer = _layer(layered, 8, X)
    x = torch.rand(2, 3, dtype=torch.float64)
    w = torch.rand(4, 1, 8, dtype=torch.float64)
    for approximation in (None, "block-diag", "diag"):
        rows = metric_tensor(layer, x, approximation=approximation)
        one = [metric_tensor(layer, row, approximation=approximation) for row in x]
        torch.testing.assert_close(rows, torch.stack(one))

        def metric(w, row, approximation=approximation):
            with torch.no_grad():
                layer.w.copy_(w)
            return metric_tensor(layer, row, approximation=approximation).detach()

        looped = torch.stack([torch.stack([metric(v[0], row) for row in x]) for v in w])
        del layer._parameters["w"]
        layer.w = w
        together = metric_tensor(layer, x, approximation=approximation)
        assert together.shape == (4, 2, 8, 8)
        torch.testing.assert_close(together, looped)
        del layer.w
        layer.register_parameter("w", torch.nn.Parameter(w[0, 0].clone()))


def test_weights_are_flattened_in_the_order_of_the_parameters():
    def circuit(x, second, first):
        qml.RY(first[0, 0], wires=0)
        qml.RZ(second, wires=0)
        return qml.expval(qml.X(0))

    layer = CircuitLayer(circuit, {"first": (1, 1), "second": ()}, in_features=0)
    metric = metric_tensor(layer, torch.zeros(0))
    assert [name for name, _ in layer.named_parameters()] == ["first", "second"]
    assert metric.dtype == torch.float32
    sine = math.sin(layer.first.item())
    torch.testing.assert_close(metric.diagonal(), torch.tensor([0.25, sine**2 / 4]))


def test_it_is_positive_semidefinite_and_differentiable():
    layer = _layer(entangling, 12, X)
    metric = metric_tensor(layer, X)
    torch.testing.assert_close(metric, metric.mT)
    assert torch.linalg.eigvalsh(metric).min() > -1e-12
    (slope,) = torch.autograd.grad(metric[4, 4], layer.w)
    step, values = 1e-5, []
    for sign in (1, -1):
        with torch.no_grad():
            layer.w[1] += sign * step
            values.append(metric_tensor(layer, X)[4, 4].item())
            layer.w[1] -= sign * step
    assert slope[1].item() == pytest.approx((values[0] - values[1]) / (2 * step), abs=1e-8)


def test_a_weight_in_a_matrix_has_the_full_metric_only():
    def circuit(x, w):
        turn = torch.stack([torch.exp(1j * w[0]), torch.exp(-1j * w[0])])
        qml.Hadamard(0)
        qml.DiagonalQubitUnitary(turn, wires=0)
        return qml.expval(qml.X(0))

    layer = _layer(circuit, 1, [0])
    x = torch.zeros(1, dtype=torch.float64)
    torch.testing.assert_close(metric_tensor(layer, x), torch.ones(1, 1, dtype=torch.float64))
    with pytest.raises(ValueError, match="approximation=None"):
        metric_tensor(layer, x, approximation="diag")


def test_what_has_no_metric_is_refused():
    layer = _layer(layered, 8, X, simulator=DensityMatrix())
    with pytest.raises(ValueError, match="pure states"):
        metric_tensor(layer, X)
    bare = CircuitLayer(lambda x: qml.probs(wires=0), {}, in_features=1)
    with pytest.raises(ValueError, match="no weights"):
        metric_tensor(bare, torch.zeros(1))


def test_weights_that_are_not_used_have_no_metric():
    def circuit(x, w):
        qml.RX(x[0], wires=0)
        return qml.expval(qml.Z(0))

    layer = CircuitLayer(circuit, {"w": 2}, in_features=1)
    for approximation in (None, "block-diag", "diag"):
        answer = metric_tensor(layer, torch.rand(3, 1), approximation=approximation)
        torch.testing.assert_close(answer, torch.zeros(3, 2, 2))
