"""Random numbers of rows, when several processes share a batch (floor 0).

Every process draws the numbers of the whole batch and keeps those of its own rows. All of them then
consume the same numbers, which are the ones that a single process would give to these rows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from causal.draws import drawing

__all__ = ["RowNoise"]

_SIZED = ("randn", "rand")
_LIKE = ("randn_like", "rand_like")
_FILLED = ("normal_", "uniform_", "exponential_", "bernoulli_", "cauchy_", "log_normal_")


class RowNoise(TorchFunctionMode):
    """Inside, noise with an axis of as many rows as this process has is that of the whole batch.

    Normal, uniform, exponential and Bernoulli numbers and dropout masks, those of distributions
    that are made of them included. Weights that are drawn by `causal.draws.fixed` are left alone.

    Args:
        start: First row of this process.
        stop: One after its last row.
        total: Rows of the batch.

    Example:
        >>> state = torch.get_rng_state()
        >>> whole = torch.randn(5, 2)
        >>> torch.set_rng_state(state)
        >>> with RowNoise(3, 5, 5):
        ...     part = torch.randn(2, 2)
        >>> bool((part == whole[3:]).all())
        True
    """

    def __init__(self, start: int, stop: int, total: int) -> None:
        super().__init__()
        self.start, self.rows, self.total = start, stop - start, total

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Draw for all rows where ``func`` draws for some."""
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _SIZED and not drawing():
            size = _size(args, kwargs)
            rest = {key: value for key, value in kwargs.items() if key != "size"}
            return self._of(size, lambda shape: func(shape, **rest), lambda: func(*args, **kwargs))
        if drawing() or not args or not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        first: Tensor = args[0]
        if name in _LIKE:
            draw = lambda shape: func(first.new_empty(shape), *args[1:], **kwargs)  # noqa: E731
            return self._of(first.shape, draw, lambda: func(*args, **kwargs))
        if name in _FILLED and not isinstance(args[1] if len(args) > 1 else None, Tensor):
            fill = lambda shape: func(first.new_empty(shape), *args[1:], **kwargs)  # noqa: E731
            axis = self._axis(first.shape)
            if axis is None:
                return func(*args, **kwargs)
            return first.copy_(self._of(first.shape, fill, torch.empty_like))
        if name == "dropout":
            return self._dropout(func, first, args, kwargs)
        return func(*args, **kwargs)

    def _axis(self, shape: Sequence[int]) -> int | None:
        """The axis of rows: the first one of their number."""
        return next((k for k, size in enumerate(shape) if size == self.rows), None)

    def _of(
        self,
        shape: Sequence[int],
        draw: Callable[[list[int]], Tensor],
        otherwise: Callable[..., Tensor],
    ) -> Tensor:
        axis = self._axis(shape)
        if axis is None:
            return otherwise()
        whole = [*shape[:axis], self.total, *shape[axis + 1 :]]
        return draw(whole).narrow(axis, self.start, self.rows).contiguous()

    def _dropout(self, func: Any, inputs: Tensor, args: tuple[Any, ...], kwargs: Any) -> Tensor:
        given = dict(zip(("p", "training", "inplace"), args[1:], strict=False)) | kwargs
        p, training = given.get("p", 0.5), given.get("training", True)
        if not training or not 0 < p < 1 or self._axis(inputs.shape) is None:
            result: Tensor = func(inputs, *args[1:], **kwargs)
            return result
        draw = lambda shape: inputs.detach().new_empty(shape).bernoulli_(1 - p)  # noqa: E731
        mask = self._of(inputs.shape, draw, lambda: inputs).div_(1 - p)
        return inputs.mul_(mask) if given.get("inplace") else inputs * mask


def _size(args: tuple[Any, ...], kwargs: Any) -> list[int]:
    size = kwargs.get("size", args)
    if len(size) == 1 and not isinstance(size[0], int):
        size = size[0]
    return list(size)
