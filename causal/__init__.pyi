from causal.columns import Mechanism as Mechanism
from causal.counterfactual import Counterfactual as Counterfactual
from causal.draws import fixed as fixed
from causal.effect import Effect as Effect
from causal.factor import Factor as Factor
from causal.graph import Graph as Graph
from causal.intervention import do as do
from causal.joint import Joint as Joint
from causal.law import Law as Law
from causal.law import as_pyro as as_pyro
from causal.learner import Learner as Learner
from causal.noise import NoiseNotRecoverable as NoiseNotRecoverable
from causal.noise import abduct as abduct
from causal.noise import replay as replay
from causal.scm import SCM as SCM

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
