"""pgmpy: VariableElimination for each variable of each row.

One query over all variables would build the joint table.
"""

import logging
from collections.abc import Callable

import numpy as np
from peers.networks import Array, Network, Rows, serve
from pgmpy.factors.discrete import TabularCPD
from pgmpy.inference import VariableElimination
from pgmpy.models import DiscreteBayesianNetwork


def build(network: Network) -> Callable[[Rows], list[Array]]:
    """One engine for all rows."""
    logging.disable(logging.WARNING)
    model = DiscreteBayesianNetwork()
    model.add_nodes_from(network.names)
    cards = network.cards
    for name, parents in network.parents.items():
        model.add_edges_from((parent, name) for parent in parents)
        values = network.tables[name].reshape(-1, cards[name]).T
        sizes = [cards[parent] for parent in parents]
        model.add_cpds(TabularCPD(name, cards[name], values, list(parents) or None, sizes or None))
    engine = VariableElimination(model)

    def one(name: str, number: int, evidence: dict[str, int]) -> Array:
        if number >= 0:
            return np.eye(cards[name])[number]
        values: Array = engine.query([name], evidence, show_progress=False).values
        return values

    def answer(rows: Rows) -> list[Array]:
        found: list[list[Array]] = [[] for _ in network.names]
        for row in rows:
            evidence = {name: int(k) for name, k in zip(network.names, row, strict=True) if k >= 0}
            for values, name, number in zip(found, network.names, row, strict=True):
                values.append(one(name, int(number), evidence))
        return [np.stack(values) for values in found]

    return answer


if __name__ == "__main__":
    serve(build, ("pgmpy", "numpy", "torch"))
