"""Chains of finite states: exact sums, marginals, best paths and draws (floor 1 of `hybrid.pgm`).

A `Chain` is tensors of log weights and nothing else; `hybrid.pgm.HiddenMarkovModel` and
`hybrid.pgm.LinearChainCRF` make chains of laws and networks.
"""

from hybrid.pgm.chains.layout import Chain, lengths_of
from hybrid.pgm.chains.partition import filtered, log_partition
from hybrid.pgm.chains.paths import Path, best_path, draw_paths
from hybrid.pgm.chains.queries import clamped, entropy, marginals, pair_marginals, score
from hybrid.pgm.chains.refusal import ImpossibleSequence, refuse_impossible

__all__ = [
    "Chain",
    "ImpossibleSequence",
    "Path",
    "best_path",
    "clamped",
    "draw_paths",
    "entropy",
    "filtered",
    "lengths_of",
    "log_partition",
    "marginals",
    "pair_marginals",
    "refuse_impossible",
    "score",
]
