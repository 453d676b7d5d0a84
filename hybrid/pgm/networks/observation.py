"""What a user observed, row by row, checked and flattened (floor 2)."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hybrid.pgm.networks.labels import as_numbers
from hybrid.pgm.networks.structure import Structure

__all__ = ["Observed", "ObservedColumns", "observe"]

Labels = Mapping[str, Sequence[str]]


@dataclass(frozen=True, eq=False)
class Observed:
    r"""Checked evidence: rows flattened, each kind of column apart.

    Args:
        batch: The rows' shape.
        numbers: Finite variables with a column of states.
        states: State numbers (columns, rows), −1 where nothing was observed.
        soft: Likelihoods (rows, states) by variable.
        values: Values (rows, \*event) of leaves, by name.
        some: The variables observed in some row, as bits.
        known: The variables with a state in every row, as bits.
        leaves: The observed leaves, as bits.

    Example:
        >>> seen = observe(Structure(("X",), (2,), ((),)), {}, {}, {"X": torch.tensor([1, -1])})
        >>> seen.batch, seen.numbers, seen.states, seen.some, seen.known
        ((2,), (0,), tensor([[ 1, -1]]), 1, 0)
    """

    batch: tuple[int, ...]
    numbers: tuple[int, ...]
    states: Tensor
    soft: Mapping[int, Tensor]
    values: Mapping[str, Tensor]
    some: int
    known: int
    leaves: int

    @property
    def rows(self) -> int:
        """The number of rows."""
        return int(self.states.shape[1])

    def part(self, start: int, stop: int) -> "Observed":
        """The rows from ``start`` to ``stop``; what is known in all rows may be more."""
        cut = slice(start, stop)
        return replace(
            self,
            batch=(min(stop, self.rows) - start,),
            states=self.states[:, cut],
            soft={number: table[cut] for number, table in self.soft.items()},
            values={name: value[cut] for name, value in self.values.items()},
        )

    def row(self, place: int) -> "Observed":
        """One row alone."""
        one = self.part(place, place + 1)
        known = 0
        for number, state in zip(self.numbers, one.states[:, 0].tolist(), strict=True):
            known |= (state >= 0) << number
        return replace(one, some=known | _bits(self.soft), known=known)

    def only(self, numbers: Collection[int], leaves: Mapping[str, int]) -> "Observed":
        """What was observed of these finite variables and of these leaves (by place)."""
        chosen = _bits(numbers)
        kept = [place for place, number in enumerate(self.numbers) if number in numbers]
        return replace(
            self,
            numbers=tuple(self.numbers[place] for place in kept),
            states=self.states[kept],
            soft={number: table for number, table in self.soft.items() if number in numbers},
            values={name: value for name, value in self.values.items() if name in leaves},
            some=self.some & chosen,
            known=self.known & chosen,
            leaves=self.leaves & _bits(leaves.values()),
        )


def _bits(numbers: Iterable[int]) -> int:
    mask = 0
    for number in numbers:
        mask |= 1 << number
    return mask


ObservedColumns = tuple[list[int], list[Tensor], dict[int, Tensor], dict[str, Tensor]]


def observe(
    structure: Structure,
    labels: Labels,
    laws: Mapping[str, Any],
    evidence: Any,
    batch: tuple[int, ...] | None = None,
    device: torch.device | None = None,
) -> Observed:
    r"""Check evidence and flatten its rows.

    Args:
        structure: The network.
        labels: The states' names, of the variables that have them.
        laws: The Law of each leaf.
        evidence: Columns by name. For a finite variable: state numbers (\*batch,), −1 where it is
            not observed; state names, None where it is not; or likelihoods (\*batch, states) in
            floating point. For a leaf: values (\*batch, \*event). One state or value alone holds
            in every row.
        batch: The rows' shape where something else states it.
        device: Where the columns are brought.

    Raises:
        ValueError: Unknown variables or states, states out of range, likelihoods that are negative,
            NaN or all zero, or columns of different lengths; the variable and the row are named.
        TypeError: A column that holds no numbers and no names.

    Example:
        >>> network = Structure(("X",), (2,), ((),))
        >>> observe(network, {"X": ("no", "yes")}, {}, {"X": ["yes", "maybe"]})
        Traceback (most recent call last):
        ValueError: 'X' has no state 'maybe' in row 1: its states are ['no', 'yes']
    """
    evidence = {} if evidence is None else evidence
    numbers, hard, soft, values = _columns(structure, labels, laws, evidence, device)
    shape, states = _stacked(hard, batch) if not soft and not values else (None, None)
    if shape is None or states is None:
        shape = _batch(structure, numbers, hard, soft, values, laws, batch)
        rows = math.prod(shape)
        states = torch.empty(0, rows, dtype=torch.long, device=device)
        if hard:
            states = torch.stack([column.to(device).expand(shape) for column in hard])
            states = states.reshape(len(hard), rows)
    states = states.to(device)
    some, known = _extent(structure, labels, numbers, states)
    for number in soft:
        some |= 1 << number
    rows = states.shape[1]
    leaves = 0
    for name in values:
        leaves |= 1 << structure.leaf_index[name]
    return Observed(
        batch=tuple(shape),
        numbers=tuple(numbers),
        states=states,
        soft={
            number: table.expand(*shape, table.shape[-1]).reshape(rows, table.shape[-1])
            for number, table in soft.items()
        },
        values={
            name: value.expand((*shape, *laws[name].event_shape)).reshape(
                (rows, *laws[name].event_shape)
            )
            for name, value in values.items()
        },
        some=some,
        known=known,
        leaves=leaves,
    )


def _stacked(
    hard: list[Tensor], batch: tuple[int, ...] | None
) -> tuple[tuple[int, ...] | None, Tensor | None]:
    """All columns at once, where they have one shape."""
    try:
        block = torch.stack(hard)
    except RuntimeError:  # of several shapes, or none at all
        return None, None
    shape = tuple(block.shape[1:])
    if batch is not None and shape != batch:
        return None, None
    return shape, block if len(shape) == 1 else block.reshape(len(hard), math.prod(shape))


def _columns(
    structure: Structure, labels: Labels, laws: Mapping[str, Any], evidence: Any, device: Any
) -> ObservedColumns:
    """Each column as a tensor, by kind."""
    index = structure.index
    numbers: list[int] = []
    hard: list[Tensor] = []
    soft: dict[int, Tensor] = {}
    values: dict[str, Tensor] = {}
    for name in evidence:
        value = evidence[name]
        number = index.get(name)
        if number is None:
            if name not in structure.leaf_index:
                raise ValueError(
                    f"unknown variable {name!r} in the evidence: the network has "
                    f"{sorted((*structure.names, *structure.leaves))}"
                )
            values[name] = _value(name, laws[name], value, device)
            continue
        if type(value) is Tensor and value.dtype is torch.int64:
            numbers.append(number)
            hard.append(value)
            continue
        column = _finite(name, value, labels, structure.cardinalities[number])
        if column.is_floating_point():
            soft[number] = column if device is None else column.to(device)
        else:
            numbers.append(number)
            hard.append(column)
    return numbers, hard, soft, values


def _finite(name: str, value: Any, labels: Labels, states: int) -> Tensor:
    """State numbers (long), or likelihoods (floating point)."""
    known = labels.get(name) or tuple(map(str, range(states)))
    found = as_numbers(name, value, known)
    if found is not None:
        return found
    try:
        column = value if isinstance(value, Tensor) else torch.as_tensor(_plain(value))
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"the column {name!r} is not numeric: got {type(value).__name__}, {error}"
        ) from error
    if column.is_complex():
        raise TypeError(f"the column {name!r} is complex: expected state numbers or likelihoods")
    if not column.is_floating_point():
        return column.long()
    if column.dim() < 1 or column.shape[-1] != states:
        raise ValueError(
            f"{name!r} has {states} states, so floating-point evidence is likelihoods "
            f"(*batch, {states}), got shape {tuple(column.shape)}; state numbers are integers: "
            "use .long(), with −1 where nothing was observed"
        )
    _check_likelihoods(name, column.detach())
    return column


def _plain(value: Any) -> Any:
    """A pandas column as an array; it is no sequence of numbers by position."""
    return value.__array__().copy() if hasattr(value, "__array__") else value


def _check_likelihoods(name: str, column: Tensor) -> None:
    wrong = ~((column >= 0) & column.isfinite()).all(-1)
    empty = column.sum(-1) <= 0
    for mask, what in ((wrong, "negative, infinite or NaN likelihoods"), (empty, "only zeros")):
        if bool(mask.any()):
            place = tuple(int(k) for k in mask.nonzero()[0]) if mask.dim() else ()
            raise ValueError(
                f"{name!r} has {what}{_row(place)}: expected a finite weight ≥ 0 for each state, "
                "not all zero; what was not observed has the weights 1, …, 1, or −1 in a column of "
                "integer state numbers"
            )


def _row(place: Sequence[int]) -> str:
    return f" in row {place[0] if len(place) == 1 else tuple(place)}" if len(place) else ""


def _value(name: str, law: Any, value: Any, device: Any) -> Tensor:
    """Values of a leaf."""
    try:
        column = value if isinstance(value, Tensor) else torch.as_tensor(_plain(value))
        if not column.is_floating_point():
            column = column.to(torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"the column {name!r} is not numeric: got {type(value).__name__}, {error}"
        ) from error
    event = tuple(law.event_shape)
    if column.dim() < len(event) or tuple(column.shape[column.dim() - len(event) :]) != event:
        raise ValueError(
            f"{name!r} has shape {tuple(column.shape)}, expected (*batch, {event}) as its law's "
            f"event_shape is {event}"
        )
    bad = column.detach().isnan()
    if bool(bad.any()):
        place = [int(k) for k in bad.nonzero()[0]][: column.dim() - len(event)]
        raise ValueError(
            f"{name!r} has NaN values{_row(place)}: leave the column out, or ask about the rows "
            "without it apart"
        )
    return column if device is None else column.to(device)


def _batch(
    structure: Structure,
    numbers: Sequence[int],
    hard: Sequence[Tensor],
    soft: Mapping[int, Tensor],
    values: Mapping[str, Tensor],
    laws: Mapping[str, Any],
    batch: tuple[int, ...] | None,
) -> tuple[int, ...]:
    """The one shape that all columns with rows have."""
    shapes = {structure.names[n]: tuple(c.shape) for n, c in zip(numbers, hard, strict=True)}
    shapes |= {structure.names[n]: tuple(c.shape[:-1]) for n, c in soft.items()}
    for name, value in values.items():
        shapes[name] = tuple(value.shape[: value.dim() - len(laws[name].event_shape)])
    shapes = {name: found for name, found in shapes.items() if found}
    if batch is not None:
        shapes = {"the context": batch, **shapes}
    different = set(shapes.values())
    if len(different) > 1:
        raise ValueError(
            f"columns have different lengths, by rows: {shapes}; one state alone holds in every row"
        )
    return different.pop() if different else ()


def _extent(
    structure: Structure, labels: Labels, numbers: Sequence[int], states: Tensor
) -> tuple[int, int]:
    """The variables observed in some and in all rows; states are checked to be in range."""
    if not states.numel():
        return 0, 0
    if states.shape[1] == 1:
        pairs = [(state, state) for (state,) in states.tolist()]
    else:
        lows, highs = torch.aminmax(states, dim=1)
        pairs = list(zip(lows.tolist(), highs.tolist(), strict=True))
    some = known = 0
    sizes = structure.cardinalities
    for number, (low, high) in zip(numbers, pairs, strict=True):
        if low < -1 or high >= sizes[number]:
            _out_of_range(structure, labels, number, states[list(numbers).index(number)])
        if high >= 0:
            some |= 1 << number
            if low >= 0:
                known |= 1 << number
    return some, known


def _out_of_range(structure: Structure, labels: Labels, number: int, column: Tensor) -> None:
    name, size = structure.names[number], structure.cardinalities[number]
    row = int(((column < -1) | (column >= size)).nonzero()[0])
    known = f" {list(labels[name])}" if name in labels else ""
    raise ValueError(
        f"{name!r} has the states 0 … {size - 1}{known}, got {int(column[row])} in row {row}: use "
        "−1 where it was not observed"
    )
