"""The numbers of one probability block of a BIF text, row by row (floor 1)."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hybrid.pgm.formats.bif_tokens import Reader, Token

__all__ = ["Rows", "groups", "words"]

_MOST = 2**28  # 2 GiB


def groups(tokens: Sequence[Token]) -> list[str]:
    """What stands between commas; several words are joined by a blank.

    Example:
        >>> groups(Reader("very cold, cold").until("", others=","))
        Traceback (most recent call last):
        ValueError: line 1: expected '' after 'cold', got ''
        >>> groups(Reader("very cold, cold;").until(";", others=","))
        ['very cold', 'cold']
    """
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token.kind == "mark":
            parts.append([])
        else:
            parts[-1].append(token.text)
    return [" ".join(part) for part in parts if part]


def words(tokens: Sequence[Token]) -> list[str]:
    """The words, whatever stands between them.

    Example:
        >>> words(Reader("yes no;").until(";"))
        ['yes', 'no']
    """
    return [token.text for token in tokens if token.kind != "mark"]


class Rows:
    """A table that is being read.

    Args:
        reader: The text, inside the block.
        states: The labels of the states of all variables.
        variable: Whose table it is.
        parents: Its parents in the order of the rows' labels.

    Example:
        >>> reader = Reader("( yes ) 0.9, 0.1; default 0.25, 0.75; }")
        >>> rows = Rows(reader, {"a": ("yes", "no"), "b": ("0", "1")}, "b", ("a",))
        >>> rows.add(reader.take())
        >>> rows.fill(reader.take())
        >>> rows.result(reader.take()).tolist()
        [[0.9, 0.1], [0.25, 0.75]]
    """

    def __init__(
        self,
        reader: Reader,
        states: Mapping[str, tuple[str, ...]],
        variable: str,
        parents: tuple[str, ...],
    ) -> None:
        self._reader = reader
        self._variable = variable
        self._parents = parents
        self._numbers = [{label: i for i, label in enumerate(states[name])} for name in parents]
        shape = [len(states[name]) for name in (*parents, variable)]
        if math.prod(shape) > _MOST:
            reader.fail(f"the table of {variable!r} has {math.prod(shape):.3g} numbers: too many")
        self._values = np.full(shape, np.nan)
        self._whole: NDArray[np.float64] | None = None
        self._default: list[float] | None = None

    def add(self, keyword: Token) -> None:
        """Read ``yes, no) 0.9, 0.1;``, what stands behind an opening parenthesis."""
        tokens = self._reader.until(")", others=",")
        labels = groups(tokens)
        if len(labels) != len(self._parents):
            labels = words(tokens)
        if len(labels) != len(self._parents):
            self._reader.fail(
                f"a row of {self._variable!r} states ({', '.join(labels)}): expected a state for "
                f"each of its parents ({', '.join(self._parents)})",
                keyword,
            )
        cell = []
        for parent, numbers, label in zip(self._parents, self._numbers, labels, strict=True):
            if label not in numbers:
                self._reader.fail(
                    f"{label!r} is no state of {parent!r}, which has {', '.join(numbers)}", keyword
                )
            cell.append(numbers[label])
        where = tuple(cell)
        if not np.isnan(self._values[where][0]):
            self._reader.fail(f"a second row ({', '.join(labels)}) of {self._variable!r}", keyword)
        self._values[where] = self._read(self._values.shape[-1], keyword)

    def fill(self, keyword: Token) -> None:
        """Read the numbers behind ``default``, which stand for all rows that are not listed."""
        if self._default is not None:
            self._reader.fail(f"variable {self._variable!r} has two defaults", keyword)
        self._default = self._read(self._values.shape[-1], keyword)

    def table(self, keyword: Token) -> None:
        """Read the numbers behind ``table``: the variable itself goes slowest."""
        if self._whole is not None:
            self._reader.fail(f"variable {self._variable!r} has two tables", keyword)
        values = np.array(self._read(self._values.size, keyword))
        shape = self._values.shape
        self._whole = np.moveaxis(values.reshape(shape[-1:] + shape[:-1]), 0, -1)

    def result(self, begin: Token) -> NDArray[np.float64]:
        """The table, where every number is there."""
        missing = np.argwhere(np.isnan(self._values[..., 0]))
        if self._whole is not None:
            if self._default is not None or len(missing) < self._values[..., 0].size:
                self._reader.fail(f"variable {self._variable!r} has a table and rows", begin)
            return np.ascontiguousarray(self._whole)
        if self._default is not None:
            self._values[np.isnan(self._values[..., 0])] = self._default
        elif len(missing):
            labels = [list(names)[i] for names, i in zip(self._numbers, missing[0], strict=True)]
            self._reader.fail(
                f"{len(missing)} of the rows of {self._variable!r} are missing, first "
                f"({', '.join(labels)}): list them or state a default",
                begin,
            )
        return self._values

    def _read(self, count: int, keyword: Token) -> list[float]:
        """So many numbers, and a semicolon."""
        values = []
        for token in self._reader.until(";", others=","):
            if token.kind == "mark":
                continue
            try:
                value = float(token.text)
            except ValueError:
                self._reader.fail(f"expected a probability, got {token.text!r}", token)
            if not 0 <= value < np.inf:
                self._reader.fail(f"expected a probability, got {token.text}", token)
            values.append(value)
        if len(values) != count:
            self._reader.fail(
                f"expected {count} numbers for {self._variable!r}, got {len(values)}", keyword
            )
        return values
