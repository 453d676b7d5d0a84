"""Sums of products of named tables, two at a time in a good order, without underflow."""

from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce
from typing import NamedTuple

import opt_einsum
import torch
from torch import Tensor

__all__ = ["Table", "aligned", "contract", "divided", "joined", "scaled"]


class Table(NamedTuple):
    r"""Values (\*batch, \*names) times :math:`2^{exponent}`, exponent (\*batch) or None for 0.

    ``undefined`` marks, with the same axes, cells that a division by 0 left without a value; None
    where there are none.

    Example:
        >>> Table(("X",), torch.tensor([0.5, 0.5])).sizes
        {'X': 2}
    """

    names: tuple[str, ...]
    values: Tensor
    undefined: Tensor | None = None
    exponent: Tensor | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Number of states of each name."""
        lead = self.values.dim() - len(self.names)
        return dict(zip(self.names, self.values.shape[lead:], strict=True))


def aligned(values: Tensor, names: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """Values with one axis for each wanted name, 1 long where they do not have it.

    Example:
        >>> aligned(torch.ones(5, 2, 3), ("A", "B"), ("B", "C", "A")).shape
        torch.Size([5, 3, 1, 2])
    """
    lead = values.dim() - len(names)
    places = [lead + list(names).index(name) for name in wanted if name in names]
    values = values.permute((*range(lead), *places))
    for axis, name in enumerate(wanted):
        if name not in names:
            values = values.unsqueeze(lead + axis)
    return values


def scaled(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Values divided by the power of two next to their largest in each batch row; its exponent.

    Such a division is exact, and no gradient flows through the exponent.

    Example:
        >>> values, exponent = scaled(torch.tensor([2.0**-90, 2.0**-91]), 1)
        >>> values, exponent
        (tensor([1.0000, 0.5000]), tensor(-90.))
    """
    axes = tuple(range(values.dim() - count, values.dim()))
    largest = values.detach().amax(axes) if axes else values.detach()
    exponent = torch.where(largest > 0, largest, 1.0).log2().floor().clamp(-1000, 1000)
    return values * torch.exp2(-exponent)[(..., *[None] * count)], exponent


def joined(*exponents: Tensor | None) -> Tensor | None:
    """The sum of exponents; None counts as 0.

    Example:
        >>> joined(torch.tensor(2.0), None, torch.tensor(1.0))
        tensor(3.)
    """
    known = [exponent for exponent in exponents if exponent is not None]
    return reduce(torch.add, known) if known else None


def divided(above: Table, below: Table, names: Sequence[str]) -> tuple[Table, Tensor]:
    """The ratio of two tables over ``names``, 0 where the denominator is, and where that is.

    Example:
        >>> zero = Table((), torch.tensor(0.0))
        >>> divided(zero, zero, ())[0].values
        tensor(0.)
    """
    under = aligned(below.values, below.names, names)
    empty = under == 0
    values = aligned(above.values, above.names, names) / torch.where(empty, 1.0, under)
    exponent = joined(above.exponent, None if below.exponent is None else -below.exponent)
    return Table(tuple(names), torch.where(empty, 0.0, values), None, exponent), empty


@lru_cache(maxsize=4096)
def _path(
    inputs: tuple[tuple[str, ...], ...], output: tuple[str, ...], sizes: tuple[tuple[str, int], ...]
) -> tuple[tuple[int, ...], ...]:
    """In which order to contract, as positions in the shrinking list of operands."""
    symbols = {name: opt_einsum.get_symbol(number) for number, (name, _) in enumerate(sizes)}
    size = dict(sizes)
    terms = ["".join(symbols[name] for name in names) for names in inputs]
    equation = f"{','.join(terms)}->{''.join(symbols[name] for name in output)}"
    shapes = [tuple(size[name] for name in names) for names in inputs]
    path, _ = opt_einsum.contract_path(equation, *shapes, shapes=True, optimize="auto")
    return tuple(tuple(step) for step in path)


def _einsum(operands: Sequence[tuple[tuple[str, ...], Tensor]], output: Sequence[str]) -> Tensor:
    """One contraction; leading dimensions broadcast."""
    found = dict.fromkeys(name for names, _ in operands for name in names)
    letter = {name: number for number, name in enumerate(found)}
    terms = [
        part
        for names, values in operands
        for part in (values, [..., *(letter[name] for name in names)])
    ]
    return torch.einsum(*terms, [..., *(letter[name] for name in output)])


def contract(
    tables: Sequence[tuple[tuple[str, ...], Tensor]], output: Iterable[str], rescale: bool = True
) -> tuple[Tensor, Tensor | None]:
    r"""The product of tables, summed over all names that are not in ``output``.

    Args:
        tables: Names and values (\*batch, \*names), batch shapes broadcasting.
        output: Names of the result's axes, in order.
        rescale: Whether to divide intermediate tables by powers of two, so that nothing underflows.

    Returns:
        Values (\*batch, \*output) and the exponent of two by which they are to be multiplied.

    Source: opt_einsum (Smith & Gray 2018) for the order.

    Example:
        >>> p = torch.tensor([[0.5, 0.5], [0.1, 0.9]])
        >>> contract([(("A", "B"), p), (("B", "C"), p)], ("A", "C"), rescale=False)[0]
        tensor([[0.3000, 0.7000],
                [0.1400, 0.8600]])
    """
    output = tuple(output)
    sizes: dict[str, int] = {}
    for names, values in tables:
        sizes.update(zip(names, values.shape[values.dim() - len(names) :], strict=True))
    left = list(tables)
    exponent: Tensor | None = None
    path = _path(tuple(n for n, _ in tables), output, tuple(sorted(sizes.items())))
    for step in path:
        taken = [left.pop(place) for place in sorted(step, reverse=True)]
        needed = {*output, *(name for names, _ in left for name in names)}
        held = dict.fromkeys(name for names, _ in taken for name in names)
        kept = tuple(name for name in (output if not left else held) if name in needed)
        values = _einsum(taken, kept)
        if rescale:
            values, more = scaled(values, len(kept))
            exponent = more if exponent is None else exponent + more
        left.append((kept, values))
    ((names, values),) = left
    return aligned(values, names, output), exponent
