"""Many weight sets a few at a time, so that memory does not grow with their number (floor 1).

A layer run under S weight sets holds S times its activations, though only its outputs are asked
for. Where no gradient is recorded the draws therefore pass through it in chunks. With a gradient
the activations are kept anyway, and nothing is cut up.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from hybrid.bayes.batching import batched, check_norms

__all__ = ["ROWS", "batched_in_chunks", "chunked"]

# Rows × draws at one time where nobody says: 16 MB for 64 features in single precision.
ROWS = 2**16
_CHUNK: ContextVar[int | None] = ContextVar("borromean_chunk", default=None)


@contextmanager
def chunked(draws: int | None) -> Iterator[None]:
    """Let at most so many draws pass through random layers at one time inside.

    Args:
        draws: The number; None for as many as make 65,536 rows, at least one.

    Raises:
        ValueError: ``draws`` is below 1.

    Example:
        >>> from hybrid.bayes.mean_field import MeanField
        >>> from hybrid.bayes.posterior import Posterior
        >>> layer = Posterior(nn.Linear(3, 2), MeanField())
        >>> with torch.no_grad(), chunked(4):
        ...     layer(torch.zeros(7, 3), draws=10).shape
        torch.Size([10, 7, 2])
    """
    if draws is not None and draws < 1:
        raise ValueError(f"a chunk holds at least 1 draw, got {draws}")
    token = _CHUNK.set(draws)
    try:
        yield
    finally:
        _CHUNK.reset(token)


def batched_in_chunks(
    layer: nn.Module, weights: Mapping[str, Tensor], inputs: Tensor, draws: int
) -> Any:
    """`hybrid.bayes.batched` for S draws, a chunk of them at a time where no gradient is recorded.

    Args:
        layer: The Layer.
        weights: Parameter name → weights ``(draws, *shape)``.
        inputs: Inputs with a leading axis of S or 1.
        draws: S.

    Raises:
        ValueError: A batch norm layer is in training mode and there are several draws.

    Example:
        >>> weights = {"weight": torch.ones(5, 2, 3)}
        >>> with torch.no_grad(), chunked(2):
        ...     batched_in_chunks(nn.Linear(3, 2), weights, torch.zeros(1, 7, 3), 5).shape
        torch.Size([5, 7, 2])
    """
    size = draws
    mapped = torch._C._functorch.maybe_current_level() is not None  # no writing in place there
    if draws > 1 and not mapped and not torch.is_grad_enabled():
        size = _CHUNK.get() or max(1, ROWS * inputs.shape[-1] // max(1, inputs[0].numel()))
    if size >= draws:
        return batched(layer, weights, inputs)
    check_norms(layer)  # a chunk of one draw would not notice
    whole: list[Any] = []
    for start in range(0, draws, size):
        end = min(start + size, draws)
        some = {name: weight[start:end] for name, weight in weights.items()}
        found = batched(layer, some, inputs if len(inputs) == 1 else inputs[start:end])
        if not whole:
            whole.append(tree_map(lambda part: part.new_empty(draws, *part.shape[1:]), found))
        _write(whole[0], found, start, end)
    return whole[0]


def _write(whole: Any, found: Any, start: int, end: int) -> None:
    def put(place: Tensor, part: Tensor) -> Tensor:
        place[start:end] = part
        return place

    tree_map(put, whole, found)
