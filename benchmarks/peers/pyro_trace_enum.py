"""Pyro: TraceEnum_ELBO over a `pyro.markov` loop."""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import torch
from peers.chains import BATCH, STATES, STEPS, data, serve
from pyro.infer import TraceEnum_ELBO, config_enumerate
from pyro.ops.indexing import Vindex
from torch import Tensor


def build() -> tuple[Callable[[], Tensor], tuple[Tensor, Tensor]]:
    """The loss that SVI differentiates."""
    pyro.enable_validation(False)
    logits, means, seen = data()
    leaves = (logits.requires_grad_(), means.requires_grad_())
    uniform = torch.zeros(STATES)

    @config_enumerate
    def model() -> None:
        with pyro.plate("rows", BATCH, dim=-1):
            before = None
            for step in pyro.markov(range(STEPS)):
                now = uniform if before is None else Vindex(leaves[0])[before]
                before = pyro.sample(f"z{step}", dist.Categorical(logits=now))
                law = dist.Normal(Vindex(leaves[1])[before], 1.0)
                pyro.sample(f"y{step}", law, obs=seen[:, step])

    objective = TraceEnum_ELBO(max_plate_nesting=1)

    def loss() -> Tensor:
        return objective.differentiable_loss(model, lambda: None)

    return loss, leaves


if __name__ == "__main__":
    serve(build)
