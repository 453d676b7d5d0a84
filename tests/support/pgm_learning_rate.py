"""How fast learned networks approach the truth: the slope of log KL against log n.

    python tests/support/pgm_learning_rate.py                       # alarm, minutes
    python tests/support/pgm_learning_rate.py --network asia --seeds 3

Rows are drawn from the network, a share of their values is hidden at random, tables are learned by
expectation maximisation with a Dirichlet prior from uniform tables. In theory the divergence falls
as 1 / n.
"""

import argparse
import sys
import time

import numpy as np
import torch
from pgm_cases import normalised, sampled

from causal.factor import Factor
from causal.graph import Graph
from hybrid.pgm import BayesianNetwork
from hybrid.pgm.formats.description import Description
from hybrid.pgm.learning.comparison import relative_entropy
from hybrid.pgm.learning.missing_values import expectation_maximisation


def network_of(description: Description, *, uniform: bool = False) -> BayesianNetwork:
    """The network, or one of the same shape with uniform tables."""
    edges = [(a, name) for name, above in description.parents.items() for a in above]
    tables = {}
    for name, table in description.tables.items():
        values = torch.from_numpy(table)
        values = torch.full_like(values, 1 / table.shape[-1]) if uniform else values
        tables[name] = Factor((*description.parents[name], name), values)
    return BayesianNetwork(Graph(edges, nodes=list(description.states)), tables)


def divergences(
    description: Description,
    sizes: list[int],
    seeds: int,
    *,
    missing: float = 0.2,
    pseudo_count: float = 1.0,
    tolerance: float = 1e-6,
    told: bool = False,
) -> np.ndarray:
    """KL of the truth from what was learned, (seeds, sizes)."""
    truth, start = network_of(description), network_of(description, uniform=True)
    found = np.empty((seeds, len(sizes)))
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        states = sampled(description, max(sizes), random)
        states[random.random(states.shape) < missing] = -1
        for place, size in enumerate(sizes):
            columns = torch.from_numpy(np.ascontiguousarray(states[:size].T)).unbind()
            rows = dict(zip(description.states, columns, strict=True))
            begin = time.perf_counter()
            learned = expectation_maximisation(
                start, rows, pseudo_count=pseudo_count, tolerance=tolerance
            )
            found[seed, place] = relative_entropy(truth, learned.network)
            rises = np.diff(learned.objective)
            assert rises.min() >= -1e-9 * abs(learned.objective[-1]), rises.min()
            if told:
                print(
                    f"seed {seed}, n {size}: KL {found[seed, place]:.5f}, {len(rises)} iterations, "
                    f"lowest rise {rises.min():.1e}, converged {learned.converged}, "
                    f"{time.perf_counter() - begin:.1f} s",
                    flush=True,
                )
    return found


def slope(sizes: list[int], found: np.ndarray) -> float:
    """Of log mean KL against log n, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(found.mean(0)), 1)[0])


def main() -> int:
    """Print every fit and the slope; 1 if it is outside of −1 ± 0.15."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="alarm")
    parser.add_argument(
        "--sizes", nargs="+", type=int, default=[1000, 2000, 4000, 8000, 16000, 32000]
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--missing", type=float, default=0.2)
    parser.add_argument("--pseudo-count", type=float, default=1.0)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    chosen = parser.parse_args()
    found = divergences(
        normalised(chosen.network),
        chosen.sizes,
        chosen.seeds,
        missing=chosen.missing,
        pseudo_count=chosen.pseudo_count,
        tolerance=chosen.tolerance,
        told=True,
    )
    result = slope(chosen.sizes, found)
    print(f"mean KL {found.mean(0)}; slope {result:.3f}")
    return int(abs(result + 1) > 0.15)


if __name__ == "__main__":
    sys.exit(main())
