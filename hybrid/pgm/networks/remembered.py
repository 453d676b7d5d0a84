"""A result that is kept until the tensor it was made from changes (floor 0)."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Remembered"]


class Remembered:
    """What was last made from a tensor, as long as it is that tensor with those numbers.

    Copies and pickles start with nothing.

    Example:
        >>> double, kept = lambda tensor: 2 * tensor, Remembered()
        >>> source = torch.ones(2)
        >>> kept(source, double) is kept(source, double)
        True
        >>> kept(source.add_(1), double)
        tensor([4., 4.])
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: tuple[Tensor, int, Tensor] | None = None

    def __call__(self, source: Tensor, make: Callable[[Tensor], Tensor]) -> Tensor:
        """``make(source)``, or what it gave before.

        Args:
            source: What the result depends on; one that autograd or a transform follows is not
                kept.
            make: The function.
        """
        seen = self._seen
        if seen is not None and seen[0] is source and seen[1] == source._version:
            return seen[2]
        made = make(source)
        level = torch._C._functorch.maybe_current_level()
        if level is None and not source.is_inference() and not made.requires_grad:
            self._seen = (source, source._version, made)
        return made

    def __reduce__(self) -> tuple[type["Remembered"], tuple[()]]:
        return Remembered, ()
