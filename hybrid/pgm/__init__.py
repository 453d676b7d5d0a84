"""Exact, batched, differentiable inference in graphical models (floor 3).

A table is a tensor; a network of tables is planned once as a junction tree, and every question
about any number of rows is answered by messages along that tree.
"""

__all__: list[str] = []
