"""Optimisers on equal grids: training loss after so many steps and so many seconds of one core.

``python benchmarks/optimisers.py`` prints a table per problem. Every optimiser has the same number
of learning rates; each cell is the median over the seeds at the rate, in brackets, that is best for
this column. Seconds are processor time of the steps alone, as `hybrid.fit` does them, its guard and
snapshot included. The loss is that of all rows.
"""

import math
import statistics
import sys
import time
from functools import partial

import pennylane as qml
import torch
from sklearn.datasets import load_diabetes
from torch import nn

import hybrid
import quantum
from hybrid.optim import CircuitMetric, NaturalGradient, groups
from hybrid.training.coverage import optimizers_for
from hybrid.training.step import Stepper

STEPS, SECONDS, SEEDS = (3, 10, 30), (0.03, 0.1, 0.3), 3
RATES = (0.1, 0.3, 1.0)


def standard(columns):
    """Columns with mean 0 and variance 1."""
    return (columns - columns.mean(0)) / columns.std(0)


def perceptron():
    """Diabetes: 442 rows, 10 columns, a normal law on an MLP of 755 parameters."""
    x, y = (standard(torch.tensor(part).float()) for part in load_diabetes(return_X_y=True))
    law = hybrid.heads.Normal(hybrid.backbones.MLP(10, [32], 11), features=11)
    return hybrid.objectives.ELBO(law, data_size=len(y)), (x, y)


def circuit(inputs, weights):
    """Four wires, three entangling layers."""
    qml.AngleEmbedding(inputs, wires=range(4), rotation="Y")
    qml.StronglyEntanglingLayers(weights, wires=range(4))
    return [qml.expval(qml.Z(0))]


def rotations():
    """A circuit of 36 angles learns another one's values at 64 inputs."""
    x = 2 * torch.rand(64, 4, generator=torch.Generator().manual_seed(0)) - 1
    layer = partial(quantum.CircuitLayer, circuit, {"weights": (3, 4, 3)}, in_features=4)
    with torch.random.fork_rng():
        torch.manual_seed(100)
        y = layer()(x).detach()
    return hybrid.objectives.Supervised(layer(), nn.MSELoss()), (x, y)


def natural(rate, objective, form, **options):
    """A natural gradient's maker."""
    return lambda p: NaturalGradient(p, objective, lr=rate, form=form, **options)


def quantum_natural(rate, objective):
    """Quantum natural gradient with the damping that PennyLane's users take."""
    blocks = groups(objective, {"*": {"metric": CircuitMetric(), "damping": 1e-2}})
    return lambda _: NaturalGradient(blocks, objective, lr=rate)


def line_search(rate):
    """L-BFGS; its last rate of the grid is a line search."""
    search = "strong_wolfe" if rate == 1.0 else None
    return lambda p: torch.optim.LBFGS(p, rate, max_iter=5, line_search_fn=search)


CONTESTANTS = {
    "SGD, momentum 0.9": lambda rate, _: lambda p: torch.optim.SGD(p, rate / 10, momentum=0.9),
    "Adam": lambda rate, _: lambda p: torch.optim.Adam(p, rate / 10),
    "L-BFGS, 5 evaluations": lambda rate, _: line_search(rate),
    "natural, diagonal": lambda rate, objective: natural(rate, objective, "diagonal"),
    "natural, full": lambda rate, objective: natural(rate, objective, "full"),
}


def run(problem, make, rate, seed, batch_size):
    """Losses of all data after the numbers of steps, and of seconds; NaN where it broke down."""
    torch.manual_seed(seed)
    objective, (x, y) = problem()
    step = Stepper(objective, optimizers_for(objective, make(rate, objective)))
    spent, done, by_steps, by_seconds = 0.0, 0, {}, {}
    order = torch.Generator().manual_seed(seed)
    while done < STEPS[-1] or spent < SECONDS[-1]:
        rows = torch.randperm(len(y), generator=order)[:batch_size]
        batch = (x, y) if batch_size is None else (x[rows], y[rows])
        begin = time.process_time()
        try:
            step(batch, epoch=1)
        except hybrid.NonFiniteError:
            break
        spent, done = spent + time.process_time() - begin, done + 1
        late = [s for s in SECONDS if spent >= s and s not in by_seconds]
        if done in STEPS or late:
            with torch.no_grad():
                loss = float(objective((x, y)).total)
            by_seconds |= dict.fromkeys(late, loss)
            if done in STEPS:
                by_steps[done] = loss
        if spent > 3 * SECONDS[-1]:
            break
    return [by_steps.get(n, math.nan) for n in STEPS] + [
        by_seconds.get(s, math.nan) for s in SECONDS
    ]


def best(problem, make, batch_size):
    """For each column, the lowest median over the seeds among the rates, and that rate."""
    columns = [(math.inf, math.nan)] * (len(STEPS) + len(SECONDS))
    for rate in RATES:
        runs = [run(problem, make, rate, seed, batch_size) for seed in range(SEEDS)]
        for k, found in enumerate(zip(*runs, strict=True)):
            middle = statistics.median(found) if all(map(math.isfinite, found)) else math.inf
            columns[k] = min(columns[k], (middle, rate))
    return columns


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, python {sys.version.split()[0]}, one thread, {SEEDS} seeds")
    problems = (
        ("MLP on diabetes, all 442 rows", perceptron, None, {}),
        ("MLP on diabetes, batches of 64", perceptron, 64, {}),
        (
            "a circuit's values, all 64 rows",
            rotations,
            None,
            {"natural, circuit's metric": quantum_natural},
        ),
    )
    for title, problem, batch_size, more in problems:
        run(problem, CONTESTANTS["natural, full"], 0.1, 0, batch_size)  # what is loaded once
        heads = [f"{n} steps" for n in STEPS] + [f"{s:g} s" for s in SECONDS]
        print(f"\n{title}\n\n| | {' | '.join(heads)} |\n|{' --- |' * (len(heads) + 1)}")
        for name, make in {**CONTESTANTS, **more}.items():
            cells = [
                "–" if value == math.inf else f"{value:.3g} ({rate:g})"
                for value, rate in best(problem, make, batch_size)
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
