"""Sampling the posterior of any Pyro model or objective (floor 4)."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from hybrid.bayes.sampling.chees import ChEES
from hybrid.bayes.sampling.density import Density
from hybrid.bayes.sampling.mapping import at_each
from hybrid.bayes.sampling.method import Method
from hybrid.bayes.sampling.program import latent_sites, program_density
from hybrid.bayes.sampling.result import Draws
from hybrid.bayes.sampling.weights import objective_density
from hybrid.loss import whole

__all__ = ["sample"]


def sample(
    model: Callable[..., Any],
    *args: Any,
    method: Method | None = None,
    chains: SupportsIndex | None = None,
    warmup: SupportsIndex | None = None,
    draws: SupportsIndex | None = None,
    seed: SupportsIndex = 0,
    prior_scale: float = 1.0,
) -> Draws:
    r"""Draws from the posterior of a Pyro model's latent sites, or of an objective's parameters.

    The model is run once and turned into a density on one unconstrained vector; its tensor
    operations are recorded, batched over chains and replayed (``facts["gradient"]`` says
    "recorded"; what cannot be recorded, for its control flow follows values, runs in a loop over
    chains). Global random state and Pyro's parameter store stay as they were.

    Args:
        model: A Pyro model, whose latent sites are sampled given what it observes, or an Objective
            with a ``data_size``, whose parameters are sampled given the batch in ``args``: all of
            the data. Discrete latent sites are refused.
        *args: The model's arguments; for an Objective the batch.
        method: `ChEES` for many chains that adapt together (None: this one), `NUTS` for few chains
            and awkward posteriors.
        chains: The number of chains; None: the method's own.
        warmup: Iterations that adapt and are thrown away; None: the method's own.
        draws: Draws of each chain; None: the method's own.
        seed: Where all randomness starts from.
        prior_scale: For an Objective, the standard deviation of the normal prior of parameters for
            which no layer states one.

    Raises:
        ValueError: There is nothing to sample, a site is discrete, the density is finite nowhere,
            or sizes do not fit the method.
        TypeError: ``model`` is neither, or ``method`` is no method.

    Source: see `ChEES` and `NUTS`.

    Example:
        >>> import pyro, pyro.distributions as dist
        >>> def model(y):
        ...     mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     with pyro.plate("rows", len(y)):
        ...         pyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> found = sample(model, torch.tensor([1.0, 2.0, 3.0]), warmup=100, draws=300)
        >>> found["mean"].shape, bool(found.healthy), round(float(found["mean"].mean()), 1)
        (torch.Size([64, 300]), True, 2.0)
    """
    method = ChEES() if method is None else method
    if isinstance(method, type) or not callable(getattr(method, "run", None)):
        raise TypeError(f"method is an object such as ChEES() or NUTS(), got {method!r}")
    if not callable(model):
        raise TypeError(f"model is a Pyro model or an Objective, got {model!r}")
    asked = zip(("chains", "warmup", "draws"), (chains, warmup, draws), method.sizes, strict=True)
    many, first, kept = (own if n is None else whole(name, n) for name, n, own in asked)
    generator = torch.Generator().manual_seed(whole("seed", seed, least=None))
    density = _density(model, args, prior_scale, generator)
    run = method.run(density, many, first, kept, generator)
    return Draws(_named(density, run.positions), run.diverging, run.energy, dict(run.facts))


def _density(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    prior_scale: float,
    generator: torch.Generator,
) -> Density:
    """The density of a Pyro model, or of an objective where the model has no latent site."""
    sites, dtype, device, returned = latent_sites(model, args, generator)
    if sites:
        return program_density(model, args, sites, dtype, device)
    total = returned if isinstance(returned, Tensor) else getattr(returned, "total", None)
    if isinstance(model, nn.Module) and isinstance(total, Tensor) and len(args) == 1:
        return objective_density(model, args[0], prior_scale)
    raise ValueError(
        f"{getattr(model, '__name__', type(model).__name__)} has no latent site to sample, and it "
        "is no Objective, a module that returns a loss for one batch"
    )


def _named(density: Density, positions: Tensor) -> dict[str, Tensor]:
    """The model's own values at all positions, by name: ``(chains, draws, *shape)``."""
    flat = positions.flatten(0, 1)
    names = list(density.named(flat[0]))
    found = at_each(lambda position: tuple(density.named(position).values()), flat)
    shape = positions.shape[:2]
    return {name: x.reshape(*shape, *x.shape[1:]) for name, x in zip(names, found, strict=True)}
