"""Finite shots on the PennyLane devices: shapes as default.qubit, estimates near the exact values."""

import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp
from pennylane_results import flat, function

from quantum.device import BorromeanMixed, BorromeanQubit
from quantum.scripts.readout import draw

DEVICES = ("borromean.qubit", "borromean.mixed")
HERMITIAN = np.array([[1, 2j], [-2j, 0.3]])


def shape(result):
    """Types and shapes of nested results."""
    if isinstance(result, tuple | list):
        return type(result), [shape(entry) for entry in result]
    if isinstance(result, dict):
        return {type(key) for key in result}, {type(value) for value in result.values()}
    return type(result), np.shape(result), result.dtype


def drawn_gates(x):
    qml.RX(x, wires=0)
    qml.RY(2 * x, wires=1)
    qml.CNOT(wires=[0, 1])
    qml.Hadamard(2)


DRAWN = {
    "sample": lambda: qml.sample(),
    "sample_of_wires": lambda: qml.sample(wires=[2, 0]),
    "sample_of_one": lambda: qml.sample(wires=[1]),
    "sample_of_observable": lambda: qml.sample(qml.X(0) @ qml.Z(1)),
    "counts": lambda: qml.counts(),
    "all_counts": lambda: qml.counts(wires=[0, 1], all_outcomes=True),
    "counts_of_observable": lambda: qml.counts(qml.Y(2)),
    "probs": lambda: qml.probs(),
    "hamiltonian": lambda: qml.expval(0.5 * qml.X(0) + qml.Z(1) @ qml.Z(2) + 0.1 * qml.I()),
    "identity": lambda: qml.expval(qml.I(0)),
    "var": lambda: qml.var(qml.H(1)),
    "several": lambda: (qml.expval(qml.X(0)), qml.counts(wires=0), qml.sample(wires=[1, 2])),
    "shadow": lambda: qml.classical_shadow(wires=[0, 1]),
}
ESTIMATED = {
    "probs": lambda: qml.probs(wires=[2, 0]),
    "probs_of_observable": lambda: qml.probs(op=qml.X(0) @ qml.X(1)),
    "hamiltonian": lambda: qml.expval(0.5 * qml.X(0) + qml.Z(1) @ qml.Z(2) + 0.1 * qml.I(0)),
    "nested": lambda: qml.expval(qml.s_prod(2.0, qml.sum(qml.X(0), qml.Z(1)))),
    "hermitian": lambda: qml.expval(qml.Hermitian(HERMITIAN, 1)),
    "projector": lambda: qml.expval(qml.Projector([0, 1], [0, 2])),
    "var": lambda: qml.var(qml.H(1)),
    "commuting": lambda: (qml.expval(qml.X(0) @ qml.Y(1)), qml.expval(qml.Y(1)), qml.var(qml.X(0))),
}


class TestShots:
    @pytest.mark.parametrize("shots", [1, (3, 4), ((2, 2), 3)])
    @pytest.mark.parametrize("kind", DRAWN)
    def test_shapes_and_types(self, shots, kind):
        circuit = function(drawn_gates, DRAWN[kind])
        for angles in (0.3, np.array([0.3, 0.5, 0.7])):
            found, expected = (
                qml.set_shots(qml.QNode(circuit, qml.device(n, seed=1)), shots)(angles)
                for n in ("borromean.qubit", "default.qubit")
            )
            assert shape(found) == shape(expected)

    @pytest.mark.parametrize("name", DEVICES)
    @pytest.mark.parametrize("kind", ESTIMATED)
    def test_estimates(self, name, kind):
        circuit = function(drawn_gates, ESTIMATED[kind])
        for angles in (0.3, np.array([0.3, 0.5])):
            exact = qml.QNode(circuit, qml.device("default.qubit"))(angles)
            drawn = qml.set_shots(qml.QNode(circuit, qml.device(name, seed=5)), 20_000)(angles)
            np.testing.assert_allclose(flat(drawn), flat(exact), atol=0.06)

    @pytest.mark.parametrize("device", [BorromeanQubit, BorromeanMixed])
    def test_seeds(self, device):
        circuit = function(drawn_gates, DRAWN["sample"])
        first, second, other = (
            qml.set_shots(qml.QNode(circuit, device(seed=seed)), 40)(0.3) for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, second)
        assert (first != other).any()
        node = qml.set_shots(qml.QNode(circuit, device(seed=1)), 40)
        assert (node(0.3) != node(0.3)).any()

    def test_the_global_seed(self):
        circuit = function(drawn_gates, DRAWN["sample"])
        drawn = []
        for _ in range(2):
            np.random.seed(3)  # noqa: NPY002
            drawn.append(qml.set_shots(qml.QNode(circuit, BorromeanQubit()), 40)(0.3))
        np.testing.assert_array_equal(*drawn)

    def test_one_basis_shares_its_samples(self):
        def circuit():
            qml.Hadamard(0)
            qml.CNOT(wires=[0, 1])
            return qml.sample(qml.Z(0)), qml.sample(wires=1), qml.sample(qml.Z(1))

        first, bits, second = qml.set_shots(qml.QNode(circuit, BorromeanQubit(seed=0)), 50)()
        np.testing.assert_array_equal(first, second)
        np.testing.assert_array_equal(first, 1 - 2 * bits.ravel())

    @pytest.mark.parametrize("device", [BorromeanQubit, BorromeanMixed])
    def test_classical_shadows(self, device):
        def circuit():
            qml.Hadamard(0)
            qml.CNOT(wires=[0, 1])
            return qml.shadow_expval(qml.X(0) @ qml.X(1)), qml.classical_shadow(wires=[0, 1])

        value, shadow = qml.set_shots(qml.QNode(circuit, device(seed=1)), 5000)()
        assert value == pytest.approx(1.0, abs=0.15)
        assert shadow.shape == (2, 5000, 2)

    def test_gradients(self):
        circuit = function(drawn_gates, lambda: qml.expval(qml.Z(0)))
        node = qml.set_shots(qml.QNode(circuit, BorromeanQubit(seed=1)), 20_000)
        assert qml.grad(node)(pnp.array(0.3)) == pytest.approx(-np.sin(0.3), abs=0.03)


class TestDraw:
    def test_frequencies(self):
        chances = np.array([[0.5, 0.0, 0.3, 0.2], [0.0, 0.0, 0.0, 1.0]])
        bits = draw(chances, 20_000, np.random.default_rng(0))
        places = 2 * bits[..., 0] + bits[..., 1]
        for row, expected in zip(places, chances, strict=True):
            np.testing.assert_allclose(np.bincount(row, minlength=4) / 20_000, expected, atol=0.02)

    def test_impossible_states_are_never_drawn(self):
        class Last(np.random.Generator):
            def random(self, size=None):
                return np.full(size, 1.0)

        chances = np.array([0.1, 0.2, 0.7, 0.0])
        bits = draw(chances, 3, Last(np.random.PCG64(0)))
        np.testing.assert_array_equal(bits, [[1, 0]] * 3)
