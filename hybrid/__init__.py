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
    "Average": "hybrid.training.averaging",
    "CSVWriter": "hybrid.training.logs",
    "Callback": "hybrid.training.callbacks",
    "CheckpointError": "hybrid.storage.archive",
    "Checkpoints": "hybrid.training.runtime",
    "Clip": "hybrid.training.gradients",
    "EarlyStopping": "hybrid.training.callbacks",
    "History": "hybrid.training.history",
    "Log": "hybrid.training.logs",
    "NonFiniteError": "hybrid.training.guard",
    "Prediction": "hybrid.prediction",
    "Runtime": "hybrid.training.runtime",
    "Schedule": "hybrid.training.callbacks",
    "TensorBoardWriter": "hybrid.training.logs",
    "VAE": "hybrid.vae.autoencoder",
    "fit": "hybrid.training.trainer",
    "load": "hybrid.storage.checkpoint",
    "predict": "hybrid.prediction",
    "save": "hybrid.storage.checkpoint",
    "summary": "hybrid.inventory",
    "warm_up": "hybrid.training.schedules",
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
        "optim",
        "pgm",
        "plots",
    ),
    "testing",
    "uncertainty",
}

__all__ = [
    "VAE",
    "Average",
    "CSVWriter",
    "Callback",
    "CheckpointError",
    "Checkpoints",
    "Clip",
    "EarlyStopping",
    "History",
    "Log",
    "NonFiniteError",
    "Prediction",
    "Runtime",
    "Schedule",
    "TensorBoardWriter",
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
    "optim",
    "pgm",
    "plots",
    "predict",
    "save",
    "summary",
    "testing",
    "uncertainty",
    "warm_up",
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
