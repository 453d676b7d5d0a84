"""A Layer with a distribution over its weights (floor 1).

The family of that distribution is an object; this file only knows its two methods, so that a new
family is a new file.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from causal.draws import fixed, held, hold
from hybrid.bayes.batching import is_random, unaliased
from hybrid.bayes.chunks import batched_in_chunks
from hybrid.bayes.exchange import shadow
from hybrid.layers import in_features_of, out_features_of

__all__ = ["Family", "Posterior", "Spread"]


@runtime_checkable
class Spread(Protocol):
    """What a family adds to the means: a module that owns scales, factors, stored draws.

    Where the divergence is an average over draws, the module has ``divergence_at(means, sampled)``
    too: ``sampled`` is what ``sample`` returned for the weights that are held, or None.

    Example:
        >>> from hybrid.bayes.mean_field import MeanField
        >>> means = {"weight": torch.nn.Parameter(torch.zeros(2))}
        >>> spread: Spread = MeanField().spread(means, {})
        >>> spread.sample(means, 3, None)["weight"].shape
        torch.Size([3, 2])
    """

    def sample(
        self, means: Mapping[str, Tensor], draws: int | None, generator: torch.Generator | None
    ) -> Mapping[str, Tensor]:
        """Weights ``(draws, *shape)`` by name; no leading axis for ``draws=None``."""
        ...

    def divergence_of(self, means: Mapping[str, Tensor]) -> Tensor:
        """Scalar KL divergence from the prior."""
        ...


@runtime_checkable
class Family(Protocol):
    """A kind of distribution over weights, with its settings.

    Example:
        >>> from hybrid.bayes.mean_field import MeanField
        >>> family: Family = MeanField(prior_scale=2.0)
    """

    def spread(
        self, means: Mapping[str, nn.Parameter], prior_scales: Mapping[str, float]
    ) -> nn.Module:
        """Make the `Spread` of these means; layers may have stated the prior scale of some."""
        ...


class Posterior(nn.Module):
    r"""A Layer whose weights are random, distributed around those of the layer that it wraps.

    ``posterior(x)`` uses one weight set for the whole input; ``posterior(x, draws=S)`` uses S and
    returns a leading axis S. Inside ``hybrid.bayes.fixed(module, S)`` inputs have a leading axis of
    S or 1 and the weights stay the same.

    The parameters of the wrapped layer are the means, the same ``Parameter`` objects. Parameters
    without ``requires_grad`` stay ordinary ones, and so do those that ``names`` leaves out. Buffers
    are shared by all draws. `hybrid.bayes.batching` says how a layer is run under many weight sets.

    Args:
        layer: Any Layer.
        family: The family of distributions, `MeanField` for one.
        names: Which parameters are random; None for all of them.

    Raises:
        ValueError: The layer is already random, has no parameter to make random, a complex one, or
            not one that ``names`` asks for.

    Example:
        >>> from hybrid.bayes.mean_field import MeanField
        >>> posterior = Posterior(torch.nn.Linear(3, 2), MeanField())
        >>> posterior(torch.zeros(7, 3)).shape, posterior(torch.zeros(7, 3), draws=5).shape
        (torch.Size([7, 2]), torch.Size([5, 7, 2]))
        >>> [name for name, _ in posterior.named_parameters()]
        ['mean.weight', 'mean.bias', 'spread.raw_scale.weight', 'spread.raw_scale.bias']
    """

    def __init__(
        self, layer: nn.Module, family: Family, *, names: Collection[str] | None = None
    ) -> None:
        super().__init__()
        if is_random(layer):
            raise ValueError(f"{type(layer).__name__} is already random: wrap each layer once")
        chosen = _choose(layer, names)
        self.mean = layer
        self._names = tuple(chosen)
        self._places = tuple((name, *_place(name)) for name in chosen)
        self._tied = _aliases(layer, chosen)
        self.family = type(family).__name__.lstrip("_")
        self.spread = family.spread(chosen, _prior_scales(layer))

    @property
    def in_features(self) -> int | None:
        """Width of what the layer inside takes, where it is known."""
        return in_features_of(self.mean)

    @property
    def out_features(self) -> int | None:
        """Width of what the layer inside returns, where it is known."""
        return out_features_of(self.mean)

    def forward(self, inputs: Tensor, draws: int | None = None) -> Any:
        """Run the layer under the weights that are held, else under fresh ones.

        Args:
            inputs: ``(*batch, in)``; with a leading axis of S or 1 inside ``fixed(module, S)``.
            draws: The number S of fresh weight sets for inputs without a draws axis.

        Raises:
            ValueError: Inside ``fixed`` the leading axis is neither 1 nor S.
        """
        if draws is not None:
            with fixed(self, draws):
                return self(inputs.unsqueeze(0))
        current = held(self)
        if current is None:
            return self._run(self._with_tied(self.weights()), inputs)
        count, weights = current
        if count is None:
            return self._run(weights, inputs)
        if inputs.dim() < 2 or inputs.shape[0] not in (1, count):
            raise ValueError(
                f"inside fixed(draws={count}) inputs need a leading axis of 1 or {count}, got "
                f"shape {tuple(inputs.shape)}: use x.unsqueeze(0) for inputs shared by all draws"
            )
        if count > 1 and self.training and _drops(self.mean):
            inputs = inputs.expand(count, *inputs.shape[1:])  # a mask for each draw
        return batched_in_chunks(self.mean, weights, inputs, count)

    @contextmanager
    def fixed(self, draws: int | None, generator: torch.Generator | None = None) -> Iterator[None]:
        """Hold ``draws`` weight sets inside; None holds one, without an axis."""
        sampled = self.weights(draws, generator)
        with hold(self, (draws, self._with_tied(sampled))), hold(self.spread, sampled):
            yield

    def divergence(self) -> Tensor:
        """KL divergence of the weights' distribution from the prior, a scalar.

        Where it has no closed form it is an average over the draws that are held, else over fresh
        ones from torch's global generator.
        """
        spread, sampled = self._spread(), held(self.spread)
        by_draws = getattr(type(spread), "divergence_at", None)
        if sampled is None or by_draws is None:
            return spread.divergence_of(self._means())
        divergence: Tensor = by_draws(spread, self._means(), sampled)
        return divergence

    def weights(
        self, draws: int | None = None, generator: torch.Generator | None = None
    ) -> Mapping[str, Tensor]:
        """Draw weights by parameter name, ``(draws, *shape)``; no leading axis for None."""
        return self._spread().sample(self._means(), draws, generator)

    def extra_repr(self) -> str:
        """The number of random parameter tensors."""
        return f"{len(self._names)} random parameters"

    def _spread(self) -> Spread:
        return cast("Spread", self.spread)

    def _means(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        mean = self.mean
        for name, path, leaf in self._places:  # get_parameter, in a fraction of the time
            part: Any = mean
            for step in path:
                part = part._modules[step]
            found[name] = part._parameters[leaf]
        return found

    def _with_tied(self, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if not self._tied:
            return weights
        return {**weights, **{alias: weights[name] for alias, name in self._tied}}

    def _run(self, weights: Mapping[str, Tensor], inputs: Tensor) -> Any:
        chosen = dict(unaliased(self.mean, weights))
        return functional_call(shadow(self.mean), chosen, (inputs,), tie_weights=False)


def _place(name: str) -> tuple[tuple[str, ...], str]:
    """The path of submodules to a parameter, and its name there."""
    path, _, leaf = name.rpartition(".")
    return tuple(path.split(".")) if path else (), leaf


def _choose(layer: nn.Module, names: Collection[str] | None) -> dict[str, nn.Parameter]:
    known = dict(layer.named_parameters())
    if names is not None and set(names) - set(known):
        unknown = sorted(set(names) - set(known))
        raise ValueError(f"{type(layer).__name__} has no parameters {unknown}: {sorted(known)}")
    chosen = {
        name: value
        for name, value in known.items()
        if value.requires_grad and (names is None or name in names)
    }
    if not chosen:
        raise ValueError(
            f"{type(layer).__name__} has no trainable parameter to make random "
            f"(it has {sorted(known)})"
        )
    bad = [name for name, value in chosen.items() if not value.is_floating_point()]
    if bad:
        raise ValueError(f"parameters {bad} are not real numbers: leave them out by exclude=")
    return chosen


def _aliases(layer: nn.Module, chosen: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Other names of chosen parameters that are used in several places."""
    every = list(layer.named_parameters(remove_duplicate=False))
    first: dict[int, str] = {}
    pairs = []
    for name, value in every:
        known = first.setdefault(id(value), name)
        if known != name and known in chosen:
            pairs.append((name, known))
    return tuple(pairs)


def _prior_scales(layer: nn.Module) -> dict[str, float]:
    """Prior scales that parts of the layer state (circuit angles: π), by full parameter name."""
    stated = {}
    known = {name for name, _ in layer.named_parameters(remove_duplicate=False)}
    for path, part in layer.named_modules():
        own = getattr(part, "prior_scales", None) or getattr(part, "prior_scale", None)
        for leaf, scale in own.items() if isinstance(own, Mapping) else ():
            name = f"{path}.{leaf}" if path else leaf
            if name not in known or not 0 < scale < math.inf:
                raise ValueError(
                    f"{type(part).__name__} states a prior scale {scale!r} for {leaf!r}: expected "
                    "a positive number for one of its parameters"
                )
            stated[name] = float(scale)
    return stated


def _drops(module: nn.Module) -> bool:
    waiting: list[nn.Module | None] = [module]  # a walk without generators: every call needs it
    while waiting:
        part = waiting.pop()
        if part is None:
            continue
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p > 0:
            return True
        waiting.extend(part._modules.values())
    return False
