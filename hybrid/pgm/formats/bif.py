"""Networks in the Bayesian Interchange Format (floor 2).

The grammar is that of version 0.15, read generously:

- names are quoted, or runs of characters other than blanks and ``, ; { } ( ) [ ] | "``; unquoted
  labels of several words are joined by a blank where commas and the stated number of states say so;
- comments are ``// …`` and ``/* … */`` outside of quotes and properties;
- numbers follow as ``table`` (the variable itself slowest, its last parent fastest), as a row
  ``(states of the parents) numbers`` for each configuration, or as rows and a ``default``;
- properties of the network and of its variables (or of their probabilities) are kept as they stand
  and otherwise ignored.

Numbers are read and written to the last bit.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hybrid.pgm.formats.bif_rows import Rows, groups, words
from hybrid.pgm.formats.bif_tokens import Reader, Token, quoted
from hybrid.pgm.formats.description import Description

__all__ = ["parse_bif", "write_bif"]


class _Network:
    """What has been read so far."""

    def __init__(self) -> None:
        self.name = "unknown"
        self.states: dict[str, tuple[str, ...]] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        self.tables: dict[str, NDArray[np.float64]] = {}
        self.properties: dict[str, list[str]] = {}


def parse_bif(text: str) -> Description:
    """A network from the text of a BIF file.

    Args:
        text: The text; see the head of this module for what is accepted.

    Returns:
        The network; variables in the order of their ``variable`` blocks.

    Raises:
        ValueError: With the line: a block is malformed, a name unknown or stated twice, a number
            is none, numbers are missing or too many, a row of a table is missing or repeated.

    References:
        F. G. Cozman, *The Interchange Format for Bayesian Networks*, version 0.15, 1996.

    Example:
        >>> network = parse_bif('''network rain {}
        ... variable rain { type discrete [2] { yes, no }; }
        ... variable grass { type discrete [2] { wet, dry }; }
        ... probability ( rain ) { table 0.2, 0.8; }
        ... probability ( grass | rain ) { (yes) 0.9, 0.1; default 0.25, 0.75; }''')
        >>> network.states["grass"], network.tables["grass"].tolist()
        (('wet', 'dry'), [[0.9, 0.1], [0.25, 0.75]])
    """
    reader, network = Reader(text), _Network()
    blocks: dict[str, Callable[[Reader, _Network], None]] = {
        "network": _read_network,
        "variable": _read_variable,
        "probability": _read_probability,
    }
    while reader.next.kind != "end":
        token = reader.take()
        if token.text not in blocks:
            reader.fail(f"expected a block ({', '.join(blocks)}), got {token.text!r}", token)
        blocks[token.text](reader, network)
    missing = [name for name in network.states if name not in network.tables]
    if missing or not network.states:
        problem = (
            f"variable {missing[0]!r} has no probability" if missing else "there is no variable"
        )
        reader.fail(f"{problem} block")
    properties = {name: tuple(texts) for name, texts in network.properties.items()}
    return Description(network.states, network.parents, network.tables, network.name, properties)


def _read_network(reader: Reader, network: _Network) -> None:
    network.name = " ".join(words(reader.until("{"))) or "unknown"
    for keyword in _entries(reader):
        _keep_property(reader, network, "", keyword)


def _entries(reader: Reader) -> Iterator[Token]:
    """The first token of each entry of a block; stops behind the block."""
    while not reader.at("}"):
        yield reader.take()
    reader.expect("}", "the block")


def _keep_property(reader: Reader, network: _Network, variable: str, token: Token) -> None:
    if token.kind != "property":
        reader.fail(f"expected 'property …;' or '}}', got {token.text!r}", token)
    network.properties.setdefault(variable, []).append(token.text.strip())


def _read_variable(reader: Reader, network: _Network) -> None:
    begin = reader.next
    name = " ".join(words(reader.until("{")))
    if not name or name in network.states:
        problem = f"variable {name!r} has a block already" if name else "a variable without a name"
        reader.fail(problem, begin)
    for keyword in _entries(reader):
        if keyword.text == "type":
            network.states[name] = _read_states(reader, name, keyword)
        else:
            _keep_property(reader, network, name, keyword)
    if name not in network.states:
        reader.fail(f"variable {name!r} has no type, as 'type discrete [2] {{ yes, no }};'", begin)


def _read_states(reader: Reader, name: str, keyword: Token) -> tuple[str, ...]:
    """``discrete [ 2 ] { yes, no };`` behind the word type."""
    kind = reader.take()
    if kind.text != "discrete":
        reader.fail(f"variable {name!r} is {kind.text!r}: only discrete ones are read", kind)
    reader.expect("[", "discrete")
    stated = " ".join(words(reader.until("]")))
    reader.expect("{", f"the number of states of {name!r}")
    tokens = reader.until("}", others=",")
    reader.expect(";", f"the states of {name!r}")
    if not re.fullmatch(r"[0-9]+", stated):
        reader.fail(f"the number of states of {name!r} is {stated!r}, not a number", keyword)
    labels = groups(tokens)
    if len(labels) != int(stated):
        labels = words(tokens)
    if len(labels) != int(stated):
        got = ", ".join(groups(tokens))
        reader.fail(f"variable {name!r} has {stated} states, but these are listed: {got}", keyword)
    twice = [label for i, label in enumerate(labels) if label in labels[:i]]
    if twice:
        reader.fail(f"variable {name!r} has the state {twice[0]!r} twice", keyword)
    return tuple(labels)


def _read_probability(reader: Reader, network: _Network) -> None:
    begin = reader.next
    reader.expect("(", "probability")
    variable, parents = _head(reader, network)
    if variable in network.tables:
        reader.fail(f"variable {variable!r} has a probability block already", begin)
    reader.expect("{", f"the head of the probabilities of {variable!r}")
    rows = Rows(reader, network.states, variable, parents)
    kinds = {"(": rows.add, "default": rows.fill, "table": rows.table}
    for keyword in _entries(reader):
        if keyword.text in kinds:
            kinds[keyword.text](keyword)
        else:
            _keep_property(reader, network, variable, keyword)
    network.parents[variable] = parents
    network.tables[variable] = rows.result(begin)


def _head(reader: Reader, network: _Network) -> tuple[str, tuple[str, ...]]:
    """The variable and its parents, ``grass | rain, sprinkler )``."""
    begin = reader.next
    tokens = reader.until(")", others=",|")
    bars = [i for i, token in enumerate(tokens) if token.text == "|" and token.kind == "mark"]
    own = _known(tokens[: bars[0]], network) if bars else []
    names = own + _known(tokens[bars[0] + 1 if bars else 0 :], network)
    unknown = [name for name in names if name not in network.states]
    if unknown or not names:
        shown = repr(unknown[0]) if unknown else "nothing"
        reader.fail(f"{shown} is not the name of a variable block above", begin)
    if len(bars) > 1 or (bars and len(own) != 1):
        reader.fail("expected one variable, a bar and its parents", begin)
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        reader.fail(f"{twice[0]!r} stands twice in the head of a probability block", begin)
    return names[0], tuple(names[1:])


def _known(tokens: Sequence[Token], network: _Network) -> list[str]:
    """Names between commas where they are variables, the single words where not."""
    names = groups(tokens)
    return names if all(name in network.states for name in names) else words(tokens)


def write_bif(description: Description) -> str:
    """The text of a BIF file; reading it gives the same names, order and bits.

    Args:
        description: The network.

    Returns:
        A row of numbers for each configuration of the parents; names that need it in quotes.

    Raises:
        ValueError: A property would end early: it has a semicolon outside of quotes.

    Example:
        >>> import numpy as np
        >>> table = np.array([0.5, 0.5])
        >>> print(
        ...     write_bif(Description({"my coin": ("a", "b")}, {"my coin": ()}, {"my coin": table}))
        ... )
        network unknown {
        }
        variable "my coin" {
          type discrete [ 2 ] { a, b };
        }
        probability ( "my coin" ) {
          table 0.5, 0.5;
        }
    """
    lines = [f"network {quoted(description.name)} {{"]
    lines += [*_properties(description, ""), "}"]
    for variable, states in description.states.items():
        labels = ", ".join(map(quoted, states))
        lines.append(f"variable {quoted(variable)} {{")
        lines.append(f"  type discrete [ {len(states)} ] {{ {labels} }};")
        lines += [*_properties(description, variable), "}"]
    for variable in description.states:
        lines += _block(description, variable)
    return "\n".join(lines) + "\n"


def _properties(description: Description, variable: str) -> list[str]:
    texts = description.properties.get(variable, ())
    for text in texts:
        if not re.fullmatch(r'(?:"(?:[^"\\]|\\.)*"|[^;"])*', text, flags=re.DOTALL):
            raise ValueError(
                f"the property {text!r} of {variable or 'the network'!r} has a semicolon or half a "
                "pair of quotation marks: BIF cannot hold it, put its value in quotation marks"
            )
    return [f"  property {text};" for text in texts]


def _block(description: Description, variable: str) -> list[str]:
    parents, table = description.parents[variable], description.tables[variable]
    if not parents:
        head = quoted(variable)
        rows = [f"  table {', '.join(map(repr, table.tolist()))};"]
    else:
        head = f"{quoted(variable)} | {', '.join(map(quoted, parents))}"
        labels = [list(map(quoted, description.states[name])) for name in parents]
        numbers = table.reshape(-1, table.shape[-1]).tolist()
        rows = [
            f"  ({', '.join(row)}) {', '.join(map(repr, values))};"
            for row, values in zip(itertools.product(*labels), numbers, strict=True)
        ]
    return [f"probability ( {head} ) {{", *rows, "}"]
