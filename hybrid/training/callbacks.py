"""What may look at a training from the side, and stop it (floor 2)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from hybrid.training.snapshot import Snapshot

__all__ = ["Callback", "EarlyStopping", "Schedule", "TrainingState"]


@dataclass(frozen=True)
class TrainingState:
    """What a callback is shown.

    Attributes:
        epoch: The present epoch, from 1 (at the start: the last one that is finished, or 0).
        step: Steps done so far, over all epochs, those before the training was resumed included.
        objective: The module in training.
        optimizers: Its optimisers.
        loss: Mean total loss of the epoch that has just ended; None within an epoch.
        parts: The same for the parts of the loss.
        validation: The validation loss after the epoch; None without validation data.
        seconds: Wall time of the epoch.
        skipped: Batches of the epoch that were skipped because they were not finite.

    Example:
        >>> TrainingState(1, 40, nn.Identity(), (), loss=0.5).loss
        0.5
    """

    epoch: int
    step: int
    objective: nn.Module
    optimizers: tuple[Optimizer, ...]
    loss: float | None = None
    parts: dict[str, float] | None = None
    validation: float | None = None
    seconds: float | None = None
    skipped: int = 0


@runtime_checkable
class Callback(Protocol):
    """Is called after every epoch; returns True to stop the training.

    More methods are called where a callback has them: ``on_start(state)`` before the first step,
    ``on_gradients(state)`` between the gradients and the update, ``on_step_end(state)`` after every
    step, and ``on_end(state)`` at the end (not after an error). A callback that remembers something
    from one call to the next needs ``state_dict()`` and ``load_state_dict(state)`` with plain data
    and tensors, for a training that is resumed; the latter is called after ``on_start``.

    Example:
        >>> class StopAt:
        ...     def __init__(self, loss):
        ...         self.loss = loss
        ...
        ...     def on_epoch_end(self, state):
        ...         return state.loss < self.loss
        >>> isinstance(StopAt(0.1), Callback)
        True
    """

    def on_epoch_end(self, state: TrainingState) -> bool | None:
        """Look at the training after an epoch; True stops it."""
        ...


class EarlyStopping:
    """Stops when the validation loss (without validation data: the loss) no longer falls.

    Args:
        patience: Epochs without improvement after which training stops.
        minimum_change: How much lower than the best a loss must be to count as improvement.
        restore_best: Bring the parameters and buffers of the best epoch back at the end.

    Raises:
        ValueError: ``patience`` is below 1 or ``minimum_change`` below 0.

    Example:
        >>> import torch
        >>> from hybrid.training.trainer import fit
        >>> class Constant(torch.nn.Linear):
        ...     def forward(self, batch):
        ...         return (super().forward(batch) * 0).sum()
        >>> stop = EarlyStopping(patience=2)
        >>> history = fit(Constant(1, 1), torch.zeros(4, 1), callbacks=[stop], progress=False)
        >>> history.epochs, stop.best_epoch
        ((1, 2, 3), 1)
    """

    def __init__(
        self, patience: int = 10, minimum_change: float = 0.0, restore_best: bool = True
    ) -> None:
        if patience < 1 or not minimum_change >= 0:
            raise ValueError(
                f"patience must be at least 1 and minimum_change at least 0: {patience}, "
                f"{minimum_change}"
            )
        self.patience = patience
        self.minimum_change = minimum_change
        self.restore_best = restore_best
        self.best = math.inf
        self.best_epoch = 0
        self._snapshot: Snapshot | None = None

    def on_start(self, state: TrainingState) -> None:
        """Forget an earlier training."""
        self.best, self.best_epoch = math.inf, 0
        self._snapshot = Snapshot(state.objective) if self.restore_best else None

    def on_epoch_end(self, state: TrainingState) -> bool:
        """Whether the loss has not improved for ``patience`` epochs."""
        loss = state.loss if state.validation is None else state.validation
        if loss is not None and loss < self.best - self.minimum_change:
            self.best, self.best_epoch = loss, state.epoch
            if self._snapshot is not None:
                self._snapshot.take()
        return state.epoch - self.best_epoch >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What is needed to resume."""
        kept = None if self._snapshot is None or not self.best_epoch else self._snapshot
        return {
            "best": self.best,
            "best_epoch": self.best_epoch,
            "parameters": None if kept is None else kept.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        if self._snapshot is not None and state["parameters"] is not None:
            self._snapshot.load_state_dict(state["parameters"])

    def on_end(self, state: TrainingState) -> None:
        """Bring the best epoch back."""
        if self._snapshot is not None and 0 < self.best_epoch < state.epoch:
            self._snapshot.restore()
        self._snapshot = None


class Schedule:
    """Steps a learning-rate schedule of each optimiser, per epoch or per step.

    Args:
        scheduler: Makes a torch scheduler of an optimiser; called once per optimiser and training.
        every: "epoch" or "step": what the scheduler counts.

    Raises:
        ValueError: ``every`` is something else.

    Example:
        >>> import torch
        >>> cosine = Schedule(
        ...     lambda optimizer: torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 100),
        ...     every="step",
        ... )
        >>> cosine.every
        'step'
    """

    def __init__(
        self, scheduler: Callable[[Optimizer], Any], every: Literal["epoch", "step"] = "epoch"
    ) -> None:
        if every not in ("epoch", "step"):
            raise ValueError(f"every must be 'epoch' or 'step': {every!r}")
        self.scheduler = scheduler
        self.every = every
        self._running: list[Any] = []

    def on_start(self, state: TrainingState) -> None:
        """Make the schedulers."""
        self._running = [self.scheduler(optimizer) for optimizer in state.optimizers]
        if any(not callable(getattr(running, "step", None)) for running in self._running):
            raise TypeError(
                "scheduler must make a torch learning-rate scheduler from an optimizer, got "
                f"{[type(running).__name__ for running in self._running]}"
            )

    def on_step_end(self, state: TrainingState) -> None:  # noqa: ARG002 (the contract's argument)
        """Advance schedulers that count steps."""
        if self.every == "step":
            for running in self._running:
                running.step()

    def on_epoch_end(self, state: TrainingState) -> None:
        """Advance schedulers that count epochs; a plateau is looked for in the validation loss."""
        if self.every == "step":
            return
        loss = state.loss if state.validation is None else state.validation
        for running in self._running:
            if isinstance(running, ReduceLROnPlateau):
                running.step(math.nan if loss is None else loss)
            else:
                running.step()

    def state_dict(self) -> dict[str, Any]:
        """What is needed to resume: the states of the schedulers (functions are not among them)."""
        return {"schedulers": [_plain(running.state_dict()) for running in self._running]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for running, saved in zip(self._running, state["schedulers"], strict=True):
            running.load_state_dict(_merged(running.state_dict(), saved))


def _plain(state: Any) -> Any:
    """A scheduler's state without its functions, which the caller gives again."""
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items() if not callable(value)}
    if isinstance(state, list | tuple):
        return type(state)([_plain(value) for value in state])
    return state.item() if type(state).__module__ == "numpy" else state


def _merged(own: Any, saved: Any) -> Any:
    """``saved`` in the types of ``own``, completed from it."""
    if isinstance(own, dict):
        whole = {key: _merged(own.get(key), value) for key, value in saved.items()}
        return type(own)({**{k: v for k, v in own.items() if k not in whole}, **whole})
    if isinstance(own, list) and isinstance(saved, list) and len(own) == len(saved):
        return [_merged(one, other) for one, other in zip(own, saved, strict=True)]
    return saved
