"""What is believed of weights before the data (floor 1).

A prior is a small frozen object, given to a family by ``prior=``.
"""

from hybrid.bayes.priors.by_name import ByName
from hybrid.bayes.priors.hierarchical import HierarchicalScale
from hybrid.bayes.priors.horseshoe import Horseshoe
from hybrid.bayes.priors.laplace import Laplace
from hybrid.bayes.priors.mixture import Mixture
from hybrid.bayes.priors.normal import Normal
from hybrid.bayes.priors.prior import Prior, PriorDensity

__all__ = [
    "ByName",
    "HierarchicalScale",
    "Horseshoe",
    "Laplace",
    "Mixture",
    "Normal",
    "Prior",
    "PriorDensity",
]
