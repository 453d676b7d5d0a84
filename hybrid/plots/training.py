"""Curves of a training (floor 1)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hybrid.plots.canvas import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["curves"]


def curves(
    epochs: Sequence[int], lines: Mapping[str, Sequence[float]], *, axes: "Axes | None" = None
) -> "Axes":
    """Draw numbers over the epochs of a training, a line for each name.

    Args:
        epochs: Where the points stand.
        lines: A number per epoch, by name.
        axes: Where to draw; None makes a figure of its own (``axes.figure``).

    Raises:
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> axes = curves([1, 2, 3], {"loss": [0.9, 0.5, 0.4]})
        >>> axes.get_xlabel(), [text.get_text() for text in axes.get_legend().get_texts()]
        ('epoch', ['loss'])
    """
    axes = canvas(axes)
    for name, numbers in lines.items():
        axes.plot(list(epochs), list(numbers), label=name, marker="." if len(epochs) < 30 else "")
    axes.set_xlabel("epoch")
    axes.legend()
    return axes
