"""Damage to the files of a checkpoint: each must be refused by name, whatever it is.

``python tests/support/damaged_files.py 2000`` damages a checkpoint of a training 2,000 times and
counts what was refused.
"""

import pickle
import random
import sys
import tempfile
import time
from pathlib import Path

import torch

from hybrid.storage.archive import CheckpointError
from hybrid.storage.checkpoint import load
from hybrid.training.runtime import Checkpoints, Runtime
from hybrid.training.trainer import fit

KINDS = ("flip", "truncate", "missing", "pickle", "append", "swap", "zero", "empty")


class Distance(torch.nn.Linear):
    def forward(self, batch):
        x, y = batch
        return (super().forward(x) - y).square().mean()


class Executed:
    """Leaves a trace when it is unpickled."""

    trace: list = []

    def __reduce__(self):
        return Executed.trace.append, (1,)


def train(folder, epochs=2, resume=False):
    torch.manual_seed(0)
    x = torch.arange(8.0).unsqueeze(-1)
    objective = Distance(1, 1)
    runtime = Runtime(checkpoint=Checkpoints(folder, best=False), resume=resume)
    fit(objective, (x, x), epochs=epochs, batch_size=4, seed=0, progress=False, runtime=runtime)
    return objective


def damage(folder, kind, chance):
    """Damage one file of the checkpoint; what was done, in words."""
    files = sorted(folder.iterdir())
    path = chance.choice(files)
    content = bytearray(path.read_bytes())
    place = chance.randrange(len(content))
    if kind == "flip":
        content[place] ^= 1 << chance.randrange(8)
    elif kind == "truncate":
        del content[place:]
    elif kind == "append":
        content += bytes(chance.randrange(256) for _ in range(1 + place % 5))
    elif kind == "zero":
        start = place - place % 16
        if not any(content[start : start + 16]):
            content[start] = 1
        else:
            content[start : start + 16] = bytes(len(content[start : start + 16]))
    elif kind == "swap":
        other = chance.choice([file for file in files if file != path])
        content = bytearray(other.read_bytes())
    elif kind == "pickle":
        content = bytearray(pickle.dumps(Executed()))
    elif kind == "empty":
        content = bytearray()
    path.unlink()
    if kind != "missing":
        path.write_bytes(content)
    return f"{kind} {path.name} at {place}"


def refusals(count, seed=0):
    """How each of ``count`` damages was met: a list of what was not refused, and the messages."""
    chance = random.Random(seed)
    wrong, messages = [], set()
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        train(whole)
        originals = {
            file.relative_to(whole): file.read_bytes()
            for file in whole.rglob("*")
            if file.is_file()
        }
        newest = sorted(whole.glob("step-*"))[-1]
        target = Distance(1, 1)
        before = {key: value.clone() for key, value in target.state_dict().items()}
        for index in range(count):
            what = damage(newest, KINDS[index % len(KINDS)], chance)
            try:
                if index % 4:
                    load(newest, into=target)
                else:
                    train(whole, epochs=3, resume=True)
                wrong.append(f"{what}: loaded")
            except CheckpointError as error:
                messages.add(str(error).replace(str(whole), "RUN")[:70])
            except Exception as error:
                wrong.append(f"{what}: {type(error).__name__}: {error}")
            for file in newest.iterdir():
                file.unlink()
            for file, content in originals.items():
                (whole / file).write_bytes(content)
        load(newest, into=Distance(1, 1))
        if any(not torch.equal(before[k], v) for k, v in target.state_dict().items()):
            wrong.append("a refused checkpoint changed the module")
    if Executed.trace:
        wrong.append("a pickle was executed")
    return wrong, messages


if __name__ == "__main__":
    start = time.perf_counter()
    wrong, messages = refusals(int(sys.argv[1]))
    print(f"{sys.argv[1]} damages, {len(wrong)} not refused, {time.perf_counter() - start:.0f} s")
    print("\n".join(sorted(wrong)[:20] + sorted(messages)[:20]))
    sys.exit(bool(wrong))
