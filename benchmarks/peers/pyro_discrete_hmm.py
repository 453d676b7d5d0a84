"""Pyro: the log-probability of `dist.DiscreteHMM`, without a Pyro program around it.

Its first state comes before the first observation, with a transition between them: the first
transition is uniform here, so that the model is that of the others.
"""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch
from peers.chains import STATES, STEPS, data, serve
from torch import Tensor


def build() -> tuple[Callable[[], Tensor], tuple[Tensor, Tensor]]:
    """One distribution a step, for its parameters change."""
    pyro.enable_validation(False)
    logits, means, seen = data()
    leaves = (logits.requires_grad_(), means.requires_grad_())
    uniform, first = torch.zeros(STATES), torch.zeros(1, STATES, STATES)

    def loss() -> Tensor:
        transitions = torch.cat([first, leaves[0].expand(STEPS - 1, STATES, STATES)])
        law = dist.DiscreteHMM(uniform, transitions, dist.Normal(leaves[1], 1.0))
        return -law.log_prob(seen).sum()

    return loss, leaves


if __name__ == "__main__":
    serve(build)
