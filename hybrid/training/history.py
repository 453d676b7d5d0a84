"""What training did, epoch by epoch, as a frozen value (floor 1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hybrid.plots import curves

if TYPE_CHECKING:
    import pandas  # noqa: ICN001 (the return type is resolved by its full name)

__all__ = ["History"]


@dataclass(frozen=True, repr=False)
class History:
    """Losses of a finished training, one entry per epoch.

    Attributes:
        epochs: 1, 2, ... up to the last epoch that was finished.
        loss: Mean total loss over the epoch's rows, in the objective's unit.
        parts: The same for every named part of the loss.
        validation: Mean total loss on the validation data after the epoch; None without such data.
        seconds: Wall time of the epoch, validation included.
        skipped: Batches of the epoch that were skipped because they were not finite.

    Example:
        >>> History(
        ...     epochs=(1, 2),
        ...     loss=(0.9, 0.5),
        ...     parts={"likelihood": (0.8, 0.4)},
        ...     validation=None,
        ...     seconds=(0.1, 0.1),
        ... )
        History(2 epochs, loss 0.9 → 0.5, 0.2 s)
    """

    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    parts: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    validation: tuple[float, ...] | None = None
    seconds: tuple[float, ...] = ()
    skipped: tuple[int, ...] = ()

    def to_dataframe(self) -> "pandas.DataFrame":
        """One row per epoch: loss, parts, validation (if any), seconds, and skipped (if any)."""
        import pandas as pd  # not needed to train: its import takes a third of a second

        columns: dict[str, tuple[float, ...]] = {"loss": self.loss, **self.parts}
        if self.validation is not None:
            columns["validation"] = self.validation
        columns["seconds"] = self.seconds
        if any(self.skipped):
            columns["skipped"] = self.skipped
        return pd.DataFrame(columns, index=pd.Index(self.epochs, name="epoch"))

    def plot(self, axes: Any = None) -> Any:
        """Draw the losses over the epochs; see `hybrid.plots.curves`."""
        lines: dict[str, Sequence[float]] = {"loss": self.loss, **self.parts}
        if self.validation is not None:
            lines["validation"] = self.validation
        return curves(self.epochs, lines, axes=axes)

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(0 epochs)"
        text = f"{len(self)} epoch{'s' * (len(self) > 1)}, loss {self.loss[0]:.4g}"
        if len(self) > 1:
            text += f" → {self.loss[-1]:.4g}"
        if self.validation:
            text += f", validation {self.validation[-1]:.4g}"
        if any(self.skipped):
            text += f", {sum(self.skipped)} batches skipped"
        return f"History({text}, {sum(self.seconds):.1f} s)"
