"""Arrow text and the edges it means, in pure Python (floor 0)."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

__all__ = ["Edges", "parse_arrows", "write_arrows"]

_BARE = r"""[^\s;,"'<>\\-]+"""
_TOKEN = re.compile(
    rf"""(?P<blank>[^\S\n]+) | (?P<end>[;,\n]) | (?P<arrow><->|->|<-) | (?P<name>{_BARE})
    | "(?P<double>(?:[^"\\]|\\.)*)" | '(?P<single>(?:[^'\\]|\\.)*)'""",
    re.VERBOSE | re.DOTALL,
)
_HINT = "names other than plain words stand in quotes; arrows are ->, <- and <->"


class Edges(NamedTuple):
    """What arrow text says, in the order of the text.

    Example:
        >>> parse_arrows("X -> Y; Z").nodes
        ['X', 'Y', 'Z']
    """

    directed: list[tuple[str, str]]
    bidirected: list[tuple[str, str]]
    nodes: list[str]


def _malformed(text: str, position: int, expected: str) -> ValueError:
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    rest = text[position:].split("\n", 1)[0][:20]
    got = repr(rest) if rest else "the end of the line"
    return ValueError(
        f"malformed graph text at position {position} (line {line}, column {column}): "
        f"expected {expected}, got {got}; {_HINT}"
    )


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, content and position of each token; an end closes the text."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _malformed(text, position, "a name, an arrow or a separator")
        kind = str(match.lastgroup)
        content = match.group(kind)
        if kind in ("double", "single"):
            kind, content = "name", re.sub(r"\\(.)", r"\1", content, flags=re.DOTALL)
        if kind != "blank":
            yield kind, content, position
        position = match.end()
    yield "end", "", len(text)


def parse_arrows(text: str) -> Edges:
    """Read chains of names joined by ``->``, ``<-`` and ``<->``.

    Args:
        text: Statements that end with ``;``, ``,`` or a new line.

    Raises:
        ValueError: The text is malformed; the message has the position.

    Example:
        >>> parse_arrows("X -> M <-> Y").bidirected
        [('M', 'Y')]
        >>> parse_arrows("X -> -> Y")
        Traceback (most recent call last):
        ValueError: malformed graph text at position 5 (line 1, column 6): expected a name, ...
    """
    edges = Edges([], [], [])
    left, arrow = None, None
    for kind, content, position in _tokens(text):
        if kind == "name":
            if left is not None and arrow is None:
                raise _malformed(text, position, "an arrow or a separator")
            if content not in edges.nodes:
                edges.nodes.append(content)
            if left is not None and arrow is not None:
                _join(edges, left, arrow, content)
            left, arrow = content, None
        elif kind == "arrow":
            if left is None or arrow is not None:
                raise _malformed(text, position, "a name")
            arrow = content
        else:
            if arrow is not None:
                raise _malformed(text, position, f"a name after {arrow}")
            left = None
    return edges


def _join(edges: Edges, left: str, arrow: str, right: str) -> None:
    if arrow == "->":
        edges.directed.append((left, right))
    elif arrow == "<-":
        edges.directed.append((right, left))
    else:
        edges.bidirected.append((left, right))


def _quoted(name: str) -> str:
    if re.fullmatch(_BARE, name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def write_arrows(
    directed: Iterable[tuple[str, str]],
    bidirected: Iterable[tuple[str, str]],
    isolated: Iterable[str],
) -> str:
    """Arrow text, which `parse_arrows` reads back.

    Example:
        >>> write_arrows([("X", "Y")], [("X", "Y")], ["a b"])
        '"a b"; X -> Y; X <-> Y'
    """
    statements = [_quoted(name) for name in isolated]
    statements += [f"{_quoted(a)} -> {_quoted(b)}" for a, b in directed]
    statements += [f"{_quoted(a)} <-> {_quoted(b)}" for a, b in bidirected]
    return "; ".join(statements)
