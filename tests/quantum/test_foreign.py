"""`simulator=Device(...)`: the same function on other PennyLane devices."""

import pennylane as qml
import pytest
import torch
from torch.func import functional_call

from quantum.layer import CircuitLayer
from quantum.simulators import Device

DOUBLE = torch.float64
OURS = None


def circuit(x, w):
    qml.AngleEmbedding(x[..., :2], wires=range(2), rotation="Y")
    qml.CRX(w[0] * x[0], [0, 1])
    qml.adjoint(qml.Rot(w[1], 0.3, x[1], wires=1))
    return [qml.expval(qml.Z(0) @ qml.X(1)), qml.expval(0.5 * qml.Y(1) - qml.Z(0))]


def broadcastable(x, w):
    qml.RX(x[0], 0)
    qml.CRX(w[0], [0, 1])
    qml.Rot(w[1], 0.3, x[1], wires=1)
    return [qml.expval(qml.Z(1)), qml.probs(wires=[1, 0])]


def midway(x, w):
    qml.RX(x[0], 0)
    qml.cond(qml.measure(0), qml.RY)(x[1] * w[0], 1)
    return qml.expval(qml.X(1)), qml.expval(qml.Z(1))


def layer(function, device, **options):
    simulator = device if device is OURS else Device(device)
    start = {"w": torch.tensor([0.3, 0.8], dtype=DOUBLE)}
    options = {"in_features": 2, "init": start, "dtype": DOUBLE, **options}
    return CircuitLayer(function, {"w": 2}, simulator=simulator, **options)


def rows(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)


PAIRS = [
    (function, name)
    for function in (circuit, broadcastable, midway)
    for name in ("default.qubit", "lightning.qubit", "default.mixed")
    if (function, name) != (midway, "default.mixed")  # PennyLane fails in its parameter shifts
]


@pytest.mark.parametrize(("function", "name"), PAIRS)
@pytest.mark.parametrize(
    ("inputs", "weights"), [((), ()), ((3,), ()), ((3,), (2, 1)), ((2, 2), ())]
)
def test_values_and_gradients_are_ours(function, name, inputs, weights):
    method = "parameter-shift" if name == "default.mixed" else "auto"
    other = layer(function, qml.device(name, wires=3), gradient=method)
    x, w = rows(*inputs, 2).requires_grad_(), rows(*weights, 2).requires_grad_()
    found = []
    for made in (layer(function, OURS), other):
        value = functional_call(made, {"w": w}, (x,))
        score = (value * torch.cos(1 + torch.arange(value.shape[-1], dtype=DOUBLE))).sum()
        found.append([value, *torch.autograd.grad(score, (x, w))])
    # PennyLane gives the results of some devices to torch in single precision.
    for one, others in zip(*found, strict=True):
        assert one.dtype == others.dtype
        torch.testing.assert_close(one, others, atol=2e-6, rtol=0)


def test_constants_of_the_circuit_stay_what_they_are():
    def function(x, w):
        qml.BasisState([1, 0], wires=[0, 1])
        qml.RX(x[0], 1)
        qml.ctrl(qml.RY, 0)(w[0], 1)
        return qml.probs(wires=[0, 1])

    x = rows(4, 2)
    first, second = (layer(function, d)(x) for d in (OURS, qml.device("default.qubit")))
    torch.testing.assert_close(first, second, atol=1e-10, rtol=0)


def test_states_and_density_matrices():
    for read, shape in ((qml.state, (3, 4)), (lambda: qml.density_matrix(1), (3, 2, 2))):

        def function(x, w, read=read):
            qml.RX(x[0], 0)
            qml.CNOT([0, 1])
            return read()

        answers = [layer(function, d)(rows(3, 2)) for d in (OURS, qml.device("default.qubit"))]
        assert answers[0].shape == answers[1].shape == shape
        torch.testing.assert_close(*answers, atol=1e-10, rtol=0)


class TestShots:
    def test_estimates_have_gradients_by_parameter_shift(self):
        made = layer(broadcastable, qml.device("default.qubit", seed=0), shots=20_000)
        x = rows(3, 2).requires_grad_()
        value = made(x)
        exact = layer(broadcastable, OURS)(x)
        assert (value - exact).abs().max() < 0.05
        (ours,) = torch.autograd.grad(exact[:, 0].sum(), x)
        (theirs,) = torch.autograd.grad(value[:, 0].sum(), x)
        assert (ours - theirs).abs().max() < 0.05

    @pytest.mark.parametrize("name", ["default.qubit", "lightning.qubit"])
    def test_samples_and_counts(self, name):
        device = qml.device(name, wires=2)

        def function(read):
            return lambda x, w: (qml.RX(x[0], 0), qml.CNOT([0, 1]), read())[-1]

        samples = layer(function(lambda: qml.sample(wires=[1, 0])), device, shots=8)
        assert samples(rows(2, 3, 2)).shape == (2, 3, 8, 2)
        values = layer(function(lambda: qml.sample(qml.Z(0))), device, shots=8)(rows(3, 2))
        assert values.shape == (3, 8)
        assert set(values.flatten().tolist()) <= {-1.0, 1.0}
        counts = layer(function(lambda: qml.counts()), device, shots=8)(rows(2, 3, 2))
        assert [[sum(entry.values()) for entry in row] for row in counts] == [[8] * 3] * 2
        assert set(counts[0][0]) <= {"00", "11"}

    def test_a_generator_is_refused(self):
        made = layer(broadcastable, qml.device("default.qubit"), shots=5)
        with pytest.raises(ValueError, match="give the device a seed"):
            made(rows(2), generator=torch.Generator())


def test_no_rows():
    made = layer(broadcastable, qml.device("default.qubit"))
    assert made(torch.zeros(0, 2, dtype=DOUBLE)).shape == (0, 5)


def test_circuits_that_depend_on_values_are_refused():
    def function(x, w):
        qml.RX(float(torch.rand(())), 0)
        return qml.expval(qml.Z(0))

    with pytest.raises(ValueError, match="not the same"):
        layer(function, qml.device("default.qubit"))
