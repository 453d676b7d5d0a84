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
    "Conflict": "causal.identification.conflict",
    "ConflictingWorlds": "causal.identification.conflict",
    "Counterfactual": "causal.counterfactual",
    "CounterfactualContrast": "causal.identification.counterfactual_contrasts",
    "CounterfactualEstimand": "causal.identification.counterfactual_estimand",
    "Disagreement": "causal.witness",
    "DiscreteModel": "causal.witness",
    "Effect": "causal.effect",
    "Estimand": "causal.identification.estimand",
    "Event": "causal.identification.events",
    "Factor": "causal.factor",
    "Graph": "causal.graph",
    "Hedge": "causal.identification.refusal",
    "Hidden": "causal.hidden",
    "Instrument": "causal.instrument",
    "Joint": "causal.joint",
    "Law": "causal.law",
    "Learner": "causal.learner",
    "Mechanism": "causal.columns",
    "NoAdjustmentSet": "causal.adjustment",
    "NoOptimalSet": "causal.adjustment",
    "NoSeparator": "causal.separation",
    "NoiseNotRecoverable": "causal.noise",
    "PositivityViolation": "causal.evaluation.positivity",
    "SCM": "causal.scm",
    "Separation": "causal.identification.derivation",
    "Step": "causal.identification.derivation",
    "Unidentifiable": "causal.identification.refusal",
    "UnidentifiedWarning": "causal.warrant",
    "WitnessNotFound": "causal.witness",
    "abduct": "causal.noise",
    "adjustment_set": "causal.adjustment",
    "adjustment_sets": "causal.adjustment",
    "as_pyro": "causal.law",
    "disagreement": "causal.witness",
    "do": "causal.intervention",
    "effect_on_treated": "causal.identification.counterfactual_contrasts",
    "fixed": "causal.draws",
    "frontdoor_sets": "causal.frontdoor",
    "identify": "causal.identification.observational",
    "identify_counterfactual": "causal.identification.counterfactual_events",
    "instruments": "causal.instrument",
    "is_adjustment_set": "causal.adjustment",
    "minimal_separator": "causal.separation",
    "minimal_separators": "causal.separation",
    "natural_direct_effect": "causal.identification.counterfactual_contrasts",
    "natural_indirect_effect": "causal.identification.counterfactual_contrasts",
    "open_path": "causal.separation",
    "replay": "causal.noise",
    "separated": "causal.separation",
    "simulated_density": "causal.evaluation.simulation",
    "simulated_mean": "causal.evaluation.simulation",
    "specification_spread": "causal.evaluation.query",
}

__all__ = [
    "SCM",
    "Conflict",
    "ConflictingWorlds",
    "Counterfactual",
    "CounterfactualContrast",
    "CounterfactualEstimand",
    "Disagreement",
    "DiscreteModel",
    "Effect",
    "Estimand",
    "Event",
    "Factor",
    "Graph",
    "Hedge",
    "Hidden",
    "Instrument",
    "Joint",
    "Law",
    "Learner",
    "Mechanism",
    "NoAdjustmentSet",
    "NoOptimalSet",
    "NoSeparator",
    "NoiseNotRecoverable",
    "PositivityViolation",
    "Separation",
    "Step",
    "Unidentifiable",
    "UnidentifiedWarning",
    "WitnessNotFound",
    "abduct",
    "adjustment_set",
    "adjustment_sets",
    "as_pyro",
    "disagreement",
    "do",
    "effect_on_treated",
    "fixed",
    "frontdoor_sets",
    "identify",
    "identify_counterfactual",
    "instruments",
    "is_adjustment_set",
    "minimal_separator",
    "minimal_separators",
    "natural_direct_effect",
    "natural_indirect_effect",
    "open_path",
    "replay",
    "separated",
    "simulated_density",
    "simulated_mean",
    "specification_spread",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
