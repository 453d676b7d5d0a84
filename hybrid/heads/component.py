"""A head inside another head: its link, without parameters of its own (floor 2)."""

from collections.abc import Callable

from torch import nn

from hybrid.heads.head import Head
from hybrid.layers import Constant

__all__ = ["link_and_start"]


def link_and_start(make: Callable[..., Head]) -> tuple[Head, list[float]]:
    """A head whose ``link`` is used by another one, and the numbers that this link starts from.

    Args:
        make: Makes the head from a body; it is called with None.

    Raises:
        TypeError: It does not make a head whose every number comes from its body.

    Example:
        >>> from hybrid.heads.laplace import Laplace
        >>> head, start = link_and_start(Laplace)
        >>> len(start), list(head.parameters())
        (2, [])
    """
    head = make(None) if callable(make) and not isinstance(make, nn.Module) else None
    if not isinstance(head, Head) or not isinstance(head.body, Constant):
        raise TypeError(
            "a component is something that makes a head from a body, such as hybrid.heads.Normal "
            f"(not an instance), with every number from that body: got {make!r}"
        )
    start = head.body.values.tolist()
    head.body = nn.Identity()
    return head, start
