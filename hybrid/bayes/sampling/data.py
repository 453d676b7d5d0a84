"""What a Pyro model says of its data under draws of its latent sites (floor 3)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro.distributions import Unit
from pyro.poutine import condition, trace
from pyro.poutine.messenger import Messenger
from pyro.poutine.subsample_messenger import _Subsample
from torch import Tensor

from causal.draws import ALONE, seeded
from hybrid.bayes.sampling.mapping import at_each
from hybrid.bayes.sampling.program import latent_sites
from hybrid.bayes.sampling.result import Draws

__all__ = ["log_likelihood", "replicate"]


def log_likelihood(draws: Draws, model: Callable[..., Any], *args: Any) -> dict[str, Tensor]:
    r"""Log density of what a Pyro model observes, under each draw.

    Args:
        draws: Draws of the model's latent sites; see `hybrid.bayes.sample`.
        model: The Pyro model.
        *args: Its arguments, the data among them.

    Returns:
        For each observed site (and ``pyro.factor``) the terms ``(chains, draws, *shape)``, one for
        each row of its plates; ``(chains, draws, 1)`` for a site outside of plates.

    Raises:
        ValueError: The model has a latent site without draws, none at all, or observes nothing.

    Example:
        >>> import pyro.distributions as dist
        >>> def model(y):
        ...     mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     with pyro.plate("rows", len(y)):
        ...         pyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> terms = log_likelihood(Draws({"mean": torch.zeros(4, 50)}), model, torch.zeros(3))
        >>> terms["y"].shape, terms["y"][0, 0]
        (torch.Size([4, 50, 3]), tensor([-0.9189, -0.9189, -0.9189]))
    """
    chosen = _latent(draws, model, args)
    dtypes = [values.dtype for values in chosen.values()]
    widest = max(dtypes, key=lambda dtype: torch.finfo(dtype).bits)
    lead = next(iter(chosen.values())).shape[:2]
    table = torch.cat([values.reshape(*lead, -1).to(widest) for values in chosen.values()], 2)
    pieces = {name: (values.shape[2:], values.dtype) for name, values in chosen.items()}
    sizes = [shape.numel() for shape, _ in pieces.values()]

    def run(position: Tensor) -> Any:
        parts = zip(pieces.items(), position.split(sizes), strict=True)
        given = {name: part.reshape(shape).to(dtype) for (name, (shape, dtype)), part in parts}
        with _quiet():
            found = trace(condition(model, given)).get_trace(*args)
            found.compute_log_prob()
        return found.nodes

    positions = table.flatten(0, 1)
    names = [
        name
        for name, node in run(positions[0]).items()
        if node["type"] == "sample" and node["is_observed"] and name not in chosen and _told(node)
    ]
    if not names:
        raise ValueError(f"{_name(model)} observes nothing: give its observed sites obs=")

    def terms(position: Tensor) -> tuple[Tensor, ...]:
        nodes = run(position)
        return tuple(torch.atleast_1d(nodes[name]["log_prob"]) for name in names)

    columns = at_each(terms, positions)
    pairs = zip(names, columns, strict=True)
    return {name: x.reshape(*lead, *x.shape[1:]) for name, x in pairs}


def replicate(
    draws: Draws,
    model: Callable[..., Any],
    args: tuple[Any, ...],
    count: int,
    generator: torch.Generator | None = None,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Data that a Pyro model makes under draws evenly chosen, and the data that it observes.

    Args:
        draws: Draws of the model's latent sites.
        model: The Pyro model.
        args: Its arguments.
        count: How many replicates; where there are fewer draws, draws are used again.
        generator: Source of randomness; None advances torch's global generator.

    Returns:
        Replicated data ``(count, *shape)`` and observed data, by site.

    Raises:
        ValueError: The model has a latent site without draws, none at all, or observes nothing.

    Example:
        >>> import pyro.distributions as dist
        >>> def model(y):
        ...     mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     pyro.sample("y", dist.Normal(mean, 1.0).expand([len(y)]).to_event(1), obs=y)
        >>> draws = Draws({"mean": torch.zeros(4, 50)})
        >>> replicated, observed = replicate(draws, model, (torch.ones(3),), 10)
        >>> replicated["y"].shape, observed["y"]
        (torch.Size([10, 3]), tensor([1., 1., 1.]))
    """
    flat = {name: values.flatten(0, 1) for name, values in _latent(draws, model, args).items()}
    total = len(next(iter(flat.values())))
    made: dict[str, list[Tensor]] = {}
    free = _Unobserved()
    with torch.no_grad(), seeded(generator), _quiet():
        for k in range(count):
            i = k * total // count if count <= total else k % total
            given = {name: values[i] for name, values in flat.items()}
            nodes = trace(condition(free(model), given)).get_trace(*args).nodes
            for name in free.observed:
                made.setdefault(name, []).append(torch.as_tensor(nodes[name]["value"]))
    if not made:
        raise ValueError(f"{_name(model)} observes nothing: give its observed sites obs=")
    observed = {name: torch.as_tensor(value) for name, value in free.observed.items()}
    return {name: torch.stack(values) for name, values in made.items()}, observed


class _Unobserved(Messenger):
    """Has a model draw what it observes, and keeps what that was.

    It stands inside of ``condition``, whose sites are observed as well. What the model computes is
    left alone: drawn inside a plate, it would be repeated for each row.
    """

    def __init__(self) -> None:
        super().__init__()
        self.observed: dict[str, Any] = {}

    def _pyro_sample(self, msg: Any) -> None:
        if msg["is_observed"] and _told(msg) and not isinstance(msg["fn"], Unit):
            self.observed[msg["name"]] = msg["value"]
            msg["is_observed"], msg["value"] = False, None


def _latent(draws: Draws, model: Callable[..., Any], args: tuple[Any, ...]) -> Mapping[str, Tensor]:
    """The draws of the model's latent sites alone, not of what it computes from them."""
    names = [site.name for site in latent_sites(model, args, torch.Generator().manual_seed(0))[0]]
    if not names:
        raise ValueError(
            f"{_name(model)} has no latent site: for the draws of an objective's parameters use "
            "hybrid.predict(draws.apply(law), x, draws=…)"
        )
    missing = [name for name in names if name not in draws.draws]
    if missing:
        raise ValueError(
            f"{_name(model)} has the latent sites {names}, without draws of {missing}: the draws "
            f"are of {list(draws.draws)}"
        )
    return {name: draws.draws[name] for name in names}


def _told(node: Any) -> bool:
    """Whether a site tells of the data: it is neither computed nor a plate's choice of rows."""
    return not (node["infer"] or {}).get("_deterministic") and not isinstance(
        node["fn"], _Subsample
    )


def _name(model: Callable[..., Any]) -> str:
    return getattr(model, "__name__", type(model).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pyro's handlers for us alone, its checks (which read numbers) off, its store put back."""
    store = pyro.get_param_store()
    with ALONE, store.scope(store.get_state()), pyro.validation_enabled(False):
        yield
