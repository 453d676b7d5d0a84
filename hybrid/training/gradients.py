"""What is done to gradients before the update: a bound on their size (floor 3)."""

import math
from typing import Any

from torch import nn

from hybrid.training.callbacks import TrainingState
from hybrid.training.coverage import needs_closure

__all__ = ["Clip"]


class Clip:
    r"""Bounds the gradients of every step: :math:`g \leftarrow g \min(1, c / \|g\|)`.

    Args:
        norm: c, the largest Euclidean norm of all gradients together; None leaves it.
        value: Largest absolute value of each entry, applied first; None leaves it.

    Raises:
        ValueError: Neither is given, one is not above 0, or an optimiser evaluates the loss itself
            (L-BFGS), whose line search needs the gradients as they are.

    Source: Pascanu, Mikolov & Bengio (2013), *On the difficulty of training recurrent neural
    networks*, algorithm 1.

    Example:
        >>> import torch
        >>> from hybrid.training.trainer import fit
        >>> class Slope(nn.Linear):
        ...     def forward(self, batch):
        ...         return 1000 * super().forward(batch).mean()
        >>> objective = Slope(1, 1)
        >>> before = objective.weight.item()
        >>> sgd, clip = lambda p: torch.optim.SGD(p, 1.0), Clip(norm=1.0)
        >>> _ = fit(objective, torch.ones(4, 1), optimizer=sgd, epochs=1, callbacks=[clip])
        >>> f"{before - objective.weight.item():.3f}, {clip.norm_before:.1f}"
        '0.707, 1414.2'
    """

    def __init__(self, norm: float | None = None, value: float | None = None) -> None:
        if norm is None and value is None:
            raise ValueError("Clip needs norm= or value=")
        for name, bound in (("norm", norm), ("value", value)):
            if bound is not None and not (bound > 0 and math.isfinite(bound)):
                raise ValueError(f"{name} must be above 0 and finite: {bound}")
        self.norm, self.value = norm, value
        self.norm_before = math.nan
        self._parameters: list[nn.Parameter] = []

    def on_start(self, state: TrainingState) -> None:
        """Find what is trained."""
        closing = [type(o).__name__ for o in state.optimizers if needs_closure(o)]
        if closing:
            raise ValueError(f"{closing[0]} needs gradients as they are: leave Clip out")
        self._parameters = [p for p in state.objective.parameters() if p.requires_grad]

    def on_gradients(self, state: TrainingState) -> None:  # noqa: ARG002 (the contract's argument)
        """Clip; the norm before is kept as ``norm_before``."""
        if self.value is not None:
            nn.utils.clip_grad_value_(self._parameters, self.value)
        if self.norm is not None:
            self.norm_before = float(nn.utils.clip_grad_norm_(self._parameters, self.norm))

    def on_epoch_end(self, state: Any) -> None:
        """Do nothing between epochs."""
