"""A mixed graph as sets of bits, for algorithms that walk it, in pure Python (floor 0)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["Bits", "checked", "closure", "each"]

Edge = tuple[str, str]


def each(mask: int) -> Iterator[int]:
    """The numbers of the bits that are set, ascending.

    Example:
        >>> list(each(0b1101))
        [0, 2, 3]
    """
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def closure(mask: int, neighbours: Sequence[int]) -> int:
    """All that is reached from ``mask`` along ``neighbours``, itself included.

    Example:
        >>> bin(closure(0b001, (0b010, 0b100, 0)))
        '0b111'
    """
    reached = pending = mask
    while pending:
        low = pending & -pending
        fresh = neighbours[low.bit_length() - 1] & ~reached
        reached |= fresh
        pending = (pending ^ low) | fresh
    return reached


@dataclass(frozen=True, slots=True)
class Bits:
    """Nodes and edges of a graph as integers: node number k is bit k.

    Surgery keeps the numbering, so that it costs one AND per node: the nodes that are left are in
    ``nodes``, the rows of the others are empty.

    Args:
        names: The names of the numbers, sorted.
        index: The numbers of the names.
        nodes: The nodes of the graph.
        parents: For each number its direct causes.
        children: For each number its direct effects.
        siblings: For each number what shares an unobserved cause with it.

    Example:
        >>> index = {"M": 0, "X": 1, "Y": 2}  # X -> M -> Y
        >>> chain = Bits(
        ...     tuple(index), index, 0b111, (0b010, 0, 0b001), (0b100, 0b001, 0), (0, 0, 0)
        ... )
        >>> sorted(chain.named(chain.ancestors(chain.mask({"M"}))))
        ['M', 'X']
    """

    names: tuple[str, ...]
    index: Mapping[str, int] = field(repr=False, compare=False)
    nodes: int
    parents: tuple[int, ...]
    children: tuple[int, ...]
    siblings: tuple[int, ...]

    def mask(self, names: Iterable[str]) -> int:
        """The bits of these names, which must be known."""
        mask = 0
        for name in names:
            mask |= 1 << self.index[name]
        return mask

    def named(self, mask: int) -> frozenset[str]:
        """The names of these bits."""
        return frozenset([self.names[k] for k in each(mask)])

    def ancestors(self, mask: int) -> int:
        """Where directed paths into ``mask`` begin; itself included."""
        return closure(mask, self.parents)

    def descendants(self, mask: int) -> int:
        """Where directed paths from ``mask`` end; itself included."""
        return closure(mask, self.children)

    def district(self, mask: int) -> int:
        """What bidirected paths join to ``mask``; itself included."""
        return closure(mask, self.siblings)

    def districts(self, within: int) -> Iterator[int]:
        """The districts of the subgraph on ``within``, ordered by their first nodes."""
        rows = [row & within for row in self.siblings]
        left = within
        while left:
            district = closure(left & -left, rows)
            yield district
            left &= ~district

    def subgraph(self, mask: int) -> "Bits":
        """The graph on ``mask`` with the edges among it."""
        return Bits(
            self.names,
            self.index,
            self.nodes & mask,
            _rows(self.parents, mask, mask),
            _rows(self.children, mask, mask),
            _rows(self.siblings, mask, mask),
        )

    def remove_incoming(self, mask: int) -> "Bits":
        """The graph without arrowheads at ``mask``."""
        return Bits(
            self.names,
            self.index,
            self.nodes,
            _rows(self.parents, ~mask, -1),
            _rows(self.children, -1, ~mask),
            _rows(self.siblings, ~mask, ~mask),
        )

    def remove_outgoing(self, mask: int) -> "Bits":
        """The graph without directed edges out of ``mask``."""
        return Bits(
            self.names,
            self.index,
            self.nodes,
            _rows(self.parents, -1, ~mask),
            _rows(self.children, ~mask, -1),
            self.siblings,
        )

    def remove_edges(self, causes: int, effects: int) -> "Bits":
        """The graph without the directed edges from ``causes`` to ``effects``."""
        parents, children = list(self.parents), list(self.children)
        for k in each(effects):
            parents[k] &= ~causes
        for k in each(causes):
            children[k] &= ~effects
        rows = tuple(parents), tuple(children), self.siblings
        return Bits(self.names, self.index, self.nodes, *rows)

    def proper_causal(self, causes: int, effects: int) -> int:
        """The nodes on directed paths from ``causes`` to ``effects`` that do not return to them."""
        others = self.subgraph(self.nodes & ~causes)
        begun = 0
        for k in each(causes):
            begun |= self.children[k]
        return others.descendants(begun & ~causes) & others.ancestors(effects)

    def project(self, hidden: int, order: Iterable[int]) -> "Bits":
        """The latent projection on the other nodes; ``order`` is a topological one.

        Two kinds of path through hidden nodes become edges: directed ones become ``->``; those with
        an arrowhead at both ends and no collider become ``<->``.
        """
        kept = self.nodes & ~hidden
        heads = [1 << k if kept >> k & 1 else 0 for k in range(len(self.names))]
        seen = [0] * len(heads)  # the observed nodes that a directed path through hidden ones meets
        for k in reversed(list(order)):
            for child in each(self.children[k]):
                seen[k] |= heads[child]
            if hidden >> k & 1:
                heads[k] = seen[k]
        parents, siblings = [0] * len(heads), [0] * len(heads)
        for k in each(kept):
            for child in each(seen[k]):
                parents[child] |= 1 << k
        for k in each(self.nodes):
            joined = heads[k] if hidden >> k & 1 else 0
            for other in each(self.siblings[k]):
                joined |= heads[other]
            for end in each(heads[k]):
                siblings[end] |= joined
        rows = [row & ~(1 << k) for k, row in enumerate(siblings)]
        children = [row if kept >> k & 1 else 0 for k, row in enumerate(seen)]
        return Bits(self.names, self.index, kept, tuple(parents), tuple(children), tuple(rows))


def _rows(rows: tuple[int, ...], chosen: int, kept: int) -> tuple[int, ...]:
    """The chosen rows, the bits of each cut to those kept; the other rows are empty."""
    if chosen == -1:
        return tuple([row & kept for row in rows])
    return tuple([row & kept if chosen >> k & 1 else 0 for k, row in enumerate(rows)])


def checked(directed: Iterable[Edge], bidirected: Iterable[Edge], nodes: Iterable[str]) -> Bits:
    """The bits of these edges and further nodes, cycles aside all that can be wrong checked.

    Raises:
        ValueError: A self-loop, a duplicate edge or an empty name.
        TypeError: A name is not a string.

    Example:
        >>> checked([("X", "Y")], [], []).children
        (2, 0)
    """
    arrows = _edges("directed", "->", directed, symmetric=False)
    arcs = _edges("bidirected", "<->", bidirected, symmetric=True)
    names = {*nodes, *(name for edge in arrows | arcs for name in edge)}
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"node names are strings, got {name!r}")
        if not name:
            raise ValueError("a node name is empty")
    index = {name: k for k, name in enumerate(sorted(names))}
    parents, children, siblings = ([0] * len(index) for _ in range(3))
    for cause, effect in arrows:
        parents[index[effect]] |= 1 << index[cause]
        children[index[cause]] |= 1 << index[effect]
    for first, second in arcs:
        siblings[index[first]] |= 1 << index[second]
        siblings[index[second]] |= 1 << index[first]
    rows = tuple(parents), tuple(children), tuple(siblings)
    return Bits(tuple(index), index, (1 << len(index)) - 1, *rows)


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
