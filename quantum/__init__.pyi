from quantum.gates import UnsupportedOperation as UnsupportedOperation
from quantum.layer import CircuitLayer as CircuitLayer

__all__ = [
    "CircuitLayer",
    "UnsupportedOperation",
]
