"""Monte Carlo dropout: masks that are drawn like weights (floor 1)."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.func import functional_call

from causal.draws import fixed, held, hold, seeded
from causal.guide import Guide
from hybrid.bayes.batching import Weights, batched, batching_rule, is_random
from hybrid.bayes.chunks import batched_in_chunks
from hybrid.bayes.exchange import exchanged, is_law, shadow
from hybrid.layers import in_features_of, out_features_of

__all__ = ["Dropped", "Masked", "dropout", "kept"]

_EVENT_DIMS = {nn.Dropout: 1, nn.Dropout1d: 2, nn.Dropout2d: 3, nn.Dropout3d: 4}


def dropout(module: nn.Module, p: float | None = None) -> nn.Module:
    r"""The same Law or Layer, with dropout that stays on in prediction.

    A draw is one mask for every dropout layer, shared by all rows, as one draw of weights is: what
    is dropped are rows of the next layer's weights,

    .. math:: W = \mathrm{diag}(z / (1 - p))\, M, \qquad z_i \sim \mathrm{Bernoulli}(1 - p).

    ``law(x, draws=S)`` uses S masks. A layer that is used in several places has one mask for all of
    them. Masks cover the last axis, in convolutional networks all axes of a row, in ``Dropout2d``
    and its kin the channels. In training mode every row has its own mask, as always. Parameters are
    shared with ``module``; the divergence is 0 (the prior is the optimiser's weight decay).

    Args:
        module: A Law, a module containing Laws (an SCM), or a Layer, trained or not. It is not
            changed.
        p: A probability for all its dropout layers; None for their own.

    Raises:
        ValueError: There is no dropout layer with p > 0, one of a kind without masks that are 0 or
            1 (``AlphaDropout``), the module is random already, or ``p`` is not between 0 and 1.
        TypeError: ``module`` is no module.

    Source: Gal & Ghahramani (2016), *Dropout as a Bayesian approximation*, eq. 2 and 6.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> body = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.1))
        >>> law = dropout(Normal(body, features=8)).eval()
        >>> law(torch.zeros(7, 3), draws=5).batch_shape
        torch.Size([5, 7])
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"dropout takes a torch.nn.Module, got {module!r}")
    if p is not None and not 0 < p < 1:
        raise ValueError(f"p is a probability between 0 and 1: {p}")
    if is_random(module):
        raise ValueError(f"{type(module).__name__} is already random: take the plain module")
    if any(is_law(part) for part in module.modules()):
        result = exchanged(module, lambda part: _law(part, p))
    elif hasattr(module, "support") and hasattr(module, "event_shape"):
        raise ValueError(
            f"the law {type(module).__name__} is not of the form link(body(context)): write it so, "
            "with the dropout layers in `body`"
        )
    else:
        result = _dropped(module, p)
    if result is module:
        raise ValueError(
            f"{type(module).__name__} has no dropout layer with p > 0: put torch.nn.Dropout(p) "
            "between its layers (a dropout= of torch's recurrent layers and attention is not one)"
        )
    return result


class Dropped(nn.Module):
    """A Layer whose dropout layers have masks that `fixed` holds.

    Args:
        layer: A Layer with `Masked` parts.

    Raises:
        ValueError: At the call inside ``fixed(draws=S)``, the leading axis is neither 1 nor S.

    Example:
        >>> layer = Dropped(nn.Sequential(nn.Linear(3, 8), Masked(nn.Dropout(0.5)))).eval()
        >>> layer(torch.zeros(7, 3), draws=5).shape
        torch.Size([5, 7, 8])
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.mean = layer

    @property
    def in_features(self) -> int | None:
        """Width of what the layer inside takes, where it is known."""
        return in_features_of(self.mean)

    @property
    def out_features(self) -> int | None:
        """Width of what the layer inside returns, where it is known."""
        return out_features_of(self.mean)

    def forward(self, inputs: Tensor, draws: int | None = None) -> Any:
        """Run the layer under the masks that are held, else under fresh ones.

        Args:
            inputs: ``(*batch, in)``; with a leading axis of S or 1 inside ``fixed(module, S)``.
            draws: The number S of fresh masks for inputs without a draws axis.
        """
        if draws is not None:
            with fixed(self, draws):
                return self(inputs.unsqueeze(0))
        count, seeds, noise = held(self) or (None, self._seeds(None, None), None)
        if count is not None and (inputs.dim() < 2 or inputs.shape[0] not in (1, count)):
            raise ValueError(
                f"inside fixed(draws={count}) inputs need a leading axis of 1 or {count}, got "
                f"shape {tuple(inputs.shape)}: use x.unsqueeze(0) for inputs shared by all draws"
            )
        if self.training:
            again = None if noise is None else torch.Generator().manual_seed(noise)
            with seeded(again):
                if count is None:
                    return self.mean(inputs)
                return batched(self.mean, {}, inputs.expand(count, *inputs.shape[1:]))
        if count is None:
            return functional_call(shadow(self.mean), seeds, (inputs,))
        return batched_in_chunks(self.mean, seeds, inputs, count)

    @contextmanager
    def fixed(self, draws: int | None, generator: torch.Generator | None = None) -> Iterator[None]:
        """Hold ``draws`` masks inside; None holds one, without an axis."""
        noise = None
        if generator is not None:
            device = generator.device
            noise = int(torch.randint(2**62, (), generator=generator, device=device))
        with hold(self, (draws, self._seeds(draws, generator), noise)):
            yield

    def divergence(self) -> Tensor:
        """Zero."""
        example = next(iter(self.parameters()), None)
        return torch.zeros(()) if example is None else example.new_zeros(())

    def _seeds(self, draws: int | None, generator: torch.Generator | None) -> dict[str, Tensor]:
        names = [name for name, part in self.mean.named_modules() if isinstance(part, Masked)]
        device = "cpu" if generator is None else generator.device
        shape = (len(names), *(() if draws is None else (draws,)))
        numbers = torch.randint(2**62, shape, generator=generator, device=device)
        places = [self.mean.get_submodule(name).get_buffer("mask") for name in names]
        return {
            f"{name}.mask" if name else "mask": seed.to(place.device)
            for name, seed, place in zip(names, numbers, places, strict=True)
        }


class Masked(nn.Module):
    """A dropout layer whose mask is made of a number, its buffer ``mask``.

    Args:
        layer: The dropout layer, which is used as it is in training mode.
        p: Its probability; None for its own.
        wide: Whether masks cover all axes but the first instead of the last one.

    Example:
        >>> layer = Masked(nn.Dropout(0.5)).eval()
        >>> once = layer(torch.ones(4, 6))
        >>> bool((once == layer(torch.ones(4, 6))).all()), bool((once[0] == once[1]).all())
        (True, True)
    """

    keeps_width = True  # see `hybrid.layers.out_features_of`
    mask: Tensor

    def __init__(self, layer: Any, p: float | None = None, wide: bool = False) -> None:
        super().__init__()
        self.p = float(layer.p if p is None else p)
        self.wide = wide
        self.dims = _EVENT_DIMS[type(layer)]
        self.layer = type(layer)(self.p)
        self.register_buffer("mask", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs where the mask keeps them, scaled by 1 / (1 − p)."""
        if self.training:
            result: Tensor = self.layer(inputs)
            return result
        return inputs * self.factor(self.mask, inputs.shape, 1).to(inputs.dtype)

    def factor(self, seeds: Tensor, shape: Sequence[int], lead: int) -> Tensor:
        """0 or 1 / (1 − p) for an input of this shape, whose first ``lead`` axes are no event's."""
        if self.wide and self.dims == 1 and len(shape) > lead:
            event = tuple(shape[lead:])
        else:
            event = (shape[-self.dims], *[1] * (self.dims - 1))
        keep = kept(seeds, math.prod(event), self.p) / (1 - self.p)
        between = [1] * (len(shape) - seeds.dim() - len(event))
        return keep.reshape(*seeds.shape, *between, *event)

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"


def kept(seeds: Int[Tensor, "*draws"], size: int, p: float) -> Int[Tensor, "*draws size"]:
    """Masks of 0 (with probability p) and 1, a function of the seeds alone.

    The numbers behind them are those of the generator SplitMix64. As a mask is a function, it needs
    no state and no shape in advance, and runs under ``torch.func.vmap``.

    Args:
        seeds: A number for each mask.
        size: The entries of a mask.
        p: The probability of 0.

    Source: Steele, Lea & Flood (2014), *Fast splittable pseudorandom number generators*, figure 17.

    Example:
        >>> kept(torch.tensor(2), 10_000, 0.3).double().mean()
        tensor(0.7..., dtype=torch.float64)
    """
    step, first, second = -0x61C8864680B583EB, -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15
    z = seeds.unsqueeze(-1) + torch.arange(1, size + 1, device=seeds.device) * step
    z = (z ^ ((z >> 30) & (2**34 - 1))) * first
    z = (z ^ ((z >> 27) & (2**37 - 1))) * second
    z = z ^ ((z >> 31) & (2**33 - 1))
    return (((z >> 11) & (2**53 - 1)) >= int(p * 2**53)).long()


@batching_rule(Masked)
def _masked(module: Masked, weights: Weights, inputs: Tensor) -> Any:
    seeds = weights.get("mask")
    if module.training:
        if module.dims == 1:
            return module.layer(inputs)
        rows = inputs.flatten(0, 1) if inputs.dim() > module.dims + 1 else inputs
        return module.layer(rows).reshape(inputs.shape)
    if seeds is None:
        return NotImplemented
    return inputs * module.factor(seeds, inputs.shape, 2).to(inputs.dtype)


def _law(part: nn.Module, p: float | None) -> nn.Module | None:
    """A law with its body's dropout layers masked; itself where it has none."""
    if isinstance(part, Guide):
        return part
    if not is_law(part):
        return None
    body = part.get_submodule("body")
    new = _dropped(body, p)
    return part if new is body else exchanged(part, lambda own: new if own is body else None)


def _dropped(layer: nn.Module, p: float | None) -> nn.Module:
    """The layer with its dropout layers masked; itself where it has none."""
    wide = any(isinstance(part, nn.modules.conv._ConvNd) for part in layer.modules())

    def change(part: nn.Module) -> nn.Module | None:
        if not isinstance(part, nn.modules.dropout._DropoutNd) or part.p == 0:
            return None
        if type(part) not in _EVENT_DIMS:
            raise ValueError(
                f"{type(part).__name__} has no mask of 0 and 1: use torch.nn.Dropout in its place"
            )
        if p is None and part.p >= 1:
            raise ValueError(f"{type(part).__name__} drops everything: its p is {part.p}")
        return Masked(part, p, wide).train(part.training)

    new = exchanged(layer, change)
    if new is layer:
        return layer
    old = {id(part) for part in layer.modules()}
    for part in new.modules():
        if isinstance(part, nn.TransformerEncoderLayer) and id(part) not in old:
            part.activation_relu_or_gelu = 0  # else torch's fused path, which has no dropout
    return Dropped(new).train(layer.training)
