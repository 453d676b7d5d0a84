"""Normalizing flows of zuko as Laws (floor 2).

Importing zuko switches the argument checks of every torch distribution off in the whole process;
that switch is put back here.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, Transform, constraints
from torch.special import ndtr, ndtri

from causal.noise import NoiseNotRecoverable, abduct, replay
from hybrid.backbones.mlp import MLP
from hybrid.heads.head import Head, attach, checking, placed_like, vector_shape
from hybrid.layers import out_features_of

_CHECKS = Distribution._validate_args
import zuko.flows  # noqa: E402
import zuko.transforms  # noqa: E402

Distribution._validate_args = _CHECKS

__all__ = ["FlowDistribution", "NeuralSpline"]


class FlowDistribution(TorchDistribution):
    r"""Law of :math:`y = f^{-1}(z)`, :math:`z \sim N(0, I)`, for an invertible transform f.

    .. math:: \log p(y) = \log \phi(f(y)) + \log |\det f'(y)| .

    Scalar laws have ``cdf`` and ``icdf`` (the transform increases); mean and variance have no
    closed form.

    Args:
        transform: From values to noise, with ``call_and_ladj`` (any transform of zuko).
        batch_shape: Shape of independent draws; the transform's parameters broadcast to it.
        event_shape: ``()`` for scalars, ``(d,)`` for vectors.
        like: A tensor with the dtype and device of the values.

    Example:
        >>> transform = zuko.transforms.ComposedTransform(zuko.transforms.IdentityTransform())
        >>> flow = FlowDistribution(transform, (3,), (), like=torch.zeros(()))
        >>> flow.log_prob(torch.zeros(3)).exp()
        tensor([0.3989, 0.3989, 0.3989])
    """

    arg_constraints: ClassVar = {}
    has_rsample = True

    def __init__(
        self,
        transform: Any,
        batch_shape: Sequence[int],
        event_shape: Sequence[int],
        like: Tensor,
    ) -> None:
        self.transform = transform
        self._like = like.detach().new_zeros(())
        super().__init__(torch.Size(batch_shape), torch.Size(event_shape), validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        return constraints.real_vector if self.event_shape else constraints.real

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "FlowDistribution":
        """The same law for another batch shape."""
        new = FlowDistribution(self.transform, batch_shape, self.event_shape, self._like)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Transformed normal noise, with gradients."""
        shape = (*sample_shape, *self.batch_shape, *self.event_shape)
        noise = torch.randn(shape, dtype=self._like.dtype, device=self._like.device)
        return self.value_of(noise)

    def noise_of(self, value: Tensor) -> Tensor:
        """The noise z = f(y) of a value y."""
        return self.transform(self._full(value))

    def value_of(self, noise: Tensor) -> Tensor:
        """The value y that noise z becomes."""
        return self.transform.inv(self._full(noise))

    def log_prob(self, value: Tensor) -> Tensor:
        """Log density by the change of variables."""
        if self._validate_args:
            self._validate_sample(value)
        noise, ladj = self.transform.call_and_ladj(self._full(value))
        normal = torch.distributions.Normal(0.0, 1.0, validate_args=False).log_prob(noise)
        return (normal.sum(-1) if self.event_shape else normal) + ladj

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a scalar up to ``value``."""
        self._scalar("cdf")
        return ndtr(self.noise_of(value))

    def icdf(self, value: Tensor) -> Tensor:
        """The scalar whose cumulative probability is ``value``."""
        self._scalar("icdf")
        return self.value_of(ndtri(value).to(self._like))

    def _scalar(self, method: str) -> None:
        if self.event_shape:
            raise NotImplementedError(f"{method} is for scalar flows, this one is of vectors")

    def _full(self, value: Tensor) -> Tensor:
        """``value`` with every batch axis, so that the transform cannot lose one."""
        if value.shape[value.dim() - len(self.event_shape) :] != self.event_shape:
            raise ValueError(
                f"the flow is of vectors with shape {tuple(self.event_shape)}, the value has shape "
                f"{tuple(value.shape)}: expected one that ends with it"
            )
        rows = value.shape[: value.dim() - len(self.event_shape)]
        batch = torch.broadcast_shapes(rows, self.batch_shape)
        return value.expand(torch.Size(batch) + self.event_shape)


class NeuralSpline(Head):
    r"""Neural spline flow (Durkan et al. 2019, *Neural spline flows*, section 3) as a Law.

    Monotone rational-quadratic splines between −5 and 5, the identity beyond: standardise the data.
    For scalars every parameter lies in the body (a multilayer perceptron from the features to the
    splines' knots), so that `hybrid.bayes.variational` makes the whole law random. For vectors the
    transform is autoregressive, its networks take the value too and stay outside the body.

    Args:
        body: A Layer ``(*batch, width) → (*batch, features)``, or None for a law without context.
        features: Width of the body's result; read from the body where that is possible.
        event: None for scalar y ``(*batch,)``; d for vectors ``(*batch, d)``.
        transforms: How many splines follow one another.
        bins: Bins of each spline.
        hidden: Widths of the networks that make the knots.

    Raises:
        ValueError: A size is not positive, or ``features`` is needed.

    Example:
        >>> law = NeuralSpline(torch.nn.Linear(3, 8), transforms=2)
        >>> law(torch.zeros(5, 3)).log_prob(torch.zeros(5)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        body: nn.Module | None,
        *,
        features: int | None = None,
        event: int | None = None,
        transforms: int = 3,
        bins: int = 8,
        hidden: Sequence[int] = (64, 64),
    ) -> None:
        if not isinstance(hidden, Sequence):
            raise TypeError(f"hidden is a list of widths such as [64, 64], got {hidden!r}")
        if min(transforms, bins - 1, *hidden, 1) < 1:
            raise ValueError(f"needs transforms ≥ 1, bins ≥ 2: {transforms}, {bins}, {hidden}")
        shape = vector_shape(event)
        if body is not None and features is None:
            features = out_features_of(body)
        if body is not None and event is None and features and hidden:
            knots = placed_like(body, MLP(features, hidden[:-1], hidden[-1]))
            body, features = nn.Sequential(body, knots, nn.GELU()), hidden[-1]
        numbers = [0.0] * (transforms * (3 * bins - 1))
        whole = attach(body, features, numbers)  # also checks the features of a vector's body
        flow = None
        if event is not None:
            whole = nn.Identity() if body is None else body
            flow = zuko.flows.NSF(
                event, features or 0, bins=bins, transforms=transforms, hidden_features=hidden
            ).transform
            flow = flow if body is None else placed_like(body, flow)
        super().__init__(whole, shape)
        self.flow = flow
        self.transforms, self.bins, self.features = transforms, bins, features

    @property
    def support(self) -> constraints.Constraint:
        """All numbers."""
        return constraints.real_vector if self.event_shape else constraints.real

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """The flow given knots (scalars) or features (vectors)."""
        if self.flow is None:
            transform = _splines(raw.unflatten(-1, (self.transforms, -1)), self.bins)
        else:
            transform = self.flow(raw if self.features else None)
        like = raw if self.features or self.flow is None else next(self.flow.parameters())
        return checking(FlowDistribution(transform, raw.shape[:-1], self.event_shape, like))


def _splines(knots: Float[Tensor, "*batch transforms numbers"], bins: int) -> Transform:
    """One spline after another, each from its widths, heights and inner slopes."""
    sizes = [bins, bins, bins - 1]
    return zuko.transforms.ComposedTransform(
        *(
            zuko.transforms.MonotonicRQSTransform(*numbers.split(sizes, -1))
            for numbers in knots.unbind(-2)
        )
    )


def _triangular(distribution: FlowDistribution, convention: str | None) -> None:
    if distribution.event_shape and convention != "triangular":
        raise NoiseNotRecoverable(
            "a flow of vectors determines its noise only by the order of its entries: name "
            f"convention='triangular' for that (got {convention!r})",
            ("triangular",),
        )


@abduct.register(FlowDistribution)
def _noise(distribution: FlowDistribution, value: Tensor, convention: str | None = None) -> Tensor:
    _triangular(distribution, convention)
    return distribution.noise_of(value)


@replay.register(FlowDistribution)
def _value(distribution: FlowDistribution, noise: Tensor, convention: str | None = None) -> Tensor:
    _triangular(distribution, convention)
    return distribution.value_of(noise)
