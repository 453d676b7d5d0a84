"""Draw basis states from probabilities, and count them (floor 0 of states)."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["bits", "counted", "draw", "frequencies"]


def draw(
    chances: Float[Tensor, "*batch states"], shots: int, generator: torch.Generator | None = None
) -> Int[Tensor, "*batch shots"]:
    """Numbers of basis states, drawn independently for each row by inverting the distribution.

    Args:
        chances: Probabilities ``(*batch, states)``.
        shots: How many draws for each row.
        generator: Where random numbers come from; None: torch's global generator.

    Raises:
        ValueError: The probabilities are not finite, or all zero.

    Example:
        >>> draw(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 3)
        tensor([[1, 1, 1],
                [0, 0, 0]])
    """
    ladder = chances.double().clamp(min=0.0).cumsum(-1)
    total = ladder[..., -1:].contiguous()
    if not bool((torch.isfinite(total) & (total > 0)).all()):
        raise ValueError(
            "samples cannot be drawn: the probabilities are NaN or all zero, as after "
            "postselecting an outcome that cannot occur, or for NaN among inputs and weights"
        )
    place = chances.device if generator is None else generator.device
    size = (*chances.shape[:-1], shots)
    heights = torch.rand(size, generator=generator, dtype=torch.float64, device=place)
    steps = torch.searchsorted(ladder, heights.to(chances.device) * total, right=True)
    return steps.clamp(max=chances.shape[-1] - 1)


def frequencies(drawn: Int[Tensor, "*batch shots"], states: int) -> Float[Tensor, "*batch states"]:
    """How often each of ``states`` basis states was drawn, as a share, in float64.

    Example:
        >>> frequencies(torch.tensor([0, 1, 1, 1]), 2)
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    ones = torch.ones(drawn.shape, dtype=torch.float64, device=drawn.device)
    counts = torch.zeros((*drawn.shape[:-1], states), dtype=torch.float64, device=drawn.device)
    return counts.scatter_add(-1, drawn, ones) / drawn.shape[-1]


def bits(drawn: Int[Tensor, "*batch shots"], wires: int) -> Int[Tensor, "*batch shots wires"]:
    """Numbers of basis states as bits, the first wire first.

    Example:
        >>> bits(torch.tensor([2, 1]), 2)
        tensor([[1, 0],
                [0, 1]])
    """
    shifts = torch.arange(wires - 1, -1, -1, device=drawn.device)
    return drawn.unsqueeze(-1) >> shifts & 1


def counted(drawn: Tensor, names: dict[Any, Any], all_outcomes: bool = False) -> Any:
    """Nested lists along the batch dimensions of dictionaries: outcome → how often it was drawn.

    Args:
        drawn: ``(*batch, shots)``.
        names: What each drawn value is called.
        all_outcomes: List outcomes that did not occur, too.

    Example:
        >>> counted(torch.tensor([[0, 1, 1], [0, 0, 0]]), {0: "0", 1: "1"})
        [{'0': 1, '1': 2}, {'0': 3}]
    """
    if drawn.dim() > 1:
        return [counted(row, names, all_outcomes) for row in drawn]
    values, counts = torch.unique(drawn, return_counts=True)
    found = dict.fromkeys(names.values(), 0) if all_outcomes else {}
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        found[names[value]] = count
    return found
