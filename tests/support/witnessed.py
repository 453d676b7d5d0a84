"""Pairs of models from `disagreement`, checked by enumeration and not by the library."""

import itertools
import math

import numpy as np
from enumeration import Model

LARGEST = 3e7  # states of hidden causes and noises that a counterfactual is summed over


def enumerated(model):
    """A witness's model as the oracle's: noises by inverting cumulated probabilities."""
    graph, shape = model.graph, model.shape
    cards = {v: shape.states[v] for v in graph.nodes}
    parents = {v: graph.parents(v) for v in graph.nodes}
    hidden = {edge: model.blocks[edge].numpy() for edge in sorted(shape.graph.bidirected)}
    noise, tables = {}, {}
    for v in graph.nodes:
        block, used = model.blocks[v].numpy(), shape.graph.parents(v)
        assert block.min() > 0
        np.testing.assert_allclose(block.sum(0), 1, atol=1e-13)
        upper = np.cumsum(block, 0)[:-1]
        cuts = np.unique(np.concatenate([[0.0, 1.0], upper.ravel()]))
        noise[v] = np.diff(cuts)
        middle = (cuts[1:] + cuts[:-1]) / 2
        drawn = (upper[..., None] < middle).sum(0)  # axes (rest of the block, noise)
        if v in shape.functions:
            states = shape.functions[v].numpy().argmax(-1)  # axes (response, parents)
            table = states[drawn]  # axes (hidden, noise, parents)
            lead = drawn.ndim
            table = np.moveaxis(table, range(lead, lead + len(used)), range(len(used)))
        else:
            table = drawn  # axes (parents, hidden, noise)
        index = [slice(None) if p in used else None for p in parents[v]]
        table = table[tuple(index)]
        sizes = [cards[p] for p in parents[v]]
        tables[v] = np.broadcast_to(table, (*sizes, *table.shape[len(sizes) :]))
    return Model(graph.order, parents, cards, hidden, noise, tables)


def check_interventional(found, outcomes, treatments=(), given=(), experiments=((),)):
    """The two models agree to 1e-12 on all that was supplied and differ by 1e-3: (≤, ≥)."""
    first, second = map(enumerated, found.models)
    sets = [{s} if isinstance(s, str) else set(s) for s in (outcomes, treatments, given)]
    apart = abs(first.query(*sets) - second.query(*sets)).max()
    return agreed(found, first, second, experiments), check(found, apart)


def check_counterfactual(found, events, given=(), available="experiments"):
    """The same for counterfactual events; by the library's sums where enumeration is too long."""
    first, second = map(enumerated, found.models)
    size = math.prod(map(len, first.hidden.values()))
    joined = {v for edge in found.essential.directed | found.essential.bidirected for v in edge}
    longest = max(size * math.prod(len(m.noise[v]) for v in joined) for m in (first, second))
    subsets = [*powerset(first.nodes)] if available == "experiments" else [()]
    agreement = agreed(found, first, second, subsets)
    if longest > LARGEST:
        return agreement, check(found, found.difference)
    asked, known = ([triple(e) for e in part] for part in (events, given))
    values = [m.counterfactual(asked, known) for m in (first, second)]
    return agreement, check(found, abs(values[0] - values[1]))


def powerset(names):
    """All subsets, small ones first."""
    sizes = range(len(names) + 1)
    return itertools.chain.from_iterable(itertools.combinations(names, size) for size in sizes)


def agreed(found, first, second, experiments):
    """The largest difference in the supplied distributions, at most 1e-12."""
    tables = ((first.interventional(do), second.interventional(do)) for do in experiments)
    most = max(abs(one - other).max() for one, other in tables)
    assert most <= 1e-12, f"{found}: by enumeration they differ by {most} in what is supplied"
    for m in (first, second):
        assert m.observational().min() > 0
    return most


def check(found, apart):
    """The difference on the query, at least 1e-3 and as stated."""
    assert apart >= 1e-3, f"{found}: by enumeration they differ by {apart} only"
    assert abs(apart - found.difference) < 1e-10
    return apart


def triple(event):
    """An Event as the oracle's triple, its states by number."""
    do = {
        name: to if isinstance(to, int) else (to.variable, None, triple(to)[2])
        for name, to in event.do
    }
    return event.variable, event.value, do
