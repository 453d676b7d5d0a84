"""Where a picture is drawn (floor 0); the import of matplotlib."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["canvas"]


def canvas(axes: "Axes | None") -> "Axes":
    """The given axes, or those of a figure of their own, unknown to pyplot.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> axes = canvas(None)
        >>> canvas(axes) is axes, len(axes.figure.axes)
        (True, 1)
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "pictures need matplotlib: pip install 'borromean[plot]'"
        ) from error
    return Figure(layout="constrained").subplots() if axes is None else axes
