"""Angles as arithmetic of the circuit's arguments (floor 0 of the kernel).

Angles such as ``2 * (pi - x[0]) * (pi - x[1])`` or ``w @ x`` are sums of products of affine forms
of single entries. Where a recording says nothing else, the kernel computes them and their gradients
itself, and nothing is left to do in PyTorch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from quantum.tracing.recorder import MOVES
from quantum.tracing.recording import Group, Instruction, Recording, Value, execute, leaves, mapped

__all__ = ["Combination", "Factor", "Product", "Source", "combinations"]

_MOST_TERMS = 64
_MOST_FACTORS = 4


class Source(NamedTuple):
    """Where the kernel reads a parameter: an array and a position on its last axis.

    Args:
        array: The number of a circuit's argument; arguments are followed by the groups of slots
            that torch computes.
        position: Position in the flattened argument, or in the group.

    Example:
        >>> Source(0, 2).position
        2
    """

    array: int
    position: int


class Factor(NamedTuple):
    """A constant plus multiples of single entries.

    Example:
        >>> Factor(1.0, ((Source(0, 2), -1.0),)).constant
        1.0
    """

    constant: float
    terms: tuple[tuple[Source, float], ...]


Product = tuple[Factor, ...]


@dataclass(frozen=True)
class Combination:
    """A constant plus multiples of single entries and of products of affine forms.

    Sums and products that would grow too large are None.

    Args:
        constant: The part that depends on nothing.
        terms: Entry or product, and its coefficient.

    Example:
        >>> x = Combination(0.0, ((Source(0, 0), 1.0),))
        >>> (x * 2.0 + Combination(1.0)).terms
        ((Source(array=0, position=0), 2.0),)
        >>> len((x * x).terms[0][0])
        2
    """

    constant: float = 0.0
    terms: tuple[tuple[Source | Product, float], ...] = ()

    def __add__(self, other: "Combination") -> "Combination | None":
        terms = dict(self.terms)
        for item, coefficient in other.terms:
            terms[item] = terms.get(item, 0.0) + coefficient
        if len(terms) > _MOST_TERMS:
            return None
        return Combination(self.constant + other.constant, tuple(terms.items()))

    def __mul__(self, other: "Combination | float") -> "Combination | None":
        if not isinstance(other, Combination):
            scaled = tuple((item, coefficient * other) for item, coefficient in self.terms)
            return Combination(self.constant * other, scaled)
        if not other.terms:
            return self * other.constant
        if not self.terms:
            return other * self.constant
        mine, theirs = self._factors(), other._factors()
        if mine is None or theirs is None or len(mine[0]) + len(theirs[0]) > _MOST_FACTORS:
            return None
        product = tuple(sorted(mine[0] + theirs[0]))
        return Combination(0.0, ((product, mine[1] * theirs[1]),))

    def _factors(self) -> tuple[Product, float] | None:
        """This as a product and its coefficient, None where it is a sum of products."""
        sources = [(item, c) for item, c in self.terms if isinstance(item, Source)]
        if len(sources) == len(self.terms):
            if len(sources) == 1 and not self.constant:
                return (Factor(0.0, ((sources[0][0], 1.0),)),), sources[0][1]
            return (Factor(self.constant, tuple(sources)),), 1.0
        item, coefficient = self.terms[0]
        if len(self.terms) == 1 and not self.constant and not isinstance(item, Source):
            return item, coefficient
        return None


def combinations(recording: Recording) -> dict[int, Combination]:
    """The slots of a recording's groups that are combinations of entries of its arguments.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> made = combinations(record(lambda x: [2.0 * (1.0 - x[0]), x[0].sin()], [(2,)]))
        >>> made
        {0: Combination(constant=2.0, terms=((Source(array=0, position=0), -2.0),))}
    """
    found: dict[int, Combination] = {}
    for group in recording.groups:
        with temporarily_clear_interpreter_stack(), torch.device("cpu"):  # whatever surrounds this
            values = _evaluated(group, recording.shapes)
        for slot, number in zip(group.slots, group.values, strict=True):
            value = values.get(number)
            if value is not None and value.shape == () and value[()] is not None:
                found[slot] = value[()]
    return found


_Array = Any  # numpy arrays of Combination or None


def _evaluated(group: Group, shapes: Sequence[tuple[int, ...]]) -> dict[int, _Array]:
    """The traced values that are arrays of combinations."""
    values: dict[int, _Array] = {}
    for argument in group.depends:
        entries = np.empty(shapes[argument], dtype=object)
        flat = entries.reshape(-1)
        for position in range(entries.size):
            flat[position] = Combination(0.0, ((Source(argument, position), 1.0),))
        values[argument] = flat.reshape(shapes[argument])
    for step in group.instructions:
        used = leaves((step.arguments, step.keywords))
        if any(isinstance(leaf, Value) and leaf.number not in values for leaf in used):
            continue
        if step.operator in MOVES:
            values.update(_moved(step, values))
        elif step.operator in _ARITHMETIC and not step.keywords.keys() - {"alpha", "dtype"}:
            made = _computed(step, values)
            if made is not None:
                values[step.results[0]] = made
    return values


def _moved(step: Instruction, values: dict[int, _Array]) -> dict[int, _Array]:
    """What a step that only moves entries makes of them: done to their numbers."""
    pool: list[Any] = []
    places: dict[int, Tensor] = {}

    def number(entries: _Array) -> Tensor:
        pool.extend(entries.reshape(-1))
        first = len(pool) - entries.size
        return torch.arange(first, len(pool)).reshape(entries.shape)

    for leaf in leaves((step.arguments, step.keywords)):
        if isinstance(leaf, Value):
            places[leaf.number] = number(values[leaf.number])

    def constant(tensor: Tensor) -> Tensor:
        return number(_constants(tensor))

    arguments = tuple(mapped(constant, item) for item in step.arguments)
    execute(
        [Instruction(step.operator, arguments, step.keywords, step.results)],
        places,
        torch.device("cpu"),
    )
    entries = np.empty(len(pool), dtype=object)
    entries[:] = pool
    return {
        result: np.asarray(entries[places[result].numpy()], dtype=object)
        for result in step.results
        if result in places
    }


def _constants(tensor: Tensor) -> _Array:
    if tensor.is_complex():
        entries = np.full(tuple(tensor.shape), None, dtype=object)
    else:
        entries = np.empty(tuple(tensor.shape), dtype=object)
        numbers = tensor.detach().cpu().double().reshape(-1).tolist()
        flat = entries.reshape(-1)
        for place, value in enumerate(numbers):
            flat[place] = Combination(value)
        entries = flat.reshape(tuple(tensor.shape))
    return entries


def _computed(step: Instruction, values: dict[int, _Array]) -> _Array | None:
    """What an arithmetic step makes of its arguments; None where it is something else."""
    if step.keywords.get("dtype") not in (None, torch.float64):
        return None
    operands: list[Any] = []
    for item in step.arguments:
        if isinstance(item, Value):
            operands.append(values[item.number])
        elif isinstance(item, Tensor):
            operands.append(_constants(item))
        elif isinstance(item, bool | int | float | list) or item is None:
            operands.append(item)
        else:
            return None
    alpha = step.keywords.get("alpha", 1)
    return _ARITHMETIC[step.operator](alpha, *operands)


def _each(function: Callable[..., Any], *arrays: _Array) -> _Array:
    """Elementwise, broadcast; None wherever an operand is None."""
    first, *_ = found = np.broadcast_arrays(*arrays)
    made = np.empty(first.shape, dtype=object)
    for place in np.ndindex(first.shape):
        entries = [array[place] for array in found]
        made[place] = None if any(entry is None for entry in entries) else function(*entries)
    return made


def _array(operand: Any) -> _Array:
    if isinstance(operand, np.ndarray):
        return operand
    made = np.empty((), dtype=object)
    made[()] = Combination(float(operand))
    return made


def _add(alpha: float, first: Any, second: Any, scale: float = 1.0) -> _Array:
    factor = float(alpha) * scale
    return _each(lambda a, b: a + b * factor, _array(first), _array(second))


def _subtract(alpha: float, first: Any, second: Any) -> _Array:
    return _add(alpha, first, second, -1.0)


def _multiply(_alpha: float, first: Any, second: Any) -> _Array:
    return _each(lambda a, b: a * b, _array(first), _array(second))


def _divide(_alpha: float, first: Any, second: Any) -> _Array:
    def ratio(above: Combination, below: Combination) -> Combination | None:
        if below.terms or not below.constant:
            return None
        return above * (1.0 / below.constant)

    return _each(ratio, _array(first), _array(second))


def _power(_alpha: float, base: _Array, exponent: Any) -> _Array | None:
    if exponent not in (1, 2, 3):
        return None
    made = base
    for _ in range(int(exponent) - 1):
        made = _multiply(1.0, made, base)
    return made


def _total(entries: Iterator[Any]) -> Combination | None:
    total: Combination | None = Combination()
    for entry in entries:
        if entry is None or total is None:
            return None
        total = total + entry
    return total


def _sum(
    _alpha: float, array: _Array, axes: Sequence[int] | None = None, keep: bool = False
) -> _Array:
    rank = array.ndim
    gone = sorted({axis % rank for axis in (axes if axes else range(rank))}) if rank else []
    kept = [axis for axis in range(rank) if axis not in gone]
    moved = array.transpose(*kept, *gone).reshape(*(array.shape[axis] for axis in kept), -1)
    made = np.empty(moved.shape[:-1], dtype=object)
    for place in np.ndindex(made.shape):
        made[place] = _total(iter(moved[place]))
    shape = [1 if axis in gone else size for axis, size in enumerate(array.shape)]
    return made.reshape(shape) if keep else made


def _product(_alpha: float, first: _Array, second: _Array) -> _Array:
    """Matrices and vectors multiplied."""
    if first.ndim == 1:
        return _sum(1.0, _multiply(1.0, first, second), [0])
    if second.ndim == 1:
        return _sum(1.0, _multiply(1.0, first, second), [1])
    return _sum(1.0, _multiply(1.0, first[:, :, None], second[None]), [1])


def _same(_alpha: float, array: _Array, *_: Any) -> _Array:
    return array


_ARITHMETIC: dict[str, Callable[..., _Array | None]] = {
    "aten::_to_copy": _same,
    "aten::add.Scalar": _add,
    "aten::add.Tensor": _add,
    "aten::div.Scalar": _divide,
    "aten::div.Tensor": _divide,
    "aten::dot": _product,
    "aten::mm": _product,
    "aten::mul.Scalar": _multiply,
    "aten::mul.Tensor": _multiply,
    "aten::mv": _product,
    "aten::neg": lambda alpha, array: _multiply(alpha, array, -1.0),
    "aten::pow.Tensor_Scalar": _power,
    "aten::rsub.Scalar": lambda alpha, first, second: _subtract(alpha, second, first),
    "aten::sub.Scalar": _subtract,
    "aten::sub.Tensor": _subtract,
    "aten::sum": _sum,
    "aten::sum.dim_IntList": _sum,
}
