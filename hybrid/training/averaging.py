"""Averages of the parameters along the training, which take their place at its end (floor 3)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hybrid.loss import whole
from hybrid.training.callbacks import TrainingState

__all__ = ["Average"]


class Average:
    r"""Replaces the parameters at the end by their average over the steps.

    With a decay :math:`\beta`, the exponential moving average
    :math:`\bar\theta \leftarrow \beta\bar\theta + (1 - \beta)\theta` after every step, which starts
    at the first parameters it sees; without one, the mean over the ends of epochs (stochastic
    weight averaging). Buffers are those of the last step: with batch normalisation, show the model
    some training data in training mode afterwards.

    Args:
        decay: :math:`\beta`, e.g. 0.999; None for the mean.
        after: Epochs that are left out at the start.

    Raises:
        ValueError: ``decay`` is not between 0 and 1, or ``after`` is below 0.

    Source: Polyak & Juditsky (1992), *Acceleration of stochastic approximation by averaging*;
    Izmailov et al. (2018), *Averaging weights leads to wider optima and better generalization*,
    algorithm 1.

    Example:
        >>> from hybrid.training.trainer import fit
        >>> class Slope(nn.Linear):
        ...     def forward(self, batch):
        ...         return super().forward(batch).mean()
        >>> objective = Slope(1, 1, bias=False)
        >>> before = objective.weight.item()
        >>> sgd = lambda p: torch.optim.SGD(p, 1.0)
        >>> data = torch.ones(4, 1)
        >>> _ = fit(objective, data, optimizer=sgd, epochs=3, callbacks=[Average(decay=None)])
        >>> f"{before - objective.weight.item():.1f}"
        '2.0'
    """

    def __init__(self, decay: float | None = 0.999, after: int = 0) -> None:
        if decay is not None and not 0 < decay < 1:
            raise ValueError(f"decay must lie between 0 and 1, or be None for the mean: {decay}")
        self.decay = decay
        self.after = whole("after", after, least=0)
        self.count = 0
        self._live: list[nn.Parameter] = []
        self._mean: list[Tensor] = []

    def on_start(self, state: TrainingState) -> None:
        """Forget an earlier training."""
        self._live = [p for p in state.objective.parameters() if p.requires_grad]
        self._mean, self.count = [], 0

    @torch.no_grad()
    def _add(self, weight: float) -> None:
        if not self._mean:
            self._mean = [parameter.detach().clone() for parameter in self._live]
        else:
            torch._foreach_lerp_(self._mean, list(self._live), weight)
        self.count += 1

    def on_step_end(self, state: TrainingState) -> None:
        """Move the moving average."""
        if self.decay is not None and state.epoch > self.after:
            self._add(1 - self.decay)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Add the epoch's end to the mean."""
        if self.decay is None and state.epoch > self.after:
            self._add(1 / (self.count + 1))

    @torch.no_grad()
    def on_end(self, state: TrainingState) -> None:  # noqa: ARG002 (the contract's argument)
        """Put the average in the place of the parameters."""
        for parameter, mean in zip(self._live, self._mean, strict=False):
            parameter.copy_(mean)

    def state_dict(self) -> dict[str, Any]:
        """What is needed to resume."""
        return {"count": self.count, "mean": list(self._mean)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        means: Sequence[Tensor] = state["mean"]
        self.count = state["count"]
        self._mean = [m.to(p, copy=True) for m, p in zip(means, self._live, strict=False)]
