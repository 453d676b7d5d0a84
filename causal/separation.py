"""d- and m-separation, and the sets that separate, in time linear in the graph (floor 1).

In a graph whose only edges are directed, m-separation is d-separation. Pure Python: needs neither
torch nor Pyro.
"""

from collections.abc import Iterable, Iterator

from causal.bits import Bits, closure, each
from causal.graph import Graph

__all__ = [
    "NoSeparator",
    "disjoint",
    "minimal_separator",
    "minimal_separators",
    "open_path",
    "reached",
    "separated",
]

Names = str | Iterable[str]


class NoSeparator(ValueError):  # noqa: N818
    """No allowed set separates the two sets of nodes.

    Example:
        >>> try:
        ...     minimal_separator(Graph.parse("X -> Y"), "X", "Y")
        ... except NoSeparator:
        ...     print("adjacent nodes are never separated")
        adjacent nodes are never separated
    """


def disjoint(graph: Graph, **sets: Names | None) -> dict[str, int]:
    """The sets as bits, checked to hold nodes of the graph and no node twice.

    Raises:
        ValueError: A name is unknown, or in two of the sets.
        TypeError: The graph is none.

    Example:
        >>> disjoint(Graph.parse("X -> Y"), first="X", second={"Y"})
        {'first': 1, 'second': 2}
    """
    if not isinstance(graph, Graph):
        raise TypeError(
            f"graph is a causal.Graph, got {type(graph).__name__}: text is read by Graph.parse"
        )
    masks = {word: graph.mask(names) for word, names in sets.items() if names is not None}
    seen: dict[str, str] = {}
    for word, mask in masks.items():
        for name in sorted(graph.bits.named(mask)):
            if name in seen:
                raise ValueError(f"{name!r} is both in {seen[name]} and in {word}: choose one")
            seen[name] = word
    return masks


def reached(bits: Bits, start: int, given: int, colliders: int | None = None) -> int:
    """The nodes that a path joins to ``start`` given ``given``; ends in ``given`` included.

    The path passes a collider that is in ``colliders`` and any other node that is not in ``given``.
    A node is visited once for each way into it: by an arrowhead, and by a tail.

    Args:
        bits: The graph.
        start: Where the paths begin, disjoint from ``given``.
        given: What is conditioned on.
        colliders: The colliders that are open: as a rule (None) the ancestors of ``given``. With an
            ancestral set that holds ``start`` and ``given``, and ``bits`` cut to it, the same set
            here gives connection in the augmented (moral) graph.

    Source: Shachter, "Bayes-ball" (1998); van der Zander & Liskiewicz, "Finding minimal
    d-separators in linear time and applications" (2019), algorithm 1.

    Example:
        >>> graph = Graph.parse("X -> Z <- Y")
        >>> start, given = graph.mask("X"), graph.mask("Z")
        >>> reached(graph.bits, start, 0) == graph.mask({"X", "Z"})
        True
        >>> reached(graph.bits, start, given) == graph.mask({"X", "Y", "Z"})
        True
    """
    opened = bits.ancestors(given) if colliders is None else colliders
    parents, children, siblings = bits.parents, bits.children, bits.siblings
    tails = up = start  # entered by a tail: `start` lets paths leave in every direction
    heads = down = 0
    while up or down:
        low = up & -up or down & -down
        node = low.bit_length() - 1
        above = below = 0
        if low & up:
            up ^= low
            if not low & given:
                above, below = parents[node], children[node] | siblings[node]
        else:
            down ^= low
            if not low & given:
                below = children[node]
            if low & opened:
                above, below = parents[node], below | siblings[node]
        up |= above & ~tails
        tails |= above
        down |= below & ~heads
        heads |= below
    return tails | heads


def separated(graph: Graph, first: Names, second: Names, given: Names = ()) -> bool:
    """Whether ``given`` blocks every path between two sets of nodes (d- or m-separation).

    A path is blocked if one of its inner nodes is a collider (``-> v <-``, ``<-> v <-``, …) without
    a descendant in ``given``, or another node that is in ``given``. Then
    ``P(first | second, given) = P(first | given)`` in every model of the graph.

    Args:
        graph: A causal graph, with bidirected edges or without.
        first: A node or nodes.
        second: A node or nodes.
        given: What is conditioned on; the three sets are disjoint.

    Raises:
        ValueError: A name is unknown, or in two of the sets.

    Source: Pearl, "Causality" (2009), definition 1.2.3; Richardson, "Markov properties for acyclic
    directed mixed graphs" (2003), section 2.1; see `reached` for the algorithm.

    Example:
        >>> graph = Graph.parse("X -> M -> Y; X <-> Z <-> Y")
        >>> separated(graph, "X", "Y", given="M"), separated(graph, "X", "Y", given={"M", "Z"})
        (True, False)
    """
    sets = disjoint(graph, first=first, second=second, given=given)
    return not reached(graph.bits, sets["first"], sets["given"]) & sets["second"]


def open_path(graph: Graph, first: Names, second: Names, given: Names = ()) -> str | None:
    """A shortest path that ``given`` leaves open between two sets of nodes; None if there is none.

    Its colliders are ancestors of ``given``, its other inner nodes are not in it.

    Raises:
        ValueError: A name is unknown, or in two of the sets.

    Example:
        >>> print(open_path(Graph.parse("X -> C <-> Y; C -> D"), "X", "Y", given="D"))
        X -> C <-> Y
    """
    sets = disjoint(graph, first=first, second=second, given=given)
    return joined(graph.bits, sets["first"], sets["second"], sets["given"])


def joined(bits: Bits, first: int, second: int, given: int) -> str | None:
    """The same for bits: breadth first, over pairs of a node and whether an arrowhead leads in."""
    opened = bits.ancestors(given)
    before: dict[tuple[int, bool], tuple[int, bool, str] | None] = {}
    pending = [(place, False) for place in each(first)]
    before.update(dict.fromkeys(pending))
    for place, head in pending:  # grows while it is walked
        if second >> place & 1:
            return _walk(bits, before, (place, head))
        fixed, ancestor = given >> place & 1, opened >> place & 1
        ways = []
        if not fixed:
            ways.append((bits.children[place], True, "->"))
        if ancestor if head else not fixed:
            ways += [(bits.siblings[place], True, "<->"), (bits.parents[place], False, "<-")]
        for row, into, arrow in ways:
            for neighbour in each(row):
                if (neighbour, into) not in before:
                    before[neighbour, into] = (place, head, arrow)
                    pending.append((neighbour, into))
    return None


def _walk(
    bits: Bits,
    before: dict[tuple[int, bool], tuple[int, bool, str] | None],
    state: tuple[int, bool],
) -> str:
    words = [bits.names[state[0]]]
    while step := before[state]:
        words += [step[2], bits.names[step[0]]]
        state = step[:2]
    return " ".join(reversed(words))


def minimal_separator(
    graph: Graph, first: Names, second: Names, *, required: Names = (), allowed: Names | None = None
) -> frozenset[str]:
    """A set that separates two sets of nodes and of which no part does, in linear time.

    Args:
        graph: A causal graph.
        first: A node or nodes.
        second: A node or nodes.
        required: What the separator must hold; no node can be left out but these.
        allowed: What it may hold besides; None for any node.

    Raises:
        NoSeparator: No allowed set separates them.
        ValueError: A name is unknown, or in two of the sets.

    Source: van der Zander & Liskiewicz, "Finding minimal d-separators in linear time and
    applications" (2019), algorithm 2; van der Zander, Liskiewicz & Textor, "Constructing separators
    and adjustment sets in ancestral graphs" (2014), for bidirected edges.

    Example:
        >>> graph = Graph.parse("X <- A -> B -> Y; A -> Y")
        >>> sorted(minimal_separator(graph, "X", "Y"))
        ['A']
    """
    sets = disjoint(graph, first=first, second=second, required=required)
    within = _allowed(graph, allowed) | sets["required"]
    found = nearest(graph.bits, sets["first"], sets["second"], sets["required"], within)
    if found is None:
        raise NoSeparator(_excuse(graph, sets, within))
    return graph.bits.named(found)


def minimal_separators(
    graph: Graph, first: Names, second: Names, *, required: Names = (), allowed: Names | None = None
) -> Iterator[frozenset[str]]:
    """Every minimal separator of two sets of nodes, one after the other, none if there is none.

    There can be exponentially many; the wait for the next one is polynomial. Minimal means that no
    node but those ``required`` can be left out.

    Args:
        graph: A causal graph.
        first: A node or nodes.
        second: A node or nodes.
        required: What each separator must hold.
        allowed: What it may hold besides; None for any node.

    Raises:
        ValueError: A name is unknown, or in two of the sets.

    Source: Takata, "Space-optimal, backtracking algorithms to list the minimal vertex separators of
    a graph" (2010), in the augmented graph of the ancestors, as van der Zander, Liskiewicz & Textor
    (2014), section 4.

    Example:
        >>> graph = Graph.parse("X <- A -> B -> Y")
        >>> [sorted(found) for found in minimal_separators(graph, "X", "Y")]
        [['A'], ['B']]
    """
    sets = disjoint(graph, first=first, second=second, required=required)
    within = _allowed(graph, allowed) | sets["required"]
    found = listed(graph.bits, sets["first"], sets["second"], sets["required"], within)
    return (graph.bits.named(mask) for mask in found)


def _allowed(graph: Graph, allowed: Names | None) -> int:
    return graph.bits.nodes if allowed is None else graph.mask(allowed)


def _excuse(graph: Graph, sets: dict[str, int], within: int) -> str:
    first, second = sets["first"], sets["second"]
    widest = graph.bits.ancestors(first | second | sets["required"]) & within & ~(first | second)
    ends = [" and ".join(sorted(graph.bits.named(mask))) for mask in (first, second)]
    free = sorted(graph.bits.named(within & ~(first | second)))
    path = joined(graph.bits, first, second, widest)
    return (
        f"no set of {free} separates {ends[0]} from {ends[1]}: a path such as {path} always stays "
        "open"
    )


def nearest(bits: Bits, first: int, second: int, required: int, allowed: int) -> int | None:
    """The bits of a minimal separator, the one nearest to ``first``; None if there is none.

    Source: van der Zander & Liskiewicz (2019), algorithm 2.
    """
    ancestors = bits.ancestors(first | second | required)
    graph = bits.subgraph(ancestors)
    widest = allowed & ancestors & ~(first | second)
    around = reached(graph, first, widest, ancestors)
    if around & second:
        return None
    close = widest & (around | required)
    return close & (reached(graph, second, close, ancestors) | required)


def listed(bits: Bits, first: int, second: int, required: int, allowed: int) -> Iterator[int]:
    """The bits of every minimal separator, each once.

    A minimal separator is the border of the component that holds ``first``. Components grow node by
    node: for a border node either the component takes it in (and grows to the next component whose
    border is a minimal separator) or the node stays outside for good. Every state leads to a
    separator, so that between two of them at most one state per node is visited.

    Source: Takata (2010), section 3.
    """
    rows = augmented(bits, bits.ancestors(first | second | required))
    rows = _without(rows, required)
    for place in each(bits.ancestors(first | second | required) & ~(first | second | allowed)):
        rows = _eliminated(rows, place)
    start = _component(rows, first, second)
    states = [] if start is None else [(start, 0)]
    while states:
        component, outside = states.pop()
        border = _border(rows, component)
        further = []
        for place in each(border & ~outside):
            grown = _component(rows, component | 1 << place, second)
            if grown is not None and not grown & outside:
                further.append((grown, outside))
            outside |= 1 << place
        states.extend(reversed(further))
        yield border | required


def augmented(bits: Bits, ancestral: int) -> list[int]:
    """The undirected graph in which nodes joined by a path of colliders are neighbours.

    Within an ancestral set, vertex separation in it is m-separation (Richardson 2003, theorem 1).
    """
    rows = [0] * len(bits.names)
    for district in bits.districts(ancestral):
        clique = district
        for place in each(district):
            clique |= bits.parents[place]
        for place in each(clique):
            rows[place] |= clique & ~(1 << place)
    return rows


def _without(rows: list[int], removed: int) -> list[int]:
    return [0 if removed >> k & 1 else row & ~removed for k, row in enumerate(rows)]


def _eliminated(rows: list[int], place: int) -> list[int]:
    """The graph without a node that may not be given, the neighbours of which it joins."""
    clique = rows[place]
    joined = [row & ~(1 << place) for row in rows]
    for k in each(clique):
        joined[k] |= clique & ~(1 << k)
    joined[place] = 0
    return joined


def _border(rows: list[int], component: int) -> int:
    border = 0
    for place in each(component):
        border |= rows[place]
    return border & ~component


def _component(rows: list[int], inside: int, second: int) -> int | None:
    """The least component around ``inside`` whose border is a minimal separator from ``second``."""
    border = _border(rows, inside)
    if border & second:
        return None
    beyond = closure(second, [row & ~border for row in rows])
    border &= _border(rows, beyond)
    return closure(inside, [row & ~border for row in rows])
