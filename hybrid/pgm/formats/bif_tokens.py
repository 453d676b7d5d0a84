"""The words, quoted names and marks of a BIF text, read with their lines (floor 0)."""

import re
from typing import NamedTuple, NoReturn

__all__ = ["Reader", "Token", "quoted"]

_TOKEN = re.compile(
    r"""\s+ | //[^\n]* | /\*.*?\*/
    | property(?=\s)(?P<property>(?:"(?:[^"\\]|\\.)*"|[^;"])*);
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | (?P<mark>[,;{}()\[\]|])
    | (?P<word>(?:[^\s,;{}()\[\]|"/]|/(?![/*]))+)
    | (?P<wrong>.)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"(?:[^\s,;{}()\[\]|\"/\\]|/(?![/*]))+")
_KEYWORDS = {"network", "variable", "probability", "property", "type", "table", "default"}


class Token(NamedTuple):
    """A piece of the text.

    Args:
        kind: "word", "quoted", "mark", "property" (its whole text) or "end".
        text: What stands there, without quotation marks.
        start: Where it begins.

    Example:
        >>> Reader("network asia {}").take()
        Token(kind='word', text='network', start=0)
    """

    kind: str
    text: str
    start: int


class Reader:
    """The tokens of a text, read from left to right; comments are left out.

    Args:
        text: The text.

    Raises:
        ValueError: A quotation mark lacks its partner.

    Example:
        >>> reader = Reader("( rain, 'x' ) // a comment")
        >>> reader.expect("(", "the beginning")
        >>> [token.text for token in reader.until(")", others=",")]
        ['rain', ',', "'x'"]
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._tokens = []
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup
            if kind is None:
                continue
            found = match[kind]
            if kind == "wrong":
                self.fail(f"{found!r} without its partner", Token(kind, found, match.start()))
            if kind == "quoted" and "\\" in found:
                found = re.sub(r"\\(.)", r"\1", found, flags=re.DOTALL)
            self._tokens.append(Token(kind, found, match.start()))
        self._tokens.append(Token("end", "", len(text)))

    def fail(self, problem: str, token: Token | None = None) -> NoReturn:
        """Raise with the line of a token; None: of the next one."""
        line = self._text.count("\n", 0, (token or self.next).start) + 1
        raise ValueError(f"line {line}: {problem}")

    @property
    def next(self) -> Token:
        """The token to come."""
        return self._tokens[self._place]

    def take(self) -> Token:
        """The next token, which is then behind us."""
        token = self._tokens[self._place]
        if token.kind == "end":
            self.fail("the text ends inside a block: a '}' is missing")
        self._place += 1
        return token

    def at(self, mark: str) -> bool:
        """Whether this mark comes next."""
        return self.next.text == mark and self.next.kind == "mark"

    def expect(self, mark: str, after: str) -> None:
        """Pass over a mark that must come next."""
        if not self.at(mark):
            self.fail(f"expected {mark!r} after {after}, got {self.next.text!r}")
        self._place += 1

    def until(self, mark: str, others: str = "") -> list[Token]:
        """All tokens up to a mark, which is passed over; no marks but ``others`` stand between."""
        begin, tokens = self._place, self._tokens
        end = begin
        while tokens[end].kind != "end" and (
            tokens[end].kind != "mark" or tokens[end].text in others
        ):
            end += 1
        self._place = end
        self.expect(mark, repr(tokens[max(end, 1) - 1].text))
        return tokens[begin:end]


def quoted(name: str) -> str:
    """A name as a file holds it: in quotation marks where it would not be read as one word.

    Example:
        >>> quoted("Asy/Patch"), quoted("two words"), quoted("table")
        ('Asy/Patch', '"two words"', '"table"')
    """
    if _PLAIN.fullmatch(name) and name not in _KEYWORDS:
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
