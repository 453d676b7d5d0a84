"""Where the numbers of a training are written: one small protocol, two writers (floor 3)."""

import csv
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch.distributed as group

from hybrid.training.callbacks import TrainingState

__all__ = ["CSVWriter", "Log", "TensorBoardWriter", "Writer"]


@runtime_checkable
class Writer(Protocol):
    """Takes named numbers at steps: a file, a service, a list.

    Example:
        >>> class Listed(list):
        ...     def open(self, step):
        ...         del self[step:]
        ...
        ...     def write(self, step, numbers):
        ...         self.append((step, dict(numbers)))
        ...
        ...     def close(self):
        ...         pass
        >>> isinstance(Listed(), Writer)
        True
    """

    def open(self, step: int) -> None:
        """Begin after ``step`` steps; what was written for later ones is to be forgotten."""
        ...

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of a step."""
        ...

    def close(self) -> None:
        """The training has ended."""
        ...


class Log:
    """Writes loss, parts, validation loss, seconds and learning rates after every epoch.

    Args:
        writer: Where they go.

    Raises:
        TypeError: ``writer`` lacks a method of `Writer`.

    Example:
        >>> import tempfile, torch
        >>> from hybrid.training.trainer import fit
        >>> class Slope(torch.nn.Linear):
        ...     def forward(self, batch):
        ...         return super().forward(batch).square().mean()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = Log(CSVWriter(f"{folder}/log.csv"))
        ...     _ = fit(Slope(1, 1), torch.ones(4, 1), epochs=2, callbacks=[log], progress=False)
        ...     lines = log.writer.path.read_text().splitlines()
        >>> lines[0], len(lines)
        ('step,epoch,loss,seconds,learning_rate', 3)
    """

    def __init__(self, writer: Writer) -> None:
        if not isinstance(writer, Writer):
            raise TypeError(
                f"writer must have open(step), write(step, numbers) and close(): got {writer!r}"
            )
        self.writer = writer
        self._first = True

    def on_start(self, state: TrainingState) -> None:
        """Open the writer; of several processes, the first one writes."""
        self._first = not (group.is_available() and group.is_initialized() and group.get_rank())
        if self._first:
            self.writer.open(state.step)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Write the numbers of the epoch."""
        shown = {"loss": state.loss, **(state.parts or {}), "validation": state.validation}
        numbers = {"epoch": float(state.epoch)}
        numbers |= {name: value for name, value in shown.items() if value is not None}
        numbers["seconds"] = math.nan if state.seconds is None else state.seconds
        rates = [g.get("lr", math.nan) for o in state.optimizers for g in o.param_groups]
        for index, rate in enumerate(rates):
            name = "learning_rate" if len(rates) == 1 else f"learning_rate_{index}"
            numbers[name] = float(rate)
        if state.skipped:
            numbers["skipped"] = float(state.skipped)
        if self._first:
            self.writer.write(state.step, numbers)

    def on_end(self, state: TrainingState) -> None:  # noqa: ARG002 (the contract's argument)
        """Close the writer."""
        if self._first:
            self.writer.close()


class CSVWriter:
    """Rows of a text file, one per call, written at once.

    A training that starts replaces the file; one that is resumed drops the rows after the step it
    goes on from. Names that come up later get no column of their own: the first row decides.

    Args:
        path: The file; its folder is made if missing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = CSVWriter(f"{folder}/log.csv")
        ...     writer.open(0)
        ...     writer.write(10, {"loss": 0.5})
        ...     writer.open(5)
        ...     writer.write(8, {"loss": 0.7})
        ...     writer.path.read_text().splitlines()
        ['step,loss', '8,0.7']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._names: list[str] = []

    def open(self, step: int) -> None:
        """Keep the rows up to ``step``."""
        rows: list[list[str]] = []
        if step and self.path.exists():
            with self.path.open(newline="") as file:
                rows = list(csv.reader(file))
        kept = rows[:1] + [row for row in rows[1:] if row and int(row[0]) <= step]
        self._names = kept[0][1:] if kept else []
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(kept)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a row."""
        with self.path.open("a", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            if not self._names:
                self._names = list(numbers)
                out.writerow(["step", *self._names])
            out.writerow([step, *(_short(numbers.get(name)) for name in self._names)])

    def close(self) -> None:
        """Nothing is open between rows."""


class TensorBoardWriter:
    """Scalars for TensorBoard; needs the extra ``log``.

    Args:
        folder: Where its event files go.

    Raises:
        ImportError: TensorBoard is not installed.

    Example:
        >>> TensorBoardWriter("runs/first").folder.name
        'first'
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._writer: Any = None

    def open(self, step: int) -> None:
        """Make the event file; those of an earlier one that come after ``step`` are hidden."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError('TensorBoard is missing: pip install "borromean[log]"') from error
        self.close()
        self._writer = SummaryWriter(str(self.folder), purge_step=step + 1 if step else None)

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Add a point to each curve."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def _short(value: float | None) -> str:
    return "" if value is None else repr(int(value) if float(value).is_integer() else value)
