"""An objective as a density over its parameters (floor 2)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_leaves

from hybrid.bayes.batching import is_random
from hybrid.bayes.sampling.density import Density

__all__ = ["objective_density"]


def objective_density(objective: nn.Module, batch: Any, prior_scale: float) -> Density:
    r"""The posterior density of an objective's parameters.

    .. math:: U(w) = N \cdot \mathrm{loss}(w) + \sum_i \frac{w_i^2}{2 s_i^2}

    with N the objective's ``data_size``. The loss is taken on ``batch``, which must be all of the
    data. Layers may state the prior scale of their own parameters by an attribute ``prior_scale``
    or ``prior_scales`` (parameter name → number), as circuits do with π for angles.

    Args:
        objective: An Objective without random weights.
        batch: All of the data, as the objective takes it.
        prior_scale: The standard deviation s of all other parameters, whose prior mean is 0.

    Raises:
        ValueError: It has random weights, no ``data_size``, nothing to train, or ``batch`` is not
            all of the data; or the prior's scale is not positive.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.objectives import ELBO
        >>> objective = ELBO(Normal(torch.nn.Linear(2, 8)), data_size=5)
        >>> density = objective_density(objective, (torch.zeros(5, 2), torch.zeros(5)), 1.0)
        >>> list(density.named(density.example))
        ['model.body.0.weight', 'model.body.0.bias', 'model.body.1.weight', 'model.body.1.bias']
    """
    if is_random(objective):
        raise ValueError(
            "the objective's weights are random already: give it the law as it was before "
            "hybrid.bayes.variational"
        )
    size = _size(objective, batch)
    chosen = {k: p for k, p in objective.named_parameters() if p.requires_grad}
    if not chosen:
        raise ValueError(f"{type(objective).__name__} has no trainable parameter to sample")
    scale = torch.cat(_scales(objective, chosen, prior_scale))
    shapes = {name: value.shape for name, value in chosen.items()}

    def named(position: Tensor) -> dict[str, Tensor]:
        parts = position.split([shape.numel() for shape in shapes.values()])
        pairs = zip(shapes.items(), parts, strict=True)
        return {name: part.reshape(shape) for (name, shape), part in pairs}

    def energy(position: Tensor) -> Tensor:
        with _unchecked():
            loss: Any = functional_call(objective, named(position), (batch,))
        total: Tensor = loss if isinstance(loss, Tensor) else loss.total
        return size * total + 0.5 * (position / scale).square().sum()

    def starts(chains: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(chains, len(scale), generator=generator, dtype=scale.dtype)
        return noise.to(scale.device) * scale

    return Density(energy, torch.zeros_like(scale), starts, named)


def _size(objective: nn.Module, batch: Any) -> int:
    size = getattr(objective, "data_size", None)
    if not isinstance(size, int):
        raise ValueError(
            f"{type(objective).__name__} has no data_size: the density of its parameters is "
            "exp(-data_size * loss) times the prior, so give the objective data_size="
        )
    rows = next((len(x) for x in tree_leaves(batch) if isinstance(x, Tensor) and x.dim()), size)
    if rows != size:
        raise ValueError(
            f"the batch has {rows} rows, data_size is {size}: a sampler needs all of the data"
        )
    return size


def _scales(objective: nn.Module, chosen: Mapping[str, Tensor], prior_scale: float) -> list[Tensor]:
    """The prior's scale of each weight; what a layer states counts before ``prior_scale``."""
    if not 0 < prior_scale < float("inf"):
        raise ValueError(f"prior_scale must be a positive number, got {prior_scale}")
    stated: dict[str, float] = {}
    for path, part in objective.named_modules():
        own = getattr(part, "prior_scales", None) or getattr(part, "prior_scale", None)
        for leaf, scale in own.items() if isinstance(own, Mapping) else ():
            stated[f"{path}.{leaf}" if path else leaf] = float(scale)
    return [
        torch.full_like(value.detach(), stated.get(name, prior_scale)).reshape(-1)
        for name, value in chosen.items()
    ]


@contextmanager
def _unchecked() -> Iterator[None]:
    """Distributions' own checks read numbers out of tensors: off inside."""
    before: Callable[..., Any] | bool = td.Distribution._validate_args
    td.Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        td.Distribution.set_default_validate_args(bool(before))
