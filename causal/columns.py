"""Variables as columns of contexts, and users' data as checked columns (floor 1)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributions as td
from torch import Tensor

from causal.graph import Graph
from causal.law import columns_of, encode, is_integer, law_over, states_of

__all__ = ["Mechanism", "Mechanisms", "Table", "as_column"]


@runtime_checkable
class Table(Protocol):
    """Columns by name: a dict, or a pandas DataFrame.

    Example:
        >>> isinstance({"X": [1.0, 2.0]}, Table)
        True
    """

    def __getitem__(self, name: Any, /) -> Any:
        """One column."""
        ...

    def __iter__(self) -> Iterator[Any]:
        """The names."""
        ...

    def __contains__(self, name: Any, /) -> bool:
        """Whether there is a column of that name."""
        ...


@dataclass(frozen=True)
class Mechanism:
    """A Law with its own order of parents, where that is not the sorted one.

    Args:
        law: The law of one variable.
        parents: The variable's parents, each once, in the order of the law's context.

    Example:
        >>> import torch
        >>> Mechanism(torch.nn.Identity(), parents=("W", "T")).parents
        ('W', 'T')
    """

    law: Any
    parents: tuple[str, ...]

    def __post_init__(self) -> None:
        names: Any = self.parents
        if isinstance(names, str):
            raise TypeError(f"parents is a tuple of names, got the string {names!r}")
        object.__setattr__(self, "parents", tuple(names))


def as_column(name: str, law: Any, value: Any, like: Tensor, *, infinite: bool = False) -> Tensor:
    """A user's values of one variable as a tensor that its law takes.

    Floating point and boolean values take the dtype of ``like``, integers too unless the law is
    categorical; numpy arrays, pandas columns and numbers are converted.

    Args:
        name: The variable, for messages.
        law: Its law.
        value: The values.
        like: A tensor of the model's dtype and device.
        infinite: Whether ±inf is legal.

    Raises:
        ValueError: NaN, infinities, classes out of range.
        TypeError: Values that are not numbers.

    Example:
        >>> import torch, types
        >>> real = torch.distributions.constraints.real
        >>> law = types.SimpleNamespace(event_shape=torch.Size(), support=real)
        >>> as_column("X", law, [1, 2], torch.zeros(()))
        tensor([1., 2.])
    """
    try:
        # Through numpy: a pandas column is no sequence of numbers by position.
        values = value if isinstance(value, Tensor) else value.__array__().copy()
    except AttributeError:
        values = value
    try:
        column = torch.as_tensor(values, device=like.device)
        if values is value and not isinstance(value, Tensor) and column.is_floating_point():
            column = torch.as_tensor(value, dtype=torch.float64, device=like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name!r} is not numeric: got {type(value).__name__}, {error}") from error
    if column.is_complex():
        raise TypeError(f"{name!r} is complex: expected real numbers")
    if column.is_floating_point():
        if bool(column.isnan().any()):
            rows = column.isnan().reshape(len(column), -1).any(-1) if column.dim() else column
            where = f", first in row {int(rows.nonzero()[0])}" if column.dim() else ""
            raise ValueError(f"{name!r} has NaN values{where}: drop or impute those rows")
        if not infinite and bool(column.isinf().any()):
            raise ValueError(
                f"{name!r} has infinite values, which are legal only in a column that all its "
                "children (and the guide of hidden causes) use as a limit"
            )
    states = states_of(law)
    if states is None:
        return column.to(like.dtype)
    _check_classes(name, column, states)
    return column.long() if is_integer(law) else column.to(like.dtype)


def _check_classes(name: str, column: Tensor, states: int) -> None:
    """Class numbers are 0 … states − 1."""
    if not column.numel():
        return
    number = column.double()
    wrong = (number != number.round()) | (number < 0) | (number >= states)
    if bool(wrong.any()):
        kind = "0 or 1" if states == 2 else f"a class number 0 … {states - 1}"
        raise ValueError(f"{name!r} must be {kind}, got {number[wrong].flatten()[0].item():g}")


@dataclass(frozen=True)
class Mechanisms:
    """A graph with a law and an order of parents for each variable: what queries work on.

    Hidden common causes are nodes of the graph and no variables: they are neither given nor set.

    Attributes:
        graph: A graph without bidirected edges.
        laws: The law of each node.
        parents: Each node's parents in the order of its law's context.
        like: A tensor of the dtype and on the device of the laws' parameters.
        hidden: The nodes that are hidden causes, in sorted edge order.
        guide: Their posterior given all variables, where there is one.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> law = torch.nn.Identity()
        >>> law.event_shape, law.support = torch.Size([2]), torch.distributions.constraints.real
        >>> parents = {"X": (), "Y": ("X",)}
        >>> model = Mechanisms(
        ...     Graph.parse("X -> Y"), {"X": law, "Y": law}, parents, torch.zeros(())
        ... )
        >>> model.columns("Y")
        ('X[0]', 'X[1]')
    """

    graph: Graph
    laws: Mapping[str, Any]
    parents: Mapping[str, tuple[str, ...]]
    like: Tensor
    hidden: tuple[str, ...] = ()
    guide: Any = None

    @cached_property
    def variables(self) -> tuple[str, ...]:
        """The nodes that are no hidden causes, sorted."""
        return tuple(name for name in self.graph.nodes if name not in self.hidden)

    @cached_property
    def projection(self) -> Graph:
        """The graph on the variables, hidden causes as bidirected edges."""
        return self.graph.project(self.hidden) if self.hidden else self.graph

    def names(self, names: str | Iterable[str]) -> frozenset[str]:
        """A name or names as a set, each of them a variable.

        Raises:
            ValueError: One is not, or is a hidden cause.
        """
        chosen = frozenset((names,) if isinstance(names, str) else names)
        hidden = sorted(chosen & set(self.hidden))
        if hidden:
            raise ValueError(
                f"{hidden} are hidden causes, which cannot be observed, set or asked for: the "
                f"variables are {list(self.variables)}"
            )
        return chosen if chosen <= set(self.variables) else self.projection.names(chosen)

    def visible(self, name: str) -> list[str]:
        """The parents of a variable that an intervention can read: those that are not hidden."""
        return [parent for parent in self.parents[name] if parent not in self.hidden]

    def columns_of(self, name: str) -> tuple[str, ...]:
        """Names of the columns that a node takes in a context."""
        return columns_of(name, self.laws[name])

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of a variable's context."""
        self.names(name)
        return tuple(column for parent in self.parents[name] for column in self.columns_of(parent))

    def event_shape(self, name: str) -> tuple[int, ...]:
        """Shape of one value of a variable."""
        return tuple(self.laws[name].event_shape)

    def context(self, name: str, values: Mapping[str, Tensor], rows: tuple[int, ...]) -> Tensor:
        r"""The context (\*batch, width) of a variable, its batch shape at least ``rows``."""
        return self.encoded(self.parents[name], values, rows)

    def encoded(
        self, names: Iterable[str], values: Mapping[str, Tensor], rows: tuple[int, ...]
    ) -> Tensor:
        r"""The columns (\*batch, width) of nodes in this order; batch shape at least ``rows``."""
        encoded = [encode(self.laws[name], values[name], self.like.dtype) for name in names]
        batch = torch.broadcast_shapes(rows, *(column.shape[:-1] for column in encoded))
        columns = [column.expand(*batch, -1) for column in encoded]
        return torch.cat([self.like.new_zeros(*batch, 0), *columns], -1)

    def at(
        self,
        name: str,
        values: Mapping[str, Tensor],
        rows: tuple[int, ...],
        full: tuple[int, ...] | None = None,
    ) -> td.Distribution:
        r"""The distribution of a variable given its parents' values.

        Args:
            name: The variable.
            values: Values of its parents, each (\*batch, \*event).
            rows: The least batch shape.
            full: The batch shape wanted (after the laws have used their draws).
        """
        return law_over(self.laws[name], self.context(name, values, rows), full)

    def _limit(self, name: str) -> bool:
        """Whether all that read a variable's columns use them as limits only."""
        own = set(columns_of(name, self.laws[name]))
        readers = [self.laws[child] for child in self.graph.children(name)]
        readers += [] if self.guide is None else [self.guide.law]
        return bool(readers) and all(
            own <= set(getattr(reader, "limit_columns", ())) for reader in readers
        )

    def cast(self, name: str, value: Any) -> Tensor:
        """A value of a variable in the form that its law takes; see `as_column`."""
        return as_column(name, self.laws[name], value, self.like, infinite=self._limit(name))

    def interventions(self, do: Any) -> Mapping[str, Any]:
        """A user's interventions, checked to be values by variable.

        Raises:
            ValueError: Unknown variables.
            TypeError: No mapping.
        """
        if not isinstance(do, Mapping):
            raise TypeError(f"do takes values by variable, {{name: value}}, got {do!r}")
        self.names(do)
        return do

    def rows(self, values: Table, required: Iterable[str] = ()) -> dict[str, Tensor]:
        r"""Checked columns (batch, \*event), all equally long.

        Args:
            values: A user's columns (a mapping or a DataFrame).
            required: Variables that must be there.

        Raises:
            ValueError: Unknown, missing or badly shaped columns, or bad values.
            TypeError: No columns by name.
        """
        if isinstance(values, Tensor) or not isinstance(values, Table):
            raise TypeError(
                f"rows are columns by name, {{name: (batch,) tensor}}, got {type(values).__name__}"
            )
        unknown = sorted(str(name) for name in values if name not in self.variables)
        if unknown:
            raise ValueError(
                f"unknown column(s) {unknown}: the variables are {list(self.variables)}"
            )
        missing = sorted(set(required) - set(values))
        if missing:
            raise ValueError(f"missing column(s) {missing}: got {sorted(values)}")
        columns = {
            name: self.cast(name, values[name]) for name in self.graph.order if name in values
        }
        for name, column in columns.items():
            self._check_shape(name, tuple(column.shape))
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns have different lengths: {lengths}")
        return columns

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        event = self.event_shape(name)
        if len(shape) == 1 + len(event) and shape[1:] == event:
            return
        expected = f"({', '.join(['batch', *map(str, event)])}{'' if event else ','})"
        mend = f", use {name}.squeeze(-1)" if not event and shape[1:] == (1,) else ""
        kind = "scalar" if not event else f"of vectors with shape {event}"
        raise ValueError(
            f"{name!r} has shape {shape} but its law is {kind}: expected {expected}{mend}"
        )
