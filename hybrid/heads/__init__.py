"""Heads: features of a body as a conditional distribution, a Law (floor 2)."""

from hybrid.heads.adaptive import AdaptiveRobust
from hybrid.heads.beta import Beta
from hybrid.heads.censored import Censored
from hybrid.heads.classes import Bernoulli, Categorical
from hybrid.heads.counts import NegativeBinomial, Poisson
from hybrid.heads.empirical import Empirical
from hybrid.heads.head import Head, attach
from hybrid.heads.hurdle import Hurdle
from hybrid.heads.laplace import Laplace
from hybrid.heads.lognormal import LogNormal
from hybrid.heads.mixture import MixtureDensity
from hybrid.heads.normal import Normal
from hybrid.heads.ordinal import Ordinal
from hybrid.heads.quantiles import Quantile
from hybrid.heads.student import Student
from hybrid.heads.tobit import Column, Tobit

__all__ = [
    "AdaptiveRobust",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Censored",
    "Column",
    "Empirical",
    "Head",
    "Hurdle",
    "Laplace",
    "LogNormal",
    "MixtureDensity",
    "NegativeBinomial",
    "Normal",
    "Ordinal",
    "Poisson",
    "Quantile",
    "Student",
    "Tobit",
    "attach",
]
