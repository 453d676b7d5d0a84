"""A function of one position, computed at many positions at once (floor 1)."""

from collections.abc import Callable

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.func import vmap

from hybrid.bayes.sampling.factorisation import Unchecked
from hybrid.bayes.sampling.recording import Unrecordable, record

__all__ = ["at_each"]

_CHUNK = 4096  # positions that are computed at a time


@torch.no_grad()
def at_each(
    function: Callable[[Tensor], tuple[Tensor, ...]], positions: Shaped[Tensor, "count dims"]
) -> list[Tensor]:
    """The results of ``function`` at all positions, stacked along a leading axis each.

    Its operations are recorded at the first position and batched; what cannot be recorded, or does
    not repeat the results at the last position, runs in a loop.

    Args:
        function: Takes one position ``(dims,)``, and returns at least one tensor.
        positions: One or more.

    Example:
        >>> at_each(lambda x: (x.sum(), 2 * x), torch.ones(3, 2))[0]
        tensor([2., 2., 2.])
    """

    def quiet(position: Tensor) -> tuple[Tensor, ...]:
        with Unchecked():  # checks read numbers, which cannot be recorded
            return function(position)

    parts: list[tuple[Tensor, ...]]
    try:
        several = len(quiet(positions[0])) > 1
        body = record(quiet, positions[0]).function()
        mapped = vmap(lambda x: body(x) if several else (body(x),))
        parts = [mapped(chunk) for chunk in positions.split(_CHUNK)]
        _check(quiet(positions[-1]), parts[-1])
    except (Unrecordable, RuntimeError, NotImplementedError):
        parts = [tuple(x[None] for x in quiet(position)) for position in positions]
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _check(last: tuple[Tensor, ...], mapped: tuple[Tensor, ...]) -> None:
    for one, many in zip(last, mapped, strict=True):
        if not torch.allclose(one, many[-1], 1e-3, 1e-3, equal_nan=True):
            raise Unrecordable("what was recorded does not repeat the function's results")
