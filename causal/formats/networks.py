"""Graphs of networkx and pgmpy, which are imported where they are made and only there.

Neither has bidirected edges in its plain graphs: each becomes a hidden node with two effects, so
that separation and inference there are right, and is marked, so that it is read back as an edge.
"""

from collections.abc import Mapping
from typing import Any

from causal.formats.description import Description, canonical, is_hidden, restored

__all__ = ["read_network", "write_networkx", "write_pgmpy"]


def read_network(network: Any) -> Description:
    """Read a directed graph of networkx, or a graph or network of pgmpy, which are such graphs.

    Hidden nodes have an attribute ``hidden=True``, ``latent=True`` or ``observed="no"``, or are in
    pgmpy's ``latents``; bidirected edges an attribute ``type="bidirected"`` (pgmpy's mixed graph)
    or ``bidirected=True``.

    Raises:
        TypeError: It is no graph of networkx, or a node is called otherwise than by a string.
        ValueError: Edges have no direction.

    Example:
        >>> import networkx
        >>> network = networkx.DiGraph([("X", "Y"), ("U", "Y")])
        >>> network.nodes["U"]["hidden"] = True
        >>> read_network(network).hidden
        ['U']
    """
    if not (hasattr(network, "is_directed") and hasattr(network, "edges")):
        raise TypeError(f"expected a graph of networkx or pgmpy, got {type(network).__name__}")
    if not network.is_directed() or getattr(network, "undirected_edges", None):
        raise ValueError(
            f"the {type(network).__name__} has edges without a direction (or marks at their ends): "
            "a causal graph is made from a networkx.DiGraph or a pgmpy DAG, network or ADMG"
        )
    for name in network.nodes:
        if not isinstance(name, str):
            raise TypeError(
                f"node names are strings, got {name!r}; networkx.relabel_nodes(network, str) helps"
            )
    hidden = set(getattr(network, "latents", ()))
    nodes: dict[str, Mapping[str, object]] = {
        name: {**said, "hidden": name in hidden or is_hidden(said)}
        for name, said in network.nodes(data=True)
    }
    directed: list[tuple[str, str]] = []
    bidirected: list[tuple[str, str]] = []
    for first, second, said in network.edges(data=True):
        both = said.get("type") == "bidirected" or said.get("bidirected") in (True, 1)
        (bidirected if both else directed).append((first, second))
    return restored(directed, bidirected, nodes)


def write_networkx(described: Description) -> Any:
    """A ``networkx.DiGraph`` with an attribute ``hidden`` at each node.

    Example:
        >>> network = write_networkx(Description([("X", "Y")], [("X", "Y")], ["X", "Y"]))
        >>> sorted(network.edges)
        [('U_X_Y', 'X'), ('U_X_Y', 'Y'), ('X', 'Y')]
    """
    import networkx as nx

    return _filled(nx.DiGraph(), described)


def write_pgmpy(described: Description) -> Any:
    """A ``pgmpy.base.DAG`` with its ``latents``.

    Example:
        >>> from causal.formats.description import restored
        >>> network = write_pgmpy(restored([("X", "Y")], [], {"X": {}, "Y": {}}))
        >>> list(network.edges)
        [('X', 'Y')]
    """
    from pgmpy.base import DAG

    network = _filled(DAG(), described)
    network.latents = {name for name, said in network.nodes(data=True) if said["hidden"]}
    return network


def _filled(network: Any, described: Description) -> Any:
    for name in described.nodes:
        network.add_node(name, hidden=name in described.hidden)
    network.add_edges_from(described.directed)
    for name, ends in canonical(described):
        network.add_node(name, hidden=True, bidirected=True)
        network.add_edges_from((name, end) for end in ends)
    return network
