"""GML, the Graph Modelling Language.

It has no bidirected edges: each is written as a hidden node (``observed "no"``) with two effects,
which other programs read rightly, and marked, so that it is read back as an edge.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.entities import name2codepoint

from causal.formats.description import Description, canonical, malformed, restored

__all__ = ["is_gml", "parse_gml", "write_gml"]

_START = re.compile(r"(?:\s|\#[^\n]*\n|(?:Creator|Version|comment)\b[^\n]*\n)*graph\s*\[")
_TOKEN = re.compile(
    r"""(?P<blank>\s+|\#[^\n]*)|(?P<key>[A-Za-z_]\w*)|(?P<open>\[)|(?P<close>\])"""
    r"""|"(?P<string>[^"]*)"|(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"""
)
_ENTITY = re.compile(r"&(?:\#(\d+)|(\w+));")
_DEEPEST = 100  # far below where Python stops recursion
_TRUE = ("1", "true", "yes")

Token = tuple[str, str, int]


@dataclass
class _Block:
    """What stands between brackets: values and blocks by their keys."""

    position: int
    values: dict[str, str] = field(default_factory=dict)
    blocks: dict[str, list["_Block"]] = field(default_factory=dict)


def is_gml(text: str) -> bool:
    """Whether a text begins as GML does.

    Example:
        >>> is_gml("graph [ directed 1 ]"), is_gml("graph { X }")
        (True, False)
    """
    return _START.match(text) is not None


def parse_gml(text: str) -> Description:
    """Read GML; nodes are called by their labels, or by their numbers where they have none.

    ``observed "no"``, ``hidden 1`` and ``latent 1`` mark a hidden node; ``bidirected 1`` marks an
    edge as bidirected.

    Raises:
        ValueError: The text is malformed (the message says where), undirected, or names an edge's
            end that is no node.

    Example:
        >>> parse_gml('''graph [ directed 1 node [ id 0 label "X" ] node [ id 1 label "Y" ]
        ...           edge [ source 0 target 1 ] ]''').directed
        [('X', 'Y')]
    """
    tokens = _tokens(text)
    outside = _block(text, tokens, _Block(0), "end")
    graph = outside.blocks.get("graph", [_Block(len(text))])[0]
    if "graph" not in outside.blocks:
        raise malformed(text, graph.position, "`graph [`")
    if graph.values.get("directed", "0") not in _TRUE:
        raise ValueError("the GML graph is undirected: a causal graph has `directed 1`")
    labels: dict[str, str] = {}
    nodes: dict[str, Mapping[str, object]] = {}
    for node in graph.blocks.get("node", []):
        number = _needed(text, node, "id")
        label = node.values.get("label", number)
        if label in nodes or number in labels:
            raise ValueError(f"the GML graph has two nodes with the label or id of {label!r}")
        labels[number], nodes[label] = label, node.values
    directed: list[tuple[str, str]] = []
    bidirected: list[tuple[str, str]] = []
    for edge in graph.blocks.get("edge", []):
        ends = [_needed(text, edge, word) for word in ("source", "target")]
        for end in ends:
            if end not in labels:
                raise ValueError(f"a GML edge ends at {end}, which is no node's id")
        both = edge.values.get("bidirected", "0") in _TRUE
        (bidirected if both else directed).append((labels[ends[0]], labels[ends[1]]))
    return restored(directed, bidirected, nodes)


def _needed(text: str, block: _Block, word: str) -> str:
    if word not in block.values:
        raise malformed(text, block.position, f"a block with the key {word!r}")
    return block.values[word]


def _tokens(text: str) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise malformed(text, position, "a key, a number, a string in quotes or a bracket")
        kind = str(match.lastgroup)
        if kind != "blank":
            yield kind, match[kind], position
        position = match.end()
    yield "end", "", len(text)


def _block(
    text: str, tokens: Iterator[Token], block: _Block, closing: str, depth: int = 0
) -> _Block:
    """Fill a block with all that stands before its end."""
    for kind, key, position in tokens:
        if kind == closing:
            return block
        if kind != "key":
            raise malformed(text, position, "a key" if closing == "end" else "a key or a bracket ]")
        kind, content, position = next(tokens)
        if kind == "open" and depth >= _DEEPEST:
            raise malformed(text, position, f"at most {_DEEPEST} brackets within each other")
        if kind == "open":
            inner = _block(text, tokens, _Block(position), "close", depth + 1)
            block.blocks.setdefault(key, []).append(inner)
        elif kind in ("string", "number"):
            block.values.setdefault(key, _ENTITY.sub(_character, content))
        else:
            raise malformed(text, position, f"a value or a bracket [ after {key!r}")
    return block


def _character(match: re.Match[str]) -> str:
    if match[1]:
        number = int(match[1])
        return chr(number) if number <= sys.maxunicode else match[0]
    return chr(name2codepoint[match[2]]) if match[2] in name2codepoint else match[0]


def _string(name: str) -> str:
    """GML is ASCII: other characters, quotes and ampersands are written as entities."""
    plain = (
        c if c.isascii() and c.isprintable() and c not in '&"' else f"&#{ord(c)};" for c in name
    )
    return f'"{"".join(plain)}"'


def write_gml(described: Description) -> str:
    """GML, which `parse_gml` reads back, and other programs as a graph with hidden nodes.

    Example:
        >>> print(write_gml(Description([("X", "Y")], [], ["X", "Y"])))
        graph [
          directed 1
          node [ id 0 label "X" ]
          node [ id 1 label "Y" ]
          edge [ source 0 target 1 ]
        ]
    """
    lines, edges = [], list(described.directed)
    numbers = {name: k for k, name in enumerate(described.nodes)}
    for name, number in numbers.items():
        mark = ' observed "no"' if name in described.hidden else ""
        lines.append(f"  node [ id {number} label {_string(name)}{mark} ]")
    for name, ends in canonical(described):
        numbers[name] = len(numbers)
        mark = 'observed "no" bidirected 1'
        lines.append(f"  node [ id {numbers[name]} label {_string(name)} {mark} ]")
        edges += [(name, end) for end in ends]
    lines += [f"  edge [ source {numbers[a]} target {numbers[b]} ]" for a, b in edges]
    return "\n".join(["graph [", "  directed 1", *lines, "]"])
