"""What all heads share: a body, a readout, and the draws axis (floor 2, above `hybrid.bayes`).

A head is a Law of the form ``link(body(context))``. The body, readout included, holds every
parameter; the link is a pure function from numbers to a distribution.
"""

import abc
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from causal.draws import fixed
from hybrid.bayes.batching import batched, in_dtype_of
from hybrid.layers import Constant, Readout, in_features_of, out_features_of

__all__ = [
    "Head",
    "attach",
    "checking",
    "entries",
    "expanded",
    "joined",
    "placed_like",
    "vector_shape",
]

Placed = TypeVar("Placed", bound=nn.Module)
Expandable = TypeVar("Expandable", bound=Distribution)


class Head(nn.Module, abc.ABC):
    """A Law ``link(body(context))``; a new head is a file with a ``link`` and its ``support``.

    Args:
        body: The whole body, readout included (`attach` makes it).
        event_shape: Shape of one value.

    Example:
        >>> import pyro.distributions as dist
        >>> class Exponential(Head):
        ...     support = torch.distributions.constraints.positive
        ...
        ...     def __init__(self, body, features=None):
        ...         super().__init__(attach(body, features, bias=[0.0]))
        ...
        ...     def link(self, raw):
        ...         return dist.Exponential(raw.squeeze(-1).exp(), validate_args=False)
        >>> law = Exponential(torch.nn.Linear(3, 8))
        >>> law(torch.zeros(7, 3)).batch_shape, law(torch.zeros(7, 3), draws=5).batch_shape
        (torch.Size([7]), torch.Size([5, 7]))
    """

    _states: int | None = None

    def __init__(self, body: nn.Module, event_shape: Sequence[int] = ()) -> None:
        super().__init__()
        self.body = body
        self.event_shape = torch.Size(event_shape)

    @property
    @abc.abstractmethod
    def support(self) -> constraints.Constraint:
        """Where the values lie."""

    @property
    def states(self) -> int | None:
        """Number of classes of a finite law; None for all others."""
        return self._states

    @abc.abstractmethod
    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """The distribution whose parameters are made from what the body returns."""

    def forward(
        self, context: Shaped[Tensor, "*batch width"], draws: int | None = None
    ) -> Distribution:
        """The distribution given ``context``.

        Args:
            context: ``(*batch, width)``; with a leading axis of S or 1 inside ``fixed(law, S)``. It
                is cast to the parameters' dtype (`in_dtype_of`).
            draws: The number S of weight sets for a context without a draws axis; the result has
                batch shape ``(S, *batch)``.

        Raises:
            ValueError: The context's or the body's width is not the expected one.
            TypeError: The context is not a tensor of real numbers.
        """
        context = in_dtype_of(self, context)
        if draws is not None:
            with fixed(self, draws):
                distribution = self(context.unsqueeze(0))
                return expanded(distribution, (draws, *distribution.batch_shape[1:]))
        body = self.body
        with fixed(self) as current:
            _check_width(body, context)
            if type(body) is Constant:  # one row serves all
                return expanded(self.link(body.values), context.shape[:-1])
            if current is None:
                return self.link(body(context))
            return self.link(batched(body, {}, context))


def attach(body: nn.Module | None, features: int | None, bias: Sequence[float]) -> nn.Module:
    """Put a readout behind ``body``: a linear map to ``len(bias)`` numbers that are near ``bias``.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``; None for numbers without a context.
        features: Width of the body's result; None to read it from the body.
        bias: Initial values of the numbers.

    Raises:
        ValueError: ``features`` cannot be read from the body, or differs from what is read.

    Example:
        >>> attach(torch.nn.Linear(3, 8), None, bias=[0.0, 1.0])(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """
    if body is None:
        if features not in (None, 0):
            raise ValueError(f"a head without a body has no features: got features={features}")
        return Constant(bias)
    if not isinstance(body, nn.Module):
        raise TypeError(f"body must be a torch.nn.Module (not its class) or None, got {body!r}")
    if features is not None and (not isinstance(features, int) or features < 1):
        raise ValueError(f"features must be a positive whole number, got {features!r}")
    known = out_features_of(body)
    if features is None and known is None:
        raise ValueError(
            f"features= is needed: the width of what {type(body).__name__} returns is not known"
        )
    if features is not None and known not in (None, features):
        raise ValueError(
            f"the body {type(body).__name__} returns {known} features, the head was given "
            f"features={features}"
        )
    readout = Readout(int(features if features is not None else known or 0), bias)
    return nn.Sequential(body, placed_like(body, readout))


def placed_like(body: nn.Module, module: Placed) -> Placed:
    """``module`` with the dtype and device of ``body``, where that has real parameters.

    Example:
        >>> placed_like(torch.nn.Linear(3, 2).double(), torch.nn.Linear(2, 1)).weight.dtype
        torch.float64
    """
    example = next((p for p in body.parameters() if p.is_floating_point()), None)
    return module if example is None else module.to(dtype=example.dtype, device=example.device)


def checking(distribution: Expandable) -> Expandable:
    """``distribution``, made without checks, with torch's check of the values in ``log_prob``.

    Its parameters are right by construction, a user's y may not be. Under ``torch.func.vmap``,
    where no check can look at numbers, it stays without.

    Example:
        >>> bernoulli = torch.distributions.Bernoulli(torch.tensor([0.5]), validate_args=False)
        >>> bool(bernoulli.log_prob(torch.tensor([2.0])).isfinite())
        True
        >>> checking(bernoulli).log_prob(torch.tensor([1.0])).exp()
        tensor([0.5000])
    """
    if not torch._C._functorch.maybe_current_level():
        distribution._validate_args = Distribution._validate_args
    return distribution


def expanded(distribution: Expandable, batch_shape: Sequence[int]) -> Expandable:
    """``distribution`` with this batch shape; itself where it already has it.

    Example:
        >>> expanded(torch.distributions.Normal(torch.zeros(1, 3), 1.0), (5, 3)).batch_shape
        torch.Size([5, 3])
    """
    shape = torch.Size(batch_shape)
    if distribution.batch_shape == shape:
        return distribution
    return distribution.expand(shape)  # type: ignore[return-value]


def vector_shape(event: int | None) -> tuple[int, ...]:
    """Event shape of ``event=None`` (scalar) or ``event=d`` (vector of d numbers).

    Raises:
        ValueError: ``event`` is not a whole number from 1.

    Example:
        >>> vector_shape(None), vector_shape(3)
        ((), (3,))
    """
    whole = isinstance(event, int) and not isinstance(event, bool)
    if event is not None and (not whole or event < 1):
        raise ValueError(f"event is None for a scalar or a positive number of entries: {event!r}")
    return () if event is None else (event,)


def entries(
    raw: Float[Tensor, "*batch outputs"], count: int, event_shape: Sequence[int]
) -> tuple[Tensor, ...]:
    """Split raw numbers into ``count`` tensors ``(*batch, *event)``, one per parameter.

    Example:
        >>> location, scale = entries(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), 2, (2,))
        >>> location, scale
        (tensor([[1., 2.]]), tensor([[3., 4.]]))
        >>> entries(torch.tensor([[1.0, 2.0]]), 2, ())[1]
        tensor([2.])
    """
    parts = raw.chunk(count, -1)
    return parts if event_shape else tuple(part.squeeze(-1) for part in parts)


def joined(distribution: Any, event_shape: Sequence[int]) -> Distribution:
    """``distribution``, made without checks, `checking` its values; a vector's entries as one.

    Example:
        >>> import pyro.distributions as dist
        >>> joined(dist.Normal(torch.zeros(5, 2), 1.0, validate_args=False), (2,)).event_shape
        torch.Size([2])
    """
    checked: Any = checking(distribution)
    return checked.to_event(len(event_shape)) if event_shape else checked


def _check_width(body: nn.Module, context: Tensor) -> None:
    width = in_features_of(body)
    if width is not None and context.shape[-1] != width:
        raise ValueError(
            f"the body takes {width} columns, the context has {context.shape[-1]} (shape "
            f"{tuple(context.shape)})"
        )
