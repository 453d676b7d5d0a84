"""The compiled CPU kernel: junction trees, many rows side by side (floor 2 of graphical models)."""

__all__: list[str] = []
