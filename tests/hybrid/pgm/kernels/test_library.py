"""The library of the inference kernel: its absence is said once, and changes no answer."""

import logging
import os
import subprocess
import sys

import pytest
import torch

from hybrid.doctor import examine
from hybrid.pgm.evidence import Evidence
from hybrid.pgm.kernels import execution, library
from hybrid.pgm.trees.tree import junction_tree
from quantum.kernels import loading


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setattr(library, "_path", lambda name: None)
    library.load.cache_clear()
    yield
    monkeypatch.undo()
    library.load.cache_clear()


def test_absence_is_said_once(absent, caplog):
    tree = junction_tree((2,), ((0,),))
    table = torch.tensor([0.25, 0.75], dtype=torch.float64)
    with caplog.at_level(logging.WARNING, logger="hybrid"):
        assert all(execution.run(tree, (table,), Evidence(1), ()) is None for _ in range(2))
    assert sum("no compiled inference kernel" in r.message for r in caplog.records) == 1
    assert "no compiled kernel" in examine().facts["inference engine"]
    assert not library.available()
    assert library.instruction_set() is None


def test_a_damaged_library_is_passed_over(monkeypatch, tmp_path, caplog):
    damaged = tmp_path / "libborromean_pgm_portable.so"
    damaged.write_bytes(b"not a library")
    monkeypatch.setattr(library, "_path", lambda name: damaged if name == "portable" else None)
    library.load.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, logger="hybrid"):
            assert library.load() is None
        assert any("does not load" in record.message for record in caplog.records)
    finally:
        library.load.cache_clear()


@pytest.mark.parametrize("engine", ["torch", "portable"])
def test_the_environment_limits_the_kernel(engine):
    script = "from hybrid.pgm.kernels.library import instruction_set; print(instruction_set())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "BORROMEAN_ENGINE": engine},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in (["None"] if engine == "torch" else ["portable", "None"])


def test_the_library_tells_its_instruction_set():
    assert library.instruction_set() in (None, *loading.SETS)
    assert "inference engine" in examine().facts
