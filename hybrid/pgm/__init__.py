"""Exact, batched, differentiable inference in graphical models (floor 3).

A table is a tensor; a network of tables is planned once as a junction tree, and every question
about any number of rows is answered by messages along that tree.
"""

from hybrid.pgm.chains import Chain, ImpossibleSequence, Path
from hybrid.pgm.hidden_markov import HiddenMarkovModel
from hybrid.pgm.label_sequence import LabelSequence
from hybrid.pgm.linear_chain import LinearChainCRF
from hybrid.pgm.networks.assignment import Explanation
from hybrid.pgm.networks.impossible import ImpossibleEvidence
from hybrid.pgm.networks.network import BayesianNetwork
from hybrid.pgm.networks.nodes import Contextual, Deterministic, NoisyOr, Table
from hybrid.pgm.networks.program import Program
from hybrid.pgm.observed_sequence import ObservedSequence
from hybrid.pgm.tree import TooLarge

__all__ = [
    "BayesianNetwork",
    "Chain",
    "Contextual",
    "Deterministic",
    "Explanation",
    "HiddenMarkovModel",
    "ImpossibleEvidence",
    "ImpossibleSequence",
    "LabelSequence",
    "LinearChainCRF",
    "NoisyOr",
    "ObservedSequence",
    "Path",
    "Program",
    "Table",
    "TooLarge",
]
