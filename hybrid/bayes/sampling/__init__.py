"""Sampling posteriors by Hamiltonian Monte Carlo: one flat density, two methods (floor 1)."""

from hybrid.bayes.sampling.chees import ChEES
from hybrid.bayes.sampling.data import log_likelihood
from hybrid.bayes.sampling.density import Density
from hybrid.bayes.sampling.method import Method, Run
from hybrid.bayes.sampling.nuts import NUTS
from hybrid.bayes.sampling.result import Draws, Health, Summary
from hybrid.bayes.sampling.sampler import sample

__all__ = [
    "NUTS",
    "ChEES",
    "Density",
    "Draws",
    "Health",
    "Method",
    "Run",
    "Summary",
    "log_likelihood",
    "sample",
]
