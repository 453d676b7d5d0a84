"""A layer never answers from a trace of a circuit that would read differently now.

Oracle: the circuit itself, called anew by PennyLane's default.qubit.
"""

import importlib
from unittest import mock

import changing_circuits
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import quantum.layer
from quantum.layer import CircuitLayer


@pytest.fixture(autouse=True)
def _default_dtype():
    before = torch.get_default_dtype()
    yield
    torch.set_default_dtype(before)


STEP = st.tuples(
    st.sampled_from(sorted([*changing_circuits.CHANGES, *changing_circuits.make()[1]])),
    st.integers(0, 3),
    st.sampled_from([(), (1,), (2,), (2, 3)]),
    st.sampled_from([torch.float32, torch.float64]),
)


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 3), st.lists(STEP, min_size=1, max_size=6))
def test_no_answer_comes_from_a_stale_trace(width, steps):
    importlib.reload(changing_circuits)
    circuit, closures = changing_circuits.make()
    node = qml.QNode(circuit, qml.device("default.qubit"), interface="torch")
    layer = CircuitLayer(circuit, {}, in_features=width)
    for name, value, lead, dtype in steps:
        {**changing_circuits.CHANGES, **closures}[name](value)
        row = torch.linspace(0.1, 0.8, width, dtype=dtype)
        answer = layer(row.expand(*lead, width))
        expected = torch.stack([torch.as_tensor(part) for part in node(row.double())]).to(dtype)
        assert answer.dtype == dtype
        torch.testing.assert_close(answer, expected.expand(*lead, 2), atol=3e-5, rtol=0)


def test_hyperparameters_and_branches_are_read_anew():
    depth, gate, wires = 1, qml.RX, [0, 1]

    def circuit(x, w):
        for k in range(depth):
            gate(x[0] * w[0] + 0.1 * k, wires=wires[k % len(wires)])
        if depth > 2:
            qml.CNOT(wires=wires[:2])
        return [qml.expval(qml.Z(wire)) for wire in wires]

    layer = CircuitLayer(circuit, {"w": 1}, in_features=1)
    node = qml.QNode(circuit, qml.device("default.qubit"), interface="torch")
    x = torch.tensor([0.4])

    def check():
        expected = torch.stack([part.float() for part in node(x, layer.w)])
        torch.testing.assert_close(layer(x), expected)

    check()
    depth = 3
    check()
    assert layer.out_features == 2
    wires = [2, 0, 1]  # another number of wires and of measurements
    check()
    assert layer.out_features == 3
    gate = qml.RY
    check()
    depth, gate, wires = 1, qml.RX, [0, 1]
    check()
    assert layer.out_features == 2


def test_a_change_inside_vmap_is_noticed():
    depth = 1

    def circuit(x):
        for _ in range(depth):
            qml.RX(x[0], wires=0)
        return qml.expval(qml.Z(0))

    layer = CircuitLayer(circuit, {}, in_features=1)
    x = torch.rand(4, 1)
    torch.testing.assert_close(torch.func.vmap(layer)(x), torch.cos(x))
    depth = 2
    torch.testing.assert_close(torch.func.vmap(layer)(x), torch.cos(2 * x))


def test_a_circuit_that_stays_the_same_is_traced_once():
    angles = [0.1, 0.2]

    def circuit(x):
        qml.RX(x[0] + angles[0], wires=0)
        return qml.expval(qml.Z(0))

    with mock.patch.object(quantum.layer, "capture", wraps=quantum.layer.capture) as traced:
        layer = CircuitLayer(circuit, {}, in_features=1)
        for _ in range(3):
            layer(torch.rand(2, 1))
        assert traced.call_count == 1
        angles[0] = 0.5
        layer(torch.rand(2, 1))
        assert traced.call_count == 2
