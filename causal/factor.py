"""Named tables with leading batch dimensions: the algebra of finite distributions (floor 0)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from causal.draws import uniform

__all__ = ["Factor"]

Names = str | Iterable[str]


def _as_set(names: Names) -> frozenset[str]:
    return frozenset((names,) if isinstance(names, str) else names)


@dataclass(frozen=True, init=False, eq=False)
class Factor:
    r"""A table :math:`f(x_1, …, x_k)` over named finite variables; differentiable and batched.

    As a Joint it is the distribution proportional to its values. The operations do not assume
    that it sums to one: a conditional table and a ratio are Factors as well. A Factor passes
    through ``torch.func.vmap`` and ``torch.utils._pytree`` as its values.

    Args:
        names: One name for each of the last axes of ``values``.
        values: The table, (\*batch, \*cardinalities), floating point.
        states: Names of the states, ``{variable: labels}``, for some or all variables.

    Raises:
        ValueError: Names, dimensions and states do not fit each other.
        TypeError: The values are not floating point.

    Example:
        >>> import torch
        >>> joint = Factor(("X", "Y"), torch.tensor([[0.1, 0.3], [0.2, 0.4]]))
        >>> joint.marginal("Y").values
        tensor([0.3000, 0.7000])
        >>> joint.condition("X").select({"X": 0}).values
        tensor([0.2500, 0.7500])
    """

    names: tuple[str, ...]
    values: Tensor
    labels: tuple[tuple[str, tuple[str, ...]], ...]

    def __init__(
        self,
        names: Sequence[str],
        values: Tensor,
        states: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        if isinstance(names, str):
            raise TypeError(f"names is a sequence of names, got the string {names!r}")
        values, states = torch.as_tensor(values), dict(states or {})
        if not values.is_floating_point():
            raise TypeError(f"values of a Factor are floating point, got {values.dtype}")
        if len(set(names)) < len(names):
            raise ValueError(f"names of a Factor must differ, got {list(names)}")
        if values.dim() < len(names):
            raise ValueError(
                f"values has {values.dim()} dimension(s), fewer than the names {list(names)}: "
                "expected (*batch, one axis per name)"
            )
        sizes = dict(zip(names, values.shape[values.dim() - len(names) :], strict=True))
        for name, labels in states.items():
            if name not in sizes:
                raise ValueError(f"states are given for {name!r}, which is not in {list(names)}")
            if len(set(labels)) != sizes[name] or not all(isinstance(s, str) for s in labels):
                raise ValueError(
                    f"{name!r} has {sizes[name]} states in the table: expected that many different "
                    f"strings, got {list(labels)}"
                )
        ordered = tuple((name, tuple(states[name])) for name in sorted(states))
        self._fill(tuple(names), values, ordered)

    def _fill(self, names: tuple[str, ...], values: Any, labels: Any) -> "Factor":
        for key, value in (("names", names), ("values", values), ("labels", labels)):
            object.__setattr__(self, key, value)
        return self

    def _new(self, names: Iterable[str], values: Tensor, *others: "Factor") -> "Factor":
        """A table with what is known about its names' states from this and other tables."""
        names = tuple(names)
        known = {name: labels for factor in (self, *others) for name, labels in factor.labels}
        return Factor(names, values, {name: known[name] for name in names if name in known})

    @property
    def states(self) -> dict[str, tuple[str, ...]]:
        """Names of the states, of the variables that have them."""
        return dict(self.labels)

    @property
    def variables(self) -> tuple[str, ...]:
        """The names, sorted."""
        return tuple(sorted(self.names))

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the leading dimensions that have no name."""
        return self.values.shape[: self.values.dim() - len(self.names)]

    @property
    def cardinalities(self) -> dict[str, int]:
        """Number of states of each variable."""
        return dict(zip(self.names, self.values.shape[len(self.batch_shape) :], strict=True))

    def _known(self, names: Names) -> frozenset[str]:
        chosen = _as_set(names)
        unknown = sorted(chosen - set(self.names))
        if unknown:
            raise ValueError(f"unknown name(s) {unknown}: the Factor has {list(self.names)}")
        return chosen

    def _aligned(self, names: Sequence[str]) -> Tensor:
        """Values with one axis per given name, 1 long where this table has no such name."""
        dims = len(self.batch_shape)
        axes = [dims + self.names.index(name) for name in names if name in self.names]
        values = self.values.permute((*range(dims), *axes))
        for axis, name in enumerate(names):
            if name not in self.names:
                values = values.unsqueeze(dims + axis)
        return values

    def _combine(self, other: "Factor", operation: Callable[[Tensor, Tensor], Tensor]) -> "Factor":
        mine, theirs = self.cardinalities, other.cardinalities
        for name in sorted(mine.keys() & theirs.keys()):
            if mine[name] != theirs[name]:
                raise ValueError(
                    f"cardinality mismatch: {name!r} has {mine[name]} states in one Factor and "
                    f"{theirs[name]} in the other"
                )
            if self.states.get(name, other.states.get(name)) != other.states.get(
                name, self.states.get(name)
            ):
                raise ValueError(
                    f"{name!r} has states {self.states[name]} in one Factor and "
                    f"{other.states[name]} in the other"
                )
        try:
            torch.broadcast_shapes(self.batch_shape, other.batch_shape)
        except RuntimeError as error:
            raise ValueError(
                f"batch shapes {tuple(self.batch_shape)} and {tuple(other.batch_shape)} of two "
                "Factors do not go together: give both the same, or axes of 1"
            ) from error
        names = self.names + tuple(name for name in other.names if name not in mine)
        return self._new(names, operation(self._aligned(names), other._aligned(names)), other)

    def __mul__(self, other: "Factor") -> "Factor":
        return self._combine(other, torch.mul)

    def __truediv__(self, other: "Factor") -> "Factor":
        """The ratio, with 0 / 0 = 0 and no gradient there."""

        def ratio(above: Tensor, below: Tensor) -> Tensor:
            empty = (above == 0) & (below == 0)
            return torch.where(empty, 0.0, above / torch.where(empty, 1.0, below))

        return self._combine(other, ratio)

    def sum(self, names: Names) -> "Factor":
        """The table with ``names`` summed out.

        Example:
            >>> import torch
            >>> Factor(("X", "Y"), torch.ones(2, 3)).sum("Y").values
            tensor([3., 3.])
        """
        gone = self._known(names)
        dims = len(self.batch_shape)
        axes = [dims + axis for axis, name in enumerate(self.names) if name in gone]
        kept = [name for name in self.names if name not in gone]
        return self._new(kept, self.values.sum(axes) if axes else self.values)

    def marginal(self, names: Names) -> "Factor":
        """The table over ``names`` alone, the others summed out."""
        return self.sum(set(self.names) - self._known(names))

    def condition(self, given: Names | Mapping[str, Any]) -> "Factor":
        r"""The conditional table :math:`f(x) / \sum_{x \setminus given} f(x)`.

        Over all names where ``given`` is names; over the others where it says their states too. For
        a condition of probability 0 it is 0, so that it drops out of sums over conditions.

        Example:
            >>> import torch
            >>> joint = Factor(("X", "Y"), torch.tensor([[0.1, 0.3], [0.2, 0.4]]))
            >>> joint.condition({"X": 0}).values
            tensor([0.2500, 0.7500])
        """
        if isinstance(given, Mapping):
            return self.select(given).normalise()
        return self / self.marginal(given)

    def normalise(self) -> "Factor":
        """The table divided by its sum, in each batch element."""
        return self / self.marginal(())

    def select(self, event: Mapping[str, Any]) -> "Factor":
        """The part of the table where ``event`` holds, without the event's names.

        Args:
            event: A state's number or name for some variables.

        Raises:
            ValueError: An unknown name or state.

        Example:
            >>> import torch
            >>> table = Factor(("X",), torch.tensor([0.2, 0.8]), {"X": ("no", "yes")})
            >>> table.select({"X": "yes"}).values
            tensor(0.8000)
        """
        self._known(event)
        values = self.values
        for axis in reversed(range(len(self.names))):
            name = self.names[axis]
            if name in event:
                state = self._index(name, event[name])
                if state.dim():
                    raise ValueError(f"{name!r} takes one state, got shape {tuple(state.shape)}")
                values = values.select(len(self.batch_shape) + axis, int(state))
        return self._new((name for name in self.names if name not in event), values)

    def permute(self, names: Sequence[str]) -> "Factor":
        """The same table with its axes in the order of ``names``.

        Raises:
            ValueError: ``names`` are not the Factor's, each once.
        """
        if sorted(names) != sorted(self.names):
            raise ValueError(f"permute needs each of {list(self.names)} once, got {list(names)}")
        return self._new(names, self._aligned(names))

    def factor(self) -> "Factor":
        """The table of this Joint: itself."""
        return self

    def _index(self, name: str, value: Any) -> Tensor:
        """State numbers for state numbers or names, checked."""
        states = dict(self.labels).get(name)
        many = isinstance(value, Sequence) and not isinstance(value, str)
        if isinstance(value, str) or (many and any(isinstance(item, str) for item in value)):
            labels = (value,) if isinstance(value, str) else tuple(value)
            unknown = [label for label in labels if label not in (states or ())]
            if unknown:
                raise ValueError(f"{name!r} has no state {unknown[0]!r}: its states are {states}")
            numbers = [(states or ()).index(label) for label in labels]
            value = numbers if many else numbers[0]
        index = torch.as_tensor(value, device=self.values.device)
        size = self.cardinalities[name]
        if index.is_floating_point() and bool((index != index.round()).any()):
            raise ValueError(f"{name!r} takes state numbers 0 … {size - 1}, got fractions or NaN")
        if index.numel() and (int(index.min()) < 0 or int(index.max()) >= size):
            raise ValueError(
                f"index out of range: {name!r} has states 0 … {size - 1}, got values from "
                f"{int(index.min())} to {int(index.max())}"
            )
        return index.long()

    def _rows(self, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """Checked state numbers, all of one shape."""
        self._known(values)
        rows = {name: self._index(name, value) for name, value in values.items()}
        shapes = {name: tuple(row.shape) for name, row in rows.items() if row.dim()}
        if len(set(shapes.values())) > 1:
            raise ValueError(f"columns have different lengths: {shapes}")
        shape = next(iter(shapes.values()), ())
        return {name: row.expand(shape) for name, row in rows.items()}

    def _cells(self, rows: Mapping[str, Tensor]) -> Tensor:
        """The marginal table at rows: (*batch, *rows)."""
        if not rows:
            return self.marginal(()).values
        index: tuple[Any, ...] = (..., *rows.values())
        return self.marginal(rows).permute(tuple(rows)).values[index]

    def log_probability(
        self, values: Mapping[str, Any], given: Mapping[str, Any] | Names | None = None
    ) -> Tensor:
        r"""Log probability of rows, :math:`\log p(\text{values} \mid \text{given})`.

        Variables that are not named are summed out. A condition of probability 0 gives −inf.

        Args:
            values: ``{name: state numbers or state names}``, (\*rows,) each.
            given: Rows of further variables, or names among ``values``.

        Returns:
            Shape (\*batch, \*rows).

        Raises:
            ValueError: Unknown names, states out of range, or rows of different lengths.

        Example:
            >>> import torch
            >>> joint = Factor(("X", "Y"), torch.tensor([[0.1, 0.3], [0.2, 0.4]]))
            >>> joint.log_probability({"X": torch.tensor([0, 1])}, given={"Y": 1}).exp()
            tensor([0.4286, 0.5714])
        """
        names = frozenset(given) if isinstance(given, Mapping) else _as_set(given or ())
        if not isinstance(given, Mapping) and not names <= set(values):
            raise ValueError(
                f"given names {sorted(names - set(values))}, which have no values: expected names "
                f"among {sorted(values)}, or rows {{name: values}}"
            )
        rows = self._rows({**values, **(given if isinstance(given, Mapping) else {})})
        below = self._cells({name: rows[name] for name in rows if name in names})
        lead = len(self.batch_shape)
        above = self._cells(rows)
        below = below.reshape(*below.shape, *[1] * (above.dim() - below.dim())) if lead else below
        empty = (above == 0) | (below == 0)
        ratio = torch.where(empty, 1.0, above).log() - torch.where(below == 0, 1.0, below).log()
        return torch.where(empty, -torch.inf, ratio)

    def sample(
        self,
        n: int,
        given: Mapping[str, Any] | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        r"""Draw ``n`` rows of state numbers, (\*batch, n) for each variable.

        Args:
            n: Number of rows.
            given: State numbers or names, one or (n,) each, on which the rows are conditioned.
            generator: Source of randomness; None advances torch's global generator.

        Raises:
            ValueError: The table (or a condition) has no probability, or negative values.

        Example:
            >>> import torch
            >>> Factor(("X",), torch.tensor([0.0, 1.0])).sample(3)
            {'X': tensor([1, 1, 1])}
        """
        rows = self._rows(dict(given or {}))
        for name, row in rows.items():
            if row.dim() and tuple(row.shape) != (n,):
                raise ValueError(f"given {name!r} has shape {tuple(row.shape)}, expected ({n},)")
        free = [name for name in self.names if name not in rows]
        table = self.permute([*rows, *free]).values.detach().double()
        cells = table.flatten(table.dim() - len(free)) if free else table.unsqueeze(-1)
        lead = len(self.batch_shape)
        if rows:
            index: list[Any] = [slice(None)] * lead + [row.expand(n) for row in rows.values()]
            cells = cells[tuple(index)]
        else:
            cells = cells.unsqueeze(-2)
        edges = cells.cumsum(-1)
        total = edges[..., -1:]
        if not bool((cells >= 0).all()) or not bool((total > 0).all() & total.isfinite().all()):
            raise ValueError(
                "cannot sample: the table has negative values or no (finite) probability"
                + (f" given {sorted(rows)}" if rows else "")
            )
        draw = uniform((*self.batch_shape, n, 1), edges, generator) * total
        draw = torch.minimum(draw, torch.nextafter(total, torch.zeros_like(total)))
        if rows:
            flat = torch.searchsorted(edges.contiguous(), draw, right=True).squeeze(-1)
        else:
            edges, draw = edges.squeeze(-2).contiguous(), draw.squeeze(-1).contiguous()
            flat = torch.searchsorted(edges, draw, right=True)
        shape = [self.cardinalities[name] for name in free]
        places = torch.unravel_index(flat, tuple(shape)) if free else ()
        found = dict(zip(free, places, strict=True))
        known = {name: row.expand(flat.shape).clone() for name, row in rows.items()}
        return {name: (found | known)[name] for name in self.variables}


def _flatten(factor: Factor) -> tuple[list[Any], Any]:
    return [factor.values], (factor.names, factor.labels)


def _unflatten(leaves: Iterable[Any], context: Any) -> Factor:
    # No checks: the leaf may stand for a table (an axis number, a shape).
    (values,) = leaves
    return object.__new__(Factor)._fill(context[0], values, context[1])


pytree.register_pytree_node(Factor, _flatten, _unflatten)
