"""Circuits as text: PennyLane's drawing and OpenQASM, read back by a small interpreter."""

import math
import re

import pennylane as qml
import pytest
import torch

from quantum.drawing import diagram, openqasm
from quantum.layer import CircuitLayer

GATES = {
    "rx": qml.RX, "ry": qml.RY, "rz": qml.RZ, "cx": qml.CNOT, "cz": qml.CZ, "h": qml.Hadamard,
    "x": qml.X, "y": qml.Y, "z": qml.Z, "s": qml.S, "t": qml.T, "swap": qml.SWAP, "u1": qml.U1,
    "sdg": lambda wires: qml.adjoint(qml.S(wires)), "tdg": lambda wires: qml.adjoint(qml.T(wires)),
    "u3": qml.U3, "u2": qml.U2, "crx": qml.CRX, "cry": qml.CRY, "crz": qml.CRZ, "cswap": qml.CSWAP,
    "ccx": qml.Toffoli, "cy": qml.CY, "ch": qml.CH, "cu1": qml.ControlledPhaseShift,
}  # fmt: skip


def read(text):
    """The gates of an OpenQASM 2 program without control flow."""
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\((.*)\))? (q\[\d+\](?:,q\[\d+\])*);", line)
        if found is None or found[1] in ("qreg", "creg"):
            assert re.match(r"OPENQASM|include|qreg|creg|measure|gphase", line), line
            continue
        name, angles, wires = found.groups()
        values = [eval(a, {"pi": math.pi}) for a in angles.split(",")] if angles else []
        GATES[name](*values, wires=[int(w) for w in re.findall(r"\d+", wires)])


def everything(x, w):
    qml.AngleEmbedding(x, wires=range(3), rotation="Y")
    qml.StronglyEntanglingLayers(w[:9].reshape(1, 3, 3), wires=range(3))
    qml.adjoint(qml.S(0))
    qml.IsingXY(w[9], wires=[2, 0])
    qml.ctrl(qml.RY(x[0] * w[1], 1), control=[0, 2], control_values=[1, 0])
    qml.pow(qml.RX(w[2], 1), 2)
    qml.QFT(wires=range(3))
    return qml.expval(qml.Z(0))


def test_openqasm_describes_the_same_state():
    layer = CircuitLayer(everything, {"w": 10}, in_features=3, dtype=torch.float64)
    x = torch.tensor([0.3, 0.9, 1.4], dtype=torch.float64)
    text = openqasm(layer, x)

    @qml.qnode(qml.device("default.qubit", wires=3))
    def again():
        read(text)
        return qml.probs(), qml.expval(qml.X(0) @ qml.Y(1)), qml.expval(qml.Y(2))

    @qml.qnode(qml.device("default.qubit", wires=3))
    def direct():
        with qml.QueuingManager.stop_recording():
            script = qml.tape.make_qscript(everything)(x, layer.w.detach())
        for operation in script.operations:
            qml.apply(operation)
        return qml.probs(), qml.expval(qml.X(0) @ qml.Y(1)), qml.expval(qml.Y(2))

    for one, other in zip(again(), direct(), strict=True):
        torch.testing.assert_close(torch.as_tensor(one), torch.as_tensor(other), atol=1e-9, rtol=0)


def test_wires_are_numbered_as_in_the_layer():
    node = qml.QNode(
        lambda x: (qml.RX(x[0], "b"), qml.probs())[1], qml.device("default.qubit", wires=["a", "b"])
    )
    layer = CircuitLayer(node, {}, in_features=1)
    text = openqasm(layer, torch.tensor([0.25]))
    assert "qreg q[2];" in text
    assert "rx(0.25) q[1];" in text
    assert diagram(layer).splitlines()[1].startswith("b: ──RX─")


def test_wires_that_a_decomposition_orders_are_drawn_in_that_order():
    def circuit(x):
        qml.adjoint(qml.AngleEmbedding)(x, wires=["a", "b"])
        return qml.probs()

    rows = diagram(CircuitLayer(circuit, {}, in_features=2)).splitlines()
    assert [row[0] for row in rows] == ["b", "a"]  # as the probabilities


def test_a_number_of_inputs_that_is_not_known_is_an_error():
    layer = CircuitLayer(lambda x: (qml.RX(x[0], 0), qml.probs())[1], {})
    with pytest.raises(ValueError, match="in_features"):
        diagram(layer)
    layer(torch.zeros(2, 1))
    assert "RX" in diagram(layer)


def test_embeddings_of_states_and_many_measurements_are_drawn():
    def circuit(x, w):
        qml.AmplitudeEmbedding(x, wires=range(2))
        qml.BasicEntanglerLayers(w, wires=range(2))
        return [qml.expval(qml.Z(0)), qml.var(qml.X(1)), qml.probs(wires=[0, 1])]

    drawn = diagram(CircuitLayer(circuit, {"w": (2, 2)}, in_features=4))
    assert len(drawn.splitlines()) == 2
    assert "Probs" in drawn


def test_openqasm_takes_one_row():
    layer = CircuitLayer(everything, {"w": 10}, in_features=3)
    with pytest.raises(ValueError, match="one row"):
        openqasm(layer, torch.zeros(2, 3))
    with pytest.raises(ValueError, match="one row"):
        openqasm(layer, torch.zeros(2))


def test_without_drawing_nothing_is_recorded_or_changed():
    layer = CircuitLayer(everything, {"w": 10}, in_features=3)
    before = layer.w.detach().clone()
    with qml.queuing.AnnotatedQueue() as queue:
        diagram(layer)
        openqasm(layer, torch.zeros(3))
    assert not len(queue)
    torch.testing.assert_close(layer.w.detach(), before)
