"""Tables from complete rows: maximum likelihood, and with a Dirichlet prior (floor 2)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from causal.columns import Mechanism
from causal.graph import Graph
from hybrid.pgm.learning.counting import family_counts, prior_counts, table_of
from hybrid.pgm.learning.rows import labels_of, numbered
from hybrid.pgm.networks.network import BayesianNetwork
from hybrid.pgm.networks.nodes import Table

__all__ = ["maximum_likelihood", "tables_in", "with_tables"]


def maximum_likelihood(
    network: BayesianNetwork | Graph,
    data: Any,
    *,
    pseudo_count: Any = 0.0,
    weights: Tensor | None = None,
) -> BayesianNetwork:
    r"""The network whose tables make complete rows most probable, in closed form.

    .. math:: \theta_{x \mid z} = \frac{N(z, x) + \alpha(z, x)}{\sum_{x'} N(z, x') + \alpha(z, x')}

    With :math:`\alpha > 0` these are the most probable tables under Dirichlet priors of parameters
    :math:`\alpha + 1`. A configuration of the parents that has no counts keeps its probabilities.

    Args:
        network: A network, whose tables are learned anew (laws, `NoisyOr` and `Deterministic`
            nodes stay as they are), or a graph, whose variables take their states from the data.
        data: Columns by name: a mapping or DataFrame of state numbers or names, none missing.
        pseudo_count: :math:`\alpha`: a number, or by variable a number or a table.
        weights: A weight for each row, (rows,).

    Returns:
        A new network.

    Raises:
        ValueError: A variable has no column, a value is missing or no state, a graph has
            bidirected edges.

    Source: Koller & Friedman, "Probabilistic Graphical Models" (2009), sections 17.2 and 17.4.

    Example:
        >>> rows = {"rain": ["no", "no", "yes", "no"], "wet": [0, 0, 1, 1]}
        >>> learned = maximum_likelihood(Graph.parse("rain -> wet"), rows)
        >>> learned.marginals({"rain": "no"})["wet"]
        tensor([0.6667, 0.3333], dtype=torch.float64)
    """
    start = network if isinstance(network, BayesianNetwork) else uniform(network, data)
    sizes = start.cardinalities
    columns = numbered(data, start.variables, start.states, sizes)
    tables = {}
    for name, old in tables_in(start).items():
        family = (*start.graph.parents(name), name)
        counts = family_counts(columns, family, sizes, weights)
        counts = counts + prior_counts(pseudo_count, name, tuple(counts.shape))
        tables[name] = table_of(counts, old)
    return with_tables(start, tables)


def uniform(graph: Graph, data: Any) -> BayesianNetwork:
    """A network of uniform tables whose states are those in the data."""
    sizes, labels = labels_of(data)
    missing = [name for name in graph.nodes if name not in sizes]
    if missing:
        raise ValueError(
            f"data have no column {missing[0]!r}, so its states are unknown: give a "
            "BayesianNetwork that says them"
        )
    tables = {}
    for name in graph.nodes:
        shape = [sizes[other] for other in (*graph.parents(name), name)]
        tables[name] = torch.full(shape, 1 / shape[-1], dtype=torch.float64)
    kept = {name: names for name, names in labels.items() if name in tables}
    return BayesianNetwork(graph, tables, states=kept)


def tables_in(network: BayesianNetwork) -> dict[str, Tensor]:
    r"""The values of the tables that learning may change, (\*parents' states, states).

    Example:
        >>> coin = BayesianNetwork(Graph(nodes=["C"]), {"C": [0.5, 0.5]})
        >>> tables_in(coin)
        {'C': tensor([0.5000, 0.5000], dtype=torch.float64)}
    """
    nodes = {name: network.node(name) for name in network.variables}
    return {
        name: node.probabilities().detach().double().cpu()
        for name, node in nodes.items()
        if type(node) is Table
    }


def with_tables(network: BayesianNetwork, tables: Mapping[str, Tensor]) -> BayesianNetwork:
    """The network with other tables; it shares all other nodes.

    Example:
        >>> coin = BayesianNetwork(Graph(nodes=["C"]), {"C": [0.5, 0.5]})
        >>> with_tables(coin, {"C": torch.tensor([0.25, 0.75])}).marginals()["C"]
        tensor([0.2500, 0.7500], dtype=torch.float64)
    """
    nodes: dict[str, Any] = {name: network.node(name) for name in network.variables}
    nodes |= {name: Mechanism(nodes[name], order) for name, order in network._orders.items()}
    for name, table in tables.items():
        nodes[name] = Table(table, trainable=nodes[name].trainable)
    made = BayesianNetwork(network.graph, nodes, states=network._labels)
    return made.to(dtype=network.unit.dtype, device=network.unit.device).train(network.training)
