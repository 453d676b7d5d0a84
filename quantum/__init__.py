"""Simulated quantum circuits as PyTorch layers.

Names are loaded on first use.

Example:
    >>> import pennylane as qml, torch, quantum
    >>> def circuit(inputs):
    ...     qml.RX(inputs[..., 0], wires=0)
    ...     return qml.expval(qml.Z(0))
    >>> quantum.CircuitLayer(circuit, {}, in_features=1)(torch.zeros(3, 1)).squeeze(-1)
    tensor([1., 1., 1.])
"""

from importlib import import_module
from typing import Any

_HOME = {
    "CircuitLayer": "quantum.layer",
    "DensityMatrix": "quantum.simulators",
    "Device": "quantum.simulators",
    "Resources": "quantum.resources",
    "StateVector": "quantum.simulators",
    "UnsupportedOperation": "quantum.circuits.gates",
    "diagram": "quantum.drawing",
    "metric_tensor": "quantum.metric",
    "openqasm": "quantum.drawing",
}

__all__ = [
    "CircuitLayer",
    "DensityMatrix",
    "Device",
    "Resources",
    "StateVector",
    "UnsupportedOperation",
    "diagram",
    "metric_tensor",
    "openqasm",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
