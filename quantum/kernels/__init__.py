"""The compiled CPU kernel: circuits as Pauli rotations, run over many rows at once (floor 4)."""

__all__: list[str] = []
