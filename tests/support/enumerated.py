"""Enumerated models as the library's tables: the joint, its experiments, the true answers."""

import math

import torch
from enumeration import Model

from causal.factor import Factor


def drawn(graph, seed, *, cell=None, **options):
    """A random model on a graph; ``cell`` is met where so many cells can have it."""
    cards = options.get("cards", 2)
    count = math.prod(cards if isinstance(cards, int) else cards.get(v, 2) for v in graph.nodes)
    if cell is not None and count * cell > 0.7:
        cell = None
    return Model.random(
        graph.directed, graph.bidirected, graph.nodes, rng=seed, cell=cell, **options
    )


def joint(model):
    """P(V) as a Factor."""
    return Factor(sorted(model.nodes), torch.from_numpy(model.observational()))


def experiments(model):
    """A callable from a set of names to the Factor of the experiment that sets them."""
    return lambda names: Factor(sorted(model.nodes), torch.from_numpy(model.interventional(names)))


def truth(model, outcomes, treatments=(), given=()):
    """The Factor P(outcomes | do(treatments), given)."""
    sets = [{s} if isinstance(s, str) else set(s) for s in (outcomes, treatments, given)]
    return Factor(sorted(set.union(*sets)), torch.from_numpy(model.query(*sets)))
