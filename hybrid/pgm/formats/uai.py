"""Networks in the format of the UAI competitions (floor 1).

Files have neither names nor labels: variables become ``var_0``, ``var_1`` and so on, their states
``0``, ``1`` and so on. The variable of a table is the last of its scope and varies fastest. Numbers
are read and written to the last bit; what follows ``#`` on a line is a comment.
"""

import math
import re
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from hybrid.pgm.formats.description import Description

__all__ = ["parse_uai", "write_uai"]

_WORD = re.compile(r"#[^\n]*|(?P<word>[^\s#]+)")


class _Words:
    """The words of a text in turn."""

    def __init__(self, text: str) -> None:
        self._text = text
        found = [match for match in _WORD.finditer(text) if match["word"]]
        self._words = [match["word"] for match in found]
        self._starts = [match.start() for match in found]
        self._place = 0

    def fail(self, problem: str) -> NoReturn:
        """Raise with the line of the word that was read last."""
        start = self._starts[self._place - 1] if self._place else 0
        raise ValueError(f"line {self._text.count(chr(10), 0, start) + 1}: {problem}")

    def take(self, expected: str) -> str:
        """The next word."""
        if self._place == len(self._words):
            self.fail(f"the text ends here: expected {expected}")
        self._place += 1
        return self._words[self._place - 1]

    def count(self, expected: str, below: int | None = None) -> int:
        """The next word as a number of things; ``below``: as one of so many."""
        word = self.take(expected)
        if not re.fullmatch("[0-9]+", word) or (below is not None and int(word) >= below):
            limit = "" if below is None else f" below {below}"
            self.fail(f"expected {expected}, a whole number{limit}, got {word!r}")
        return int(word)

    def numbers(self, count: int, expected: str) -> list[float]:
        """The next words as probabilities."""
        values = []
        for _ in range(count):
            word = self.take(expected)
            try:
                values.append(float(word))
            except ValueError:
                self.fail(f"expected {expected}, got {word!r}")
            if not 0 <= values[-1] < np.inf:
                self.fail(f"expected {expected}, got {word}")
        return values

    def finish(self) -> None:
        """Refuse words that are left."""
        if self._place < len(self._words):
            self._place += 1
            self.fail(
                f"expected the end after the last table, got {self._words[self._place - 1]!r}"
            )


def parse_uai(text: str) -> Description:
    """A network from the text of a UAI file.

    Args:
        text: The text, its first word BAYES.

    Returns:
        The network; variables in the order of their numbers.

    Raises:
        ValueError: With the line: the file is of a Markov network, a number is missing, none or out
            of range, a variable has no table or two, a table's count of numbers is wrong, or
            something follows the last one.

    References:
        *UAI 2022 Competition: the UAI model format*.

    Example:
        >>> network = parse_uai("BAYES 2 2 2 2 1 0 2 0 1  2 0.2 0.8  4 0.9 0.1 0.3 0.7")
        >>> network.parents["var_1"], network.tables["var_1"].tolist()
        (('var_0',), [[0.9, 0.1], [0.3, 0.7]])
    """
    words = _Words(text)
    kind = words.take("BAYES")
    if kind == "MARKOV":
        words.fail(
            "this is a Markov network: its factors are no conditional probabilities, for which a "
            "Bayesian network has no place; only BAYES is read"
        )
    if kind != "BAYES":
        words.fail(f"expected BAYES, got {kind!r}")
    count = words.count("the number of variables")
    cards = [words.count("a number of states") for _ in range(count)]
    if 0 in cards:
        words.fail(f"var_{cards.index(0)} has no states")
    scopes = _scopes(words, count)
    tables: dict[int, NDArray[np.float64]] = {}
    for scope in scopes:
        shape = [cards[number] for number in scope]
        size = math.prod(shape)
        name = f"var_{scope[-1]}"
        if words.count(f"the number of entries of {name}") != size:
            words.fail(f"expected {size} entries for {name}")
        values = words.numbers(size, f"a probability of {name}")
        tables[scope[-1]] = np.array(values).reshape(shape)
    words.finish()
    given = {scope[-1]: tuple(f"var_{number}" for number in scope[:-1]) for scope in scopes}
    return Description(
        {f"var_{i}": tuple(map(str, range(cards[i]))) for i in range(count)},
        {f"var_{i}": given[i] for i in range(count)},
        {f"var_{i}": tables[i] for i in range(count)},
    )


def _scopes(words: _Words, count: int) -> list[list[int]]:
    """The variables of each table; every variable is the last of one of them."""
    scopes: list[list[int]] = []
    last: set[int] = set()
    if words.count("the number of tables") != count:
        words.fail(f"expected {count} tables, one for each variable")
    for _ in range(count):
        size = words.count("the number of a table's variables")
        scope = [words.count("a variable", below=count) for _ in range(size)]
        if not scope or len(set(scope)) < len(scope):
            words.fail("a table over no variable, or over one twice")
        if scope[-1] in last:
            words.fail(f"var_{scope[-1]} is the last variable of two tables")
        last.add(scope[-1])
        scopes.append(scope)
    return scopes


def write_uai(description: Description) -> str:
    """The text of a UAI file; names and labels are lost, everything else is read back as it was.

    Args:
        description: The network.

    Returns:
        Variables and states numbered in the order of the description.

    Example:
        >>> import numpy as np
        >>> table = np.array([0.5, 0.5])
        >>> print(write_uai(Description({"coin": ("a", "b")}, {"coin": ()}, {"coin": table})))
        BAYES
        1
        2
        1
        1 0
        <BLANKLINE>
        2
        0.5 0.5
    """
    number = {name: i for i, name in enumerate(description.states)}
    lines = ["BAYES", str(len(number))]
    lines.append(" ".join(str(len(states)) for states in description.states.values()))
    lines.append(str(len(number)))
    for name in number:
        scope = [number[other] for other in (*description.parents[name], name)]
        lines.append(" ".join(map(str, (len(scope), *scope))))
    for name in number:
        table = description.tables[name]
        rows = table.reshape(-1, table.shape[-1]).tolist()
        lines += ["", str(table.size), *(" ".join(map(repr, row)) for row in rows)]
    return "\n".join(lines) + "\n"
