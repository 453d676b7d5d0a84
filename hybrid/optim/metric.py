"""What a metric is: a function of an objective, a batch and parameters (floor 2)."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.optim.curvature import Curvature, Dense, Diagonal, Rows
from hybrid.optim.terms import Term, rows_of

__all__ = ["Assembly", "Derivatives", "Euclidean", "Metric"]


class Derivatives:
    """Rows J of a metric F = JᵀJ that are computed as they are asked for.

    Args:
        terms: Outputs and directions that are to be derived.
        parameters: By what.

    Example:
        >>> layer = torch.nn.Linear(1, 1)
        >>> term = Term(torch.ones(3, 1, 1), None, layer, torch.ones(3, 1))
        >>> len(Derivatives([term], list(layer.parameters())))
        3
    """

    def __init__(self, terms: Sequence[Term], parameters: Sequence[Tensor]) -> None:
        self._terms, self._parameters = tuple(terms), tuple(parameters)

    def __len__(self) -> int:
        return sum(term.height for term in self._terms)

    def __iter__(self) -> Iterator[Float[Tensor, "some parameters"]]:
        for term in self._terms:
            yield from rows_of(term, self._parameters)


@runtime_checkable
class Metric(Protocol):
    """How far apart two settings of some parameters are, near the present one.

    Any function will do. It is called with the gradients switched on, and returns the metric of the
    parameters flattened and joined in the order given: a tensor ``(P,)``, its diagonal; a tensor
    ``(P, P)``; or `Rows` or `Derivatives` J of JᵀJ. Objectives are means over rows, so a metric is
    a mean over rows too.

    Example:
        >>> def ones(objective, batch, parameters):
        ...     return torch.ones(sum(p.numel() for p in parameters))
        >>> isinstance(ones, Metric)
        True
    """

    def __call__(
        self, objective: nn.Module, batch: Any, parameters: Sequence[nn.Parameter], /
    ) -> Tensor | Rows | Derivatives:
        """The metric on one batch."""
        ...


class Euclidean:
    """No metric: the step of these parameters is the learning rate times the gradient.

    Example:
        >>> Euclidean()
        Euclidean()
    """

    def __call__(
        self,
        objective: nn.Module,  # noqa: ARG002 (the contract's argument)
        batch: Any,  # noqa: ARG002
        parameters: Sequence[nn.Parameter],
    ) -> Tensor:
        """Zeros: what has no metric is not damped either."""
        return torch.cat([torch.zeros_like(p).reshape(-1) for p in parameters])

    def __repr__(self) -> str:
        return "Euclidean()"


class Assembly:
    """Collects the metric of one group of parameters over batches.

    Args:
        like: A tensor whose dtype and device the metric has.
        size: P, the number of parameters of the group.
        form: "full" or "diagonal".
        rows: How many rows will come, None if a matrix will.
        limit: Bytes that the metric may take.

    Raises:
        ValueError: A full metric would take more.

    Example:
        >>> assembly = Assembly(torch.ones(2), 2, "full", rows=1)
        >>> assembly.add(Rows(torch.ones(1, 2)), slice(None), weight=1.0)
        >>> type(assembly.curvature()).__name__
        'Rows'
    """

    def __init__(
        self, like: Tensor, size: int, form: str, rows: int | None, limit: int = 2**30
    ) -> None:
        self._dtype = like.dtype
        self._diagonal = form == "diagonal"
        self._apart = rows is not None and rows < size and not self._diagonal
        if not self._diagonal:
            entries = size * size if rows is None else min(size * size, (size + rows) * rows)
            needed = entries * self._dtype.itemsize
            if needed > limit:
                other = "" if rows is None else f", or of {rows} rows in their own space,"
                raise ValueError(
                    f"a full metric of {size:,} parameters{other} takes {needed:,} bytes, more "
                    f"than memory={limit:,}: use form='diagonal', smaller groups, smaller batches, "
                    "or raise memory="
                )
        self._rows: list[Tensor] = []
        shape = (size,) if self._diagonal else (size, size)
        self._sum = None if self._apart else like.new_zeros(shape)
        self._empty = like.new_zeros((0, size))

    def add(self, metric: Tensor | Rows, columns: slice, weight: float) -> None:
        """Add ``weight`` times the part of a metric that belongs to the group's columns."""
        if isinstance(metric, Rows):
            rows = metric.rows.detach()[:, columns].to(self._dtype)
            if self._sum is None:
                self._rows.append(rows if weight == 1.0 else rows * weight**0.5)
            elif self._diagonal:
                self._sum += rows.square().sum(0) * weight
            else:
                self._sum.addmm_(rows.mT, rows, alpha=weight)
        elif self._sum is not None:
            part = metric.detach().to(self._dtype)
            if part.dim() == 1:
                part = part[columns]
                self._sum += (part if self._diagonal else part.diag()) * weight
            else:
                part = part[columns, columns]
                self._sum += (part.diagonal() if self._diagonal else part) * weight

    def curvature(self) -> Curvature:
        """What was added up."""
        if self._sum is None:
            return Rows(torch.cat([self._empty, *self._rows]))
        return Diagonal(self._sum) if self._diagonal else Dense(self._sum)
