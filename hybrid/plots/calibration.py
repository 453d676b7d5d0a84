"""How well probabilities and intervals agree with what happened, drawn (floor 1)."""

from typing import TYPE_CHECKING, Any

from hybrid.plots.canvas import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hybrid.uncertainty.calibration import Reliability
    from hybrid.uncertainty.intervals import CoverageCurve

__all__ = ["coverage", "reliability"]

_DIAGONAL: dict[str, Any] = {"color": "grey", "linestyle": "--", "linewidth": 1, "zorder": 1}


def reliability(found: "Reliability", *, axes: "Axes | None" = None) -> "Axes":
    """Draw a reliability diagram: observed frequency over mean confidence, bin by bin.

    Each point carries the number of its rows, its bar is two standard errors to either side of
    what a right prediction would have, and the legend has the expected calibration error.

    Args:
        found: The numbers; see `hybrid.uncertainty.reliability`.
        axes: Where to draw; None makes a figure of its own (``axes.figure``).

    Raises:
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> from hybrid.uncertainty.calibration import reliability as measured
        >>> p, y = torch.tensor([0.2, 0.2, 0.9, 0.9]), torch.tensor([0, 1, 1, 1])
        >>> axes = reliability(measured(p, y, bins=2))
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['calibrated', 'ECE 0.200']
    """
    axes = canvas(axes)
    places = found.confidence.detach().cpu().double().tolist()
    heights = found.frequency.detach().cpu().double().tolist()
    spread = (2 * found.deviation).detach().cpu().double().tolist()
    axes.plot([0, 1], [0, 1], label="calibrated", **_DIAGONAL)
    axes.errorbar(places, places, yerr=spread, fmt="none", ecolor="lightgrey", zorder=1)
    error = float(found.error)
    axes.plot(places, heights, "o-", color="tab:blue", label=f"ECE {error:.3f}", zorder=2)
    for place, height, count in zip(places, heights, found.count.tolist(), strict=True):
        axes.annotate(
            f"{count}", (place, height), (4, -9), textcoords="offset points", fontsize="x-small"
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("mean confidence")
    axes.set_ylabel("observed frequency")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return axes


def coverage(curve: "CoverageCurve", *, axes: "Axes | None" = None) -> "Axes":
    """Draw the empirical coverage of central intervals over their nominal level.

    The grey band is where the coverage of a right prediction lies but for its sampling error.
    Below the diagonal the prediction is too sure.

    Args:
        curve: The numbers; see `hybrid.uncertainty.coverage_curve`.
        axes: Where to draw; None makes a figure of its own (``axes.figure``).

    Raises:
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> from hybrid.prediction import Prediction
        >>> from hybrid.uncertainty.intervals import coverage_curve
        >>> normal = torch.distributions.Normal(torch.zeros(1, 50), torch.ones(1, 50))
        >>> axes = coverage(coverage_curve(Prediction(normal), torch.linspace(-2, 2, 50)))
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('nominal level', 'empirical coverage')
    """
    axes = canvas(axes)
    levels, shares, lower, upper = (
        values.detach().cpu().double().tolist()
        for values in (curve.levels, curve.coverage, curve.lower, curve.upper)
    )
    axes.fill_between(
        levels,
        lower,
        upper,
        color="lightgrey",
        linewidth=0,
        label=f"{100 * curve.confidence:.3g} % sampling error, {curve.rows} rows",
    )
    axes.plot([0, 1], [0, 1], label="calibrated", **_DIAGONAL)
    axes.plot(levels, shares, "o-", color="tab:blue", markersize=4, label="central intervals")
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("nominal level")
    axes.set_ylabel("empirical coverage")
    axes.set_aspect("equal")
    axes.legend(loc="upper left")
    return axes
