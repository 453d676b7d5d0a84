"""Pyro: AutoNormal and AutoDiagonalNormal with vectorised particles, a VAE, an enumerated mixture.

Validation is off. `PyroModule[nn.Linear]` does not take vectorised particles, so the network is
written with sample sites for its weights.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from peers.torch_by_hand import network
from peers.uncertain import (
    COMPONENTS,
    LATENT,
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
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, TraceMeanField_ELBO
from pyro.infer.autoguide import AutoDiagonalNormal, AutoNormal
from pyro.ops.indexing import Vindex
from torch import Tensor
from torch.nn import functional as F

_START = {
    f"{kind}{k}": torch.from_numpy(part)
    for k, pair in enumerate(weights())
    for kind, part in zip("wb", pair, strict=True)
}


def _network(x: Tensor, y: Tensor) -> None:
    hidden = x
    for k, (weight, bias) in enumerate(weights()):
        w = pyro.sample(f"w{k}", dist.Normal(torch.zeros(weight.shape), 1.0).to_event(2))
        b = pyro.sample(f"b{k}", dist.Normal(torch.zeros(bias.shape), 1.0).to_event(1))
        if w.dim() > 2:  # particles, the axis of the rows' plate, the weight's own
            w, b = w.squeeze(-3), b
        hidden = hidden @ w.mT + b
        hidden = hidden.relu() if k < len(weights()) - 1 else hidden
    with pyro.plate("rows", len(x)), pyro.poutine.scale(scale=ROWS / len(x)):
        pyro.sample("y", dist.Normal(hidden.squeeze(-1), 1.0), obs=y)


def _stepped(svi: SVI, batch: tuple[Tensor, ...], rows: int, *, random: bool = True) -> Step:
    svi.evaluate_loss(*batch)  # makes the parameters
    return Step(lambda: svi.step(*batch), lambda: float(svi.evaluate_loss(*batch)) / rows, random)


def variational(draws: int, kind: Any) -> Step:
    """SVI with Trace_ELBO, or with the divergence in closed form."""
    pyro.clear_param_store()
    start = pyro.infer.autoguide.init_to_value(values=_START)
    guide = kind(_network, init_loc_fn=start, init_scale=SCALE)
    bound: Any = TraceMeanField_ELBO if kind is AutoNormal else Trace_ELBO
    loss = bound(num_particles=draws, vectorize_particles=True, max_plate_nesting=1)
    svi = SVI(_network, guide, pyro.optim.Adam({"lr": 1e-4}), loss)
    x, y = regression()
    return _stepped(svi, (torch.from_numpy(x), torch.from_numpy(y)), ROWS)


def vae() -> Step:
    """As in Pyro's tutorial, the divergence in closed form."""
    pyro.clear_param_store()
    encoder, decoder = network((PIXELS, WIDTH, 2 * LATENT)), network((LATENT, WIDTH, PIXELS), 5)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), LATENT), 1.0).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        with pyro.plate("rows", len(x)):
            mean, raw = encoder(x).chunk(2, -1)
            pyro.sample("z", dist.Normal(mean, F.softplus(raw) + 1e-3).to_event(1))

    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-4}), TraceMeanField_ELBO())
    x = torch.from_numpy(images())
    return _stepped(svi, (x,), len(x))


def gmm() -> Step:
    """Assignments summed out in parallel."""
    pyro.clear_param_store()
    real, positive = dist.constraints.real, dist.constraints.softplus_positive

    def model(x: Tensor) -> None:
        logits = pyro.param("logits", torch.zeros(COMPONENTS), constraint=real)
        means = pyro.param("means", torch.from_numpy(centres()), constraint=real)
        scales = pyro.param("scales", torch.ones(COMPONENTS, 2), constraint=positive)
        with pyro.plate("rows", len(x)):
            k = pyro.sample("k", dist.Categorical(logits=logits), infer={"enumerate": "parallel"})
            law = dist.Normal(Vindex(means)[..., k, :], Vindex(scales)[..., k, :]).to_event(1)
            pyro.sample("x", law, obs=x)

    def guide(x: Tensor) -> None:  # nothing is left to be guessed
        del x

    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-4}), TraceEnum_ELBO(max_plate_nesting=1))
    x = torch.from_numpy(points())
    return _stepped(svi, (x,), len(x), random=False)


def _cases() -> dict[str, Callable[[], Step]]:
    cases: dict[str, Callable[[], Step]] = {"vae": vae, "gmm": gmm}
    for draws in (1, 8, 16, 32):
        cases[f"variational-{draws}"] = partial(variational, draws, AutoNormal)
        cases[f"diagonal-{draws}"] = partial(variational, draws, AutoDiagonalNormal)
    return cases


if __name__ == "__main__":
    torch.set_num_threads(1)
    pyro.enable_validation(False)
    serve(_cases(), ("pyro-ppl", "torch"))
