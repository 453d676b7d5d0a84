"""NBN: batched variable elimination, variable by variable; rows must share what is observed.

Rows that observe different variables are grouped. Its tables are float32, its default.
"""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import torch
from nbn import NeuralBayesianNetwork
from nbn.mechanisms import CategoricalTableMechanism
from peers.networks import Array, Network, Rows, serve


def _mechanism(table: torch.Tensor) -> CategoricalTableMechanism:
    """A table as NBN's own reader of BIF files makes it."""
    made = CategoricalTableMechanism()
    flat = table.reshape(-1, table.shape[-1])
    made._logits = torch.nn.Parameter(flat.float().clamp_min(1e-30).log())
    made._n_classes = table.shape[-1]
    made._set_parent_layout(list(table.shape[:-1]))
    made._class_values = torch.arange(table.shape[-1], dtype=torch.float)
    made.output_dim = 1
    return made


def build(network: Network) -> Callable[[Rows], list[Array]]:
    """A network whose plans are kept from one query to the next."""
    edges = [(parent, name) for name, above in network.parents.items() for parent in above]
    variables = {name: ("discrete", card) for name, card in network.cards.items()}
    model = NeuralBayesianNetwork(edges, variables, device="cpu")
    for name, parents in network.parents.items():
        own = list(model.dag.parents(name))
        table = np.transpose(network.tables[name], [*map(parents.index, own), len(parents)])
        model.set_mechanism(name, _mechanism(torch.from_numpy(np.ascontiguousarray(table))))
    names = network.names

    def answer(rows: Rows) -> list[Array]:
        groups: dict[bytes, list[int]] = defaultdict(list)
        for i, seen in enumerate(rows >= 0):
            groups[seen.tobytes()].append(i)
        found = [np.empty((len(rows), network.cards[name])) for name in names]
        with torch.no_grad():
            for members in groups.values():
                chosen = torch.from_numpy(rows[members])
                seen = np.flatnonzero(rows[members[0]] >= 0)
                evidence = {names[i]: chosen[:, i] for i in seen}
                for values, name in zip(found, names, strict=True):
                    values[members] = model.query_batch([name], evidence).numpy()
        return found

    return answer


if __name__ == "__main__":
    serve(build, ("nbn", "torch", "numpy"))
