"""What is minimised: objectives are modules that turn a batch into one number (floor 4).

`ELBO` trains any Law or Joint, with or without random weights; `Supervised` any Law or network by
a loss; `Pyro` any pair of a Pyro model and guide; `Weighted` is a sum of such. All are ordinary
modules whose parameters exist before an optimiser is made.
"""

from hybrid.loss import Loss
from hybrid.objectives.bound import ELBO
from hybrid.objectives.members import EachMember
from hybrid.objectives.program import Pyro
from hybrid.objectives.supervised import Supervised
from hybrid.objectives.weighted import Ramp, Weighted

__all__ = ["ELBO", "EachMember", "Loss", "Pyro", "Ramp", "Supervised", "Weighted"]
