import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hybrid.training.processes import Processes

ROOT = Path(__file__).parents[3]


def test_two_processes_are_one(tmp_path):
    """50 steps in float64: posterior draws, noise of rows, dropout, a short last batch."""
    script = str(ROOT / "tests" / "support" / "shared_run.py")
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    for command, name in (([sys.executable], "one"), (run, "two")):
        done = subprocess.run(
            [*command, script, str(tmp_path / name)], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
    one, first, second = (
        json.loads((tmp_path / name).read_text()) for name in ("one.0", "two.0", "two.1")
    )
    assert first == second
    assert first["loss"] == pytest.approx(one["loss"], rel=1e-9)
    assert first["valid"] == pytest.approx(one["valid"], rel=1e-9)
    for name, weight in one["weights"].items():
        whole, shared = (
            torch.tensor(w, dtype=torch.float64) for w in (weight, first["weights"][name])
        )
        torch.testing.assert_close(shared, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("rows", "count"), [(10, 2), (7, 3), (4, 3), (2, 4)])
def test_every_row_belongs_to_one_process(rows, count):
    shares = [
        Processes(rank, count).share({"A": torch.arange(rows)}, rows, lambda k: k)
        for rank in range(count)
    ]
    assert sum(share.weight for share in shares) == pytest.approx(1.0)
    taken = [int(row) for share in shares if share.weight for row in share.batch["A"]]
    assert taken == list(range(rows))
    assert all(len(share.batch["A"]) >= 1 for share in shares)
    for share in shares:
        assert share.row(0) == int(share.batch["A"][0])


def test_one_process_takes_the_batch_as_it_is():
    batch = object()
    assert Processes().share(batch, 3, int).batch is batch
    assert Processes().added([1.0]) == [1.0]
