"""Networks in the XML Bayesian Interchange Format, version 0.3 (floor 1).

The numbers of a ``TABLE`` go with the given variables in their order, the variable itself fastest.
``PROPERTY`` texts of the network, its variables and definitions are kept as they stand; blanks
around names and labels are no part of them. Numbers are read and written to the last bit.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from hybrid.pgm.formats.description import Description

__all__ = ["parse_xmlbif", "write_xmlbif"]

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<BIF VERSION="0.3">
<NETWORK>"""


@dataclass(frozen=True, eq=False)
class _Element:
    """An element, the line where it begins, and what it holds."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list["_Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def all(self, tag: str) -> Iterator["_Element"]:
        """The children of this name."""
        return (child for child in self.children if child.tag == tag)

    @property
    def text(self) -> str:
        """Its own text; comments have no part in it."""
        return "".join(self.texts).strip()

    def fail(self, problem: str) -> NoReturn:
        """Raise with the element's line."""
        raise ValueError(f"line {self.line}: {problem}")

    def one(self, tag: str) -> "_Element":
        """The only child of this name."""
        found = list(self.all(tag))
        if len(found) != 1:
            self.fail(f"<{self.tag}> needs one <{tag}>, it has {len(found)}")
        return found[0]


def _tree(text: str) -> _Element:
    """The elements of a text. Entities of its own are refused: they can grow without bound."""
    parser = expat.ParserCreate()
    top = _Element("", {}, 1)
    open_elements = [top]

    def start(tag: str, attributes: dict[str, str]) -> None:
        element = _Element(tag.upper(), attributes, parser.CurrentLineNumber)
        open_elements[-1].children.append(element)
        open_elements.append(element)

    def end(_tag: str) -> None:
        open_elements.pop()

    def characters(data: str) -> None:
        open_elements[-1].texts.append(data)

    def entity(name: str, *_rest: object) -> None:
        raise ValueError(f"line {parser.CurrentLineNumber}: the entity {name!r} is defined here")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.EntityDeclHandler = characters, entity
    parser.buffer_text = True
    try:
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        raise ValueError(f"line {error.lineno}: no XML: {expat.ErrorString(error.code)}") from None
    return top


def parse_xmlbif(text: str) -> Description:
    """A network from the text of an XMLBIF file.

    Args:
        text: The text.

    Returns:
        The network; variables in the order of their ``VARIABLE`` elements.

    Raises:
        ValueError: With the line: the text is no XML, an element is missing or there twice, a
            variable is no chance node, a name is unknown, a number is none, or their count wrong.

    References:
        F. G. Cozman, *The Interchange Format for Bayesian Networks*, XMLBIF 0.3, 1998.

    Example:
        >>> network = parse_xmlbif('''<BIF VERSION="0.3"><NETWORK><NAME>coin</NAME>
        ... <VARIABLE TYPE="nature"><NAME>coin</NAME>
        ...   <OUTCOME>head</OUTCOME><OUTCOME>tail</OUTCOME></VARIABLE>
        ... <DEFINITION><FOR>coin</FOR><TABLE>0.5 0.5</TABLE></DEFINITION>
        ... </NETWORK></BIF>''')
        >>> network.states, network.tables["coin"].tolist()
        ({'coin': ('head', 'tail')}, [0.5, 0.5])
    """
    network = _tree(text).one("BIF").one("NETWORK")
    names = [element.text for element in network.all("NAME")]
    properties = {"": tuple(element.text for element in network.all("PROPERTY"))}
    states: dict[str, tuple[str, ...]] = {}
    for element in network.all("VARIABLE"):
        name = _variable_name(element)
        if name in states:
            element.fail(f"variable {name!r} is there twice")
        states[name] = tuple(outcome.text for outcome in element.all("OUTCOME"))
        if not states[name] or len(set(states[name])) < len(states[name]):
            problem = "the same outcome twice" if states[name] else "no outcomes"
            element.fail(f"variable {name!r} has {problem}")
        properties[name] = tuple(text.text for text in element.all("PROPERTY"))
    parents: dict[str, tuple[str, ...]] = {}
    tables: dict[str, NDArray[np.float64]] = {}
    for element in network.all("DEFINITION"):
        name = _known(element.one("FOR"), states)
        if name in tables:
            element.fail(f"variable {name!r} is defined twice")
        parents[name] = tuple(_known(given, states) for given in element.all("GIVEN"))
        if len({name, *parents[name]}) < 1 + len(parents[name]):
            element.fail(f"the definition of {name!r} names a variable twice")
        shape = [len(states[other]) for other in (*parents[name], name)]
        tables[name] = _table(element.one("TABLE"), name, shape)
        properties[name] += tuple(text.text for text in element.all("PROPERTY"))
    missing = [name for name in states if name not in tables]
    if missing or not states:
        network.fail(f"variable {missing[0]!r} is not defined" if missing else "no <VARIABLE>")
    kept = {name: texts for name, texts in properties.items() if texts}
    return Description(states, parents, tables, (names or ["unknown"])[0] or "unknown", kept)


def _variable_name(element: _Element) -> str:
    kind = element.attributes.get("TYPE", "nature")
    name = element.one("NAME").text
    if kind != "nature":
        element.fail(f"variable {name!r} is of type {kind!r}: only 'nature' is read")
    return name


def _known(element: _Element, states: dict[str, tuple[str, ...]]) -> str:
    if element.text not in states:
        element.fail(f"{element.text!r} is not the name of a <VARIABLE>")
    return element.text


def _table(element: _Element, name: str, shape: list[int]) -> NDArray[np.float64]:
    values = []
    for word in element.text.split():
        try:
            values.append(float(word))
        except ValueError:
            element.fail(f"expected a probability in the table of {name!r}, got {word!r}")
        if not 0 <= values[-1] < np.inf:
            element.fail(f"expected a probability in the table of {name!r}, got {word}")
    size = math.prod(shape)
    if len(values) != size:
        element.fail(f"expected {size} numbers for {name!r}, got {len(values)}")
    return np.array(values).reshape(shape)


def write_xmlbif(description: Description) -> str:
    """The text of an XMLBIF file; reading it gives the same names, order and bits.

    Args:
        description: The network.

    Returns:
        A row of numbers for each configuration of the parents.

    Raises:
        ValueError: A name or property begins or ends with a blank, is empty, or has a character
            that XML cannot hold.

    Example:
        >>> import numpy as np
        >>> table = np.array([0.5, 0.5])
        >>> text = write_xmlbif(Description({"<5": ("a", "b")}, {"<5": ()}, {"<5": table}))
        >>> parse_xmlbif(text).tables["<5"].tolist()
        [0.5, 0.5]
    """
    lines = [_HEAD, _tagged("NAME", description.name)]
    lines += [_tagged("PROPERTY", text) for text in description.properties.get("", ())]
    for variable, states in description.states.items():
        lines += ['<VARIABLE TYPE="nature">', "  " + _tagged("NAME", variable)]
        lines += ["  " + _tagged("OUTCOME", state) for state in states]
        texts = description.properties.get(variable, ())
        lines += [*("  " + _tagged("PROPERTY", text) for text in texts), "</VARIABLE>"]
    for variable, table in description.tables.items():
        lines += ["<DEFINITION>", "  " + _tagged("FOR", variable)]
        lines += ["  " + _tagged("GIVEN", name) for name in description.parents[variable]]
        rows = table.reshape(-1, table.shape[-1]).tolist()
        numbers = "\n    ".join(" ".join(map(repr, row)) for row in rows)
        lines += [f"  <TABLE>\n    {numbers}\n  </TABLE>", "</DEFINITION>"]
    return "\n".join([*lines, "</NETWORK>", "</BIF>"]) + "\n"


def _tagged(tag: str, text: str) -> str:
    outside = [c for c in text if (c < " " and c not in "\t\n") or c in "\x7f\ufffe\uffff"]
    if text != text.strip() or not text or outside:
        raise ValueError(
            f"XMLBIF cannot hold the {tag.lower()} {text!r}: no control characters, no blanks at "
            "its ends, and not nothing; rename it or write BIF"
        )
    return f"<{tag}>{escape(text)}</{tag}>"
