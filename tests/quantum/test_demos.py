"""Circuits of PennyLane's well-known demos, unchanged, on borromean.qubit and default.qubit."""

import networkx as nx
import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp

NAMES = ("borromean.qubit", "default.qubit")


def test_variational_classifier():
    """Parity of four bits, after "Variational classifier"."""

    def train(name):
        device = qml.device(name)

        @qml.qnode(device)
        def circuit(weights, x):
            qml.BasisState(x, wires=[0, 1, 2, 3])
            for layer_weights in weights:
                for wire in range(4):
                    qml.Rot(*layer_weights[wire], wires=wire)
                for wires in ([0, 1], [1, 2], [2, 3], [3, 0]):
                    qml.CNOT(wires)
            return qml.expval(qml.PauliZ(0))

        def cost(weights, bias, X, Y):
            predictions = [circuit(weights, x) + bias for x in X]
            return pnp.mean((Y - qml.math.stack(predictions)) ** 2)

        rng = np.random.default_rng(0)
        weights = pnp.array(0.3 * rng.normal(size=(2, 4, 3)), requires_grad=True)
        bias = pnp.array(0.0, requires_grad=True)
        X = pnp.array(rng.integers(0, 2, size=(5, 4)), requires_grad=False)
        Y = pnp.array(X.sum(axis=1) % 2 * 2 - 1, requires_grad=False)
        optimizer = qml.NesterovMomentumOptimizer(0.5)
        for _ in range(2):
            weights, bias = optimizer.step(cost, weights, bias, X=X, Y=Y)
        return weights, bias, cost(weights, bias, X, Y)

    for found, expected in zip(*map(train, NAMES), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_amplitude_encoded_classifier():
    """The Iris part of the same demo: a batch of prepared states."""
    features = np.random.default_rng(1).normal(size=(6, 4))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    weights = np.random.default_rng(2).normal(size=(2, 2, 3))

    def run(name):
        @qml.qnode(qml.device(name))
        def circuit(weights, x):
            qml.StatePrep(x, wires=[0, 1])
            for layer_weights in weights:
                for wire in range(2):
                    qml.Rot(*layer_weights[wire], wires=wire)
                qml.CNOT(wires=[0, 1])
            return qml.expval(qml.PauliZ(0))

        return circuit(weights, features), qml.jacobian(circuit)(pnp.array(weights), features)

    for found, expected in zip(*map(run, NAMES), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_quantum_kernel():
    """Kernel matrix and target alignment, after "Training and evaluating quantum kernels"."""
    X = np.random.default_rng(0).uniform(-1, 1, size=(4, 2))
    Y = np.array([1, -1, 1, -1])
    params = np.random.default_rng(1).uniform(0, 2 * np.pi, size=(2, 2, 3))

    def layer(x, params, wires, start=0, increment=1):
        number = start
        for wire in wires:
            qml.Hadamard(wires=[wire])
            qml.RZ(x[number % len(x)], wires=[wire])
            number += increment
            qml.RY(params[0, wire], wires=[wire])
        for number, wire in enumerate(wires):
            qml.CRZ(params[1, number], wires=[wire, wires[(number + 1) % len(wires)]])

    def ansatz(x, params, wires):
        for number, layer_params in enumerate(params):
            layer(x, layer_params, wires, start=number * len(wires))

    def run(name):
        wires = qml.device(name, wires=3).wires.tolist()

        @qml.qnode(qml.device(name, wires=3))
        def kernel_circuit(x1, x2, params):
            ansatz(x1, params, wires=wires)
            qml.adjoint(ansatz)(x2, params, wires=wires)
            return qml.probs(wires=wires)

        def kernel(params):
            return lambda x1, x2: kernel_circuit(x1, x2, params)[0]

        def alignment(params):
            return qml.kernels.target_alignment(X, Y, kernel(params))

        given = pnp.array(params, requires_grad=True)
        matrix = qml.kernels.square_kernel_matrix(X, kernel(params))
        return matrix, qml.grad(alignment)(given)

    for found, expected in zip(*map(run, NAMES), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_qaoa_for_maxcut():
    """After "Intro to QAOA" and "QAOA for MaxCut", with `qml.qaoa`."""
    graph = nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3)])
    cost_h, mixer_h = qml.qaoa.maxcut(graph)
    params = pnp.array([[0.5, 0.3], [0.5, 0.7]], requires_grad=True)

    def run(name):
        device = qml.device(name, wires=4)

        def circuit(params):
            for wire in range(4):
                qml.Hadamard(wires=wire)
            qml.layer(
                lambda gamma, alpha: (
                    qml.qaoa.cost_layer(gamma, cost_h),
                    qml.qaoa.mixer_layer(alpha, mixer_h),
                ),
                2,
                params[0],
                params[1],
            )

        @qml.qnode(device)
        def cost_function(params):
            circuit(params)
            return qml.expval(cost_h)

        @qml.qnode(device)
        def probability_circuit(params):
            circuit(params)
            return qml.probs(wires=range(4))

        optimizer, found = qml.GradientDescentOptimizer(0.1), params
        for _ in range(2):
            found = optimizer.step(cost_function, found)
        return found, cost_function(found), probability_circuit(found)

    for found, expected in zip(*map(run, NAMES), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_qaoa_samples():
    """Bit strings of the best cut, drawn on the device."""

    @qml.set_shots(200)
    @qml.qnode(qml.device("borromean.qubit", wires=2, seed=1))
    def circuit(gamma, beta):
        for wire in range(2):
            qml.Hadamard(wires=wire)
        qml.CNOT(wires=[0, 1])
        qml.RZ(gamma, wires=1)
        qml.CNOT(wires=[0, 1])
        for wire in range(2):
            qml.RX(2 * beta, wires=wire)
        return qml.sample()

    samples = circuit(-np.pi / 2, np.pi / 8)
    assert samples.shape == (200, 2)
    assert (samples.sum(1) == 1).mean() > 0.9


H2 = {
    "Z2": -0.24274280513140456,
    "Z0": 0.1777135822909176,
    "Z1": 0.17771358229091763,
    "Z3": -0.2427428051314046,
    "Z0Z1": 0.17059738328801055,
    "Z0Z2": 0.12293305056183797,
    "Z0Z3": 0.16768319457718958,
    "Z1Z2": 0.16768319457718958,
    "Z1Z3": 0.12293305056183797,
    "Z2Z3": 0.17627640804319586,
    "Y0Y1X2X3": -0.04475014401535165,
    "X0X1Y2Y3": -0.04475014401535165,
    "Y0X1X2Y3": 0.04475014401535165,
    "X0Y1Y2X3": 0.04475014401535165,
    "I0": -0.04207897647782188,
}


def pauli_word(text):
    letters = zip(text[::2], text[1::2], strict=True)
    return qml.prod(*(getattr(qml, letter)(int(wire)) for letter, wire in letters))


@pytest.mark.parametrize("method", ["best", "adjoint", "parameter-shift"])
def test_vqe_of_hydrogen(method):
    """After "A brief overview of VQE": H2 as Pauli terms, Hartree-Fock, one double excitation."""
    hamiltonian = qml.Hamiltonian(list(H2.values()), [pauli_word(word) for word in H2])

    def run(name):
        @qml.qnode(qml.device(name, wires=4), diff_method=method)
        def cost(param):
            qml.BasisState(np.array([1, 1, 0, 0]), wires=range(4))
            qml.DoubleExcitation(param, wires=[0, 1, 2, 3])
            return qml.expval(hamiltonian)

        theta, optimizer = pnp.array(0.0, requires_grad=True), qml.GradientDescentOptimizer(0.4)
        energies = []
        for _ in range(12):
            theta, energy = optimizer.step_and_cost(cost, theta)
            energies.append(energy)
        return energies, theta

    (found, theta), (expected, other) = map(run, NAMES)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    np.testing.assert_allclose(theta, other, atol=1e-9)
    assert found[-1] < found[0] - 0.01


def test_quanvolution():
    """After "Quanvolutional neural networks": a random circuit slides over an image."""
    image = np.random.default_rng(0).uniform(size=(6, 6, 1))
    rand_params = np.random.default_rng(0).uniform(high=2 * np.pi, size=(1, 4))

    def run(name):
        @qml.qnode(qml.device(name, wires=4))
        def circuit(phi):
            for wire in range(4):
                qml.RY(np.pi * phi[wire], wires=wire)
            qml.RandomLayers(rand_params, wires=list(range(4)), seed=3)
            return [qml.expval(qml.PauliZ(wire)) for wire in range(4)]

        out = np.zeros((3, 3, 4))
        for j in range(0, 6, 2):
            for k in range(0, 6, 2):
                patch = [
                    image[j, k, 0],
                    image[j, k + 1, 0],
                    image[j + 1, k, 0],
                    image[j + 1, k + 1, 0],
                ]
                out[j // 2, k // 2] = circuit(patch)
        return out

    np.testing.assert_allclose(*map(run, NAMES), atol=1e-10)


@pytest.mark.parametrize("method", ["best", "adjoint"])
def test_torch_layer(method):
    """After "Turning quantum nodes into Torch layers"."""

    def run(name):
        @qml.qnode(qml.device(name, wires=2), diff_method=method)
        def qnode(inputs, weights):
            qml.AngleEmbedding(inputs, wires=range(2))
            qml.BasicEntanglerLayers(weights, wires=range(2))
            return [qml.expval(qml.PauliZ(wires=wire)) for wire in range(2)]

        torch.manual_seed(0)
        layer = qml.qnn.TorchLayer(qnode, {"weights": (3, 2)})
        model = torch.nn.Sequential(torch.nn.Linear(2, 2), layer, torch.nn.Linear(2, 2)).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
        inputs = torch.randn(5, 2, dtype=torch.float64)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = model(inputs).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    np.testing.assert_allclose(*map(run, NAMES), atol=1e-9)
