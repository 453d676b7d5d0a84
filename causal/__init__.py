"""Do-calculus: graphs, tables and structural causal models whose answers carry gradients.

Names are loaded on first use, so that ``causal.Graph`` needs neither torch nor Pyro.

Example:
    >>> import causal
    >>> causal.Graph.parse("X -> Y").parents("Y")
    ('X',)
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Counterfactual": "causal.counterfactual",
    "Effect": "causal.effect",
    "Factor": "causal.factor",
    "Graph": "causal.graph",
    "Joint": "causal.joint",
    "Law": "causal.law",
    "Learner": "causal.learner",
    "Mechanism": "causal.columns",
    "NoiseNotRecoverable": "causal.noise",
    "SCM": "causal.scm",
    "abduct": "causal.noise",
    "as_pyro": "causal.law",
    "do": "causal.intervention",
    "fixed": "causal.draws",
    "replay": "causal.noise",
}

__all__ = [
    "SCM",
    "Counterfactual",
    "Effect",
    "Factor",
    "Graph",
    "Joint",
    "Law",
    "Learner",
    "Mechanism",
    "NoiseNotRecoverable",
    "abduct",
    "as_pyro",
    "do",
    "fixed",
    "replay",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
