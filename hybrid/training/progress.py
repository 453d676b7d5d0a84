"""How a training goes, and how far it is, as plain numbers (floor 2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hybrid.training.history import History

__all__ = ["Options", "Progress"]


@dataclass(frozen=True)
class Options:
    """How the loop goes through the data.

    Attributes:
        epochs: Passes over the data.
        progress: Whether to show a bar.
        accumulate: Batches per step.
        skip: Whether batches that are not finite are skipped.
        same: What must be the same when the training is resumed, by name.

    Example:
        >>> Options(epochs=3).accumulate
        1
    """

    epochs: int
    progress: bool = False
    accumulate: int = 1
    skip: bool = False
    same: dict[str, Any] = field(default_factory=dict)


@dataclass
class Progress:
    """How far a training is; all of it is in a checkpoint, as JSON.

    Attributes:
        epoch: The one that is going on, from 1.
        batches: Done of it.
        steps: Done in all.
        count: Rows of the epoch so far.
        sums: Total loss and parts, added up over these rows.
        seconds: Time the epoch has taken so far.
        skipped: Batches of the epoch that were skipped.
        names: Of the parts of the loss.
        finished: For every finished epoch: means of total and parts, validation, seconds, skipped.
        stopped: Whether a callback has stopped the training.
        best: The lowest loss after an epoch.

    Example:
        >>> Progress(finished=[[[0.5], None, 0.1, 0]]).history(())
        History(1 epoch, loss 0.5, 0.1 s)
    """

    epoch: int = 1
    batches: int = 0
    steps: int = 0
    count: int = 0
    sums: list[float] = field(default_factory=list)
    seconds: float = 0.0
    skipped: int = 0
    names: list[str] = field(default_factory=list)
    finished: list[list[Any]] = field(default_factory=list)
    stopped: bool = False
    best: float = math.inf

    def add(self, numbers: list[float], rows: int) -> None:
        """Take over the losses of a step on this many rows."""
        self.sums = self.sums or [0.0] * len(numbers)
        self.sums = [total + rows * x for total, x in zip(self.sums, numbers, strict=True)]
        self.count += rows

    def finish(self, validation: float | None, seconds: float) -> None:
        """Close the epoch; the next one begins."""
        means = [total / self.count for total in self.sums]
        self.finished.append([means, validation, seconds, self.skipped])

    def begin_next(self) -> None:
        """Begin the epoch after the one that was finished last."""
        self.epoch, self.batches, self.count, self.sums = len(self.finished) + 1, 0, 0, []
        self.seconds, self.skipped = 0.0, 0

    def history(self, names: Sequence[str]) -> History:
        """The finished epochs, with these names for the parts of the loss."""
        means = list(zip(*(row[0] for row in self.finished), strict=True))
        validation = tuple(row[1] for row in self.finished if row[1] is not None)
        return History(
            epochs=tuple(range(1, len(self.finished) + 1)),
            loss=means[0],
            parts=dict(zip(names, means[1:], strict=True)),
            validation=validation or None,
            seconds=tuple(row[2] for row in self.finished),
            skipped=tuple(row[3] for row in self.finished),
        )
