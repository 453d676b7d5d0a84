"""What two models must agree on, and where they must differ (floor 1)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from causal.witness.network import Key, Network

__all__ = ["FLOOR", "Blocks", "Pair", "Problem"]

Blocks = dict[Key, Tensor]

FLOOR = 1e-3  # least entry of a block that a move leaves


@dataclass(frozen=True, eq=False)
class Problem:
    """What two models must agree on, and the number above / below on which they must differ.

    Example:
        >>> network = Network((("X", ("x",)),), ("x",))
        >>> Problem((network,), network, None).below is None
        True
    """

    supplied: tuple[Network, ...]
    above: Network
    below: Network | None

    def query(self, blocks: Mapping[Key, Tensor]) -> float:
        """The query's value in a model."""
        value = self.above.value(blocks)
        return float(value if self.below is None else value / self.below.value(blocks))

    def discrepancy(self, first: Mapping[Key, Tensor], second: Mapping[Key, Tensor]) -> float:
        """The largest difference between two models in what is supplied."""
        gaps = ((table.value(first) - table.value(second)).abs().max() for table in self.supplied)
        return float(max(gaps, default=0.0))

    def gradient(self, blocks: Mapping[Key, Tensor], key: Key) -> Tensor | None:
        """Derivatives of the query by the entries of a block; None where it has none."""
        above = self.above.jacobian(blocks, key)
        below = None if self.below is None else self.below.jacobian(blocks, key)
        if above is None and below is None:
            return None
        scale = 1.0 if self.below is None else float(self.below.value(blocks))
        found = torch.zeros(blocks[key].numel(), dtype=torch.float64)
        if above is not None:
            found = found + above[0] / scale
        if below is not None:
            found = found - below[0] * (float(self.above.value(blocks)) / scale**2)
        return found


@dataclass(frozen=True, eq=False)
class Pair:
    """Two sets of blocks, the query's values in them, and the largest difference elsewhere.

    Example:
        >>> Pair({}, {}, 0.5, 0.25, 0.0).gap
        0.25
    """

    first: Blocks
    second: Blocks
    high: float
    low: float
    discrepancy: float

    @property
    def gap(self) -> float:
        """How far the models differ on the query."""
        return self.high - self.low
