"""Mixed states: values against default.mixed, gradients against dense superoperators."""

import numpy as np
import pennylane as qml
import pytest
import torch

from quantum.circuits.channels import CHANNELS, superoperator
from quantum.circuits.gates import UnsupportedOperation
from quantum.layer import CircuitLayer
from quantum.simulators import DensityMatrix

DOUBLE = torch.float64
KRAUS = [np.sqrt(0.7) * np.eye(4), np.sqrt(0.3) * qml.matrix(qml.IsingXY(0.4, [0, 1]))]
NOISE = {
    "AmplitudeDamping": lambda x, w: qml.AmplitudeDamping(x[0], 0),
    "BitFlip": lambda x, w: qml.BitFlip(x[1] * 0.5, 1),
    "DepolarizingChannel": lambda x, w: qml.DepolarizingChannel(w[0] ** 2, 2),
    "GeneralizedAmplitudeDamping": lambda x, w: qml.GeneralizedAmplitudeDamping(x[0], w[1] / 2, 1),
    "PauliError": lambda x, w: qml.PauliError("YXZ", 0.5 * x[1], [2, 0, 1]),
    "PhaseDamping": lambda x, w: qml.PhaseDamping((x[0] * w[0]) ** 2, 1),
    "PhaseFlip": lambda x, w: qml.PhaseFlip(x[0] / 3, 0),
    "QubitChannel": lambda x, w: qml.QubitChannel(KRAUS, [2, 0]),
    "ResetError": lambda x, w: qml.ResetError(x[0] / 2, x[1] / 3, 1),
    "ThermalRelaxationError": lambda x, w: qml.ThermalRelaxationError(x[1] / 2, 2.0, 1.2, 0.7, 0),
}
READ = {
    "words": lambda: [qml.expval(qml.Z(0) @ qml.Y(1)), qml.expval(qml.X(2)), qml.var(qml.X(1))],
    "sums": lambda: [
        qml.expval(0.3 * qml.X(0) @ qml.Z(2) - qml.Hadamard(1)),
        qml.var(qml.Hamiltonian([0.4, 2.0], [qml.Z(0), qml.X(0) @ qml.Y(2)])),
    ],
    "matrices": lambda: [
        qml.expval(qml.Hermitian(np.array([[1, 2j], [-2j, 0.5]]), 1) @ qml.Z(0)),
        qml.var(qml.Hermitian(np.array([[1, 2j], [-2j, 0.5]]), 1)),
        qml.expval(qml.Projector([0, 1], [2, 0])),
    ],
    "probabilities": lambda: [qml.probs([2, 0]), qml.probs(op=qml.Y(1)), qml.probs()],
    "entropies": lambda: [
        qml.purity([1]),
        qml.purity([0, 1, 2]),
        qml.vn_entropy([2, 0], log_base=2),
        qml.mutual_info([0], [2, 1]),
    ],
    "state": lambda: qml.state(),
    "density_matrix": lambda: qml.density_matrix([2, 1]),
}


def start(x, w):
    qml.StatePrep(np.array([0.6, 0.0, 0.0, 0.8j]), [0, 1])
    qml.RX(x[0], 0)
    qml.CNOT([0, 2])
    qml.Rot(w[0], x[1], w[1], 1)
    qml.IsingXY(w[0], [2, 1])


def end(x, w):
    qml.CRY(w[1] * x[0], [1, 0])
    qml.ctrl(qml.PauliRot(w[0], "XY", [0, 2]), 1, control_values=[0])
    qml.adjoint(qml.S)(2)
    qml.MultiRZ(x[1], [0, 1, 2])


def circuit(noise, *kinds):
    def run(x, w):
        start(x, w)
        NOISE[noise](x, w)
        end(x, w)
        made = [READ[kind]() for kind in kinds]
        return made[0] if len(made) == 1 else made

    return run


def rows(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def flat(value):
    if isinstance(value, list | tuple):
        return torch.cat([flat(part) for part in value])
    return torch.as_tensor(value).reshape(-1)


def layer(function):
    start = rows(2, seed=1)
    options = {"in_features": 2, "simulator": DensityMatrix(), "init": {"w": start}}
    return CircuitLayer(function, {"w": 2}, dtype=DOUBLE, **options)


class TestChannels:
    def test_the_table_is_complete(self):
        assert set(qml.ops.channel.__qubit_channels__) == set(CHANNELS)

    @pytest.mark.parametrize("name", sorted(NOISE))
    def test_superoperators_are_sums_over_kraus_matrices(self, name):
        operator = NOISE[name](rows(2).numpy(), rows(2, seed=1).numpy())
        kraus = [torch.as_tensor(k).to(torch.complex128) for k in operator.kraus_matrices()]
        expected = sum(torch.kron(k, k.conj()) for k in kraus)
        values = [torch.stack(kraus)]
        if name != "QubitChannel":
            values = [torch.as_tensor(v, dtype=DOUBLE) for v in operator.data]
        made = superoperator(name, values, operator.hyperparameters.get("operators"))
        torch.testing.assert_close(made.to(torch.complex128), expected, atol=1e-7, rtol=0)

    @pytest.mark.parametrize("name", sorted(set(NOISE) - {"QubitChannel"}))
    def test_superoperators_preserve_the_trace_and_batch(self, name):
        operator = NOISE[name](rows(2), rows(2, seed=1))
        batch = [rows(3, 1, seed=k) if k else rows(4) for k in range(len(operator.data))]
        word = operator.hyperparameters.get("operators")
        made = superoperator(name, batch, word)
        trace = torch.eye(2 ** len(operator.wires), dtype=made.dtype).reshape(-1)
        torch.testing.assert_close(trace @ made, trace.expand(*made.shape[:-1]))
        alone = superoperator(name, [b.reshape(-1)[0] for b in batch], word)
        torch.testing.assert_close(made.reshape(-1, *made.shape[-2:])[0], alone)

    def test_gradients_are_finite_without_noise(self):
        for name, count in (("BitFlip", 1), ("ResetError", 2), ("AmplitudeDamping", 1)):
            values = [torch.zeros((), dtype=DOUBLE, requires_grad=True) for _ in range(count)]
            total = superoperator(name, values).abs().sum()
            assert all(g.isfinite() for g in torch.autograd.grad(total, values))


REAL = [kind for kind in READ if kind not in ("state", "density_matrix")]


@pytest.mark.parametrize("name", sorted(NOISE))
def test_values_agree_with_default_mixed(name):
    for kinds in (REAL, ["state"], ["density_matrix"]):
        function = circuit(name, *kinds)
        made, x = layer(function), rows(2, 2)
        node = qml.QNode(function, qml.device("default.mixed", wires=3))
        for row, got in zip(x, made(x), strict=True):
            expected = flat(node(row.numpy(), made.w.detach().numpy())).to(got.dtype)
            torch.testing.assert_close(got.reshape(-1), expected, atol=1e-10, rtol=0)


# default.mixed returns NaN for gradients through a CNOT, so gradients are checked otherwise.
@pytest.mark.parametrize("name", sorted(NOISE))
def test_gradients_agree_with_finite_differences(name):
    made, x, w = layer(circuit(name, *REAL)), rows(2, 2), rows(2, seed=1)

    def value(x, w):
        return torch.func.functional_call(made, {"w": w}, (x,))

    x.requires_grad_(), w.requires_grad_()
    torch.autograd.gradcheck(value, (x, w), atol=1e-6, fast_mode=True)


def test_without_noise_it_is_the_state_vector():
    def function(x, w):
        start(x, w)
        end(x, w)
        return [*READ["words"](), *READ["sums"](), *READ["probabilities"](), *READ["entropies"]()]

    x, w = rows(4, 1, 2).requires_grad_(), rows(3, 2, seed=2).requires_grad_()
    pure = CircuitLayer(function, {"w": 2}, in_features=2)
    answers = [torch.func.functional_call(kind, {"w": w}, (x,)) for kind in (pure, layer(function))]
    assert answers[0].shape[:2] == (4, 3)
    torch.testing.assert_close(*answers, atol=1e-10, rtol=0)
    weights = torch.cos(torch.arange(answers[0].shape[-1], dtype=DOUBLE))
    first, second = (torch.autograd.grad((a * weights).sum(), (x, w)) for a in answers)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=1e-9, rtol=0)


def test_batched_weights_are_a_loop():
    made = layer(circuit("ResetError", "sums"))
    x, w = rows(3, 2), rows(4, 1, 2, seed=1)
    together = torch.func.functional_call(made, {"w": w}, (x,))
    for k in range(4):
        alone = torch.func.functional_call(made, {"w": w[k, 0]}, (x,))
        torch.testing.assert_close(together[k], alone, atol=1e-12, rtol=0)


def test_single_precision_stays_single():
    def function(x):
        qml.RX(x[0], 0)
        qml.DepolarizingChannel(0.1, 0)
        return qml.state()

    made = CircuitLayer(function, {}, in_features=1, simulator=DensityMatrix())
    assert made(torch.rand(2, 1)).dtype == torch.complex64
    assert made(torch.rand(2, 1)).shape == (2, 2, 2)
    double = CircuitLayer(function, {}, in_features=1, simulator=DensityMatrix("double"))
    assert double(torch.rand(2, 1)).dtype == torch.complex128


def test_a_mixed_start():
    def function(x):
        qml.QubitDensityMatrix(np.diag([0.1, 0.2, 0.3, 0.4]), wires=[0, 1])
        qml.RX(x[0], 0)
        return [qml.expval(qml.Z(0)), qml.probs([0, 1])]

    made = CircuitLayer(function, {}, in_features=1, simulator=DensityMatrix())
    node = qml.QNode(function, qml.device("default.mixed", wires=2))
    torch.testing.assert_close(
        made(torch.tensor([0.3], dtype=DOUBLE)), flat(node(np.array([0.3]))), atol=1e-10, rtol=0
    )


def test_thermal_relaxation_holds_on_both_sides_of_t1():
    def function(x):
        qml.RY(0.7, 0)
        qml.ThermalRelaxationError(0.3, x[0] + 0.5, x[1] + 0.5, 0.4, 0)
        return qml.expval(qml.X(0) + 0.5 * qml.Z(0))

    made = CircuitLayer(function, {}, in_features=2, simulator=DensityMatrix())
    node = qml.QNode(function, qml.device("default.mixed", wires=1))
    x = torch.tensor([[0.9, 0.2], [0.2, 0.7], [0.4, 0.4]], dtype=DOUBLE)
    expected = torch.tensor([[float(node(row.numpy()))] for row in x], dtype=DOUBLE)
    torch.testing.assert_close(made(x), expected, atol=1e-10, rtol=0)


def test_a_state_vector_refuses_noise_and_names_the_mend():
    with pytest.raises(UnsupportedOperation, match=r"simulator=quantum.DensityMatrix\(\)"):
        CircuitLayer(circuit("BitFlip", "words"), {"w": 2}, in_features=2)


def test_channels_cannot_be_controlled():
    def function(x):
        qml.ctrl(qml.BitFlip, control=0)(x[0], wires=1)
        return qml.expval(qml.Z(0))

    with pytest.raises((UnsupportedOperation, ValueError)):
        CircuitLayer(function, {}, in_features=1, simulator=DensityMatrix())
