"""What sharing a batch among processes costs and saves, on one machine by gloo.

``python benchmarks/processes.py`` trains the same objective in one process and in two, one thread
each, and prints milliseconds a step (median over epochs) and the bytes that are exchanged.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import hybrid

WIDTHS = (64, 512, 1024)
ROWS, EPOCHS = 8192, 6


def train(width, batch):
    """One training; milliseconds a step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    count = int(os.environ.get("WORLD_SIZE", "1"))
    law = hybrid.heads.Normal(hybrid.backbones.MLP(13, [width, width], 2))
    objective = hybrid.objectives.ELBO(hybrid.bayes.variational(law), data_size=ROWS)
    x = torch.randn(ROWS, 13)
    runtime = hybrid.Runtime(strategy="ddp", devices=count) if count > 1 else None
    history = hybrid.fit(
        objective, (x, x.sum(-1)), epochs=EPOCHS, batch_size=batch, seed=0, progress=False,
        runtime=runtime,
    )  # fmt: skip
    steps = ROWS // batch
    parameters = sum(p.numel() for p in objective.parameters())
    return statistics.median(history.seconds[1:]) / steps * 1e3, parameters


def measured(processes, width, batch):
    """The same in new processes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "result"
        command = [sys.executable]
        if processes > 1:
            command += ["-m", "torch.distributed.run", "--standalone"]
            command += [f"--nproc-per-node={processes}"]
        command += [__file__, "--train", str(width), str(batch), str(file)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env=environment, capture_output=True)
        return json.loads(file.read_text())


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", nargs=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.train:
        width, batch, file = arguments.train
        found = train(int(width), int(batch))
        if os.environ.get("RANK", "0") == "0":
            Path(file).write_text(json.dumps(found))
        return
    repeats = arguments.repeats
    print("| width | batch | parameters, MB | one process, ms | two, ms | one / two |")
    print("| --- | --- | --- | --- | --- | --- |")
    for width in WIDTHS:
        for batch in (256, 2048):
            pairs = [(measured(1, width, batch), measured(2, width, batch)) for _ in range(repeats)]
            one = statistics.median(pair[0][0] for pair in pairs)
            two = statistics.median(pair[1][0] for pair in pairs)
            size = pairs[0][0][1] * 4 / 1e6
            print(
                f"| {width} | {batch} | {size:.2f} | {one:.3g} | {two:.3g} | {one / two:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
