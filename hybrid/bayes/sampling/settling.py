"""First positions brought to where the posterior's mass may lie, before anything is adapted
(floor 0).
"""  # noqa: D205

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["settled", "settled_together"]

_AGAIN = 5
_HOPELESS = 50.0, 10.0  # energy above the lowest chain's: in all, and for each dimension
_BLOCKS, _STEPS = 60, 10
_FIRST, _LAST, _SHRINK = 0.1, 1e-6, 0.25  # the largest move of a coordinate in a step


def settled(
    both: Callable[[Tensor], tuple[Tensor, Tensor]], positions: Float[Tensor, "*chains dim"]
) -> Float[Tensor, "*chains dim"]:
    """Let each chain fall until its energy does so by less than the number of dimensions.

    Far out energies are of another order than where the mass lies, and steps and metrics that fit
    there do not fit here. Draws of a posterior differ from its mode by half a unit of energy for
    each dimension, so that what falls slower may as well rise. Steps are Adam's, in blocks; a block
    that gains too little is followed by a shorter step, until that is negligible.

    Args:
        both: Energies and gradients at positions.
        positions: Where the energies are finite.

    Example:
        >>> narrow = torch.tensor([1.0, 1e4])
        >>> both = lambda q: ((0.5 * narrow * q.square()).sum(-1), narrow * q)
        >>> found = settled(both, torch.ones(3, 2))
        >>> bool((both(found)[0] < 2).all())
        True
    """
    dim = positions.shape[-1]
    energy, gradient = both(positions)
    rate = torch.full_like(energy, _FIRST)
    for _ in range(_BLOCKS):
        before = energy
        here, slope = positions, gradient
        mean, square = torch.zeros_like(here), torch.zeros_like(here)
        for step in range(1, _STEPS + 1):
            mean = 0.9 * mean + 0.1 * slope
            square = 0.99 * square + 0.01 * slope.square()
            size = (square / (1 - 0.99**step)).sqrt() + 1e-30
            here = here - rate.unsqueeze(-1) * mean / (1 - 0.9**step) / size
            value, slope = both(here)
            slope = slope.nan_to_num(0.0, 0.0, 0.0)
            lower = value < energy
            energy = torch.where(lower, value, energy)
            rows = lower.unsqueeze(-1)
            positions = torch.where(rows, here, positions)
            gradient = torch.where(rows, slope, gradient)
        rate = torch.where(before - energy < dim, rate * _SHRINK, rate)
        if bool((rate < _LAST).all()):
            break
    return positions


def settled_together(
    both: Callable[[Tensor], tuple[Tensor, Tensor]], draw: Callable[[], Tensor]
) -> Float[Tensor, "chains dim"]:
    """Settled chains, begun again where one got caught at an energy that has no mass beside others.

    Args:
        both: Energies and gradients at positions ``(chains, dim)``.
        draw: Proposes positions of finite energy.

    Example:
        >>> both = lambda q: (0.5 * q.square().sum(-1), q)
        >>> settled_together(both, lambda: torch.ones(16, 2)).shape
        torch.Size([16, 2])
    """
    positions = settled(both, draw())
    least, each = _HOPELESS
    for _ in range(_AGAIN):
        energy, _ = both(positions)
        hopeless = energy > energy.min() + least + each * positions.shape[-1]
        if not bool(hopeless.any()):
            break
        other = settled(both, draw())
        change = hopeless & (both(other)[0] < energy)
        positions = torch.where(change.unsqueeze(-1), other, positions)
    return positions
