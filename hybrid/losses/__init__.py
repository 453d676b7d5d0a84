r"""Losses beside the likelihood, as functions and as thin modules (floor 2).

A loss takes what a Law or a network returns and the values y, and returns one number per row
``(*batch,)``, never a mean: `hybrid.objectives.Supervised` averages, and trains with it. Where a
loss is of classes, what comes first is a Bernoulli or Categorical distribution or a tensor of
logits: of the shape of y for two classes, with a last axis of classes for several.
"""

from hybrid.losses.barron import log_partition, robust
from hybrid.losses.modules import (
    CRPS,
    AdaptiveRobust,
    BetaNLL,
    EnergyScore,
    Focal,
    LabelSmoothing,
    Pinball,
)
from hybrid.losses.pointwise import (
    beta_nll,
    focal,
    label_smoothing,
    negative_log_likelihood,
    pinball,
)
from hybrid.losses.scores import crps, crps_of_samples, energy_of_samples, energy_score

__all__ = [
    "CRPS",
    "AdaptiveRobust",
    "BetaNLL",
    "EnergyScore",
    "Focal",
    "LabelSmoothing",
    "Pinball",
    "beta_nll",
    "crps",
    "crps_of_samples",
    "energy_of_samples",
    "energy_score",
    "focal",
    "label_smoothing",
    "log_partition",
    "negative_log_likelihood",
    "pinball",
    "robust",
]
