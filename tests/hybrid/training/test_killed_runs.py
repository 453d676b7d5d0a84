"""Trainings killed without warning, and damaged checkpoints: a few of what the commands do."""

import subprocess
import sys
from pathlib import Path

import damaged_files


def test_a_killed_training_resumes_to_the_same_bits():
    """Twice while a file of a checkpoint is written, once at a random moment."""
    script = Path(damaged_files.__file__).with_name("killed_runs.py")
    done = subprocess.run(
        [sys.executable, str(script), "3"], capture_output=True, text=True, cwd=script.parents[2]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("hit True") >= 2


def test_damaged_files_are_refused_and_nothing_is_executed():
    wrong, messages = damaged_files.refusals(64, seed=7)
    assert not wrong
    assert all("damaged" in message or "no checkpoint" in message for message in messages)
