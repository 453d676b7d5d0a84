"""Expressions on finite tables: exact, batched, differentiable, each shared node once."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from causal.evaluation.contraction import Table, aligned, contract, divided, joined
from causal.evaluation.positivity import PositivityViolation
from causal.evaluation.sources import Sources, holds
from causal.expression import At, Expression, Probability, Product, Ratio, Sum, subexpressions
from causal.render import text

__all__ = ["Walk", "finished"]


class Walk:
    """The tables of an expression's nodes on given sources.

    Products are kept as lists of factors until a sum asks for them, so that a joint table is built
    only where the formula asks for its cells.

    Args:
        sources: The supplied distributions.

    Example:
        >>> from causal.factor import Factor
        >>> joint = Factor(("X", "Y"), torch.tensor([[0.1, 0.3], [0.2, 0.4]]))
        >>> Walk(Sources(joint)).table(Probability("Y", {"X"})).values
        tensor([[0.2500, 0.7500],
                [0.3333, 0.6667]], dtype=torch.float64)
    """

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self._tables: dict[Expression, Table] = {}

    def table(self, expression: Expression) -> Table:
        """The table of an expression over its sorted arguments."""
        for node in subexpressions(expression):
            if node not in self._tables and not isinstance(node, Product):
                self._tables[node] = self._made(node)
        return self._of(expression)

    def _of(self, node: Expression) -> Table:
        if node not in self._tables:  # a product that somebody reads as a table
            self._tables[node] = self._summed(node, frozenset())
        return self._tables[node]

    def _made(self, node: Expression) -> Table:
        if isinstance(node, Probability):
            return self.sources.conditional(node.outcomes, node.given, node.do)
        if isinstance(node, Sum):
            return self._summed(node.of, node.over)
        if isinstance(node, Ratio):
            return _divided(self._of(node.above), self._of(node.below), sorted(node.arguments))
        if isinstance(node, At):
            return self._selected(self._of(node.of), dict(node.values))
        raise TypeError(f"not an expression: {node!r}")

    def _selected(self, table: Table, values: Mapping[str, int | str]) -> Table:
        lead = table.values.dim() - len(table.names)
        chosen = {name: self._state(name, values[name]) for name in table.names if name in values}
        index = (*[slice(None)] * lead, *(chosen.get(name, slice(None)) for name in table.names))
        kept = tuple(name for name in table.names if name not in values)
        missing = table.undefined
        return table._replace(
            names=kept,
            values=table.values[tuple(index)],
            undefined=None if missing is None else missing[tuple(index)],
        )

    def _state(self, name: str, value: int | str) -> int:
        size, labels = self.sources.sizes[name], self.sources.states.get(name, ())
        if isinstance(value, str):
            if value not in labels:
                raise ValueError(f"{name!r} has no state {value!r}: its states are {labels}")
            return labels.index(value)
        if not 0 <= value < size:
            raise ValueError(f"{name!r} has states 0 … {size - 1}, got {value}")
        return int(value)

    def _summed(self, body: Expression, over: frozenset[str]) -> Table:
        """The sum over some names of the factors of a product."""
        parts = [self._of(part) for part in _factors(body)]
        output = tuple(sorted(body.arguments - over))
        unused = sorted(over - body.arguments)
        terms = [(p.names, p.values) for p in parts] or [((), torch.ones(()).double())]
        values, exponent = contract(terms, output)
        for name in unused:
            if name not in self.sources.sizes:
                raise ValueError(f"no supplied table says how many states {name!r} has")
            values = values * self.sources.sizes[name]
        missing = _undefined(parts, output)
        if missing is not None:
            values = torch.where(missing, 0.0, values)
        return Table(output, values, missing, joined(exponent, *(p.exponent for p in parts)))

    def violation(self, expression: Expression, row: tuple[int, ...], cell: Mapping[str, int]) -> (
        PositivityViolation
    ):  # fmt: skip
        """What an undefined cell of an expression is due to: the term and its setting.

        Args:
            expression: The formula.
            row: The batch row.
            cell: State numbers of its arguments.
        """
        node, place = expression, dict(cell)
        while True:
            place = {name: place[name] for name in node.arguments if name in place}
            if isinstance(node, At):
                fixed = {name: self._state(name, value) for name, value in node.values}
                node, place = node.of, place | fixed
            elif isinstance(node, Ratio):
                part = next((p for p in node.operands if self._missing(p, row, place)), None)
                if part is None:
                    return self._violated(node, node.below.arguments, row, place)
                node = part
            elif isinstance(node, Sum | Product):
                body = node.of if isinstance(node, Sum) else node
                over = node.over if isinstance(node, Sum) else frozenset()
                place = self._found(_factors(body), place, sorted(over & body.arguments), row)
                node = next(p for p in _factors(body) if self._missing(p, row, place))
            elif isinstance(node, Probability):
                return self._violated(node, node.given | node.do, row, place)
            else:
                raise TypeError(f"not an expression: {node!r}")

    def _violated(
        self,
        node: Expression,
        names: frozenset[str],
        row: tuple[int, ...],
        place: Mapping[str, int],
    ) -> PositivityViolation:
        setting: dict[str, int | str] = {}
        for name in sorted(names & place.keys()):
            labels = self.sources.states.get(name)
            setting[name] = labels[place[name]] if labels else place[name]
        return PositivityViolation(text(node), setting, row)

    def _missing(self, node: Expression, row: tuple[int, ...], place: Mapping[str, int]) -> bool:
        missing = _at(self._of(node), row, place).undefined
        return missing is not None and bool(missing.any())

    def _found(
        self,
        factors: Sequence[Expression],
        place: Mapping[str, int],
        over: Sequence[str],
        row: tuple[int, ...],
    ) -> dict[str, int]:
        """States of summed names at which the product is undefined, one name after the other."""
        found = {name: state for name, state in place.items() if name not in over}
        parts = [_at(self._of(factor), row, found) for factor in factors]
        for name in over:
            for state in range(self.sources.sizes[name]):
                chosen = [_at(part, (), {name: state}) for part in parts]
                missing = _undefined(chosen, ())
                if missing is not None and bool(missing.any()):
                    found[name], parts = state, chosen
                    break
        return found


def _factors(body: Expression) -> tuple[Expression, ...]:
    if not isinstance(body, Product):
        return (body,)
    return tuple(part for factor in body.factors for part in _factors(factor))


def _divided(above: Table, below: Table, names: Sequence[str]) -> Table:
    """The ratio: undefined where the denominator is 0 or a part of it is undefined."""
    table, empty = divided(above, below, names)
    for part in (above, below):
        if part.undefined is not None:
            empty = empty | aligned(part.undefined, part.names, names)
    if holds(empty.any()) is False:
        return table
    values = torch.where(empty, 0.0, table.values)
    return table._replace(values=values, undefined=empty.expand(values.shape))


def _undefined(parts: Sequence[Table], output: Sequence[str]) -> Tensor | None:
    """Which sums of a product meet an undefined cell that no other factor makes 0.

    With p_i where factor i is positive and u_i where it is undefined, such cells are
    ∏ (p_i + u_i) − ∏ p_i = Σ_k ∏_{i<k} (p_i + u_i) · u_k · ∏_{i>k} p_i, which has no differences.
    """
    like = parts[0].values.dtype if parts else None
    missing = [None if p.undefined is None else p.undefined.to(like) for p in parts]
    positive = [(part.values != 0).to(like) for part in parts]
    positive = [p if u is None else p * (1 - u) for p, u in zip(positive, missing, strict=True)]
    present = [p if u is None else p + u for p, u in zip(positive, missing, strict=True)]
    found: Tensor | None = None
    for place, undefined in enumerate(missing):
        if undefined is not None:
            terms = [*present[:place], undefined, *positive[place + 1 :]]
            named = [(part.names, term) for part, term in zip(parts, terms, strict=True)]
            count, _ = contract(named, output, rescale=False)
            found = count > 0 if found is None else found | (count > 0)
    return found


def _at(table: Table, row: tuple[int, ...], place: Mapping[str, int]) -> Table:
    """The part of a table in one batch row and at some states."""
    lead = table.values.dim() - len(table.names)
    index: list[int | slice] = [slice(None)] * lead
    if row:
        shape = table.values.shape[:lead]
        used = row[len(row) - lead :] if lead else ()
        index = [0 if size == 1 else place for size, place in zip(shape, used, strict=True)]
    index += [place.get(name, slice(None)) for name in table.names]
    kept = tuple(name for name in table.names if name not in place)
    missing = table.undefined
    return Table(
        kept,
        table.values[tuple(index)],
        None if missing is None else missing[tuple(index)],
    )


def finished(table: Table) -> Tensor:
    """The values with their exponent put in.

    Example:
        >>> finished(Table((), torch.tensor(0.5), None, torch.tensor(3.0)))
        tensor(4.)
    """
    if table.exponent is None:
        return table.values
    exponent = table.exponent[(..., *[None] * len(table.names))]
    half = (exponent / 2).floor()  # in two steps: a power of two may itself overflow
    return table.values * torch.exp2(half) * torch.exp2(exponent - half)
