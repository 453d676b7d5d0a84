"""Random mixed graphs and queries on them, and an answer held against the enumerated truth."""

import itertools

import numpy as np
from enumeration import Model
from expression_values import value

from causal.graph import Graph


def random_query(rng, least=3, most=6):
    """A graph, and outcomes, treatments and given of a query on it."""
    names = [f"V{k}" for k in range(rng.integers(least, most + 1))]
    pairs = list(itertools.combinations(rng.permutation(names).tolist(), 2))
    directed = [pair for pair in pairs if rng.random() < 0.45]
    bidirected = [pair for pair in pairs if rng.random() < 0.3]
    picked = rng.permutation(names).tolist()
    ends = np.cumsum([rng.integers(1, 3), rng.integers(0, 3), rng.integers(0, 3)])
    if rng.random() < 0.5:
        ends[2] = ends[1]
    outcomes, treatments, given = (
        set(picked[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)
    )
    return Graph(directed, bidirected, names), outcomes, treatments, given


class Experiments(dict):
    """The tables of a model by what was set, made when asked for."""

    def __init__(self, model):
        super().__init__({frozenset(): model.interventional()})
        self.model = model

    def __missing__(self, names):
        self[names] = self.model.interventional(names)
        return self[names]


def model_of(graph, rng, **options):
    return Model.random(graph.directed, graph.bidirected, graph.nodes, rng=rng, **options)


def error(estimand, model):
    """The largest deviation of the formula from the truth in a model."""
    names = sorted(model.nodes)
    supplied = {done: model.interventional(done) for done in estimand.experiments}
    asked = (estimand.outcomes, estimand.treatments, estimand.given)
    truth = model.query(*asked)
    kept = frozenset().union(*asked)
    shape = [model.cards[name] if name in kept else 1 for name in names]
    return np.abs(value(estimand.expression, names, supplied) - truth.reshape(shape)).max()


def flaw(estimand, model):
    """What is wrong with a derivation, step by step; None if it is a proof."""
    names, tables = sorted(model.nodes), Experiments(model)
    current = estimand.query
    for step in estimand.steps:
        if step.before is not current:
            return f"{step.rule} does not follow"
        if not step.verify(estimand.graph):
            return f"{step.rule} is not licensed"
        gap = value(step.before, names, tables) - value(step.after, names, tables)
        if np.abs(gap).max() > 1e-9:
            return f"{step.rule} changes the value"
        current = step.after
    return None if current is estimand.expression else "it does not end with the formula"
