"""What was observed in each row, as the engine reads it (floor 3)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

__all__ = ["Evidence"]


@dataclass(frozen=True, eq=False)
class Evidence:
    r"""Observed states and likelihoods of numbered variables, row by row.

    A row's factor is :math:`\prod_{v \in hard} 1[x_v = e_v] \prod_{v \in soft} \lambda_v(x_v)`.
    Nothing is checked here: who reads a user's rows knows names and says what is wrong with them.

    Args:
        rows: How many rows there are.
        hard: State numbers (rows,) of observed variables, −1 where a row does not observe it.
        soft: Likelihoods (rows, cardinality), not negative.
        observed: The variables of ``hard`` in the order of ``states``, where they come stacked.
        states: All of ``hard`` as one tensor (observed, rows), or None.

    Example:
        >>> import torch
        >>> Evidence(2, {0: torch.tensor([1, -1])}).rows
        2
    """

    rows: int
    hard: Mapping[int, Tensor] = field(default_factory=dict)
    soft: Mapping[int, Tensor] = field(default_factory=dict)
    observed: tuple[int, ...] = ()
    states: Tensor | None = None

    def chosen(self, rows: Tensor) -> "Evidence":
        """Some rows, by their numbers."""
        return Evidence(
            len(rows),
            {variable: states[rows] for variable, states in self.hard.items()},
            {variable: values[rows] for variable, values in self.soft.items()},
            self.observed,
            None if self.states is None else self.states[:, rows],
        )

    def part(self, start: int, stop: int) -> "Evidence":
        """The rows from ``start`` to ``stop``."""
        if start == 0 and stop >= self.rows:
            return self
        return Evidence(
            min(stop, self.rows) - start,
            {variable: states[start:stop] for variable, states in self.hard.items()},
            {variable: values[start:stop] for variable, values in self.soft.items()},
            self.observed,
            None if self.states is None else self.states[:, start:stop],
        )
