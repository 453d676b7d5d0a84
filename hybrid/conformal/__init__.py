r"""Intervals and sets of classes with guaranteed coverage, around any model (floor 3).

With n held-out rows that are exchangeable with a new one, :math:`P(y \in C(x)) \ge` ``level``,
whatever the model and the law of the data. Each method is a frozen object: ``calibrate(predicted,
y)`` on the held-out rows returns one that knows its threshold, ``predict(predicted)`` gives limits
or sets of new rows. ``predicted`` is what `hybrid.predict` returns, or tensors.
"""

from hybrid.conformal.groups import Mondrian
from hybrid.conformal.intervals import CQR, Split
from hybrid.conformal.method import Conformal, threshold_of
from hybrid.conformal.sequences import Adaptive
from hybrid.conformal.sets import APS, RAPS

__all__ = ["APS", "CQR", "RAPS", "Adaptive", "Conformal", "Mondrian", "Split", "threshold_of"]
