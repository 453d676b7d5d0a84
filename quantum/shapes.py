"""Leading dimensions (floor 0)."""

from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["broadcast_shapes"]


def broadcast_shapes(*shapes: Sequence[int]) -> torch.Size:
    """What shapes broadcast to; without the symbolic algebra that PyTorch's own loads (seconds).

    Raises:
        ValueError: They do not broadcast.

    Example:
        >>> broadcast_shapes((3, 1), (4,))
        torch.Size([3, 4])
    """
    if torch.compiler.is_compiling() or any(type(d) is not int for s in shapes for d in s):
        return torch.broadcast_shapes(*shapes)
    return torch.Size(np.broadcast_shapes(*map(tuple, shapes)))
