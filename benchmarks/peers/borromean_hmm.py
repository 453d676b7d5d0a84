"""Ours: `hybrid.pgm.HiddenMarkovModel`, a trained table and a Law of the observations."""

from collections.abc import Callable

import pyro.distributions as dist
import torch
from peers.chains import STATES, data, serve
from torch import Tensor, nn

from hybrid.pgm import HiddenMarkovModel, Table


class _Emission(nn.Module):
    """A normal law whose context says the state."""

    event_shape = torch.Size(())
    support = torch.distributions.constraints.real

    def __init__(self, means: Tensor) -> None:
        super().__init__()
        self.means = nn.Parameter(means)

    def forward(self, context: Tensor) -> torch.distributions.Distribution:
        return dist.Normal(context @ self.means, 1.0, validate_args=False)


def build() -> tuple[Callable[[], Tensor], tuple[Tensor, Tensor]]:
    """The public method."""
    logits, means, seen = data()
    initial = torch.full((STATES,), 1 / STATES, dtype=torch.float64)
    transition = Table(logits.double().softmax(-1), trainable=True)
    law = HiddenMarkovModel(initial, transition, _Emission(means)).float()
    table = law.transition
    assert isinstance(table, Table)

    def loss() -> Tensor:
        return -law.log_probability(seen).sum()

    return loss, (table.logits, law.emission.means)


if __name__ == "__main__":
    serve(build)
