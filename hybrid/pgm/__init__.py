"""Exact, batched, differentiable inference in graphical models (floor 3).

A table is a tensor; a network of tables is planned once as a junction tree, and every question
about any number of rows is answered by messages along that tree.
"""

from hybrid.pgm.chains import Chain, ImpossibleSequence, Path
from hybrid.pgm.hidden_markov import HiddenMarkovModel
from hybrid.pgm.label_sequence import LabelSequence
from hybrid.pgm.linear_chain import LinearChainCRF
from hybrid.pgm.observed_sequence import ObservedSequence

__all__ = [
    "Chain",
    "HiddenMarkovModel",
    "ImpossibleSequence",
    "LabelSequence",
    "LinearChainCRF",
    "ObservedSequence",
    "Path",
]
