"""Immutable causal graphs with directed and bidirected edges, in pure Python (floor 0)."""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from causal.arrows import parse_arrows, write_arrows

__all__ = ["Edge", "Graph"]

Edge = tuple[str, str]


def _edges(kind: str, arrow: str, edges: Iterable[Edge], symmetric: bool) -> frozenset[Edge]:
    """Checked edges; symmetric ones with their ends sorted."""
    found: set[Edge] = set()
    for edge in edges:
        if isinstance(edge, str) or len(edge) != 2:
            raise ValueError(f"a {kind} edge is a pair of names, got {edge!r}")
        first, second = edge
        if first == second:
            raise ValueError(f"self-loop {first} {arrow} {second}: a node cannot cause itself")
        pair = (second, first) if symmetric and second < first else (first, second)
        if pair in found:
            raise ValueError(f"duplicate edge {first} {arrow} {second}: state each edge once")
        found.add(pair)
    return frozenset(found)


@dataclass(frozen=True, init=False, repr=False)
class Graph:
    """An acyclic directed mixed graph: causes ``X -> Y`` and unobserved common causes ``X <-> Y``.

    Equality and hash ignore the order in which nodes and edges were given.

    Args:
        directed: Pairs (cause, effect).
        bidirected: Pairs that share an unobserved cause, in either order.
        nodes: Further nodes, those without an edge; the ends of edges need not be repeated.

    Attributes:
        directed: The directed edges.
        bidirected: The bidirected edges, the ends of each sorted.
        nodes: All nodes, sorted by name.

    Raises:
        ValueError: A directed cycle, a self-loop, a duplicate edge or an empty name.
        TypeError: A name is not a string.

    Example:
        >>> graph = Graph(directed=[("X", "M"), ("M", "Y")], bidirected=[("Y", "X")])
        >>> graph == Graph.parse("M -> Y <-> X -> M")
        True
        >>> graph.nodes, graph.order
        (('M', 'X', 'Y'), ('X', 'M', 'Y'))
    """

    directed: frozenset[Edge]
    bidirected: frozenset[Edge]
    nodes: tuple[str, ...]

    def __init__(
        self,
        directed: Iterable[Edge] = (),
        bidirected: Iterable[Edge] = (),
        nodes: Iterable[str] = (),
    ) -> None:
        if isinstance(nodes, str):
            raise TypeError(f"nodes is a collection of names, got the string {nodes!r}")
        arrows = _edges("directed", "->", directed, symmetric=False)
        arcs = _edges("bidirected", "<->", bidirected, symmetric=True)
        names = {*nodes, *(name for edge in arrows | arcs for name in edge)}
        for name in names:
            if not isinstance(name, str):
                raise TypeError(f"node names are strings, got {name!r}")
            if not name:
                raise ValueError("a node name is empty")
        object.__setattr__(self, "directed", arrows)
        object.__setattr__(self, "bidirected", arcs)
        object.__setattr__(self, "nodes", tuple(sorted(names)))
        _ = self.order  # a cycle is an error now, not later

    @classmethod
    def parse(cls, text: str) -> "Graph":
        """Read arrow text: chains of names joined by ``->``, ``<-`` and ``<->``.

        Statements end with ``;``, ``,`` or a new line. A name alone is an isolated node. Names with
        blanks, quotes, hyphens or separators stand in quotes; inside, a backslash escapes.

        Args:
            text: For example ``"X -> M -> Y; X <-> Y; Z"``.

        Raises:
            ValueError: The text is malformed (the message says where), or no graph.

        Example:
            >>> Graph.parse("X -> Y <- Z; 'blood pressure' -> Y")
            Graph.parse('X -> Y; Z -> Y; "blood pressure" -> Y')
        """
        if not isinstance(text, str):
            raise TypeError(f"arrow text is a string, got {type(text).__name__}")
        directed, bidirected, nodes = parse_arrows(text)
        return cls(directed, bidirected, nodes)

    def __str__(self) -> str:
        joined = {name for edge in self.directed | self.bidirected for name in edge}
        isolated = [name for name in self.nodes if name not in joined]
        return write_arrows(sorted(self.directed), sorted(self.bidirected), isolated)

    def __repr__(self) -> str:
        return f"Graph.parse({str(self)!r})"

    def __contains__(self, name: object) -> bool:
        return name in self._parents

    @cached_property
    def _parents(self) -> Mapping[str, frozenset[str]]:
        return self._adjacent((effect, cause) for cause, effect in self.directed)

    @cached_property
    def _children(self) -> Mapping[str, frozenset[str]]:
        return self._adjacent(self.directed)

    @cached_property
    def _siblings(self) -> Mapping[str, frozenset[str]]:
        return self._adjacent(e for a, b in self.bidirected for e in ((a, b), (b, a)))

    def _adjacent(self, pairs: Iterable[Edge]) -> Mapping[str, frozenset[str]]:
        found: dict[str, set[str]] = {name: set() for name in self.nodes}
        for name, neighbour in pairs:
            found[name].add(neighbour)
        return {name: frozenset(neighbours) for name, neighbours in found.items()}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The canonical topological order: of the nodes that may come next, the first by name."""
        waiting = {name: len(parents) for name, parents in self._parents.items()}
        ready = [name for name in self.nodes if not waiting[name]]
        order: list[str] = []
        while ready:
            name = heapq.heappop(ready)
            order.append(name)
            for child in self._children[name]:
                waiting[child] -= 1
                if not waiting[child]:
                    heapq.heappush(ready, child)
        if len(order) < len(self.nodes):
            raise ValueError(
                f"the graph has a directed cycle: {' -> '.join(self._cycle(set(order)))}; "
                "a causal graph is acyclic"
            )
        return tuple(order)

    def _cycle(self, done: set[str]) -> list[str]:
        """A cycle among the nodes that are left, each of which has a parent left."""
        node = min(set(self.nodes) - done)
        seen: list[str] = []
        while node not in seen:
            seen.append(node)
            node = min(self._parents[node] - done)
        cycle = [*reversed(seen[seen.index(node) :])]
        first = cycle.index(min(cycle))
        return [*cycle[first:], *cycle[:first], cycle[first]]

    def names(self, names: str | Iterable[str]) -> frozenset[str]:
        """A name or names as a set, each of them a node.

        Raises:
            ValueError: One is not a node of the graph.
        """
        chosen = frozenset((names,) if isinstance(names, str) else names)
        unknown = sorted(str(name) for name in chosen if name not in self._parents)
        if unknown:
            raise ValueError(f"unknown node(s) {unknown}: the graph has {list(self.nodes)}")
        return chosen

    def _one(self, name: str) -> str:
        return next(iter(self.names((name,))))

    def parents(self, name: str) -> tuple[str, ...]:
        """Direct causes of a node, sorted."""
        return tuple(sorted(self._parents[self._one(name)]))

    def children(self, name: str) -> tuple[str, ...]:
        """Direct effects of a node, sorted."""
        return tuple(sorted(self._children[self._one(name)]))

    def siblings(self, name: str) -> tuple[str, ...]:
        """Nodes joined to a node by a bidirected edge, sorted."""
        return tuple(sorted(self._siblings[self._one(name)]))

    def ancestors(self, names: str | Iterable[str]) -> frozenset[str]:
        """The nodes from which a directed path leads to one of ``names``; these included.

        Example:
            >>> sorted(Graph.parse("X -> M -> Y").ancestors("M"))
            ['M', 'X']
        """
        return self._reach(names, self._parents)

    def descendants(self, names: str | Iterable[str]) -> frozenset[str]:
        """The nodes to which a directed path leads from one of ``names``; these included.

        Example:
            >>> sorted(Graph.parse("X -> M -> Y").descendants({"M"}))
            ['M', 'Y']
        """
        return self._reach(names, self._children)

    def district(self, name: str) -> frozenset[str]:
        """The nodes that bidirected paths join to a node; itself included."""
        return self._reach(name, self._siblings)

    def _reach(
        self, names: str | Iterable[str], neighbours: Mapping[str, frozenset[str]]
    ) -> frozenset[str]:
        reached = set(self.names(names))
        pending = list(reached)
        while pending:
            fresh = neighbours[pending.pop()] - reached
            reached |= fresh
            pending.extend(fresh)
        return frozenset(reached)

    @cached_property
    def districts(self) -> tuple[frozenset[str], ...]:
        """The partition of the nodes by bidirected paths, ordered by first name.

        Example:
            >>> [sorted(district) for district in Graph.parse("X -> M -> Y <-> X").districts]
            [['M'], ['X', 'Y']]
        """
        found: list[frozenset[str]] = []
        placed: set[str] = set()
        for name in self.nodes:
            if name not in placed:
                found.append(self.district(name))
                placed |= found[-1]
        return tuple(found)

    def subgraph(self, names: str | Iterable[str]) -> "Graph":
        """The graph on ``names`` with the edges among them.

        Example:
            >>> print(Graph.parse("X -> M -> Y; X <-> Y").subgraph({"X", "Y"}))
            X <-> Y
        """
        kept = self.names(names)
        return Graph(
            (e for e in self.directed if kept.issuperset(e)),
            (e for e in self.bidirected if kept.issuperset(e)),
            kept,
        )

    def remove_incoming(self, names: str | Iterable[str]) -> "Graph":
        """The graph without arrows into ``names``: directed ones, and bidirected ones at them.

        Example:
            >>> print(Graph.parse("Z -> X -> Y; X <-> Y").remove_incoming("X"))
            Z; X -> Y
        """
        cut = self.names(names)
        return Graph(
            (e for e in self.directed if e[1] not in cut),
            (e for e in self.bidirected if cut.isdisjoint(e)),
            self.nodes,
        )

    def remove_outgoing(self, names: str | Iterable[str]) -> "Graph":
        """The graph without directed edges out of ``names``; bidirected ones stay.

        Example:
            >>> print(Graph.parse("Z -> X -> Y; X <-> Y").remove_outgoing("X"))
            Z -> X; X <-> Y
        """
        cut = self.names(names)
        return Graph((e for e in self.directed if e[0] not in cut), self.bidirected, self.nodes)
