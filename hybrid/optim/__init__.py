"""The natural gradient by any metric, and parameter groups by name (floor 6).

Every torch optimiser works with ``hybrid.fit``; this package adds `NaturalGradient`, which wants to
see the batch, the metrics that it takes, and `groups` for one optimiser with several settings.
"""

from hybrid.optim.circuits import CircuitMetric
from hybrid.optim.curvature import Rows
from hybrid.optim.damping import LevenbergMarquardt
from hybrid.optim.empirical import EmpiricalFisher
from hybrid.optim.gauss_newton import GaussNewton, NoOutput
from hybrid.optim.grouping import groups
from hybrid.optim.metric import Euclidean, Metric
from hybrid.optim.natural import NaturalGradient
from hybrid.optim.variational import Variational

__all__ = [
    "CircuitMetric",
    "EmpiricalFisher",
    "Euclidean",
    "GaussNewton",
    "LevenbergMarquardt",
    "Metric",
    "NaturalGradient",
    "NoOutput",
    "Rows",
    "Variational",
    "groups",
]
