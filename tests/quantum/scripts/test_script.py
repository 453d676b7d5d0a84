"""Operators with values in them: what is planned, and how values become arguments."""

import numpy as np
import pennylane as qml
import pytest
import torch
from pennylane.wires import Wires

from quantum.circuits.gates import UnsupportedOperation
from quantum.scripts import script
from quantum.scripts.script import Basis, analytic, read
from quantum.simulators import DensityMatrix, StateVector


def layer(angles, row):
    return [
        *(qml.RX(a, k) for k, a in enumerate(angles)),
        qml.RY(row, 0),
        qml.CNOT([0, 1]),
        qml.QubitUnitary(np.eye(2), 1),
    ]


@pytest.mark.parametrize("simulator", [StateVector(), DensityMatrix()])
def test_values_are_packed(simulator):
    rows = np.array([0.1, 0.2, 0.3])
    found = read(layer([0.3, 0.4], rows), Wires([0, 1]), [qml.probs(wires=[1, 0])], simulator)[0]

    @qml.qnode(qml.device("default.qubit"))
    def circuit():
        layer([0.3, 0.4], rows)
        return qml.probs(wires=[1, 0])

    np.testing.assert_allclose(found, circuit(), atol=1e-12)


def test_plans_are_kept_by_structure():
    script._planned.cache_clear()
    asked = [qml.expval(qml.Z(0)), qml.expval(0.3 * qml.X(1))]
    for angles in ([0.1, 0.2], [0.3, 0.4], torch.tensor([0.5, 0.6])):
        read(layer(angles, 0.1), Wires([0, 1]), asked, StateVector())
    assert script._planned.cache_info().misses == 1
    read(layer([0.1, 0.2], np.array([0.1, 0.2])), Wires([0, 1]), asked, StateVector())
    assert script._planned.cache_info().misses == 2


def test_gradients_flow_to_every_kind_of_value():
    angle = torch.tensor(0.3, requires_grad=True)
    rows = torch.tensor([0.1, 0.2], dtype=torch.float64, requires_grad=True)
    coefficient = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    operators = [qml.RX(angle, 0), qml.RY(rows, 1), qml.CNOT([0, 1])]
    (value,) = read(operators, Wires([0, 1]), [qml.expval(coefficient * qml.Z(1))], StateVector())
    torch.testing.assert_close(value, coefficient * torch.cos(angle.double()) * torch.cos(rows))
    value.sum().backward()
    expected = -0.7 * np.sin(0.3) * np.cos([0.1, 0.2]).sum()
    np.testing.assert_allclose(angle.grad, expected, rtol=1e-6)
    np.testing.assert_allclose(rows.grad, -0.7 * np.cos(0.3) * np.sin([0.1, 0.2]), rtol=1e-6)
    np.testing.assert_allclose(coefficient.grad, np.cos(0.3) * np.cos([0.1, 0.2]).sum(), rtol=1e-6)


@pytest.mark.parametrize(
    "operator",
    [
        lambda a: qml.ctrl(qml.IsingXY(a, [0, 2]), [1], control_values=[0]),
        lambda a: qml.adjoint(qml.ctrl(qml.U2(a, 0.3, 2), [0])),
        lambda a: qml.exp(qml.X(0) @ qml.Z(1), 1j * a),
        lambda a: qml.PauliRot(a, "XYZ", [2, 0, 1]),
        lambda a: qml.Rot(0.1, a, 0.2, 1),
        lambda a: qml.pow(qml.RX(a, 0), 0.5),
        lambda a: qml.prod(qml.RX(a, 0), qml.RY(0.3, 1)),
        lambda a: qml.DiagonalQubitUnitary(np.exp(1j * np.multiply.outer(a, [1, 2])), 0),
    ],
)
def test_batched_operators(operator):
    rows = np.array([0.3, -1.2, 2.0])
    start = [qml.RY(0.4 + k, k) for k in range(3)]
    wires = Wires(range(3))
    found = read([*start, operator(rows)], wires, [qml.state()], StateVector())[0]
    for row, state in zip(rows, found, strict=True):
        gate = qml.matrix(operator(row), wire_order=wires)
        before = read(start, wires, [qml.state()], StateVector())[0].numpy()
        np.testing.assert_allclose(state, gate @ before, atol=1e-12)


def test_bases_and_postselection():
    plus = [qml.H(0), qml.H(1), qml.Projector([1], 1)]
    wires = Wires([0, 1])
    chances, other = read(plus, wires, [Basis((qml.H(0),)), qml.expval(qml.Z(1))], StateVector())
    np.testing.assert_allclose(chances, [0, 1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(other, -1.0)


def test_measurements_that_only_pennylane_knows():
    class Weight(qml.measurements.StateMeasurement):
        def process_state(self, state, wire_order):
            return (qml.math.abs(state) ** 2)[..., -1]

        def process_density_matrix(self, density_matrix, wire_order):
            return qml.math.real(density_matrix[..., -1, -1])

    for simulator in (StateVector(), DensityMatrix()):
        (found,) = analytic([qml.RX(0.3, 0)], [Weight(wires=Wires(0))], Wires(0), simulator)
        np.testing.assert_allclose(found, np.sin(0.15) ** 2, atol=1e-12)


def test_noise_names_the_simulator_that_can():
    with pytest.raises(UnsupportedOperation, match="DensityMatrix"):
        read([qml.BitFlip(0.1, 0)], Wires(0), [qml.probs(wires=0)], StateVector())
