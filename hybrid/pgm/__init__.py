"""Exact, batched, differentiable inference in graphical models (floor 3).

A table is a tensor; a network of tables is planned once as a junction tree, and every question
about any number of rows is answered by messages along that tree.
"""

from hybrid.pgm.approximate.loopy import belief_propagation
from hybrid.pgm.approximate.results import Beliefs, Estimates
from hybrid.pgm.approximate.weighting import likelihood_weighting
from hybrid.pgm.chains import Chain, ImpossibleSequence, Path
from hybrid.pgm.hidden_markov import HiddenMarkovModel
from hybrid.pgm.label_sequence import LabelSequence
from hybrid.pgm.learning.closed_form import maximum_likelihood
from hybrid.pgm.learning.comparison import relative_entropy
from hybrid.pgm.learning.missing_values import Learned, expectation_maximisation
from hybrid.pgm.learning.structures import learn_structure
from hybrid.pgm.linear_chain import LinearChainCRF
from hybrid.pgm.networks.assignment import Explanation
from hybrid.pgm.networks.impossible import ImpossibleEvidence
from hybrid.pgm.networks.network import BayesianNetwork
from hybrid.pgm.networks.nodes import Contextual, Deterministic, NoisyOr, Table
from hybrid.pgm.networks.program import Program
from hybrid.pgm.observed_sequence import ObservedSequence
from hybrid.pgm.structured.labelling import Labelling
from hybrid.pgm.structured.law import Structured
from hybrid.pgm.trees.tree import TooLarge

__all__ = [
    "BayesianNetwork",
    "Beliefs",
    "Chain",
    "Contextual",
    "Deterministic",
    "Estimates",
    "Explanation",
    "HiddenMarkovModel",
    "ImpossibleEvidence",
    "ImpossibleSequence",
    "LabelSequence",
    "Labelling",
    "Learned",
    "LinearChainCRF",
    "NoisyOr",
    "ObservedSequence",
    "Path",
    "Program",
    "Structured",
    "Table",
    "TooLarge",
    "belief_propagation",
    "expectation_maximisation",
    "learn_structure",
    "likelihood_weighting",
    "maximum_likelihood",
    "relative_entropy",
]
