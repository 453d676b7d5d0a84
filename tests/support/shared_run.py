"""One training in one process, or in several that torchrun starts; weights and losses to a file.

``torchrun --nproc-per-node=2 tests/support/shared_run.py FILE`` or ``python … FILE``.
"""

import json
import os
import sys

import torch

from hybrid.bayes.conversion import variational
from hybrid.heads import Normal
from hybrid.objectives import ELBO
from hybrid.training.runtime import Runtime
from hybrid.training.trainer import fit


class Jittered(torch.nn.Module):
    """Adds noise to every row, and drops some of its entries."""

    def __init__(self, objective):
        super().__init__()
        self.objective = objective

    def forward(self, batch):
        x, y = batch
        noisy = torch.nn.functional.dropout(x + 0.1 * torch.randn_like(x), 0.2)
        return self.objective((noisy, y + 0.1 * torch.rand(len(y), dtype=y.dtype)))


def main(path):
    count = int(os.environ.get("WORLD_SIZE", "1"))
    torch.manual_seed(int(os.environ.get("RANK", "0")))  # the first process's weights count
    body = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh())
    objective = Jittered(ELBO(variational(Normal(body, features=4)), data_size=42, draws=2))
    objective.double()
    x = torch.randn(42, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    history = fit(
        objective, (x, x.sum(-1)), optimizer=lambda p: torch.optim.Adam(p, 0.02), epochs=10,
        batch_size=9, validation=(x[:5], x[:5].sum(-1)), seed=1, progress=False,
        runtime=Runtime(strategy="ddp", devices=count) if count > 1 else None,
    )  # fmt: skip
    weights = {name: tensor.tolist() for name, tensor in objective.state_dict().items()}
    rank = os.environ.get("RANK", "0")
    with open(f"{path}.{rank}", "w") as file:
        json.dump({"weights": weights, "loss": history.loss, "valid": history.validation}, file)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1])
