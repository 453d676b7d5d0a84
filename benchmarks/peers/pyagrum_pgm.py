"""pyAgrum: LazyPropagation, one row after the other; float64 tables through its API."""

from collections.abc import Callable

import numpy as np
import pyagrum
from peers.networks import Array, Network, Rows, serve


def bayes_net(network: Network) -> pyagrum.BayesNet:
    """The network with the tables to the last bit (its BIF reader rounds to single precision)."""
    made = pyagrum.BayesNet()
    for name, card in network.cards.items():
        made.add(pyagrum.RangeVariable(name, name, 0, card - 1))
    for name, parents in network.parents.items():
        for parent in parents:
            made.addArc(parent, name)
    for name, parents in network.parents.items():
        own = (*parents, name)
        axes = [own.index(other) for other in reversed(made.cpt(name).names)]
        table = np.ascontiguousarray(np.transpose(network.tables[name], axes))
        made.cpt(name)[:] = table
        assert np.array_equal(made.cpt(name).toarray(), table)
    return made


def build(network: Network) -> Callable[[Rows], list[Array]]:
    """One engine whose evidence changes from row to row."""
    made = bayes_net(network)
    engine = pyagrum.LazyPropagation(made)
    engine.setNumberOfThreads(1)
    names = network.names
    numbers = [made.idFromName(name) for name in names]

    def answer(rows: Rows) -> list[Array]:
        found: list[list[Array]] = [[] for _ in names]
        for row in rows:
            seen = np.flatnonzero(row >= 0)
            engine.setEvidence({names[i]: int(row[i]) for i in seen})
            engine.makeInference()
            for values, number in zip(found, numbers, strict=True):
                values.append(engine.posterior(number).toarray())
        return [np.stack(values) for values in found]

    return answer


if __name__ == "__main__":
    serve(build, ("pyagrum", "numpy"))
