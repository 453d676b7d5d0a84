"""How good and how honest predictions are on real tables, method by method.

Regression (diabetes; nhefs: change of weight; star98: per cent of pupils above the median) and
classification (breast cancer, wine, digits), ten splits that all methods share. The reference is
one heteroscedastic network, its weight decay chosen on validation rows; every other method has the
same body. Variational weights choose the weight of their divergence (1, 1/10, 1/100) on them: with
1 and a few hundred rows they keep to the prior. Coverage is that of 90 % intervals, or of the
smallest sets of classes that hold 90 %; ECE that of `hybrid.uncertainty` (classes alone).

    python benchmarks/tables.py --splits 10 --markdown block.md
    python benchmarks/tables.py --data diabetes --methods point mean_field --splits 2
"""

import argparse
import contextlib
import copy
import functools
import json
import math
import statistics
import time
import warnings
from pathlib import Path

import pennylane as qml
import torch
from torch import nn

import hybrid
import quantum

EPOCHS, PATIENCE, BATCH, DRAWS, LEVEL = 200, 20, 64, 64, 0.9


# ------------------------------------------------------------------ data


def _sklearn(name):
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    return torch.tensor(found.data, dtype=torch.float32), torch.tensor(found.target)


def _nhefs():
    from causaldata import nhefs_complete

    frame = nhefs_complete.load_pandas().data
    columns = ["qsmk", "sex", "race", "age", "education", "smokeintensity", "smokeyrs", "wt71"]
    columns += ["exercise", "active"]
    values = frame[[*columns, "wt82_71"]].dropna().astype(float)
    return torch.tensor(values[columns].to_numpy(), dtype=torch.float32), torch.tensor(
        values["wt82_71"].to_numpy()
    )


def _star98():
    from statsmodels.datasets import star98

    frame = star98.load_pandas().data.astype(float)  # of Californian schools
    above = 100 * frame["NABOVE"] / (frame["NABOVE"] + frame["NBELOW"])
    rest = frame.drop(columns=["NABOVE", "NBELOW"])
    return torch.tensor(rest.to_numpy(), dtype=torch.float32), torch.tensor(above.to_numpy())


DATA = {
    "diabetes": functools.partial(_sklearn, "diabetes"),
    "nhefs": _nhefs,
    "star98": _star98,
    "breast_cancer": functools.partial(_sklearn, "breast_cancer"),
    "wine": functools.partial(_sklearn, "wine"),
    "digits": functools.partial(_sklearn, "digits"),
}
REGRESSION = ("diabetes", "nhefs", "star98")


def split(name, seed):
    """Standardised training, validation and test rows; the outcome's mean and deviation."""
    x, y = DATA[name]()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    a, b = int(0.6 * len(x)), int(0.8 * len(x))
    parts = order[:a], order[a:b], order[b:]
    middle, width = x[parts[0]].mean(0), x[parts[0]].std(0)
    x = (x - middle) / width.where(width > 1e-6, torch.ones(()))
    x = x[:, width > 1e-6]
    if name in REGRESSION:
        centre, scale = y[parts[0]].mean(), y[parts[0]].std()
        y = ((y - centre) / scale).float()
        return [(x[rows], y[rows]) for rows in parts], float(scale)
    return [(x[rows], y[rows]) for rows in parts], 1.0


# ------------------------------------------------------------------ models and methods


def circuit(inputs, weights):
    """A re-uploading circuit of four wires."""
    for layer in range(2):
        qml.AngleEmbedding(inputs, wires=range(4), rotation="Y")
        qml.StronglyEntanglingLayers(weights[layer : layer + 1], wires=range(4))
    return [qml.expval(qml.Z(wire)) for wire in range(4)]


def network(task, body="mlp"):
    """The law that all methods share."""
    inputs, classes = task
    outputs = classes or 2
    if body == "circuit":
        layer = quantum.CircuitLayer(circuit, {"weights": (2, 4, 3)}, in_features=4)
        front = nn.Sequential(nn.Linear(inputs, 32), nn.GELU(), nn.Linear(32, 4), nn.Tanh())
        net = nn.Sequential(front, layer, nn.Linear(4, outputs))
    else:
        parts = [nn.Linear(inputs, 50), nn.ReLU(), nn.Linear(50, 50), nn.ReLU()]
        if body == "dropout":
            parts = [*parts[:2], nn.Dropout(0.1), *parts[2:], nn.Dropout(0.1)]
        net = nn.Sequential(*parts, nn.Linear(50, outputs))
    if classes:
        return hybrid.heads.Categorical(net, states=classes)
    return hybrid.heads.Normal(net)


def trained(
    law, parts, *, decay=0.0, lr=3e-3, draws=1, epochs=EPOCHS, callbacks=(), each=False, colder=1
):
    """Trained until the validation loss no longer falls."""
    data, valid, _ = parts
    objective = hybrid.objectives.ELBO(law, data_size=colder * len(data[0]), draws=draws)
    if each:
        objective = hybrid.objectives.EachMember(objective)
    stop = hybrid.EarlyStopping(patience=PATIENCE, restore_best=True)
    hybrid.fit(
        objective, data, optimizer=lambda p: torch.optim.AdamW(p, lr, weight_decay=decay),
        epochs=epochs, batch_size=BATCH, validation=valid, callbacks=[stop, *callbacks], seed=0,
        progress=False,
    )  # fmt: skip
    return law.eval()


def fresh(task, seed, body="mlp"):
    """A law with its own initial weights."""
    torch.manual_seed(seed)
    return network(task, body)


def best(found, parts):
    """The law of the highest log probability of the validation rows."""

    @torch.no_grad()
    def score(law):
        prediction = hybrid.predict(law, parts[1][0], DRAWS, torch.Generator().manual_seed(0))
        number = float(prediction.log_probability(parts[1][1]).mean())
        return number if math.isfinite(number) else -math.inf

    return max(found, key=score)


def point(task, parts, seed, body="mlp"):
    """The reference: weight decay by validation."""
    return best(
        [trained(fresh(task, seed, body), parts, decay=decay) for decay in (0.0, 0.03, 0.3)], parts
    )


def variational(family, task, parts, seed, body="mlp"):
    """Random weights; the weight of the divergence, as the point network's decay, by validation."""
    found = []
    for colder in (1, 10, 100):
        law = hybrid.bayes.variational(fresh(task, seed, body), family)
        found.append(trained(law, parts, draws=4, epochs=2 * EPOCHS, lr=1e-2, colder=colder))
    return best(found, parts)


def swag(task, parts, seed):
    """Averages along SGD from the trained network, the rate by validation."""
    start, found = point(task, parts, seed), []
    for rate in (1e-2, 3e-3, 1e-3):
        law = copy.deepcopy(start).train()
        collect = hybrid.bayes.SWAG(rank=20, after=5)
        sgd = functools.partial(torch.optim.SGD, lr=rate, momentum=0.9, weight_decay=1e-3)
        with contextlib.suppress(hybrid.NonFiniteError):  # the rate is too large
            hybrid.fit(
                hybrid.objectives.ELBO(law, data_size=len(parts[0][0])), parts[0], optimizer=sgd,
                epochs=45, batch_size=BATCH, callbacks=[collect], seed=0, progress=False,
            )  # fmt: skip
            found.append(collect.apply(law.eval()))
    return best(found, parts)


def laplace(structure, task, parts, seed):
    """Laplace around the trained network, its prior by validation: the evidence's, or of a grid.

    By the evidence alone a network that meets all its training labels gets too wide a posterior.
    """
    law, found = point(task, parts, seed), []
    for precision in (None, 1.0, 10.0, 100.0, 1000.0):
        made = hybrid.bayes.laplace(law, parts[0], structure, prior_precision=precision or 1.0)
        found.append(hybrid.bayes.fit_prior(made) if precision is None else made)
    return best(found, parts)


def sghmc(task, parts, seed):
    """Noisy gradients from the trained network, the prior by validation."""
    start, size, found = point(task, parts, seed), len(parts[0][0]), []
    for width in (0.1, 0.3):
        law = copy.deepcopy(start).train()
        kept = hybrid.bayes.Collect(after=80, every=20, limit=DRAWS)
        sampler = functools.partial(
            hybrid.bayes.SGHMC, lr=5e-4, data_size=size, friction=10.0, prior_scale=width
        )
        hybrid.fit(
            hybrid.objectives.ELBO(law, data_size=size), parts[0], optimizer=sampler, epochs=400,
            batch_size=BATCH, callbacks=[kept], seed=0, progress=False,
        )  # fmt: skip
        found.append(kept.apply(law.eval()))
    return best(found, parts)


def ensemble(task, parts, seed):
    """Five members trained together."""
    torch.manual_seed(seed)
    law = hybrid.bayes.ensemble(network(task), 5)
    return trained(law, parts, decay=0.03, draws=5, each=True)


def dropout(task, parts, seed):
    """Masks drawn like weights."""
    law = trained(fresh(task, seed, "dropout").train(), parts, decay=0.03)
    return hybrid.bayes.dropout(law)


METHODS = {
    "point": point,
    "mean_field": functools.partial(variational, hybrid.bayes.MeanField(prior_scale=0.3)),
    "low_rank": functools.partial(variational, hybrid.bayes.LowRank(rank=8, prior_scale=0.3)),
    "ensemble": ensemble,
    "dropout": dropout,
    "swag": swag,
    "laplace, last layer": functools.partial(laplace, "last_layer"),
    "laplace, Kronecker": functools.partial(laplace, "kronecker"),
    "sghmc": sghmc,
    "circuit, point": functools.partial(point, body="circuit"),
    "circuit, mean_field": functools.partial(
        variational, hybrid.bayes.MeanField(prior_scale=0.3), body="circuit"
    ),
}


# ------------------------------------------------------------------ judgement


@torch.no_grad()
def scores(law, test, scale):
    """RMSE or accuracy, NLL, calibration error, coverage."""
    x, y = test
    generator = torch.Generator().manual_seed(0)
    prediction = hybrid.predict(law, x, generator=generator)
    nll = -prediction.log_probability(y).mean()
    if prediction.states is None:
        low, high = prediction.interval(LEVEL)
        return {
            "rmse": float((prediction.mean - y).square().mean().sqrt()) * scale,
            "nll": float(nll) + math.log(scale),
            "coverage": float(((low <= y) & (y <= high)).double().mean()),
        }
    odds = prediction.probabilities
    ordered, order = odds.sort(-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    inside = (before < LEVEL).gather(-1, (order == y.unsqueeze(-1)).int().argmax(-1, keepdim=True))
    return {
        "accuracy": float((odds.argmax(-1) == y).double().mean()),
        "nll": float(nll),
        "ece": float(hybrid.uncertainty.calibration_error(odds, y, debiased=False)),
        "coverage": float(inside.double().mean()),
    }


def interval(values):
    """Mean and half width of its 95 % confidence interval, by Student's t."""
    from scipy import stats

    mean = statistics.mean(values)
    if len(values) < 2:
        return mean, math.nan
    width = stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean, float(width)


def table(name, found):
    """Markdown: means, and differences to the reference on the same splits."""
    measures = list(next(iter(found.values()))[0])[:-1]
    lines = [
        "| " + " | ".join([name, *measures, "NLL less that of point", "seconds"]) + " |",
        "| " + " | ".join(["---"] * (len(measures) + 3)) + " |",
    ]
    for method, rows in found.items():
        cells = [method]
        for measure in measures:
            mean, width = interval([row[measure] for row in rows])
            cells.append(f"{mean:.3g} ± {width:.2g}")
        pairs = zip(rows, found.get("point", rows), strict=False)
        mean, width = interval([row["nll"] - other["nll"] for row, other in pairs])
        cells += [
            f"{mean:+.3f} ± {width:.2g}",
            f"{statistics.mean(r['seconds'] for r in rows):.1f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    """Run, and write as it goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", choices=list(DATA), default=list(DATA))
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--splits", type=int, default=10)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = {}
    if arguments.output is not None and arguments.output.exists():
        known = json.loads(arguments.output.read_text())
    blocks = []
    for name in arguments.data:
        found = {}
        for method in arguments.methods:
            rows = known.get(f"{name}/{method}", [])
            for seed in range(len(rows), arguments.splits):
                parts, scale = split(name, seed)
                classes = 0 if name in REGRESSION else int(parts[0][1].max()) + 1
                begin = time.perf_counter()
                law = METHODS[method]((parts[0][0].shape[1], classes), parts, seed)
                seconds = time.perf_counter() - begin
                rows.append({**scores(law, parts[2], scale), "seconds": seconds})
                known[f"{name}/{method}"] = rows
                if arguments.output is not None:
                    arguments.output.write_text(json.dumps(known))
            found[method] = rows
            print(name, method, {k: round(v, 3) for k, v in rows[-1].items()}, flush=True)
        blocks.append(table(name, found))
        print(blocks[-1], flush=True)
    if arguments.markdown is not None:
        arguments.markdown.write_text("\n\n".join(blocks) + "\n")


if __name__ == "__main__":
    main()
