"""The law of an unmodelled root: rows of data (floor 2)."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Shaped
from pyro.distributions.torch_distribution import TorchDistribution
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from causal.noise import abduct, replay

__all__ = ["Empirical", "Resampled"]


class Resampled(TorchDistribution):
    """One of the stored rows, each equally likely; the density is left out (constantly 1).

    Args:
        data: Rows ``(n, *event)``.
        batch_shape: Shape of independent draws.

    Example:
        >>> import torch
        >>> distribution = Resampled(torch.tensor([1.0, 1.0, 4.0]), (5,))
        >>> distribution.mean, distribution.log_prob(torch.zeros(5)).sum()
        (tensor([2., 2., 2., 2., 2.]), tensor(0.))
    """

    arg_constraints: ClassVar = {}
    has_rsample = False

    def __init__(self, data: Tensor, batch_shape: Sequence[int] = ()) -> None:
        self.data = data
        super().__init__(torch.Size(batch_shape), data.shape[1:], validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """All numbers, of the rows' shape."""
        dims = self.data.dim() - 1
        return constraints.independent(constraints.real, dims) if dims else constraints.real

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Rows with replacement."""
        shape = (*sample_shape, *self.batch_shape)
        return self.data[torch.randint(len(self.data), shape, device=self.data.device)]

    def log_prob(self, value: Tensor) -> Tensor:
        """Zero for each value: rows carry no parameter."""
        if value.shape[value.dim() - len(self.event_shape) :] != self.event_shape:
            raise ValueError(
                f"values must end with the rows' shape {tuple(self.event_shape)}, got "
                f"{tuple(value.shape)}"
            )
        rows = value.shape[: value.dim() - len(self.event_shape)]
        return self.data.new_zeros(torch.broadcast_shapes(rows, self.batch_shape))

    def expand(self, batch_shape: Sequence[int], _instance: object = None) -> "Resampled":
        """The same rows for another batch shape."""
        return Resampled(self.data, batch_shape)

    @property
    def mean(self) -> Tensor:
        """Mean of the rows."""
        return self.data.mean(0).expand(self.batch_shape + self.event_shape)

    @property
    def variance(self) -> Tensor:
        """Variance of the rows (divisor n)."""
        return self.data.var(0, correction=0).expand(self.batch_shape + self.event_shape)


class Empirical(nn.Module):
    """Law of a root that is not modelled: one of the stored rows, whatever the context.

    Its log density is 0, a constant in every parameter, so that likelihoods are those of the other
    variables given this one. Integers and booleans become floats. Infinity is legal (a limit that
    does not apply).

    Args:
        data: Rows ``(n,)`` for a scalar variable, ``(n, d)`` for a vector of d numbers.

    Raises:
        TypeError: ``data`` is not a real tensor of rows.
        ValueError: There is no row, or a row holds NaN.

    Example:
        >>> import torch
        >>> law = Empirical(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> law(torch.zeros(5, 0)).sample().shape
        torch.Size([5, 2])
    """

    data: Tensor

    def __init__(self, data: Shaped[Tensor, "rows *event"]) -> None:
        super().__init__()
        if not isinstance(data, Tensor) or not data.dim() or data.is_complex():
            raise TypeError(f"data must be a real tensor of rows (n,) or (n, d), got {data!r}")
        if not len(data):
            raise ValueError("Empirical needs at least one row of data")
        values = data if data.is_floating_point() else data.to(torch.get_default_dtype())
        rows = values.isnan().flatten(1).any(1) if values.dim() > 1 else values.isnan()
        if rows.any():
            raise ValueError(
                f"{int(rows.sum())} of {len(data)} rows hold NaN (first: row "
                f"{int(rows.nonzero()[0])}): drop or fill them"
            )
        self.register_buffer("data", values.detach().clone())

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one row."""
        return self.data.shape[1:]

    @property
    def support(self) -> constraints.Constraint:
        """All numbers, of the rows' shape."""
        return Resampled(self.data).support

    def bind_columns(self, columns: tuple[str, ...]) -> None:
        """Refuse to be the law of a variable with parents, which it would ignore.

        Raises:
            ValueError: The context has columns.
        """
        if columns:
            raise ValueError(
                f"Empirical is the law of a root, but the variable depends on {list(columns)}: "
                "give it a head with a body, or take these parents out of the graph"
            )

    def forward(
        self, context: Shaped[Tensor, "*batch width"], draws: int | None = None
    ) -> Distribution:
        """Rows for each row of ``context``; ``draws=S`` adds a leading axis S."""
        lead = () if draws is None else (draws,)
        return Resampled(self.data, (*lead, *context.shape[:-1]))


def _itself(distribution: Resampled, value: Tensor) -> Tensor:  # noqa: ARG001
    return value


# The value is its own noise: nothing that is intervened on can move a root.
abduct.register(Resampled, _itself)
replay.register(Resampled, _itself)
