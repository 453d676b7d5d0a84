"""Ours: `BayesianNetwork.marginals`, all rows at once."""

from collections.abc import Callable

import numpy as np
import torch
from peers.networks import Array, Network, Rows, serve

from causal.graph import Graph
from hybrid.pgm import BayesianNetwork


def bayesian_network(network: Network) -> BayesianNetwork:
    """The network; an axis of a table belongs to the parents sorted by name."""
    edges = [(parent, name) for name, above in network.parents.items() for parent in above]
    tables = {}
    for name, parents in network.parents.items():
        axes = [*map(parents.index, sorted(parents)), len(parents)]
        table = np.ascontiguousarray(np.transpose(network.tables[name], axes))
        tables[name] = torch.from_numpy(table)
    return BayesianNetwork(Graph(edges, nodes=network.names), tables)


def build(network: Network) -> Callable[[Rows], list[Array]]:
    """The public method; a column of numbers for each variable that some row observes."""
    made = bayesian_network(network)
    names = network.names

    def answer(rows: Rows) -> list[Array]:
        columns = torch.from_numpy(np.ascontiguousarray(rows.T)).unbind()
        evidence = dict(zip(names, columns, strict=True))
        with torch.no_grad():
            found = made.marginals(evidence)
        return [found[name].numpy() for name in names]

    return answer


if __name__ == "__main__":
    serve(build, ("borromean", "torch", "numpy"))
