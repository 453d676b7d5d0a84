"""Heads of finite laws: two classes and k classes (floor 2)."""

import pyro.distributions as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from hybrid.heads.head import Head, attach, checking, joined, vector_shape

__all__ = ["Bernoulli", "Categorical"]


class Bernoulli(Head):
    r"""Two classes with the values 0.0 and 1.0: :math:`p(y = 1 \mid x) = \sigma(f(x))`.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``, a law of two classes; d for vectors ``(*batch, d)``
            of independent entries, such as the pixels of a black and white image.

    Example:
        >>> import torch
        >>> law = Bernoulli(None)
        >>> law(torch.zeros(2, 0)).probs, law.states
        (tensor([0.5000, 0.5000], grad_fn=<SigmoidBackward0>), 2)
        >>> Bernoulli(torch.nn.Linear(2, 8), event=64)(torch.zeros(5, 2)).event_shape
        torch.Size([64])
    """

    def __init__(
        self, body: nn.Module | None, *, features: int | None = None, event: int | None = None
    ) -> None:
        shape = vector_shape(event)
        super().__init__(attach(body, features, [0.0] * (shape[0] if shape else 1)), shape)
        self._states = None if shape else 2

    @property
    def support(self) -> constraints.Constraint:
        """0 and 1."""
        boolean = constraints.boolean
        return constraints.independent(boolean, 1) if self.event_shape else boolean

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Bernoulli of a logit."""
        logits = raw if self.event_shape else raw.squeeze(-1)
        return joined(dist.Bernoulli(logits=logits, validate_args=False), self.event_shape)


class Categorical(Head):
    r"""Classes 0 … k − 1: :math:`p(y = j \mid x) = \mathrm{softmax}(f(x))_j`.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        states: The number of classes k.

    Raises:
        ValueError: ``states`` is below 2.

    Example:
        >>> import torch
        >>> law = Categorical(torch.nn.Linear(3, 8), states=4)
        >>> law(torch.zeros(5, 3)).probs.shape
        torch.Size([5, 4])
    """

    def __init__(self, body: nn.Module | None, *, features: int | None = None, states: int) -> None:
        if states < 2:
            raise ValueError(f"a categorical law needs at least 2 states, got {states}")
        super().__init__(attach(body, features, [0.0] * states))
        self._states: int = states

    @property
    def support(self) -> constraints.Constraint:
        """The integers from 0 to ``states - 1``."""
        return constraints.integer_interval(0, self._states - 1)

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Categorical of k logits."""
        return checking(dist.Categorical(logits=raw, validate_args=False))
