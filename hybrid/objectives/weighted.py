"""Sums of objectives, with weights that may change over the training (floor 0)."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.loss import Loss

__all__ = ["Ramp", "Weighted"]

Weight = float | Callable[[int], float]


class Weighted(nn.Module):
    r"""Weighted sum of objectives of one batch: :math:`\sum_k \lambda_k(t)\, L_k`.

    A weight is a number, or a function of the number t of steps done. For the latter the objective
    is also a callback, which counts the steps: ``hybrid.fit(objective, data,
    callbacks=[objective])``. The count is saved with the parameters.

    Args:
        objectives: Objectives by name.
        weights: Weight of each; those left out have weight 1.

    Raises:
        ValueError: There is no objective, a weight has no objective, or is not finite.
        TypeError: An objective is no module, or a weight neither number nor function.

    Example:
        >>> class Size(nn.Linear):
        ...     def forward(self, batch):
        ...         return self.weight.square().sum()
        >>> net = Size(1, 1)
        >>> objective = Weighted({"a": net, "b": net}, {"b": Ramp(0.0, 1.0, steps=10)})
        >>> a, b = objective(None).parts.values()
        >>> bool(a > 0), bool(objective(None).total == a), objective.weight("b")
        (True, True, 0.0)
    """

    step: Tensor

    def __init__(
        self, objectives: Mapping[str, nn.Module], weights: Mapping[str, Weight] | None = None
    ) -> None:
        super().__init__()
        if not objectives:
            raise ValueError("Weighted needs at least one objective, by name")
        weights = {} if weights is None else dict(weights)
        for name, weight in weights.items():
            if name not in objectives:
                raise ValueError(
                    f"a weight for {name!r}, but the objectives are {list(objectives)}"
                )
            if not callable(weight) and not isinstance(weight, int | float):
                raise TypeError(f"the weight of {name!r} is a number or a function: {weight!r}")
        wrong = [name for name, part in objectives.items() if not isinstance(part, nn.Module)]
        if wrong:
            raise TypeError(f"objectives must be torch modules: {wrong} are not")
        self.names = tuple(objectives)
        self.objectives = nn.ModuleList(objectives.values())
        self.weights = weights
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        for name in self.names:
            self.weight(name)

    def weight(self, name: str) -> float:
        """The present weight of one objective.

        Raises:
            ValueError: A function returned no finite number.
        """
        weight = self.weights.get(name, 1.0)
        value = float(weight(int(self.step)) if callable(weight) else weight)
        if not math.isfinite(value):
            raise ValueError(f"the weight of {name!r} is {value} at step {int(self.step)}")
        return value

    def forward(self, batch: Any) -> Loss:
        """The weighted sum; its parts are the objectives' own totals, unweighted."""
        parts = {}
        for name, objective in zip(self.names, self.objectives, strict=True):
            result = objective(batch)
            parts[name] = result if isinstance(result, Tensor) else result.total
        total = sum(self.weight(name) * part for name, part in parts.items())
        return Loss(torch.as_tensor(total), parts)

    def on_step_end(self, state: Any) -> None:
        """Take over the number of steps done: the objective is a callback of its own training."""
        self.step.fill_(state.step)

    def on_epoch_end(self, state: Any) -> None:
        """Do nothing between epochs."""


@dataclasses.dataclass(frozen=True)
class Ramp:
    """A weight that goes linearly from ``start`` to ``end``: KL annealing, for one.

    Args:
        start: Weight up to step ``after``.
        end: Weight from step ``after + steps`` on.
        steps: How many steps the change takes.
        after: How many steps pass before it.

    Raises:
        ValueError: ``steps`` is below 1 or ``after`` below 0.

    Source: Bowman et al. (2016), *Generating sentences from a continuous space*, section 3.1.

    Example:
        >>> weight = Ramp(0.0, 1.0, steps=100, after=50)
        >>> weight(0), weight(100), weight(1000)
        (0.0, 0.5, 1.0)
    """

    start: float
    end: float
    steps: int
    after: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.after < 0:
            raise ValueError(
                f"steps must be at least 1 and after at least 0: {self.steps}, {self.after}"
            )

    def __call__(self, step: int) -> float:
        """The weight after this number of steps."""
        share = min(max((step - self.after) / self.steps, 0.0), 1.0)
        return self.start + share * (self.end - self.start)
