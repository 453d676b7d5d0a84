"""DOT and dagitty's text, which are one language with two sets of attributes."""

import itertools
import re
from dataclasses import dataclass, field

from causal.formats.description import Description, is_hidden, malformed

__all__ = ["is_dot", "parse_dot", "write_dagitty", "write_dot"]

_BLANK = re.compile(r"(?:\s|//[^\n]*|/\*.*?\*/|^\#[^\n]*)*", re.DOTALL | re.MULTILINE)
_HEADER = re.compile(
    r"(?P<strict>strict\b)?\s*(?P<kind>digraph|graph|dag|pdag|mag|pag)\b\s*"
    r"""(?:"(?:[^"\\]|\\.)*"|[\w.]+)?\s*(?P<open>\{)""",
    re.IGNORECASE | re.DOTALL,
)
_ARROW = re.compile(r"<->|->|<-|[<@]?--?[>@]?|=>")
_NAME = re.compile(r"""[\w.]+|"(?P<quoted>(?:[^"\\]|\\.)*)\"""", re.DOTALL)
_VALUE = re.compile(r"""[-\w.]+|"(?P<quoted>(?:[^"\\]|\\.)*)"|<[^>]*>""", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_WORDS = {"digraph", "edge", "graph", "node", "strict", "subgraph"}

_DEEPEST = 100  # far below where Python stops recursion

Attributes = dict[str, str]


def is_dot(text: str) -> bool:
    """Whether a text begins as DOT or dagitty's text does.

    Example:
        >>> is_dot("dag { X -> Y }"), is_dot("digraph G {X -> Y}"), is_dot("dag -> X")
        (True, True, False)
    """
    return _header(text) is not None


def _header(text: str) -> re.Match[str] | None:
    blank = _BLANK.match(text)
    return _HEADER.match(text, blank.end() if blank else 0)


def parse_dot(text: str) -> Description:
    """Read DOT (``digraph { … }``) or dagitty's text (``dag { … }``).

    ``X <-> Y`` and ``X -> Y [dir=both]`` are bidirected edges; ``[latent]``, ``[hidden=true]``,
    ``[observed=no]`` mark a hidden node. Other attributes are left aside.

    Raises:
        ValueError: The text is malformed (the message says where), or says something that no causal
            graph with directed and bidirected edges means.

    Example:
        >>> parse_dot("dag { U [latent]; U -> {X Y}; X -> Y [beta=0.5] }")
        Description(directed=[('U', 'X'), ('U', 'Y'), ('X', 'Y')], bidirected=[],
            nodes=['U', 'X', 'Y'], hidden=['U'])
    """
    header = _header(text)
    if header is None:
        raise malformed(text, 0, "`digraph {` or `dag {`")
    kind = header["kind"].lower()
    if kind in ("mag", "pag"):
        raise ValueError(
            f"a {kind} says what causes what only up to hidden causes behind its arrows: give a "
            "`dag { … }`, with <-> or latent nodes where causes are hidden"
        )
    reader = _Reader(text, header.end(), strict=header["strict"] is not None)
    reader.statements({}, 0)
    reader.end()
    return reader.found


@dataclass
class _Reader:
    text: str
    position: int
    strict: bool
    found: Description = field(default_factory=Description)

    def blank(self) -> None:
        match = _BLANK.match(self.text, self.position)
        if match:
            self.position = match.end()

    def take(self, literal: str) -> bool:
        self.blank()
        if not self.text.startswith(literal, self.position):
            return False
        self.position += len(literal)
        return True

    def word(self, pattern: re.Pattern[str], expected: str) -> str:
        self.blank()
        match = pattern.match(self.text, self.position)
        if match is None:
            raise malformed(self.text, self.position, expected)
        self.position = match.end()
        quoted = match.groupdict().get("quoted")
        return match[0] if quoted is None else re.sub(r"\\([\"\\])", r"\1", quoted)

    def end(self) -> None:
        self.blank()
        if self.position < len(self.text):
            raise malformed(self.text, self.position, "nothing after the closing brace")

    def statements(self, defaults: Attributes, depth: int) -> list[str]:
        """All up to the closing brace; returns the nodes named there."""
        if depth > _DEEPEST:
            expected = f"at most {_DEEPEST} braces within each other"
            raise malformed(self.text, self.position, expected)
        named: list[str] = []
        defaults = dict(defaults)  # what is set inside braces holds inside them
        while not self.take("}"):
            if not (self.take(";") or self.take(",")):
                self.statement(defaults, named, depth)
        return named

    def statement(self, defaults: Attributes, named: list[str], depth: int) -> None:
        left, keyword = self.operand(defaults, depth)
        if keyword and self.take("="):
            self.word(_VALUE, "a value")
            return
        if keyword.lower() in ("node", "edge", "graph") and self.followed("["):
            said = self.attributes()
            if keyword.lower() == "edge":
                defaults.update(said)
            return
        if keyword and self.take(":"):
            self.word(_NAME, "a port")
        chain = [(self.position, "", left)]
        while arrow := self.arrow():
            place = self.position
            right, word = self.operand(defaults, depth)
            if word and self.take(":"):
                self.word(_NAME, "a port")
            chain.append((place, arrow, right))
        said = self.attributes()
        for _, _, names in chain:
            self.nodes(names, said if len(chain) == 1 else {})
            named.extend(names)
        for (_, _, before), (place, arrow, after) in itertools.pairwise(chain):
            for first in before:
                for second in after:
                    self.join(first, arrow, second, {**defaults, **said}, place)

    def operand(self, defaults: Attributes, depth: int) -> tuple[list[str], str]:
        """The nodes of a name or of a group; the name where it may be a keyword."""
        if self.take("{"):
            return self.statements(defaults, depth + 1), ""
        self.blank()
        quoted = self.text.startswith('"', self.position)
        name = self.word(_NAME, "a node, an attribute or a closing brace")
        if not quoted and name.lower() == "subgraph":
            if not self.take("{"):
                self.word(_NAME, "a name or a brace")
                if not self.take("{"):
                    raise malformed(self.text, self.position, "an opening brace")
            return self.statements(defaults, depth + 1), ""
        return [name], "" if quoted and not self.followed("=") else name

    def followed(self, literal: str) -> bool:
        self.blank()
        return self.text.startswith(literal, self.position)

    def arrow(self) -> str:
        self.blank()
        match = _ARROW.match(self.text, self.position)
        if match is None:
            return ""
        if match[0] not in ("->", "<-", "<->"):
            expected = "an arrow ->, <- or <-> (an edge of a causal graph has a direction)"
            raise malformed(self.text, self.position, expected)
        self.position = match.end()
        return match[0]

    def attributes(self) -> Attributes:
        said: Attributes = {}
        while self.take("["):
            while not self.take("]"):
                if self.take(",") or self.take(";"):
                    continue
                key = self.word(_NAME, "an attribute or a closing bracket").lower()
                said[key] = self.word(_VALUE, "a value") if self.take("=") else ""
        return said

    def nodes(self, names: list[str], said: Attributes) -> None:
        for name in names:
            if name not in self.found.nodes:
                self.found.nodes.append(name)
            if is_hidden(said) and name not in self.found.hidden:
                self.found.hidden.append(name)
            if "selected" in said:
                raise ValueError(f"{name!r} is marked as selected: selection is no part of a graph")

    def join(self, first: str, arrow: str, second: str, said: Attributes, place: int) -> None:
        direction = said.get("dir", "forward").lower()
        if direction not in ("forward", "back", "both"):
            raise malformed(self.text, place, "an edge with a direction (dir=none has none)")
        both = arrow == "<->" or direction == "both"
        if (arrow == "<-") != (direction == "back"):
            first, second = second, first
        edges = self.found.bidirected if both else self.found.directed
        if not (self.strict and ((first, second) in edges or (both and (second, first) in edges))):
            edges.append((first, second))


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def write_dot(described: Description) -> str:
    """DOT for drawing, which `parse_dot` reads back; what is unobserved is dashed.

    Example:
        >>> print(write_dot(Description([("X", "Y")], [("X", "Y")], ["X", "Y"])))
        digraph {
          X;
          Y;
          X -> Y;
          X -> Y [dir=both, style=dashed];
        }
    """
    dashed = "style=dashed]"
    return _written("digraph", described, f"[latent=true, {dashed}", "->", f"[dir=both, {dashed}")


def write_dagitty(described: Description) -> str:
    """Text for dagitty, which `parse_dot` reads back.

    Example:
        >>> print(write_dagitty(Description([("U", "Y")], [], ["U", "Y"], ["U"])))
        dag {
          U [latent];
          Y;
          U -> Y;
        }
    """
    return _written("dag", described, "[latent]", "<->", "")


def _written(kind: str, described: Description, hidden: str, arc: str, style: str) -> str:
    lines = [
        f"{_quoted(name)} {hidden if name in described.hidden else ''}" for name in described.nodes
    ]
    lines += [f"{_quoted(a)} -> {_quoted(b)}" for a, b in described.directed]
    lines += [f"{_quoted(a)} {arc} {_quoted(b)} {style}" for a, b in described.bidirected]
    return "\n".join([f"{kind} {{", *(f"  {line.rstrip()};" for line in lines), "}"])
