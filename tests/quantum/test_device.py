"""The PennyLane devices against PennyLane's own simulators."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane import numpy as pnp
from pennylane.devices import ExecutionConfig
from pennylane.exceptions import DeviceError, QuantumFunctionError, WireError
from pennylane_results import check, flat, function, tupled

from quantum.device import BorromeanMixed, BorromeanQubit
from quantum.scripts import script

ANGLES = np.array([0.3, 0.8])
ROWS = np.array([[0.3, 0.8], [0.1, -0.2], [1.0, 2.0]])
HERMITIAN = np.array([[1, 2j], [-2j, 0.3]])
STATE = np.array([1, 1j]) / np.sqrt(2)


def gates(x):
    qml.RX(x[..., 0], wires="a")
    qml.CRot(x[..., 1], 0.3, x[..., 0], wires=["a", "b"])
    qml.RY(x[..., 1], wires=7)
    qml.CNOT(wires=["b", 7])
    qml.adjoint(qml.PhaseShift(x[..., 0], wires="b"))
    qml.ctrl(qml.RX(x[..., 1], wires=7), control="a", control_values=[0])
    qml.IsingXX(0.4, wires=["a", 7])


def noisy_gates(x):
    gates(x)
    qml.DepolarizingChannel(0.1, wires="a")
    qml.CRY(x[..., 1], wires=["a", 7])
    qml.AmplitudeDamping(0.2, wires=7)
    qml.PauliError("XY", 0.1, wires=["b", "a"])


MEASUREMENTS = {
    "expval": lambda: qml.expval(qml.Z("a") @ qml.X(7)),
    "hamiltonian": lambda: qml.expval(
        0.3 * qml.X("a") + 0.2 * qml.Z("b") @ qml.Y(7) + 1.5 * qml.I(7)
    ),
    "hermitian": lambda: qml.expval(qml.Hermitian(HERMITIAN, "b")),
    "projector": lambda: qml.expval(qml.Projector([0, 1], ["a", "b"])),
    "state_projector": lambda: qml.expval(qml.Projector(STATE, ["a"])),
    "hadamards": lambda: qml.expval(qml.H("a") @ qml.H("b")),
    "var": lambda: qml.var(qml.Z("a") @ qml.X(7)),
    "probs": lambda: qml.probs(),
    "probs_of_wires": lambda: qml.probs(wires=[7, "a"]),
    "probs_of_observable": lambda: qml.probs(op=qml.X("a") @ qml.Y("b")),
    "purity": lambda: qml.purity(["b"]),
    "vn_entropy": lambda: qml.vn_entropy(["b"], log_base=2),
    "mutual_info": lambda: qml.mutual_info(["b"], ["a"]),
    "several": lambda: (qml.expval(qml.Z("a")), qml.probs(wires=["b"]), qml.var(qml.X(7))),
}
COMPLEX = {"state": lambda: qml.state(), "density_matrix": lambda: qml.density_matrix([7, "a"])}
PAIRS = {
    "borromean.qubit": ("default.qubit", gates),
    "borromean.mixed": ("default.mixed", noisy_gates),
}


class TestExact:
    @pytest.mark.parametrize("name", PAIRS)
    @pytest.mark.parametrize("kind", [*MEASUREMENTS, *COMPLEX])
    def test_values(self, name, kind):
        reference, body = PAIRS[name]
        circuit = function(body, {**MEASUREMENTS, **COMPLEX}[kind])
        for wires in (None, [7, "c", "b", "a"]):
            own, other = (qml.QNode(circuit, qml.device(n, wires=wires)) for n in (name, reference))
            for angles in (ANGLES, ROWS):
                check(own(angles), other(angles))
        own = qml.QNode(circuit, qml.device(name), interface="torch")
        other = qml.QNode(circuit, qml.device(reference))
        for angles in (ANGLES, ROWS):
            found = own(torch.tensor(angles))
            assert all(isinstance(part, torch.Tensor) for part in tupled(found))
            check(tuple(np.asarray(part)[()] for part in tupled(found)), tupled(other(angles)))

    def test_wires_of_states_are_those_of_the_device(self):
        def circuit():
            qml.X("b")
            return qml.state()

        found = qml.QNode(circuit, BorromeanQubit(wires=["a", "b", "c"]))()
        np.testing.assert_array_equal(np.flatnonzero(found), [0b010])

    def test_unknown_wires(self):
        circuit = function(gates, lambda: qml.probs(wires="b"))
        with pytest.raises(WireError, match="wires not found"):
            qml.QNode(circuit, BorromeanQubit(wires=2))(ANGLES)

    def test_no_operators(self):
        assert qml.QNode(lambda: qml.expval(qml.Z("a")), BorromeanQubit())() == 1.0

    @pytest.mark.parametrize("name", PAIRS)
    def test_single_precision(self, name):
        circuit = function(gates, MEASUREMENTS["several"])
        found = qml.QNode(circuit, qml.device(name, precision="single"))(ROWS)
        expected = qml.QNode(circuit, qml.device("default.qubit"))(ROWS)
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, atol=1e-5)

    def test_operators_by_value(self):
        """What a traced circuit refuses is allowed here: structure that depends on values."""
        matrix = qml.matrix(qml.QFT(wires=[0, 1]))

        def circuit(bits, vector):
            qml.StatePrep(vector, wires=[2, 3])
            qml.BasisState(bits, wires=[0, 1])
            qml.QubitUnitary(matrix, wires=[1, 2])
            qml.QFT(wires=range(4))
            qml.Snapshot()
            qml.Barrier()
            qml.DiagonalQubitUnitary(np.exp(1j * np.arange(4)), wires=[3, 0])
            if bits[0]:
                qml.GroverOperator(wires=range(4))
            qml.StatePrep(vector, wires=[0, 1])
            return qml.probs(wires=range(4)), qml.expval(qml.H(0))

        vector = np.array([0.5, 0.5j, -0.5, 0.5])
        for bits in (np.array([1, 0]), np.array([0, 1])):
            nodes = [
                qml.QNode(circuit, qml.device(n)) for n in ("borromean.qubit", "default.qubit")
            ]
            check(*[node(bits, vector) for node in nodes])

    def test_prepared_states_in_a_batch(self):
        vectors = np.array([[1, 0, 0, 0], [0.5, 0.5j, 0.5, 0.5], [0, 0, 0, 1]])

        def circuit(vectors, angle):
            qml.AmplitudeEmbedding(vectors, wires=[1, 0], normalize=True)
            qml.QubitUnitary(np.stack([np.eye(2), HERMITIAN[::-1] * 0 + np.eye(2), np.eye(2)]), 0)
            qml.RX(angle, wires=2)
            qml.CNOT(wires=[2, 0])
            return qml.probs(wires=[0, 1, 2])

        nodes = [qml.QNode(circuit, qml.device(n)) for n in ("borromean.qubit", "default.qubit")]
        check(*[node(vectors, 0.3) for node in nodes])

    def test_batch_that_the_measurement_does_not_see(self):
        def circuit(x):
            qml.RX(x, wires=0)
            return qml.expval(qml.Z(1)), qml.probs(wires=1)

        value, probabilities = qml.QNode(circuit, BorromeanQubit(wires=2))(np.arange(3.0))
        np.testing.assert_array_equal(value, np.ones(3))
        assert probabilities.shape == (3, 2)

    def test_mixed_starts_and_states(self):
        rho = np.diag([0.5, 0.2, 0.1, 0.2]).astype(complex)
        rho[0, 1], rho[1, 0] = 0.1j, -0.1j

        def circuit():
            qml.QubitDensityMatrix(rho, wires=[0, 1])
            qml.RX(0.3, wires=0)
            qml.BitFlip(0.1, wires=2)
            return qml.state()

        check(*[qml.QNode(circuit, qml.device(n))() for n in ("borromean.mixed", "default.mixed")])

    def test_noise_needs_the_mixed_device(self):
        def circuit():
            qml.BitFlip(0.1, wires=0)
            return qml.expval(qml.Z(0))

        with pytest.raises(DeviceError, match="BitFlip"):
            qml.QNode(circuit, BorromeanQubit())()


class TestGradients:
    # default.mixed casts complex cotangents to real ones.
    @pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
    @pytest.mark.parametrize("name", PAIRS)
    @pytest.mark.parametrize("kind", MEASUREMENTS)
    def test_jacobians(self, name, kind):
        reference, body = PAIRS[name]
        circuit = function(body, MEASUREMENTS[kind])
        other = qml.QNode(circuit, qml.device(reference))
        for method in ("best", "adjoint") if name == "borromean.qubit" else ("best",):
            own = qml.QNode(circuit, qml.device(name), diff_method=method)
            for angles in (ANGLES, ROWS[:2]):
                given = pnp.array(angles, requires_grad=True)
                found, expected = (
                    qml.jacobian(lambda x, n=n: flat(n(x)))(given) for n in (own, other)
                )
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
            given = torch.tensor(angles)
            found = torch.autograd.functional.jacobian(lambda x, n=own: flat(n(x)), given)
            np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=0, atol=1e-9)

    @pytest.mark.parametrize("method", ["parameter-shift", "finite-diff", "hadamard"])
    def test_gradient_transforms(self, method):
        circuit = function(gates, MEASUREMENTS["expval"])
        device = BorromeanQubit(wires=["a", "b", 7, "free"])
        options = {"aux_wire": "free"} if method == "hadamard" else {}
        nodes = [
            qml.QNode(circuit, device, diff_method=method, gradient_kwargs=options),
            qml.QNode(circuit, device),
        ]
        found, expected = (qml.grad(n)(pnp.array(ANGLES, requires_grad=True)) for n in nodes)
        np.testing.assert_allclose(found, expected, atol=1e-5)

    @pytest.mark.parametrize("kind", ["expval", "probs", "purity"])
    def test_second_derivatives(self, kind):
        circuit = function(gates, MEASUREMENTS[kind])
        own, other = (
            qml.QNode(circuit, qml.device(n)) for n in ("borromean.qubit", "default.qubit")
        )
        given = pnp.array(ANGLES, requires_grad=True)
        weights = np.arange(1.0, 9.0)[: np.size(own(ANGLES))]

        def total(node):
            return lambda x: pnp.sum(weights * node(x))

        found, expected = (qml.jacobian(qml.grad(total(n)))(given) for n in (own, other))
        np.testing.assert_allclose(found, expected, atol=1e-9)
        seen = torch.tensor(weights)
        found = torch.autograd.functional.hessian(
            lambda x: (seen * own(x)).sum(), torch.tensor(ANGLES)
        )
        np.testing.assert_allclose(found, expected, atol=1e-9)

    def test_complex_states(self):
        phases = np.exp(1j * np.arange(8))
        circuit = function(gates, COMPLEX["state"])
        own, other = (
            qml.QNode(circuit, qml.device(n)) for n in ("borromean.qubit", "default.qubit")
        )
        given = pnp.array(ANGLES, requires_grad=True)
        for part in (pnp.real, pnp.imag):
            found, expected = (
                qml.jacobian(lambda x, n=n, p=part: p(n(x) * phases))(given) for n in (own, other)
            )
            np.testing.assert_allclose(found, expected, atol=1e-10)

    # PennyLane looks at the shape of a list of coefficients through a copy.
    @pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
    def test_coefficients_and_matrices_are_differentiated(self):
        def circuit(angle, coefficients):
            qml.RX(angle, wires=0)
            observable = qml.Hamiltonian(coefficients, [qml.Z(0), qml.Y(0)])
            return qml.expval(observable)

        node = qml.QNode(circuit, BorromeanQubit())
        found = qml.grad(node)(pnp.array(0.4), pnp.array([0.3, 0.7]))
        expected = (-0.3 * np.sin(0.4) - 0.7 * np.cos(0.4), [np.cos(0.4), -np.sin(0.4)])
        np.testing.assert_allclose(found[0], expected[0], atol=1e-12)
        np.testing.assert_allclose(found[1], expected[1], atol=1e-12)

    def test_products_on_the_device(self):
        circuit = function(gates, MEASUREMENTS["several"])
        node = qml.QNode(circuit, BorromeanQubit(), diff_method="adjoint", device_vjp=True)
        plain = qml.QNode(circuit, BorromeanQubit())
        weights = torch.arange(1.0, 5.0, dtype=torch.float64)
        for angles in (ANGLES, ROWS):
            given = [torch.tensor(angles, requires_grad=True) for _ in range(2)]
            for n, tensor in zip((node, plain), given, strict=True):
                parts = torch.cat([p.reshape(*angles.shape[:-1], -1) for p in n(tensor)], -1)
                (parts * weights).sum().backward()
            torch.testing.assert_close(given[0].grad, given[1].grad, rtol=0, atol=1e-10)

    def test_the_device_interface(self):
        tape = qml.tape.QuantumScript(
            [qml.RX(0.3, 0), qml.RY(0.4, 1), qml.CNOT([0, 1])],
            [qml.expval(qml.Z(1)), qml.probs(wires=[0])],
        )
        device, config = BorromeanQubit(), ExecutionConfig(gradient_method="adjoint")
        results, jacobians = device.execute_and_compute_derivatives([tape], config)
        assert device.supports_jvp(config, tape)
        assert device.supports_vjp(config, tape)
        check(results[0], device.execute(tape))
        assert [[np.shape(entry) for entry in row] for row in jacobians[0]] == [
            [(), ()],
            [(2,), (2,)],
        ]
        tangents = (0.5, -2.0)
        _, products = device.execute_and_compute_jvp([tape], [tangents], config)
        for product, row in zip(products[0], jacobians[0], strict=True):
            np.testing.assert_allclose(product, 0.5 * row[0] - 2.0 * row[1], atol=1e-12)
        np.testing.assert_allclose(device.compute_jvp(tape, tangents, config)[0], products[0][0])
        cotangents = (2.0, np.array([1.0, 3.0]))
        _, pulled = device.execute_and_compute_vjp([tape], [cotangents], config)
        for number, product in enumerate(pulled[0]):
            expected = 2.0 * jacobians[0][0][number] + cotangents[1] @ jacobians[0][1][number]
            np.testing.assert_allclose(product, expected, atol=1e-12)
        several = (np.array([2.0, 1.0]), np.array([[1.0, 3.0], [0.0, 1.0]]))
        np.testing.assert_allclose(
            np.stack(device.compute_vjp(tape, several, config))[:, 0],
            np.stack(pulled[0]),
            atol=1e-12,
        )

    @pytest.mark.parametrize("device", [BorromeanQubit, BorromeanMixed])
    def test_what_is_not_differentiated(self, device):
        states = function(gates, COMPLEX["state"])
        with pytest.raises(QuantumFunctionError, match="does not support adjoint"):
            qml.QNode(states, device(), diff_method="adjoint")(
                pnp.array(ANGLES, requires_grad=True)
            )
        shots = qml.set_shots(qml.QNode(states, device(), diff_method="backprop"), 10)
        with pytest.raises(QuantumFunctionError, match="does not support backprop"):
            shots(pnp.array(ANGLES, requires_grad=True))
        assert device().supports_derivatives()
        assert not device().supports_derivatives(ExecutionConfig(gradient_method="parameter-shift"))
        jax = ExecutionConfig(gradient_method="backprop", interface="jax")
        assert not device().supports_derivatives(jax)

    def test_interfaces_without_a_trace_use_products(self):
        config = ExecutionConfig(gradient_method="best", interface="jax")
        assert BorromeanQubit().setup_execution_config(config).gradient_method == "adjoint"
        assert not BorromeanMixed().supports_derivatives(config)


class TestDevice:
    @pytest.mark.parametrize("name", PAIRS)
    def test_entry_points(self, name):
        assert qml.device(name, wires=2).name == name

    def test_tracker(self):
        device = BorromeanQubit(wires=3)
        circuit = function(lambda x: qml.RX(x, wires=0), lambda: qml.expval(qml.Z(0)))
        with qml.Tracker(device) as tracker:
            qml.QNode(circuit, device)(np.array([0.2, 0.3]))
            qml.grad(qml.QNode(circuit, device, diff_method="adjoint"))(pnp.array(0.3))
        assert tracker.totals["simulations"] == 2
        assert tracker.totals["executions"] == 3
        assert tracker.totals["derivatives"] == 1

    def test_unknown_options(self):
        config = ExecutionConfig(device_options={"rng": 1})
        with pytest.raises(DeviceError, match=r"no options .* \['rng'\]"):
            BorromeanQubit().setup_execution_config(config)

    def test_a_circuit_is_planned_once(self):
        circuit = function(gates, MEASUREMENTS["several"])
        node = qml.QNode(circuit, BorromeanQubit())
        node(ANGLES)
        before = script._planned.cache_info().misses
        node(ANGLES + 1.0)
        assert script._planned.cache_info().misses == before

    def test_random_state_is_left_alone(self):
        circuit = function(gates, qml.sample)
        node = qml.set_shots(qml.QNode(circuit, BorromeanQubit(seed=1)), 10)
        before = np.random.get_state()[1].copy()  # noqa: NPY002
        torch_before = torch.get_rng_state()
        node(ANGLES)
        np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
        assert torch.equal(torch_before, torch.get_rng_state())


@pytest.mark.parametrize("name", ["borromean.qubit", "borromean.mixed"])
def test_what_does_not_fit_in_memory_is_refused_before_it_is_allocated(name):
    @qml.qnode(qml.device(name, wires=60))
    def circuit():
        for wire in range(60):
            qml.Hadamard(wire)
        return qml.probs(wires=[0])

    with pytest.raises(MemoryError, match=r"60 wires take at least .* bytes"):
        circuit()
