"""What approximate inference returns, with how far it can be trusted (floor 0)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Beliefs", "Estimates"]


@dataclass(frozen=True, eq=False)
class Beliefs(Mapping[str, Tensor]):
    r"""Marginals by loopy belief propagation; a mapping from name to (\*batch, states).

    Without loops they are exact once converged. With loops a converged row is an approximation of
    unknown error, and a row that has not converged is not to be trusted.

    Args:
        marginals: The beliefs of each variable.
        log_probability: The Bethe approximation of the evidence's log probability, (\*batch,).
        iterations: How many sweeps each row took.
        change: By how much the last undamped sweep still changed a message, at most.
        converged: Whether that is within the tolerance.

    Example:
        >>> import torch
        >>> found = Beliefs(
        ...     {"X": torch.ones(1, 1)},
        ...     torch.zeros(1),
        ...     torch.tensor([3]),
        ...     torch.zeros(1),
        ...     torch.tensor([True]),
        ... )
        >>> print(found)
        beliefs of 1 variable in 1 row: 1 converged, 3 sweeps at most, largest change 0
    """

    marginals: Mapping[str, Tensor]
    log_probability: Tensor
    iterations: Tensor
    change: Tensor
    converged: Tensor

    def __getitem__(self, name: str) -> Tensor:
        """The belief of one variable."""
        return self.marginals[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.marginals)

    def __len__(self) -> int:
        return len(self.marginals)

    def __str__(self) -> str:
        rows = self.converged.numel()
        sweeps = int(self.iterations.max()) if rows else 0
        change = float(self.change.max()) if rows else 0.0
        return (
            f"beliefs of {_counted(len(self), 'variable')} in {_counted(rows, 'row')}: "
            f"{int(self.converged.sum())} converged, {sweeps} sweeps at most, largest change "
            f"{change:.2g}"
        )


@dataclass(frozen=True, eq=False)
class Estimates(Mapping[str, Tensor]):
    r"""Marginals from weighted samples; a mapping from name to (\*batch, states).

    Args:
        marginals: The estimated distribution of each variable.
        standard_errors: The standard error of each of these numbers.
        effective_sample_size: :math:`(\sum w)^2 / \sum w^2` of each row, (\*batch,): how many
            unweighted samples are worth as much. Below a hundred or so, standard errors are not to
            be trusted either.
        log_probability: The log of the mean weight, which estimates the evidence's log probability.
        log_probability_error: Its standard error, to first order.
        samples: How many samples each row had.

    Example:
        >>> import torch
        >>> half = {"X": torch.full((1, 2), 0.5)}
        >>> found = Estimates(half, half, torch.tensor([90.0]), *[torch.zeros(1)] * 2, 100)
        >>> print(found)
        estimates of 1 variable in 1 row from 100 samples: worth at least 90
    """

    marginals: Mapping[str, Tensor]
    standard_errors: Mapping[str, Tensor]
    effective_sample_size: Tensor
    log_probability: Tensor
    log_probability_error: Tensor
    samples: int

    def __getitem__(self, name: str) -> Tensor:
        """The estimate of one variable."""
        return self.marginals[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.marginals)

    def __len__(self) -> int:
        return len(self.marginals)

    def __str__(self) -> str:
        rows = self.effective_sample_size.numel()
        least = float(self.effective_sample_size.min()) if rows else float(self.samples)
        return (
            f"estimates of {_counted(len(self), 'variable')} in {_counted(rows, 'row')} from "
            f"{self.samples:,} samples: worth at least {least:,.0f}"
        )


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
