"""A small regression and one step of the natural gradient on it."""

from functools import partial

import torch
from torch import Tensor, nn

import hybrid
from hybrid.optim import NaturalGradient

ROWS = 40
fit = partial(hybrid.fit, progress=False)


def data(width: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    x = torch.randn(ROWS, width).double()
    return x, x @ torch.arange(1.0, width + 1).double() + 0.1 * torch.randn(ROWS).double()


def one_step(objective: nn.Module, batch, **options) -> NaturalGradient:
    optimizer = NaturalGradient(objective.parameters(), objective, **options)
    optimizer.zero_grad()
    loss = objective(batch)
    (loss if isinstance(loss, Tensor) else loss.total).backward()
    optimizer.observe(batch)
    optimizer.step()
    return optimizer


def network(**options) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    torch.manual_seed(2)
    law = hybrid.heads.Normal(hybrid.backbones.MLP(3, [8], 4), features=4).double()
    return hybrid.objectives.ELBO(law, data_size=ROWS), data()
