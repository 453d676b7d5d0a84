from quantum.circuits.gates import UnsupportedOperation as UnsupportedOperation
from quantum.drawing import diagram as diagram
from quantum.drawing import openqasm as openqasm
from quantum.layer import CircuitLayer as CircuitLayer
from quantum.metric import metric_tensor as metric_tensor
from quantum.resources import Resources as Resources
from quantum.simulators import DensityMatrix as DensityMatrix
from quantum.simulators import Device as Device
from quantum.simulators import StateVector as StateVector

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
