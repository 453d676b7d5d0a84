"""What circuits cost, and that what does not fit is refused before it is allocated."""

import pennylane as qml
import pytest
import torch

from quantum import resources
from quantum.circuits.reading import capture
from quantum.resources import Resources, available_bytes, require_memory, required_bytes
from quantum.simulators import DensityMatrix, Device, StateVector

CPU = torch.device("cpu")


def wide(wires, measure=None):
    def circuit(x):
        qml.RX(x[0], wires=0)
        return measure() if measure else qml.expval(qml.Z(wires - 1))

    return capture(circuit, {"x": (1,)}, range(wires))


def test_depth_is_that_of_pennylane_where_nothing_is_decomposed():
    def circuit(x):
        qml.RX(x[0], wires=0)
        qml.RY(x[0], wires=1)
        qml.CNOT(wires=[0, 1])
        qml.Toffoli(wires=[3, 2, 1])
        qml.RZ(x[0], wires=0)
        qml.ctrl(qml.RZ(x[0], wires=0), control=[1, 2])
        return qml.expval(qml.Z(0))

    found = resources.resources(capture(circuit, {"x": (1,)}))
    script = qml.tape.make_qscript(circuit)(torch.tensor([0.1]))
    assert (found.wires, found.gates, found.depth) == (4, 6, script.graph.get_depth())


def test_an_empty_circuit_has_no_depth():
    found = resources.resources(capture(lambda x: qml.probs(wires=0), {"x": (1,)}))
    assert found == Resources(wires=1, gates=0, depth=0, bytes=2 * 2 * 8 + 2 * 4)


@pytest.mark.parametrize("rows", [1, 7])
@pytest.mark.parametrize(("precision", "item"), [(torch.complex64, 8), (torch.complex128, 16)])
def test_bytes_count_states_and_answers(rows, precision, item):
    cases = [
        (None, item // 2, item // 2),
        (lambda: qml.probs(wires=[0, 1]), 4 * item // 2, 4 * item // 2),
        (qml.state, 16 * item, 256 * item),
        (lambda: qml.density_matrix(wires=[0, 1]), 16 * item, 16 * item),
        (lambda: [qml.expval(qml.Z(0)), qml.var(qml.X(1))], item, item),
    ]
    for measure, pure, mixed in cases:
        program = wide(4, measure)
        counted = required_bytes(program, StateVector(), rows, precision)
        assert counted == rows * (2 * 16 * item + pure)
        counted = required_bytes(program, DensityMatrix(), rows, precision)
        assert counted == rows * (2 * 256 * item + mixed)
        foreign = Device(qml.device("default.qubit"))
        assert required_bytes(program, foreign, rows, precision) == rows * pure


def test_too_large_a_circuit_is_refused_with_its_bytes():
    needed = 2 * 16 * 2**50 + 8
    with pytest.raises(MemoryError, match=f"50 wires take at least {needed} bytes.*available"):
        require_memory(wide(50), StateVector(), 1, torch.complex128, CPU)
    with pytest.raises(MemoryError, match="StateVector where there is no noise"):
        require_memory(wide(28), DensityMatrix(), 3, torch.complex64, CPU)
    require_memory(wide(4), StateVector(), 3, torch.complex64, CPU)
    require_memory(wide(22), StateVector(), 4, torch.complex64, CPU)


def test_the_limit_is_what_is_available(monkeypatch):
    monkeypatch.setattr(resources, "available_bytes", lambda device: 2**28)
    require_memory(wide(23), StateVector(), 1, torch.complex64, CPU)
    with pytest.raises(MemoryError, match=r"268435456 bytes \(256 MiB\) available"):
        require_memory(wide(24), StateVector(), 1, torch.complex64, CPU)


def test_what_is_available_is_within_the_machine():
    assert 2**20 < available_bytes(CPU) <= 2**63 - 1
