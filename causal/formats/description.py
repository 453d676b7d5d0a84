"""What a file or a foreign graph says about a causal graph, hidden variables included."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

__all__ = ["Description", "canonical", "is_hidden", "malformed", "restored"]

Edge = tuple[str, str]


@dataclass(frozen=True)
class Description:
    """Edges and nodes in the order in which they were read; duplicates are kept.

    Args:
        directed: Pairs (cause, effect).
        bidirected: Pairs that share an unobserved cause.
        nodes: All nodes, or those without an edge.
        hidden: The nodes that are marked as unobserved.

    Example:
        >>> Description([("U", "X")], hidden=["U"]).hidden
        ['U']
    """

    directed: list[Edge] = field(default_factory=list)
    bidirected: list[Edge] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)


_TRUE = {"", "1", "true", "yes"}
_FALSE = {"0", "false", "no"}
_HIDDEN = ("hidden", "latent", "unobserved")
_SHORT = ("l", "u")  # dagitty's, without a value


def is_hidden(attributes: Mapping[str, object]) -> bool:
    """Whether a node's attributes say that it is unobserved.

    Example:
        >>> is_hidden({"latent": ""}), is_hidden({"observed": "no"}), is_hidden({"hidden": False})
        (True, True, False)
    """
    said = {key.lower(): str(value).lower() for key, value in attributes.items()}
    return (
        said.get("observed") in _FALSE
        or any(said.get(key) in _TRUE for key in _HIDDEN)
        or any(said.get(key) == "" for key in _SHORT)
    )


def canonical(described: Description) -> list[tuple[str, Edge]]:
    """A name for the hidden cause behind each bidirected edge, which no node bears.

    Example:
        >>> canonical(Description(bidirected=[("X", "Y")]))
        [('U_X_Y', ('X', 'Y'))]
    """
    taken = {*described.nodes, *(name for edge in described.directed for name in edge)}
    causes: list[tuple[str, Edge]] = []
    for edge in described.bidirected:
        name = "_".join(("U", *edge))
        while name in taken:
            name += "_"
        taken.add(name)
        causes.append((name, edge))
    return causes


def restored(
    directed: Iterable[Edge], bidirected: Iterable[Edge], nodes: Mapping[str, Mapping[str, object]]
) -> Description:
    """The description in which hidden causes that stand for a bidirected edge are one again.

    Args:
        directed: Pairs (cause, effect).
        bidirected: Pairs, each once or in both directions.
        nodes: Each node's attributes; ``bidirected`` marks those that stand for an edge.

    Example:
        >>> nodes = {"X": {}, "Y": {}, "U": {"bidirected": "yes"}}
        >>> restored([("U", "X"), ("U", "Y")], [], nodes).bidirected
        [('X', 'Y')]
    """
    marked = {
        name for name, said in nodes.items() if str(said.get("bidirected", "no")).lower() in _TRUE
    }
    effects: dict[str, list[str]] = {name: [] for name in marked}
    arrows: list[Edge] = []
    for cause, effect in directed:
        if cause in marked:
            effects[cause].append(effect)
        else:
            arrows.append((cause, effect))
    arcs: list[Edge] = []
    for edge in bidirected:
        if edge[::-1] not in arcs:
            arcs.append(edge)
    for name, ends in effects.items():
        if len(ends) != 2:
            raise ValueError(f"{name!r} stands for a bidirected edge, but causes {ends}: not two")
        arcs.append((ends[0], ends[1]))
    kept = {name: said for name, said in nodes.items() if name not in marked}
    return Description(arrows, arcs, list(kept), [n for n, said in kept.items() if is_hidden(said)])


def malformed(text: str, position: int, expected: str) -> ValueError:
    """The error for text that cannot be read, with the place in words.

    Example:
        >>> print(malformed("dag {", 5, "a closing brace"))
        malformed graph text at position 5 (line 1, column 6): expected a closing brace, got the end
    """
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    rest = text[position:].split("\n", 1)[0][:20]
    got = repr(rest) if rest else "the end" if position >= len(text) else "the end of the line"
    return ValueError(
        f"malformed graph text at position {position} (line {line}, column {column}): "
        f"expected {expected}, got {got}"
    )
