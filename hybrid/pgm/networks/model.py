"""A network at work: its tables for the rows at hand (floor 2)."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hybrid.pgm.networks.configurations import Mechanism, conditional_table, likelihood
from hybrid.pgm.networks.nodes import Table
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.structure import Structure

__all__ = ["Kept", "Model", "Supply"]

MOST_KEPT = 64


@dataclass(frozen=True, eq=False)
class Supply:
    r"""Tables as the engine takes them.

    Args:
        tables: Each (\*states), or (lead · rows, \*states).
        lead: 1, or the number of draws where some table depends on them.
        log_scale: What the logs of observed leaves' densities were lowered by, (lead, rows), or
            None.

    Example:
        >>> Supply([torch.tensor([0.5, 0.5])], 1, None).lead
        1
    """

    tables: Sequence[Tensor]
    lead: int
    log_scale: Tensor | None


@dataclass(frozen=True, eq=False)
class Kept:
    """Tables as they were last read, and what they were read from.

    Args:
        tables: The tables.
        holders: Where each fixed table holds its numbers; empty if some are made otherwise.
        sources: These numbers.
        versions: How often each had been changed.

    Example:
        >>> coin = Table([0.5, 0.5])
        >>> kept = Kept.of((coin.probabilities(),), [coin])
        >>> before = kept.current()
        >>> _ = coin.get_buffer("values").copy_(torch.tensor([0.25, 0.75]))
        >>> before, kept.current()
        (True, False)
    """

    tables: tuple[Tensor, ...]
    holders: Sequence[Mapping[str, Tensor | None]]
    sources: Sequence[Tensor]
    versions: Sequence[int]

    @classmethod
    def of(cls, tables: tuple[Tensor, ...], nodes: Sequence[Any]) -> "Kept":
        """What these nodes have just given."""
        if not all(type(node) is Table and not node.trainable for node in nodes):
            return cls(tables, (), (), ())
        sources = [node.get_buffer("values") for node in nodes]
        if any(source.is_inference() for source in sources):
            return cls(tables, (), (), ())
        return cls(tables, [n._buffers for n in nodes], sources, [s._version for s in sources])

    def current(self) -> bool:
        """Whether nothing has changed since."""
        if not self.holders:
            return False
        held = [holder["values"] for holder in self.holders]
        same = all(map(operator.is_, held, self.sources))
        return same and [source._version for source in self.sources] == self.versions


@dataclass(frozen=True, eq=False)
class Model:
    """A structure with the sources of its tables, inside one public call.

    Args:
        structure: Variables and parents.
        labels: Names of the states.
        tables: What holds the tables of some finite variables, by number.
        mechanisms: The Laws of the others, and of the leaves behind them, by number of table.
        like: A tensor of the network's dtype and device.
        draws: The number of weight draws in force, or None.
        context: The rows' context (rows, width) by variable.
        kept: Where tuples of tables are kept: the engine knows fixed tables by their identity.
        replaced: Tables (lead or 1, rows or 1, *states) in place of the network's own.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> chain = Structure(("X",), (2,), ((),))
        >>> model = Model(chain, {}, {0: Table([0.5, 0.5])}, {}, torch.zeros(()))
        >>> model.own_table(0).tolist()
        [0.5, 0.5]
    """

    structure: Structure
    labels: Mapping[str, Sequence[str]]
    tables: Mapping[int, Any]
    mechanisms: Mapping[int, Mechanism]
    like: Tensor
    draws: int | None = None
    context: Mapping[str, Tensor] | None = None
    replaced: Mapping[int, Tensor] | None = None
    kept: dict[tuple[int, ...], Kept] | None = None

    def part(self, start: int, stop: int) -> "Model":
        """The same network for the rows from ``start`` to ``stop``."""
        cut = slice(start, stop)
        context = {name: rows[cut] for name, rows in (self.context or {}).items()}
        replaced = {
            number: table[:, cut] if table.shape[1] > 1 else table
            for number, table in (self.replaced or {}).items()
        }
        return replace(self, context=context, replaced=replaced)

    def own_table(self, number: int) -> Tensor:
        """A table that neither draws nor rows change, (*states)."""
        table: Tensor = self.tables[number].probabilities()
        return table

    def table(self, number: int) -> Tensor:
        r"""The table of a finite variable, (draws or 1, rows or 1, \*states)."""
        if self.replaced and number in self.replaced:
            return self.replaced[number]
        if number in self.tables:
            return self.own_table(number)[None, None]
        node = self.mechanisms[number]
        found = conditional_table(node, self._context(node), self.like, self.draws)
        return _sorted_parents(node, found)

    def _context(self, node: Mechanism) -> Tensor | None:
        if not node.contextual:
            return None
        if self.context is None or node.name not in self.context:
            raise ValueError(
                f"the law of {node.name!r} reads the row's context: give context=(*batch, width), "
                f"or {{{node.name!r}: (*batch, width)}}"
            )
        return self.context[node.name]

    def leaf(self, place: int, observed: Observed) -> Tensor:
        r"""The log densities of a leaf's values, (draws or 1, rows, \*parents' states)."""
        node = self.mechanisms[len(self.structure.names) + place]
        value = observed.values[node.name]
        found = likelihood(node, value, self._context(node), self.like, self.draws)
        return _sorted_parents(node, found, own=0)

    def context_of(self, place: int) -> Tensor | None:
        """The context of a leaf."""
        return self._context(self.mechanisms[len(self.structure.names) + place])

    def supply(
        self, numbers: tuple[int, ...], observed: Observed, *, density: bool = False
    ) -> Supply:
        """The tables of these numbers.

        Args:
            numbers: Tables, ascending; leaves come last.
            observed: The evidence, whose rows the tables serve.
            density: Whether the scale of all observed leaves is wanted, too.

        Raises:
            ValueError: A law fails, or the context is missing.
        """
        if not self.mechanisms and not self.replaced:
            return Supply(self._kept_tables(numbers), 1, None)
        count = len(self.structure.names)
        finite = [number for number in numbers if number < count]
        sheets = [self.table(number) for number in finite]
        scale: Tensor | None = None
        for place in range(len(self.structure.leaves)):
            if observed.leaves >> place & 1 and (density or count + place in numbers):
                sheet, shift = _lowered(self.leaf(place, observed))
                scale = shift if scale is None else scale + shift
                if count + place in numbers:
                    sheets.append(sheet)
        lead = max([sheet.shape[0] for sheet in sheets], default=1)
        lead = lead if scale is None else max(lead, scale.shape[0])
        return Supply([_rows(sheet, lead, observed.rows) for sheet in sheets], lead, scale)

    def _kept_tables(self, numbers: tuple[int, ...]) -> tuple[Tensor, ...]:
        """Own tables; the very tuple of the last time where none has changed."""
        before = None if self.kept is None else self.kept.get(numbers)
        if before is not None and before.current():
            return before.tables
        nodes = [self.tables[number] for number in numbers]
        tables = tuple([node.probabilities() for node in nodes])
        if self.kept is None:
            return tables
        if before is not None and all(map(operator.is_, before.tables, tables)):
            return before.tables
        plain = torch._C._functorch.maybe_current_level() is None
        if plain and not any(table.requires_grad for table in tables):
            if len(self.kept) >= MOST_KEPT:
                self.kept.clear()
            self.kept[numbers] = Kept.of(tables, nodes)
        return tables


def _sorted_parents(node: Mechanism, table: Tensor, own: int = 1) -> Tensor:
    """Axes in the order of the parents' names."""
    order = [2 + node.parents.index(parent) for parent in sorted(node.parents)]
    if order == sorted(order):
        return table
    return table.permute(0, 1, *order, *range(table.dim() - own, table.dim()))


def _lowered(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Densities over their largest, and the log of that, which is a constant to gradients."""
    axes = tuple(range(2, logs.dim()))
    shift = logs.detach().amax(axes, keepdim=True) if axes else logs.detach()
    shift = torch.where(shift.isfinite(), shift, 0.0)
    flat = shift.reshape(shift.shape[:2])
    return (logs - shift).exp(), flat


def _rows(sheet: Tensor, lead: int, rows: int) -> Tensor:
    """A table as the engine takes it."""
    if sheet.shape[0] == sheet.shape[1] == 1:
        return sheet[0, 0]
    return sheet.expand(lead, rows, *sheet.shape[2:]).reshape(lead * rows, *sheet.shape[2:])
