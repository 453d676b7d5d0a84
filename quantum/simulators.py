"""What simulates a circuit: objects that name a simulator and its settings (floor 1).

They hold no state and no mathematics; `quantum.plan` decides what each of them can do.
"""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["DensityMatrix", "Device", "Simulator", "StateVector"]

Precision = Literal["single", "double"]


@dataclass(frozen=True)
class StateVector:
    r"""Exact simulation of pure states: :math:`2^n` complex amplitudes for each row.

    Args:
        precision: "single" (complex64), "double" (complex128), or None: that of inputs and weights,
            but double where a parameter occurs so often that single is too little.

    Example:
        >>> StateVector(precision="double")
        StateVector(precision='double')
    """

    precision: Precision | None = None


@dataclass(frozen=True)
class DensityMatrix:
    r"""Exact simulation of mixed states and channels: :math:`4^n` complex entries for each row.

    Args:
        precision: "single" (complex64), "double" (complex128), or None: that of inputs and weights,
            but double where a parameter occurs so often that single is too little.

    Example:
        >>> DensityMatrix()
        DensityMatrix(precision=None)
    """

    precision: Precision | None = None


@dataclass(frozen=True, eq=False)
class Device:
    """Any PennyLane device: hardware, other simulators, PennyLane's distributed ones.

    Args:
        device: What ``pennylane.device`` returns.

    Example:
        >>> import pennylane as qml
        >>> Device(qml.device("default.qubit")).device.name
        'default.qubit'
    """

    device: Any


Simulator = StateVector | DensityMatrix | Device
