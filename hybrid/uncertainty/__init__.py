"""Judge and mend uncertainty: calibration, scaling, out-of-distribution scores, whole models."""

from hybrid.uncertainty.calibration import (
    Reliability,
    brier,
    calibration_error,
    coverage,
    reliability,
)
from hybrid.uncertainty.intervals import CoverageCurve, coverage_curve
from hybrid.uncertainty.leave_one_out import Comparison, LeaveOneOut, compare, loo
from hybrid.uncertainty.novelty import auroc, energy, false_alarms, unsureness
from hybrid.uncertainty.replication import PredictiveCheck, posterior_predictive_check
from hybrid.uncertainty.scaling import Isotonic, TemperatureScaling, VectorScaling

__all__ = [
    "Comparison",
    "CoverageCurve",
    "Isotonic",
    "LeaveOneOut",
    "PredictiveCheck",
    "Reliability",
    "TemperatureScaling",
    "VectorScaling",
    "auroc",
    "brier",
    "calibration_error",
    "compare",
    "coverage",
    "coverage_curve",
    "energy",
    "false_alarms",
    "loo",
    "posterior_predictive_check",
    "reliability",
    "unsureness",
]
