"""Pictures: graphs, trainings, predictions, calibration, effects; they need the extra `plot`.

Every function draws into ``axes=`` or makes a figure of its own, and returns matplotlib's axes:
``axes.figure.savefig("picture.png")``.
"""

from hybrid.plots.bands import predictive
from hybrid.plots.calibration import coverage, reliability
from hybrid.plots.graph import causal_graph, positions
from hybrid.plots.histograms import effect, predictive_check
from hybrid.plots.training import curves

__all__ = [
    "causal_graph",
    "coverage",
    "curves",
    "effect",
    "positions",
    "predictive",
    "predictive_check",
    "reliability",
]
