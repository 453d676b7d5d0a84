"""All marginals of alarm for a million rows of evidence on one GPU: rows a second.

Evidence and answers stay on the device; every step ends with a synchronisation. Two shares of the
bandwidth of a copy, measured in the same run: of the traffic that no program can avoid (evidence
read, marginals written), and of that of one pass over the junction tree each way (all its cells
written and read twice).

    python benchmarks/pgm_gpu.py
    python benchmarks/pgm_gpu.py --device cpu --rows 20000      # checks the script, not the speed
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import machine
import torch
from peers.borromean_pgm import bayesian_network
from pgm_cases import evidence, network

from hybrid.pgm.trees.tree import junction_tree


def _waited(work: Callable[[], Any], device: str) -> float:
    """Seconds of one call, to the end of what it started."""
    if device != "cpu":
        torch.cuda.synchronize()
    begin = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def _bandwidth(device: str) -> float:
    source = torch.randn(2**28 if device != "cpu" else 2**22, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(_waited(lambda: target.copy_(source), device) for _ in range(6))


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--network", default="alarm")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=10)
    chosen = parser.parse_args()
    of, device = network(chosen.network), chosen.device
    made = bayesian_network(of).to(device)
    columns = torch.from_numpy(evidence(of, chosen.rows).T.copy()).to(device).unbind()
    rows = dict(zip(of.names, columns, strict=True))
    number = {name: i for i, name in enumerate(of.names)}
    scopes = tuple((*(number[p] for p in of.parents[name]), number[name]) for name in of.names)
    tree = junction_tree(tuple(of.cards.values()), scopes)
    needed = 8 * chosen.rows * (len(of.names) + sum(of.cards.values()))
    passes = 8 * chosen.rows * 4 * tree.cells
    with torch.no_grad():
        few = made.marginals({name: column[:50] for name, column in rows.items()})
        many = made.marginals(rows)
        apart = max(float((few[name] - many[name][:50]).abs().max()) for name in few)
        if device != "cpu":
            torch.cuda.reset_peak_memory_stats()
        taken = [_waited(lambda: made.marginals(rows), device) for _ in range(chosen.steps)]
    rate, middle = _bandwidth(device), statistics.median(taken)
    name = machine.describe() if device == "cpu" else torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, float64; {rate / 1e9:.0f} GB/s in a copy")
    print(
        f"{chosen.network}, {chosen.rows:,} rows: {1e3 * min(taken):.1f} / {1e3 * middle:.1f} ms "
        f"(minimum / median), {chosen.rows / middle:.3g} rows/s"
    )
    print(
        f"of the bandwidth: {needed / middle / rate:.3f} by evidence and answers, "
        f"{passes / middle / rate:.3f} by two passes over the tree; 50 rows alone differ by "
        f"{apart:.0e}"
    )
    if device != "cpu":
        print(f"peak memory {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
