"""What a network checks when it is put together (floor 2)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from causal.columns import Mechanism as Ordered
from causal.draws import fixed, seeded
from causal.factor import Factor
from causal.graph import Graph
from causal.law import states_of
from hybrid.pgm.networks.configurations import Mechanism, conditional_table, simulated
from hybrid.pgm.networks.labels import checked_labels
from hybrid.pgm.networks.nodes import Contextual, Deterministic, NoisyOr, Table
from hybrid.pgm.networks.structure import Structure

__all__ = ["Assembly", "assembled", "mechanism"]

States = Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class Assembly:
    """The checked parts of a network.

    Args:
        structure: Variables and parents.
        labels: Names of the states, of the variables that have them.
        tables: The module that holds each table.
        laws: The Law (or Contextual) of each other variable.
        orders: The parents of each Law, in the order of its columns.

    Example:
        >>> assembled(Graph.parse("X"), {"X": [0.5, 0.5]}, {}).structure.names
        ('X',)
    """

    structure: Structure
    labels: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, nn.Module]
    laws: Mapping[str, nn.Module]
    orders: Mapping[str, tuple[str, ...]]


def assembled(graph: Graph, nodes: Mapping[str, Any], states: States) -> Assembly:
    """Check the nodes of a network against its graph, and each against the others.

    Args:
        graph: A graph without bidirected edges.
        nodes: For each node a table, a Factor, a Table, a Law, Deterministic, NoisyOr or
            Contextual.
        states: Names of states by variable.

    Raises:
        ValueError: Hidden causes, missing or superfluous nodes, tables of the wrong shape, a
            continuous variable with children, a law that does not take its context.
        TypeError: Something that is no graph, or no node.

    Example:
        >>> assembled(Graph.parse("X -> Y"), {"X": [0.5, 0.5], "Y": [0.5, 0.5]}, {})
        Traceback (most recent call last):
        ValueError: the table of 'Y' has shape (2,): expected (2, 2) for ('X', 'Y')
    """
    _check_graph(graph, nodes)
    kinds = {name: _kind(name, nodes[name], graph.parents(name)) for name in graph.nodes}
    for name, kind in kinds.items():
        if isinstance(kind, Table | NoisyOr):
            kind.arrange(name, graph.parents(name))
    sizes = {name: _size(name, kind) for name, kind in kinds.items()}
    _check_leaves(graph, sizes)
    tables: dict[str, nn.Module] = {}
    laws: dict[str, nn.Module] = {}
    for name, kind in kinds.items():
        above = tuple(int(sizes[parent] or 0) for parent in graph.parents(name))
        if isinstance(kind, Deterministic):
            kind = Table(kind.table(name, above))
            kind.arrange(name, graph.parents(name))
        if isinstance(kind, Table | NoisyOr):
            _check_shape(name, graph.parents(name), kind, (*above, int(sizes[name] or 0)))
            tables[name] = kind
        else:
            laws[name] = kind
    finite = {name: size for name, size in sizes.items() if size is not None}
    orders = {name: _order(nodes[name], graph.parents(name)) for name in laws}
    return Assembly(
        structure=_structure(graph, finite),
        labels=checked_labels(_all_labels(nodes, states), finite),
        tables=tables,
        laws=laws,
        orders=orders,
    )


def _check_graph(graph: Graph, nodes: Mapping[str, Any]) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(f"expected a causal.Graph, got {graph!r}: use Graph.parse for arrow text")
    if not isinstance(nodes, Mapping):
        raise TypeError(f"nodes are given by name, {{name: table or law}}, got {nodes!r}")
    if graph.bidirected:
        edges = ", ".join(f"{a} <-> {b}" for a, b in sorted(graph.bidirected))
        raise ValueError(
            f"the graph has hidden common causes ({edges}): a Bayesian network has a table for "
            "each variable, so put every hidden cause in the graph as a node"
        )
    missing, extra = sorted(set(graph.nodes) - set(nodes)), sorted(set(nodes) - set(graph.nodes))
    if missing:
        raise ValueError(f"no table or law for {missing}: give one for each of {list(graph.nodes)}")
    if extra:
        raise ValueError(f"tables for {extra}, which the graph lacks: it has {list(graph.nodes)}")
    if not graph.nodes:
        raise ValueError("the graph has no nodes: a network has one variable at least")


def _kind(name: str, node: Any, parents: Sequence[str]) -> Any:
    """A node as one of the kinds."""
    if isinstance(node, Ordered):
        if tuple(sorted(node.parents)) != tuple(parents):
            raise ValueError(
                f"the Mechanism of {name!r} states the parents {list(node.parents)}: expected each "
                f"of {list(parents)} once"
            )
        node = node.law
    if isinstance(node, Table | NoisyOr | Deterministic | Contextual):
        return node
    if isinstance(node, nn.Module):
        lacking = [part for part in ("event_shape", "support") if not hasattr(node, part)]
        if lacking:
            raise TypeError(f"the law of {name!r} is no Law: {type(node).__name__} lacks {lacking}")
        return node
    if isinstance(node, Factor | Tensor | list | tuple) or hasattr(node, "__array__"):
        try:
            return Table(node)
        except (ValueError, TypeError) as error:
            text = str(error).replace("'this Table'", repr(name))
            for place, parent in enumerate(parents):
                text = text.replace(f"axis {place}=", f"{parent}=")
            text = text.replace(str([f"axis {k}" for k in range(len(parents))]), str(list(parents)))
            raise type(error)(text if repr(name) in text else f"{name!r}: {text}") from error
    raise TypeError(
        f"the node {name!r} is a {type(node).__name__}: expected a table, a causal.Factor, Table, "
        "a Law, Deterministic, NoisyOr or Contextual"
    )


def _size(name: str, kind: Any) -> int | None:
    """A variable's number of states; None for a continuous one."""
    if isinstance(kind, Deterministic):
        return kind.states if isinstance(kind.states, int) else len(kind.states)
    if isinstance(kind, Table | NoisyOr):
        return kind.states
    law = kind.law if isinstance(kind, Contextual) else kind
    try:
        return states_of(law)
    except ValueError as error:
        raise ValueError(f"the law of {name!r}: {error}") from error


def _check_leaves(graph: Graph, sizes: Mapping[str, int | None]) -> None:
    for name, size in sizes.items():
        if size is None and graph.children(name):
            raise ValueError(
                f"{name!r} is continuous and has the children {list(graph.children(name))}: exact "
                "inference takes continuous variables without children; give it a law with "
                "states, or use a causal.SCM"
            )


def _check_shape(name: str, parents: Sequence[str], kind: Any, expected: tuple[int, ...]) -> None:
    if kind.shape != expected:
        what = "NoisyOr of" if isinstance(kind, NoisyOr) else "table of"
        raise ValueError(
            f"the {what} {name!r} has shape {kind.shape}: expected {expected} for "
            f"({', '.join(map(repr, (*parents, name)))}{',' if not parents else ''})"
        )


def _order(node: Any, parents: Sequence[str]) -> tuple[str, ...]:
    return tuple(node.parents if isinstance(node, Ordered) else parents)


def _structure(graph: Graph, finite: Mapping[str, int]) -> Structure:
    names = tuple(name for name in graph.nodes if name in finite)
    number = {name: place for place, name in enumerate(names)}
    leaves = tuple(name for name in graph.nodes if name not in finite)
    return Structure(
        names,
        tuple(finite[name] for name in names),
        tuple(tuple(number[parent] for parent in graph.parents(name)) for name in names),
        leaves,
        tuple(tuple(number[parent] for parent in graph.parents(name)) for name in leaves),
    )


def _all_labels(nodes: Mapping[str, Any], states: States) -> dict[str, Sequence[str]]:
    """Names of states, wherever they were given."""
    found: dict[str, Sequence[str]] = dict(states)
    for owner, node in nodes.items():
        said: dict[str, Sequence[str]] = {}
        if isinstance(node, Factor):
            said = dict(node.states)
        elif isinstance(node, Table):
            said = dict(node.labels)
        elif isinstance(node, Deterministic) and node.labels is not None:
            said = {owner: node.labels}
        for name, labels in said.items():
            if tuple(found.setdefault(name, labels)) != tuple(labels):
                raise ValueError(
                    f"{name!r} has the states {list(labels)} in the table of {owner!r} and "
                    f"{list(found[name])} elsewhere"
                )
    return found


def mechanism(structure: Structure, name: str, law: nn.Module, order: tuple[str, ...]) -> Mechanism:
    """A Law, or a Contextual one, in its place.

    Example:
        >>> from hybrid.heads.classes import Bernoulli
        >>> mechanism(Structure(("X",), (2,), ((),)), "X", Bernoulli(None), ()).configurations
        1
    """
    sizes = tuple(structure.cardinalities[structure.index[parent]] for parent in order)
    contextual = isinstance(law, Contextual)
    return Mechanism(
        name, law.law if isinstance(law, Contextual) else law, order, sizes, contextual
    )


def tried(module: nn.Module, mechanisms: Sequence[Mechanism], like: Tensor) -> None:
    """Bind the columns of Laws and run those that need no context, without touching any state.

    Raises:
        ValueError: A Law does not take its columns, or returns what it does not state.
    """
    training = [part for part in module.modules() if part.training]
    module.eval()
    generator = torch.Generator().manual_seed(0)
    try:
        with torch.no_grad(), seeded(generator), fixed(module):
            for node in mechanisms:
                if not node.contextual:
                    _try(node, like)
    finally:
        for part in training:
            part.training = True


def _try(node: Mechanism, like: Tensor) -> None:
    bind = getattr(node.law, "bind_columns", None)
    if callable(bind):
        try:
            bind(node.columns)
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(
                f"the law of {node.name!r} does not take the columns {list(node.columns)}: {error}"
            ) from error
    if states_of(node.law) is not None:
        conditional_table(node, None, like, None)
        return
    rows = max(1, min(2, math.prod(node.sizes)))
    states = [torch.zeros(1, rows, dtype=torch.long, device=like.device) for _ in node.sizes]
    simulated(node, states, None, (1, rows), None, None)
