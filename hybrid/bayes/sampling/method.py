"""What a sampling method is, and what it returns (floor 2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from hybrid.bayes.sampling.density import Density

__all__ = ["Method", "Run"]


@dataclass(frozen=True)
class Run:
    """What a method found.

    Attributes:
        positions: Unconstrained positions ``(chains, draws, dim)``.
        diverging: Which trajectories diverged, ``(chains, draws)``.
        energy: Their total energies, ``(chains, draws)``.
        facts: What was adapted, and how the gradient was computed.

    Example:
        >>> run = Run(torch.zeros(2, 5, 1), torch.zeros(2, 5).bool(), torch.zeros(2, 5), {})
        >>> run.positions.shape
        torch.Size([2, 5, 1])
    """

    positions: Float[Tensor, "chains draws dim"]
    diverging: Bool[Tensor, "chains draws"]
    energy: Float[Tensor, "chains draws"]
    facts: Mapping[str, float | str]


@runtime_checkable
class Method(Protocol):
    """A sampling method with its settings; its sizes are what it takes where none are asked for.

    Example:
        >>> from hybrid.bayes.sampling.chees import ChEES
        >>> method: Method = ChEES()
        >>> method.sizes
        (64, 500, 1000)
    """

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Chains, warm-up iterations and draws where none are asked for."""
        ...

    def run(
        self, density: Density, chains: int, warmup: int, draws: int, generator: torch.Generator
    ) -> Run:
        """Sample the density."""
        ...
