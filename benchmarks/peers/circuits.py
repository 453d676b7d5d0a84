"""The circuits as PennyLane functions of ``(inputs, weights)``: written as a user writes them.

Inputs are ``(..., wires)`` and weights ``(layers, wires, 3)``; the last axes are indexed, so a
simulator that batches natively may pass all rows at once. Each returns one expectation per wire.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qml
from peers.cases import Case

__all__ = ["quantum_function"]

Circuit = Callable[[Any, Any], list[Any]]


def quantum_function(case: Case) -> Circuit:
    """The circuit of a case."""
    return _CIRCUITS[case.circuit](case)


def _each_z(wires: int) -> list[Any]:
    return [qml.expval(qml.Z(wire)) for wire in range(wires)]


def _entangling(case: Case) -> Circuit:
    """RY angle embedding, StronglyEntanglingLayers."""

    def circuit(inputs: Any, weights: Any) -> list[Any]:
        qml.AngleEmbedding(inputs, wires=range(case.wires), rotation="Y")
        qml.StronglyEntanglingLayers(weights, wires=range(case.wires))
        return _each_z(case.wires)

    return circuit


def _reuploading(case: Case) -> Circuit:
    """The inputs are embedded again before every entangling layer."""

    def circuit(inputs: Any, weights: Any) -> list[Any]:
        for layer in range(case.layers):
            qml.AngleEmbedding(inputs, wires=range(case.wires), rotation="XYZ"[layer % 3])
            qml.StronglyEntanglingLayers(weights[layer : layer + 1], wires=range(case.wires))
        return _each_z(case.wires)

    return circuit


def _zz_feature_map(case: Case) -> Circuit:
    """Two rounds of the ZZ feature map (Havlíček et al. 2019) on a ring, then RY and CNOTs."""
    wires = case.wires

    def circuit(inputs: Any, weights: Any) -> list[Any]:
        for _ in range(2):
            for wire in range(wires):
                qml.Hadamard(wire)
                qml.RZ(2.0 * inputs[..., wire], wires=wire)
            for wire in range(wires):
                pair = [wire, (wire + 1) % wires]
                angle = 2.0 * (np.pi - inputs[..., pair[0]]) * (np.pi - inputs[..., pair[1]])
                qml.CNOT(wires=pair)
                qml.RZ(angle, wires=pair[1])
                qml.CNOT(wires=pair)
        for layer in range(case.layers):
            for wire in range(wires):
                qml.RY(weights[layer, wire, 0], wires=wire)
            for wire in range(wires - 1):
                qml.CNOT(wires=[wire, wire + 1])
        return _each_z(wires)

    return circuit


def _ry_rz_cz(case: Case) -> Circuit:
    """Hardware-efficient: RY and RZ on every wire, a chain of CZ."""
    wires = case.wires

    def circuit(inputs: Any, weights: Any) -> list[Any]:
        qml.AngleEmbedding(inputs, wires=range(wires), rotation="Y")
        for layer in range(case.layers):
            for wire in range(wires):
                qml.RY(weights[layer, wire, 0], wires=wire)
                qml.RZ(weights[layer, wire, 1], wires=wire)
            for wire in range(wires - 1):
                qml.CZ(wires=[wire, wire + 1])
        return _each_z(wires)

    return circuit


def _qaoa(case: Case) -> Circuit:
    """Ising cost layers with the inputs as local fields, X mixers, ⟨ZZ⟩ of the edges."""
    wires = case.wires
    edges = [(wire, (wire + 1) % wires) for wire in range(wires)]
    chords = [(wire, wire + wires // 2) for wire in range(wires // 2)]

    def circuit(inputs: Any, weights: Any) -> list[Any]:
        for wire in range(wires):
            qml.Hadamard(wire)
        for layer in range(case.layers):
            for edge in edges + chords:
                qml.IsingZZ(weights[layer, 0, 0], wires=edge)
            for wire in range(wires):
                qml.RZ(weights[layer, 0, 1] * inputs[..., wire], wires=wire)
            for wire in range(wires):
                qml.RX(weights[layer, 0, 2], wires=wire)
        return [qml.expval(qml.Z(first) @ qml.Z(second)) for first, second in edges]

    return circuit


_ONE = ("RX", "RY", "RZ", "PhaseShift")
_TWO = ("CRX", "CRY", "CRZ", "IsingXX", "IsingYY", "IsingZZ", "ControlledPhaseShift")
_FIXED = {"Hadamard": 1, "S": 1, "T": 1, "SX": 1, "CNOT": 2, "CZ": 2, "SWAP": 2, "Toffoli": 3}


def _random_gates(case: Case) -> Circuit:
    """Twelve random gates per wire with inputs and weights as angles, random Pauli observables."""
    generator = np.random.default_rng(case.wires)
    gates = []
    for _ in range(12 * case.wires):
        kind = generator.choice(3, p=(0.5, 0.25, 0.25))
        name = str(generator.choice((_ONE, _TWO, tuple(_FIXED))[kind]))
        size = (1, 2, _FIXED.get(name, 0))[kind]
        wires = [int(wire) for wire in generator.permutation(case.wires)[:size]]
        place = [int(generator.integers(size)) for size in case.weight_shape]
        gates.append((name, wires, kind < 2, bool(generator.random() < 0.3), place))
    words = [generator.choice(("X", "Y", "Z"), size=2) for _ in range(case.wires)]

    def circuit(inputs: Any, weights: Any) -> list[Any]:
        for name, wires, turns, fed, (layer, wire, angle) in gates:
            value = inputs[..., wire] if fed else weights[layer, wire, angle]
            getattr(qml, name)(*([value] if turns else []), wires=wires)
        paulis = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}
        return [
            qml.expval(paulis[a](wire) @ paulis[b]((wire + 1) % case.wires))
            for wire, (a, b) in enumerate(words)
        ]

    return circuit


_CIRCUITS: dict[str, Callable[[Case], Circuit]] = {
    "entangling": _entangling,
    "reuploading": _reuploading,
    "zz_feature_map": _zz_feature_map,
    "ry_rz_cz": _ry_rz_cz,
    "qaoa": _qaoa,
    "random_gates": _random_gates,
}
