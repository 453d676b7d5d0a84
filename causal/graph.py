"""Immutable causal graphs with directed and bidirected edges, in pure Python (floor 0)."""

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from causal.arrows import parse_arrows, write_arrows
from causal.bits import Bits, checked, each
from causal.formats.description import Description
from causal.formats.dot import is_dot, parse_dot, write_dagitty, write_dot
from causal.formats.gml import is_gml, parse_gml, write_gml
from causal.formats.networks import read_network, write_networkx, write_pgmpy

__all__ = ["Edge", "Graph"]

Edge = tuple[str, str]


@dataclass(frozen=True, init=False, repr=False, eq=False)
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
        bits: The same as sets of bits, for algorithms that walk the graph.

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

    bits: Bits

    def __init__(
        self,
        directed: Iterable[Edge] = (),
        bidirected: Iterable[Edge] = (),
        nodes: Iterable[str] = (),
    ) -> None:
        if isinstance(nodes, str):
            raise TypeError(f"nodes is a collection of names, got the string {nodes!r}")
        object.__setattr__(self, "bits", checked(directed, bidirected, nodes))
        _ = self.order  # a cycle is an error now, not later

    @classmethod
    def of(cls, bits: Bits) -> "Graph":
        """The graph of these bits, unchecked: what surgery on a checked graph leaves is a graph."""
        graph = object.__new__(cls)
        object.__setattr__(graph, "bits", bits)
        return graph

    @classmethod
    def parse(cls, text: str, *, keep_hidden: bool = False) -> "Graph":
        """Read arrow text, or DOT, dagitty's text or GML, which their first words tell apart.

        Arrow text is chains of names joined by ``->``, ``<-`` and ``<->``. Statements end with
        ``;``, ``,`` or a new line. A name alone is an isolated node. Names with blanks, quotes,
        hyphens or separators stand in quotes; inside, a backslash escapes.

        Args:
            text: For example ``"X -> M -> Y; X <-> Y; Z"`` or ``"dag { X -> Y }"``.
            keep_hidden: Whether nodes that the text marks as hidden stay nodes; else the graph is
                the latent projection on the others (see `project`).

        Raises:
            ValueError: The text is malformed (the message says where), or no graph.

        Example:
            >>> Graph.parse("X -> Y <- Z; 'blood pressure' -> Y")
            Graph.parse('X -> Y; Z -> Y; "blood pressure" -> Y')
            >>> Graph.parse("dag { U [latent]; U -> X; U -> Y; X -> Y }")
            Graph.parse('X -> Y; X <-> Y')
        """
        if not isinstance(text, str):
            raise TypeError(f"arrow text is a string, got {type(text).__name__}")
        if is_dot(text):
            return cls._described(parse_dot(text), keep_hidden)
        if is_gml(text):
            return cls._described(parse_gml(text), keep_hidden)
        directed, bidirected, nodes = parse_arrows(text)
        return cls(directed, bidirected, nodes)

    @classmethod
    def from_networkx(cls, network: Any, *, keep_hidden: bool = False) -> "Graph":
        """Read a directed graph of networkx: ``hidden=True`` at a node marks it as hidden.

        Example:
            >>> import networkx
            >>> Graph.from_networkx(networkx.DiGraph([("X", "Y")]))
            Graph.parse('X -> Y')
        """
        return cls._described(read_network(network), keep_hidden)

    @classmethod
    def from_pgmpy(cls, model: Any, *, keep_hidden: bool = False) -> "Graph":
        """Read a DAG, a Bayesian network or an ADMG of pgmpy: its ``latents`` are hidden."""
        return cls._described(read_network(model), keep_hidden)

    @classmethod
    def from_gml(cls, text: str, *, keep_hidden: bool = False) -> "Graph":
        """Read GML: ``observed "no"`` at a node marks it as hidden."""
        return cls._described(parse_gml(text), keep_hidden)

    @classmethod
    def _described(cls, found: Description, keep_hidden: bool) -> "Graph":
        graph = cls(found.directed, found.bidirected, found.nodes)
        return graph if keep_hidden or not found.hidden else graph.project(found.hidden)

    def _description(self, hidden: str | Iterable[str]) -> Description:
        edges = sorted(self.directed), sorted(self.bidirected)
        return Description(*edges, list(self.nodes), sorted(self.names(hidden)))

    def to_networkx(self, *, hidden: str | Iterable[str] = ()) -> Any:
        """A ``networkx.DiGraph``; each bidirected edge is a hidden node with two effects there.

        Example:
            >>> graph = Graph.parse("X -> Y; X <-> Y")
            >>> Graph.from_networkx(graph.to_networkx()) == graph
            True
        """
        return write_networkx(self._description(hidden))

    def to_pgmpy(self, *, hidden: str | Iterable[str] = ()) -> Any:
        """A ``pgmpy.base.DAG``; each bidirected edge is one of its ``latents`` there."""
        return write_pgmpy(self._description(hidden))

    def to_gml(self, *, hidden: str | Iterable[str] = ()) -> str:
        """GML; each bidirected edge is a node that is not observed there."""
        return write_gml(self._description(hidden))

    def to_dot(self, *, hidden: str | Iterable[str] = ()) -> str:
        """DOT for drawing; bidirected edges, and the nodes marked as hidden, are dashed.

        Example:
            >>> print(Graph.parse("X <-> Y").to_dot())
            digraph {
              X;
              Y;
              X -> Y [dir=both, style=dashed];
            }
        """
        return write_dot(self._description(hidden))

    def to_dagitty(self, *, hidden: str | Iterable[str] = ()) -> str:
        """Text for dagitty, the nodes marked as hidden ``[latent]``."""
        return write_dagitty(self._description(hidden))

    def __str__(self) -> str:
        joined = {name for edge in self.directed | self.bidirected for name in edge}
        isolated = [name for name in self.nodes if name not in joined]
        return write_arrows(sorted(self.directed), sorted(self.bidirected), isolated)

    def __repr__(self) -> str:
        return f"Graph.parse({str(self)!r})"

    def __contains__(self, name: object) -> bool:
        place = self.bits.index.get(name) if isinstance(name, str) else None
        return place is not None and bool(self.bits.nodes >> place & 1)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        if self.bits.names == other.bits.names:
            return self.bits == other.bits
        return self._parts == other._parts

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> tuple[type["Graph"], tuple[object, ...]]:
        return Graph, self._parts  # the cached hash of strings holds in one process only

    @cached_property
    def _hash(self) -> int:
        return hash(self._parts)

    @property
    def _parts(self) -> tuple[frozenset[Edge], frozenset[Edge], tuple[str, ...]]:
        return self.directed, self.bidirected, self.nodes

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """All nodes, sorted by name."""
        return tuple(self.bits.names[k] for k in each(self.bits.nodes))

    @cached_property
    def directed(self) -> frozenset[Edge]:
        """The directed edges."""
        names, rows = self.bits.names, self.bits.children
        return frozenset(
            (names[k], names[child]) for k in each(self.bits.nodes) for child in each(rows[k])
        )

    @cached_property
    def bidirected(self) -> frozenset[Edge]:
        """The bidirected edges, the ends of each sorted."""
        names, rows = self.bits.names, self.bits.siblings
        return frozenset(
            (names[k], names[other])
            for k in each(self.bits.nodes)
            for other in each(rows[k] >> k << k)
        )

    @cached_property
    def order(self) -> tuple[str, ...]:
        """The canonical topological order: of the nodes that may come next, the first by name."""
        waiting = [row.bit_count() for row in self.bits.parents]
        ready = [k for k in each(self.bits.nodes) if not waiting[k]]
        order: list[int] = []
        while ready:
            place = heapq.heappop(ready)
            order.append(place)
            for child in each(self.bits.children[place]):
                waiting[child] -= 1
                if not waiting[child]:
                    heapq.heappush(ready, child)
        if len(order) < self.bits.nodes.bit_count():
            raise ValueError(
                f"the graph has a directed cycle: {' -> '.join(self._cycle(order))}; "
                "a causal graph is acyclic"
            )
        return tuple(self.bits.names[k] for k in order)

    def _cycle(self, done: Iterable[int]) -> list[str]:
        """A cycle among the nodes that are left, each of which has a parent left."""
        left = self.bits.nodes & ~sum(1 << k for k in done)
        node = next(each(left))
        seen: list[int] = []
        while node not in seen:
            seen.append(node)
            node = next(each(self.bits.parents[node] & left))
        cycle = [*reversed(seen[seen.index(node) :])]
        first = cycle.index(min(cycle))
        return [self.bits.names[k] for k in [*cycle[first:], *cycle[:first], cycle[first]]]

    def names(self, names: str | Iterable[str]) -> frozenset[str]:
        """A name or names as a set, each of them a node.

        Raises:
            ValueError: One is not a node of the graph.
        """
        chosen = frozenset((names,) if isinstance(names, str) else names)
        unknown = sorted(str(name) for name in chosen if name not in self)
        if unknown:
            raise ValueError(f"unknown node(s) {unknown}: the graph has {list(self.nodes)}")
        return chosen

    def mask(self, names: str | Iterable[str]) -> int:
        """The bits of a name or names, each of them a node; see `causal.bits`."""
        index, mask = self.bits.index, 0
        for name in (names,) if isinstance(names, str) else names:
            place = index.get(name)
            if place is None or not self.bits.nodes >> place & 1:
                self.names((name,))  # says what is unknown, and what is known
            else:
                mask |= 1 << place
        return mask

    def _sorted(self, rows: tuple[int, ...], name: str) -> tuple[str, ...]:
        (chosen,) = self.names((name,))
        return tuple(self.bits.names[k] for k in each(rows[self.bits.index[chosen]]))

    def parents(self, name: str) -> tuple[str, ...]:
        """Direct causes of a node, sorted."""
        return self._sorted(self.bits.parents, name)

    def children(self, name: str) -> tuple[str, ...]:
        """Direct effects of a node, sorted."""
        return self._sorted(self.bits.children, name)

    def siblings(self, name: str) -> tuple[str, ...]:
        """Nodes joined to a node by a bidirected edge, sorted."""
        return self._sorted(self.bits.siblings, name)

    def ancestors(self, names: str | Iterable[str]) -> frozenset[str]:
        """The nodes from which a directed path leads to one of ``names``; these included.

        Example:
            >>> sorted(Graph.parse("X -> M -> Y").ancestors("M"))
            ['M', 'X']
        """
        return self.bits.named(self.bits.ancestors(self.mask(names)))

    def descendants(self, names: str | Iterable[str]) -> frozenset[str]:
        """The nodes to which a directed path leads from one of ``names``; these included.

        Example:
            >>> sorted(Graph.parse("X -> M -> Y").descendants({"M"}))
            ['M', 'Y']
        """
        return self.bits.named(self.bits.descendants(self.mask(names)))

    def district(self, name: str) -> frozenset[str]:
        """The nodes that bidirected paths join to a node; itself included."""
        return self.bits.named(self.bits.district(self.mask((name,))))

    @cached_property
    def districts(self) -> tuple[frozenset[str], ...]:
        """The partition of the nodes by bidirected paths, ordered by first name.

        Example:
            >>> [sorted(district) for district in Graph.parse("X -> M -> Y <-> X").districts]
            [['M'], ['X', 'Y']]
        """
        found: list[frozenset[str]] = []
        left = self.bits.nodes
        while left:
            district = self.bits.district(left & -left)
            found.append(self.bits.named(district))
            left &= ~district
        return tuple(found)

    def subgraph(self, names: str | Iterable[str]) -> "Graph":
        """The graph on ``names`` with the edges among them.

        Example:
            >>> print(Graph.parse("X -> M -> Y; X <-> Y").subgraph({"X", "Y"}))
            X <-> Y
        """
        return Graph.of(self.bits.subgraph(self.mask(names)))

    def remove_incoming(self, names: str | Iterable[str]) -> "Graph":
        """The graph without arrows into ``names``: directed ones, and bidirected ones at them.

        Example:
            >>> print(Graph.parse("Z -> X -> Y; X <-> Y").remove_incoming("X"))
            Z; X -> Y
        """
        return Graph.of(self.bits.remove_incoming(self.mask(names)))

    def remove_outgoing(self, names: str | Iterable[str]) -> "Graph":
        """The graph without directed edges out of ``names``; bidirected ones stay.

        Example:
            >>> print(Graph.parse("Z -> X -> Y; X <-> Y").remove_outgoing("X"))
            Z -> X; X <-> Y
        """
        return Graph.of(self.bits.remove_outgoing(self.mask(names)))

    def project(self, hidden: str | Iterable[str]) -> "Graph":
        """The latent projection: the graph on the other nodes, with ``hidden`` unobserved.

        A directed path through hidden nodes becomes ``->``; a path through hidden nodes with an
        arrowhead at both ends and no collider becomes ``<->``. Separation among the other nodes,
        and what interventions on them identify, stay as they were.

        Source: Verma (1993); Tian & Pearl, "On the testable implications of causal models with
        hidden variables" (2002), definition 5.

        Example:
            >>> print(Graph.parse("U -> X -> H -> Y <- U; Z -> U").project({"U", "H"}))
            X -> Y; Z -> X; Z -> Y; X <-> Y
        """
        order = [self.bits.index[name] for name in self.order]
        return Graph.of(self.bits.project(self.mask(hidden), order))
