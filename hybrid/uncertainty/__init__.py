"""Judge and mend uncertainty: calibration, scaling, out-of-distribution scores (floor 0)."""

from hybrid.uncertainty.calibration import (
    Reliability,
    brier,
    calibration_error,
    coverage,
    reliability,
)
from hybrid.uncertainty.novelty import auroc, energy, false_alarms, unsureness
from hybrid.uncertainty.scaling import Isotonic, TemperatureScaling, VectorScaling

__all__ = [
    "Isotonic",
    "Reliability",
    "TemperatureScaling",
    "VectorScaling",
    "auroc",
    "brier",
    "calibration_error",
    "coverage",
    "energy",
    "false_alarms",
    "reliability",
    "unsureness",
]
