"""The contract of named variables with a joint distribution (floor 0)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Joint"]


@runtime_checkable
class Joint(Protocol):
    r"""Named variables with a joint probability that can be evaluated and sampled.

    `causal.Factor`, `causal.SCM` and `hybrid.pgm.BayesianNetwork` fulfil it. An implementation may
    take further keyword arguments (``generator``, ``draws``, ``do``), and one whose supports are
    all finite also has ``factor()``, the whole table.

    Example:
        >>> import torch
        >>> from causal.factor import Factor
        >>> isinstance(Factor(("X",), torch.tensor([0.25, 0.75])), Joint)
        True
    """

    @property
    def variables(self) -> tuple[str, ...]:
        """The names, sorted."""
        ...

    def log_probability(
        self, values: Mapping[str, Any], given: Mapping[str, Any] | Sequence[str] | None = None
    ) -> Tensor:
        r"""Log of :math:`p(\text{values} \mid \text{given})`, one number per row, (\*batch,).

        Args:
            values: Rows ``{name: (*batch, *event)}``.
            given: What is conditioned on: rows of other variables, or names among ``values``.
        """
        ...

    def sample(self, n: int, given: Mapping[str, Any] | None = None) -> dict[str, Tensor]:
        """Draw ``n`` rows ``{name: (n, *event)}``.

        Args:
            n: Number of rows.
            given: Values that the rows are conditioned on.
        """
        ...
