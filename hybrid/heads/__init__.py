"""Heads: features of a body as a conditional distribution, a Law (floor 2)."""

from hybrid.heads.censored import Censored
from hybrid.heads.classes import Bernoulli, Categorical
from hybrid.heads.empirical import Empirical
from hybrid.heads.head import Head, attach
from hybrid.heads.normal import Normal
from hybrid.heads.tobit import Column, Tobit

__all__ = [
    "Bernoulli",
    "Categorical",
    "Censored",
    "Column",
    "Empirical",
    "Head",
    "Normal",
    "Tobit",
    "attach",
]
