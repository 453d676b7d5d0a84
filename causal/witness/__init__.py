"""Witnesses of refusals: two models that agree on all that is supplied and not on the query."""

from causal.witness.model import DiscreteModel
from causal.witness.pair import Disagreement, WitnessNotFound, disagreement

__all__ = ["Disagreement", "DiscreteModel", "WitnessNotFound", "disagreement"]
