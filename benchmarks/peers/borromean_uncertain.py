"""Ours: `hybrid.bayes.variational`, `ensemble`, `hybrid.VAE`, `heads.MixtureDensity`."""

from collections.abc import Callable
from functools import partial

import pyro.distributions as dist
import torch
from peers.torch_by_hand import network, stepping
from peers.uncertain import (
    COMPONENTS,
    LATENT,
    MEMBERS,
    PIXELS,
    ROWS,
    SCALE,
    WIDTH,
    Step,
    centres,
    images,
    points,
    regression,
    serve,
    weights,
)
from torch import Tensor, nn

import hybrid


class _Line(nn.Module):
    """y is normal around the network, with scale 1."""

    event_shape = torch.Size(())
    support = torch.distributions.constraints.real

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    def link(self, raw: Tensor) -> torch.distributions.Distribution:
        return dist.Normal(raw.squeeze(-1), 1.0, validate_args=False)

    def forward(self, context: Tensor) -> torch.distributions.Distribution:
        return self.link(self.body(context))


def _stepped(objective: nn.Module, batch: object, *, random: bool = True) -> Step:
    def loss() -> Tensor:
        total: Tensor = objective(batch).total
        return total

    step = stepping([p for p in objective.parameters() if p.requires_grad], loss)
    return Step(step, lambda: loss().item(), random)


def _rows() -> tuple[Tensor, Tensor]:
    x, y = regression()
    return torch.from_numpy(x), torch.from_numpy(y)


def variational(draws: int) -> Step:
    """The evidence lower bound with S draws."""
    law = hybrid.bayes.variational(_Line(), hybrid.bayes.MeanField(scale=SCALE))
    return _stepped(hybrid.objectives.ELBO(law, data_size=ROWS, draws=draws), _rows())


def member() -> Step:
    """One network of the ensemble, trained as the ensemble is."""
    return _stepped(hybrid.objectives.ELBO(_Line(), data_size=ROWS), _rows(), random=False)


def ensemble(members: int) -> Step:
    """All members in one step, each as if it were alone."""
    law = hybrid.bayes.ensemble(_Line(), members)
    objective = hybrid.objectives.ELBO(law, data_size=ROWS, draws=members)
    return _stepped(hybrid.objectives.EachMember(objective), _rows())


def vae() -> Step:
    """Heads on backbones, filled with the common weights."""
    encoder = hybrid.heads.Normal(
        nn.Sequential(nn.Linear(PIXELS, WIDTH), nn.ReLU()), features=WIDTH, event=LATENT
    )
    decoder = hybrid.heads.Bernoulli(
        nn.Sequential(nn.Linear(LATENT, WIDTH), nn.ReLU()), features=WIDTH, event=PIXELS
    )
    sizes = ((PIXELS, WIDTH, 2 * LATENT), 2), ((LATENT, WIDTH, PIXELS), 5)
    for head, (widths, seed) in zip((encoder, decoder), sizes, strict=True):
        values = [part for pair in weights(widths, seed) for part in pair]
        with torch.no_grad():
            for parameter, value in zip(head.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(value))
    model = hybrid.VAE(encoder, decoder)
    return _stepped(model.objective(), torch.from_numpy(images()))


def gmm() -> Step:
    """A mixture density without context."""
    law = hybrid.heads.MixtureDensity(
        None, components=COMPONENTS, component=partial(hybrid.heads.Normal, event=2)
    )
    with torch.no_grad():
        values = law.body.values[COMPONENTS:].reshape(COMPONENTS, 4)
        values[:, :2] = torch.from_numpy(centres())
    x = torch.from_numpy(points())
    batch = (x.new_empty(len(x), 0), x)
    return _stepped(hybrid.objectives.ELBO(law, data_size=len(x)), batch, random=False)


def _cases() -> dict[str, Callable[[], Step]]:
    cases: dict[str, Callable[[], Step]] = {
        f"variational-{draws}": partial(variational, draws) for draws in (1, 8, 16, 32)
    }
    return {
        **cases,
        "member": member,
        "ensemble": partial(ensemble, MEMBERS),
        "vae": vae,
        "gmm": gmm,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve(_cases(), ("borromean", "torch"))
