"""Rows of evidence on shipped networks, written where pyAgrum can read them."""

import json
from pathlib import Path

import numpy as np
from network_files import shipped

from hybrid.pgm.formats.description import Description


def normalised(name: str) -> Description:
    """A shipped network whose tables sum to one as closely as float64 allows."""
    read = shipped(name)
    tables = {own: table / table.sum(-1, keepdims=True) for own, table in read.tables.items()}
    return Description(read.states, read.parents, tables, read.name)


def sampled(network: Description, rows: int, random: np.random.Generator) -> np.ndarray:
    """States of all variables (rows, variables), drawn from the network."""
    states: dict[str, np.ndarray] = {}
    while len(states) < len(network.states):
        for name, parents in network.parents.items():
            if name in states or not all(parent in states for parent in parents):
                continue
            weights = network.tables[name][tuple(states[parent] for parent in parents)]
            weights = np.broadcast_to(weights, (rows, weights.shape[-1])).cumsum(-1)
            draws = random.random((rows, 1)) * weights[:, -1:]
            states[name] = (draws > weights).sum(-1)
    return np.stack([states[name] for name in network.states], -1)


def hidden(states: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    """The same with a share of each row's variables kept and −1 for all others."""
    seen = max(1, round(share * states.shape[-1]))
    ranks = random.random(states.shape).argsort(-1).argsort(-1)
    return np.where(ranks < seen, states, -1)


def write_case(path: Path, network: Description, evidence: np.ndarray) -> None:
    """The file that `benchmarks/peers/pyagrum_answers.py` reads."""
    parents = json.dumps({name: list(above) for name, above in network.parents.items()})
    tables = {f"t{i}": table for i, table in enumerate(network.tables.values())}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, parents=np.array(parents), evidence=evidence, **tables)
