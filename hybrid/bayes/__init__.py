"""Any network as a distribution over networks (floor 1).

A family is one file; it is used through `Posterior`, whose two methods ``fixed`` and ``divergence``
are all that the rest of the library knows.
"""

from causal.draws import fixed
from hybrid.bayes import backbone_rules, priors, torch_rules  # rules registered  # noqa: F401
from hybrid.bayes.batching import Layer, batched, batching_rule
from hybrid.bayes.chunks import chunked
from hybrid.bayes.conversion import variational
from hybrid.bayes.curvature.approximation import laplace
from hybrid.bayes.curvature.evidence import fit_prior, log_marginal_likelihood
from hybrid.bayes.flow_posterior import FlowPosterior
from hybrid.bayes.full_rank import FullRank
from hybrid.bayes.low_rank import LowRank
from hybrid.bayes.masks import dropout
from hybrid.bayes.mean_field import MeanField
from hybrid.bayes.members import ensemble, member
from hybrid.bayes.posterior import Family, Posterior, Spread
from hybrid.bayes.sampling import (
    NUTS,
    ChEES,
    Draws,
    Health,
    Summary,
    log_likelihood,
    sample,
)
from hybrid.bayes.stochastic_gradient import SGHMC, Collect
from hybrid.bayes.weight_average import SWAG

__all__ = [
    "NUTS",
    "SGHMC",
    "SWAG",
    "ChEES",
    "Collect",
    "Draws",
    "Family",
    "FlowPosterior",
    "FullRank",
    "Health",
    "Layer",
    "LowRank",
    "MeanField",
    "Posterior",
    "Spread",
    "Summary",
    "batched",
    "batching_rule",
    "chunked",
    "dropout",
    "ensemble",
    "fit_prior",
    "fixed",
    "laplace",
    "log_likelihood",
    "log_marginal_likelihood",
    "member",
    "priors",
    "sample",
    "variational",
]
