import errno
import os

import pytest
import torch

from hybrid.storage import archive
from hybrid.storage.archive import CheckpointError
from hybrid.training.runs import Run
from hybrid.training.runtime import Checkpoints, Runtime

GROUPS = {"module": {"a": torch.ones(3)}}


def filled(folder, *steps, last=3):
    run = Run(Checkpoints(folder, last=last))
    for step in steps:
        assert run.keep(step, GROUPS, {"step": step})
    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def full(monkeypatch, after=0):
    """From the given file on, the disk is full."""
    whole, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) > after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(descriptor)

    monkeypatch.setattr(archive.os, "fsync", fsync)


def test_the_newest_stay_in_the_order_of_their_steps(tmp_path):
    filled(tmp_path, 9, 10, 100_000_000, last=2)
    assert names(tmp_path) == ["step-00000010", "step-100000000"]
    assert Run(Checkpoints(tmp_path)).open(True)[2] == {"step": 100_000_000}


def test_the_same_step_again_replaces_its_checkpoint(tmp_path):
    run = filled(tmp_path, 5)
    run.keep(5, GROUPS, {"step": "again"})
    assert run.open(True)[2] == {"step": "again"}


def test_nothing_to_resume_from_is_a_start(tmp_path):
    assert Run(Checkpoints(tmp_path / "none")).open(True) is None
    assert Run(Checkpoints(tmp_path / "none")).open(False) is None


def test_an_earlier_training_is_never_written_over(tmp_path):
    run = filled(tmp_path, 5)
    with pytest.raises(CheckpointError, match=r"step-00000005: Runtime\(resume=True\) goes on"):
        run.open(False)


def test_left_overs_of_a_killed_process_are_cleared(tmp_path):
    run = filled(tmp_path, 5)
    for name in (".unfinished-step-00000006", ".removed-step-00000001"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_bytes(b"x")
    assert run.open(True)[2] == {"step": 5}
    assert names(tmp_path) == ["step-00000005"]


def test_a_damaged_newest_names_the_newest_that_is_whole(tmp_path):
    run = filled(tmp_path, 5, 6, 7)
    for name in ("step-00000006", "step-00000007"):
        (tmp_path / name / "manifest.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"damaged.*resume='.*step-00000005'"):
        run.open(True)
    assert run.open(str(tmp_path / "step-00000005"))[2] == {"step": 5}
    assert names(tmp_path) == ["aside-step-00000006", "aside-step-00000007", "step-00000005"]
    assert run.open(True)[2] == {"step": 5}


def test_nothing_whole_at_all(tmp_path):
    run = filled(tmp_path, 5)
    (tmp_path / "step-00000005" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="no earlier one is whole"):
        run.open(True)


def test_another_trainings_checkpoint_needs_an_empty_folder(tmp_path):
    filled(tmp_path / "a", 5)
    run = filled(tmp_path / "b", 5)
    with pytest.raises(CheckpointError, match="name an empty folder"):
        run.open(str(tmp_path / "a"))
    assert Run(Checkpoints(tmp_path / "c")).open(str(tmp_path / "a"))[2] == {"step": 5}


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4])
def test_a_full_disk_warns_and_loses_nothing(tmp_path, monkeypatch, after):
    run = filled(tmp_path, 4, 5, last=2)
    full(monkeypatch, after)
    kept = after >= 3  # two files and a name before it; names are synchronised where possible
    if kept:
        assert run.keep(6, GROUPS, {"step": 6})
    else:
        with pytest.warns(RuntimeWarning, match=r"No space left.*the newest is step-00000005"):
            assert not run.keep(6, GROUPS, {"step": 6})
    monkeypatch.undo()
    assert run.open(True)[2] == {"step": 6 if kept else 5}
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_full_disk_keeps_the_best(tmp_path, monkeypatch):
    run = Run(Checkpoints(tmp_path))
    assert run.keep_best(GROUPS, {"loss": 2.0})
    full(monkeypatch)
    with pytest.warns(RuntimeWarning, match="No space left"):
        assert not run.keep_best({"module": {"a": torch.zeros(3)}}, {"loss": 1.0})
    assert archive.read(tmp_path / "best")[1] == {"loss": 2.0}


def test_numbers_are_checked():
    with pytest.raises(ValueError, match="last must be at least 1"):
        Checkpoints("a", last=0)
    with pytest.raises(ValueError, match="name it"):
        Runtime(resume=True)
