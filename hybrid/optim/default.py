"""The metric where none is named: Gauss–Newton where it can be, else empirical (floor 5)."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from hybrid.optim.empirical import EmpiricalFisher
from hybrid.optim.gauss_newton import GaussNewton, NoOutput
from hybrid.optim.metric import Derivatives

__all__ = ["Default"]


class Default:
    """`GaussNewton` where the objective has an output for it, else `EmpiricalFisher`.

    Example:
        >>> import torch
        >>> class Size(nn.Linear):
        ...     def forward(self, batch):
        ...         return super().forward(batch).square().mean()
        >>> objective = Size(1, 1)
        >>> len(Default()(objective, torch.ones(3, 1), list(objective.parameters())))
        3
    """

    def __call__(
        self, objective: nn.Module, batch: Any, parameters: Sequence[nn.Parameter]
    ) -> Derivatives:
        """The metric on one batch."""
        try:
            return GaussNewton()(objective, batch, parameters)
        except (NoOutput, NotImplementedError):  # the latter: a law that cannot be sampled
            return EmpiricalFisher()(objective, batch, parameters)

    def __repr__(self) -> str:
        return "GaussNewton() or EmpiricalFisher()"
