"""Networks, laws, posteriors, objectives and the training loop that joins all parts.

Names are loaded on first use.

Example:
    >>> import hybrid
    >>> hybrid.backbones.MLP(3, [8], 2).out_features
    2
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Callback": "hybrid.callbacks",
    "CheckpointError": "hybrid.archive",
    "Checkpoints": "hybrid.runtime",
    "EarlyStopping": "hybrid.callbacks",
    "History": "hybrid.history",
    "NonFiniteError": "hybrid.guard",
    "Prediction": "hybrid.prediction",
    "Runtime": "hybrid.runtime",
    "Schedule": "hybrid.callbacks",
    "fit": "hybrid.trainer",
    "load": "hybrid.checkpoint",
    "predict": "hybrid.prediction",
    "save": "hybrid.checkpoint",
}
_SUBMODULES = {
    *(
        "backbones",
        "bayes",
        "conformal",
        "flows",
        "heads",
        "layers",
        "losses",
        "objectives",
        "pgm",
        "plots",
    ),
    "testing",
    "uncertainty",
}

__all__ = [
    "Callback",
    "CheckpointError",
    "Checkpoints",
    "EarlyStopping",
    "History",
    "NonFiniteError",
    "Prediction",
    "Runtime",
    "Schedule",
    "backbones",
    "bayes",
    "conformal",
    "fit",
    "flows",
    "heads",
    "layers",
    "load",
    "losses",
    "objectives",
    "pgm",
    "plots",
    "predict",
    "save",
    "testing",
    "uncertainty",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
