"""Arrays with leading dimensions as sets of rows (floor 0 of the kernel)."""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

__all__ = ["Layout", "Split", "split_rows"]

_FEW_ROWS = 4


@dataclass(frozen=True)
class Layout:
    """How arrays with leading dimensions become sets of rows, for one combination of shapes.

    Args:
        lead: The broadcast leading dimensions.
        output: Shape of the output.
        dtype: Its dtype.
        saved: The size of the final states, in numbers of the arrays' dtype.
        expanded: For each array the shape it is expanded to first, None where it is read as it is.
        head: What comes first in a call: numbers of the sets and rows and the like.
        tail: What comes last: the strides and sizes of the arrays.

    Attributes:
        plain: Whether all arrays are read as they are.
        occupied: Whether there is any output.
        pack: Writes a call's numbers, between head and tail: the direction, the number of threads,
            the addresses of output, cotangent and final states, of the arrays and their gradients.

    Example:
        >>> layout = Layout((), (1,), torch.float32, 0, (None,), (), (0, 0, 1))
        >>> layout.plain, len(layout.pack(*range(10)))
        (True, 80)
    """

    lead: tuple[int, ...]
    output: tuple[int, ...]
    dtype: torch.dtype
    saved: int
    expanded: tuple[tuple[int, ...] | None, ...]
    head: tuple[int, ...]
    tail: tuple[int, ...]
    plain: bool = field(init=False)
    occupied: bool = field(init=False)
    pack: Callable[..., bytes] = field(init=False)

    def __post_init__(self) -> None:
        numbers = len(self.head) + 5 + 2 * len(self.expanded) + len(self.tail)
        object.__setattr__(self, "plain", all(shape is None for shape in self.expanded))
        object.__setattr__(self, "occupied", math.prod(self.output) > 0)
        object.__setattr__(self, "pack", struct.Struct(f"{numbers}q").pack)


class Split(NamedTuple):
    """Leading dimensions cut into sets and rows; each array is shared or varies along each.

    Example:
        >>> split_rows([(5, 8), (5, 1)]).outer
        (True, True)
    """

    lead: tuple[int, ...]
    sets: int
    rows: int
    outer: tuple[bool, ...]
    inner: tuple[bool, ...]
    wanted: tuple[tuple[int, ...], ...]  # leading shape of each array as the kernel reads it


def split_rows(leads: Sequence[Sequence[int]]) -> Split:
    """Where to cut leading dimensions, so that as many rows as possible share what does not vary.

    Args:
        leads: The leading dimensions of each array; they broadcast.

    Example:
        >>> split = split_rows([(5, 8), (5, 1)])
        >>> split.sets, split.rows
        (5, 8)
    """
    lead = tuple(np.broadcast_shapes(*map(tuple, leads)))
    rank = len(lead)
    padded = [(1,) * (rank - len(own)) + tuple(own) for own in leads]
    ends = [max((k + 1 for k, d in enumerate(p) if d != 1), default=0) for p in padded]
    cut = max((end for end in ends if end < rank), default=0)
    if math.prod(lead[cut:]) < _FEW_ROWS:
        cut = 0
    outer = tuple(any(d != 1 for d in pad[:cut]) for pad in padded)
    inner = tuple(any(d != 1 for d in pad[cut:]) for pad in padded)
    wanted = tuple(
        (lead[:cut] if o else (1,) * cut) + (lead[cut:] if i else (1,) * (rank - cut))
        for o, i in zip(outer, inner, strict=True)
    )
    return Split(lead, math.prod(lead[:cut]), math.prod(lead[cut:]), outer, inner, wanted)
