"""A Pyro model as a density on one flat unconstrained vector (floor 2).

Every latent site is given a piece of the vector, mapped onto the site's support; the log Jacobians
are added. Supports may depend on other sites. Nothing is read from or left in Pyro's parameter
store but what was there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pyro
import torch
from pyro.distributions import Delta
from pyro.poutine import trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import _Subsample
from torch import Tensor
from torch.distributions import biject_to

from causal.draws import ALONE, seeded
from hybrid.bayes.sampling.density import Density
from hybrid.bayes.sampling.factorisation import Unchecked

__all__ = ["Site", "latent_sites", "program_density"]

_ATTEMPTS = 10  # to run the model at random values, some of which it may not bear
_RADIUS = 2.0  # first positions are uniform on (-2, 2), as Stan's are


class Site(NamedTuple):
    """A latent site: its name, and the shape of its unconstrained value.

    Example:
        >>> Site("x", torch.Size((3,))).shape.numel()
        3
    """

    name: str
    shape: torch.Size


def latent_sites(
    model: Callable[..., Any], args: tuple[Any, ...], generator: torch.Generator
) -> tuple[list[Site], torch.dtype, torch.device, Any]:
    """Run the model once: its latent sites, the dtype and device of its density, what it returned.

    Raises:
        ValueError: A site is discrete, or a plate takes a random part of its rows.

    Example:
        >>> import pyro.distributions as dist
        >>> def model():
        ...     pyro.sample("x", dist.Dirichlet(torch.ones(3)))
        >>> latent_sites(model, (), torch.Generator())[0]
        [Site(name='x', shape=torch.Size([2]))]
    """
    first, run, total = _first_run(model, args, generator)
    if not isinstance(total, Tensor):
        return [], torch.get_default_dtype(), torch.device("cpu"), run.nodes["_RETURN"]["value"]
    return first.sites, total.dtype, total.device, run.nodes["_RETURN"]["value"]


def _first_run(
    model: Callable[..., Any], args: tuple[Any, ...], generator: torch.Generator
) -> tuple["_Place", Any, Any]:
    """Run the model at random values, at others where it does not bear these.

    Sites without parameters (flat priors) tell no dtype: they have the default, unless the model
    cannot mix that with its data.
    """
    store = pyro.get_param_store()
    refused: list[Exception] = []
    dtype = torch.get_default_dtype()
    for _ in range(_ATTEMPTS):
        place = _Place(None, generator, dtype)
        try:
            with ALONE, store.scope(store.get_state()), seeded(generator), place:
                run = trace(model).get_trace(*args)
                return place, run, run.log_prob_sum()
        except (ValueError, RuntimeError) as error:
            refused.append(error)
            dtype = torch.float64
    raise refused[0]


def program_density(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    sites: list[Site],
    dtype: torch.dtype,
    device: torch.device,
) -> Density:
    """The density of the latent sites given what the model observes.

    Args:
        model: A Pyro model.
        args: Its arguments.
        sites: Its latent sites, as `latent_sites` found them.
        dtype: The chains' dtype.
        device: The chains' device.

    Example:
        >>> import pyro.distributions as dist
        >>> def model():
        ...     pyro.sample("scale", dist.HalfNormal(1.0))
        >>> sites, dtype, device, _ = latent_sites(model, (), torch.Generator())
        >>> density = program_density(model, (), sites, dtype, device)
        >>> density.energy(torch.zeros(1))  # −log p(1), and the Jacobian of exp: 0
        tensor(0.7258)
        >>> density.named(torch.zeros(1))
        {'scale': tensor(1.)}
    """
    sizes = [site.shape.numel() for site in sites]

    def placed(position: Tensor) -> "_Place":
        parts = position.split(sizes)
        pairs = zip(sites, parts, strict=True)
        return _Place({site.name: part.reshape(site.shape) for site, part in pairs}, None)

    def energy(position: Tensor) -> Tensor:
        with _quiet(), placed(position) as place:
            total = trace(model).get_trace(*args).log_prob_sum()
            return torch.as_tensor(-(total + place.stretch))

    def named(position: Tensor) -> dict[str, Tensor]:
        with _quiet(), placed(position):
            run = trace(model).get_trace(*args)
        kept = {site.name for site in sites}
        return {
            name: torch.as_tensor(node["value"])
            for name, node in run.nodes.items()
            if name in kept or (node["type"] == "sample" and _is_deterministic(node))
        }

    def starts(chains: int, generator: torch.Generator) -> Tensor:
        noise = torch.rand(chains, sum(sizes), generator=generator, dtype=dtype)
        return (_RADIUS * (2 * noise - 1)).to(device)

    def complaint(position: Tensor) -> str:
        with _quiet(), placed(position), Unchecked() as seen:
            run = trace(model).get_trace(*args)
            run.compute_log_prob()
        if any(bool((code != 0).any()) for code in seen.codes):
            return "a matrix cannot be factorised"
        bad = [
            repr(name)
            for name, node in run.nodes.items()
            if node["type"] == "sample" and not bool(node["log_prob"].isfinite().all())
        ]
        return f"the log probability is not finite at the sites {', '.join(bad) or '(none alone)'}"

    return Density(
        energy, torch.zeros(sum(sizes), dtype=dtype, device=device), starts, named, complaint
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Pyro's handlers for us alone, its checks (which read numbers) off, its store put back."""
    store = pyro.get_param_store()
    with ALONE, store.scope(store.get_state()), pyro.validation_enabled(False):
        yield


class _Place(Messenger):
    """Gives latent sites their values: from unconstrained ones, or (first run) from noise."""

    def __init__(
        self,
        values: dict[str, Tensor] | None,
        generator: torch.Generator | None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.values, self.generator, self.dtype = values, generator, dtype
        self.sites: list[Site] = []
        self.stretch: Tensor | float = 0.0  # the sum of the log Jacobians

    def _pyro_sample(self, msg: Any) -> None:
        if isinstance(msg["fn"], _Subsample):
            _refuse_part(msg)
            return
        if msg["is_observed"] or msg["done"] or isinstance(msg["fn"], Delta):
            return
        name, distribution = msg["name"], msg["fn"]
        if distribution.support.is_discrete:
            raise ValueError(
                f"the site {name!r} ({type(distribution).__name__}) is discrete: samplers that "
                "follow gradients need it summed out, by a mixture or by pyro.factor with logsumexp"
            )
        onto = biject_to(distribution.support)
        shape = distribution.batch_shape + distribution.event_shape
        if self.values is None:
            free = shape
            if onto.domain.event_dim:  # else each number is mapped for itself
                free = torch.Size(onto.inverse_shape(shape))
            self.sites.append(Site(name, free))
            value = _RADIUS * (2 * torch.rand(free, generator=self.generator) - 1)
            like = _like(distribution)
            value = value.to(self.dtype) if like is None else value.to(like)
        else:
            value = self.values[name]
        msg["value"] = onto(value)
        msg["done"] = True
        self.stretch = self.stretch + onto.log_abs_det_jacobian(value, msg["value"]).sum()


def _is_deterministic(node: Any) -> bool:
    return bool((node["infer"] or {}).get("_deterministic"))


def _like(distribution: Any) -> Tensor | None:
    """A tensor with the distribution's dtype and device: one of its parameters."""
    base = distribution
    while hasattr(base, "base_dist"):
        base = base.base_dist
    found = (value for value in vars(base).values() if isinstance(value, Tensor))
    return next((value for value in found if value.is_floating_point()), None)


def _refuse_part(msg: Any) -> None:
    size, part = msg["fn"].size, msg["fn"].subsample_size
    if msg["value"] is None and part is not None and part < size:
        raise ValueError(
            f"the plate {msg['name']!r} takes {part} of {size} rows at random: a sampler needs "
            "them all. Leave out subsample_size"
        )
