from causal.adjustment import NoAdjustmentSet as NoAdjustmentSet
from causal.adjustment import NoOptimalSet as NoOptimalSet
from causal.adjustment import adjustment_set as adjustment_set
from causal.adjustment import adjustment_sets as adjustment_sets
from causal.adjustment import is_adjustment_set as is_adjustment_set
from causal.columns import Mechanism as Mechanism
from causal.counterfactual import Counterfactual as Counterfactual
from causal.draws import fixed as fixed
from causal.effect import Effect as Effect
from causal.evaluation.positivity import PositivityViolation as PositivityViolation
from causal.evaluation.query import specification_spread as specification_spread
from causal.evaluation.simulation import simulated_density as simulated_density
from causal.evaluation.simulation import simulated_mean as simulated_mean
from causal.factor import Factor as Factor
from causal.frontdoor import frontdoor_sets as frontdoor_sets
from causal.graph import Graph as Graph
from causal.hidden import Hidden as Hidden
from causal.identification.conflict import Conflict as Conflict
from causal.identification.conflict import ConflictingWorlds as ConflictingWorlds
from causal.identification.counterfactual_contrasts import (
    CounterfactualContrast as CounterfactualContrast,
)
from causal.identification.counterfactual_contrasts import effect_on_treated as effect_on_treated
from causal.identification.counterfactual_contrasts import (
    natural_direct_effect as natural_direct_effect,
)
from causal.identification.counterfactual_contrasts import (
    natural_indirect_effect as natural_indirect_effect,
)
from causal.identification.counterfactual_estimand import (
    CounterfactualEstimand as CounterfactualEstimand,
)
from causal.identification.counterfactual_events import (
    identify_counterfactual as identify_counterfactual,
)
from causal.identification.derivation import Separation as Separation
from causal.identification.derivation import Step as Step
from causal.identification.estimand import Estimand as Estimand
from causal.identification.events import Event as Event
from causal.identification.observational import identify as identify
from causal.identification.refusal import Hedge as Hedge
from causal.identification.refusal import Unidentifiable as Unidentifiable
from causal.instrument import Instrument as Instrument
from causal.instrument import instruments as instruments
from causal.intervention import do as do
from causal.joint import Joint as Joint
from causal.law import Law as Law
from causal.law import as_pyro as as_pyro
from causal.learner import Learner as Learner
from causal.noise import NoiseNotRecoverable as NoiseNotRecoverable
from causal.noise import abduct as abduct
from causal.noise import replay as replay
from causal.scm import SCM as SCM
from causal.separation import NoSeparator as NoSeparator
from causal.separation import minimal_separator as minimal_separator
from causal.separation import minimal_separators as minimal_separators
from causal.separation import open_path as open_path
from causal.separation import separated as separated
from causal.warrant import UnidentifiedWarning as UnidentifiedWarning
from causal.witness import Disagreement as Disagreement
from causal.witness import DiscreteModel as DiscreteModel
from causal.witness import WitnessNotFound as WitnessNotFound
from causal.witness import disagreement as disagreement

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
