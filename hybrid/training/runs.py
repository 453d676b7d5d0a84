"""The folder of one training: its checkpoints appear whole, and the newest are kept (floor 2).

A checkpoint is written under a hidden name, forced to the disk and renamed; one that is deleted is
renamed first. Whatever moment the process is killed at, a folder ``step-…`` is whole.
"""

import os
import re
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hybrid.storage.archive import CheckpointError, read, synchronize, write
from hybrid.training.runtime import Checkpoints

__all__ = ["Run"]

_STEP = re.compile(r"step-(\d{8,})")
_UNFINISHED, _REMOVED, _ASIDE = ".unfinished-", ".removed-", "aside-"
Groups = Mapping[str, Mapping[str, Tensor]]


class Run:
    """The checkpoints of one training.

    Args:
        policy: The folder, and how many stay.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = Run(Checkpoints(folder, last=2))
        ...     for step in (10, 20, 30):
        ...         _ = run.keep(step, {}, {"note": step})
        ...     [path.name for path in run.paths()], run.open(True)[2]
        (['step-00000020', 'step-00000030'], {'note': 30})
    """

    def __init__(self, policy: Checkpoints) -> None:
        self.policy = policy
        self.folder = Path(policy.folder)

    def paths(self) -> list[Path]:
        """The checkpoints, oldest first."""
        if not self.folder.is_dir():
            return []
        found = [(m, path) for path in self.folder.iterdir() if (m := _STEP.fullmatch(path.name))]
        return [path for _, path in sorted(found, key=lambda pair: int(pair[0][1]))]

    def open(
        self, resume: bool | str | os.PathLike[str]
    ) -> tuple[Path, dict[str, dict[str, Tensor]], dict[str, Any]] | None:
        """The checkpoint to go on from, verified; None where the training starts.

        Raises:
            CheckpointError: It is damaged or missing; the message names an earlier one that is
                whole. Or the folder has checkpoints, and ``resume`` is False.
        """
        present = self.paths()
        if resume is False:
            if present:
                raise CheckpointError(
                    f"{self.folder} has checkpoints of an earlier training, the newest is "
                    f"{present[-1].name}: Runtime(resume=True) goes on from it; to start anew, "
                    "name another folder or delete this one"
                )
            return None
        if resume is True:
            self._clear()
            return _opened(present[-1], present[:-1]) if present else None
        chosen = _newest(Path(resume))
        opened = _opened(chosen, [])
        self._set_aside(chosen)
        return opened

    @staticmethod
    def anywhere(
        path: str | os.PathLike[str],
    ) -> tuple[Path, dict[str, dict[str, Tensor]], dict[str, Any]]:
        """A checkpoint, or the newest of a training's folder, for a training that keeps none."""
        return _opened(_newest(Path(path)), [])

    def keep(self, step: int, groups: Groups, contents: Mapping[str, Any]) -> bool:
        """Write the checkpoint of a step, then delete those that are too old.

        A disk that is full loses nothing: it warns, and returns False.
        """
        name = f"step-{step:08d}"
        return self._safely(name, lambda: self._write(self.folder / name, groups, contents))

    def keep_best(self, groups: Groups, contents: Mapping[str, Any]) -> bool:
        """Replace the best module."""
        return self._safely("best", lambda: write(self.folder / "best", groups, contents))

    def _write(self, target: Path, groups: Groups, contents: Mapping[str, Any]) -> None:
        if target.exists():  # the same step, once more: the files in it are replaced in one moment
            write(target, groups, contents)
        else:
            unfinished = target.with_name(_UNFINISHED + target.name)
            shutil.rmtree(unfinished, ignore_errors=True)
            try:
                write(unfinished, groups, contents)
                unfinished.rename(target)
            except BaseException:
                shutil.rmtree(unfinished, ignore_errors=True)
                raise
            synchronize(self.folder)
        for old in self.paths()[: -self.policy.last]:
            removed = old.with_name(_REMOVED + old.name)
            old.rename(removed)
            shutil.rmtree(removed, ignore_errors=True)

    def _safely(self, name: str, action: Any) -> bool:
        try:
            action()
        except OSError as error:
            present = self.paths()
            newest = f"the newest is {present[-1].name}" if present else "earlier there is none"
            warnings.warn(
                f"checkpoint {name} could not be written to {self.folder} "
                f"({error.strerror or error}): training goes on, {newest}, untouched",
                RuntimeWarning,
                stacklevel=2,
            )
            return False
        return True

    def _clear(self) -> None:
        """Delete what a killed process left behind."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if path.name.startswith((_UNFINISHED, _REMOVED)):
                    shutil.rmtree(path, ignore_errors=True)

    def _set_aside(self, chosen: Path) -> None:
        """Rename what is newer than the checkpoint that a caller chose in this very folder."""
        present = self.paths()
        known = [path.name for path in present]
        if chosen.resolve().parent != self.folder.resolve():
            if present:
                raise CheckpointError(
                    f"{self.folder} has checkpoints of another training than {chosen}: name an "
                    "empty folder for those to come"
                )
            return
        for path in present[known.index(chosen.name) + 1 :]:
            target = path.with_name(_ASIDE + path.name)
            shutil.rmtree(target, ignore_errors=True)
            path.rename(target)


def _newest(path: Path) -> Path:
    """``path`` if it is a checkpoint, else the newest in it."""
    inside = [] if _STEP.fullmatch(path.name) else Run(Checkpoints(path)).paths()
    return inside[-1] if inside else path


def _opened(
    path: Path, earlier: list[Path]
) -> tuple[Path, dict[str, dict[str, Tensor]], dict[str, Any]]:
    try:
        return path, *read(path)
    except CheckpointError as error:
        whole = next((other for other in reversed(earlier) if _is_whole(other)), None)
        mend = "no earlier one is whole: start anew in another folder"
        if whole is not None:
            mend = f"Runtime(resume={str(whole)!r}) goes on from the newest that is whole"
        raise CheckpointError(f"{error}; {mend}") from error


def _is_whole(path: Path) -> bool:
    try:
        read(path)
    except CheckpointError:
        return False
    return True
