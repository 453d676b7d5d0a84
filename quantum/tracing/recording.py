"""Record a function of tensors once, replay it on others (floor 0 of tracing).

The circuit's Python code turns inputs and weights into gate parameters. `record` runs it once on
example values and keeps the tensor operations it performed; `Recording.replay` repeats only these,
on any leading dimensions: pure indexing becomes one gather, the rest runs under `torch.vmap`, and
what depends on the weights alone is never repeated for each row of the inputs.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from quantum.shapes import broadcast_shapes

__all__ = [
    "Group",
    "Instruction",
    "Recording",
    "Value",
    "execute",
    "leaves",
    "mapped",
    "numbered",
    "same",
    "widened",
]


@dataclass(frozen=True)
class Value:
    """A reference to the value with this number.

    Example:
        >>> Value(3).number
        3
    """

    number: int


@dataclass(frozen=True, eq=False)
class Instruction:
    """One torch operator, by name, with its arguments; `Value` stands for a traced tensor.

    Example:
        >>> Instruction("aten::neg", (Value(0),), {}, (1,)).operator
        'aten::neg'
    """

    operator: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    results: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Group:
    """Slots computed from the same arguments by the same instructions.

    Args:
        depends: The numbers of the arguments that are needed.
        instructions: What computes the slots, in order.
        values: The numbers of the values that are the slots.
        slots: The slots they fill.

    Example:
        >>> Group((0,), (), (0,), (0,)).depends
        (0,)
    """

    depends: tuple[int, ...]
    instructions: tuple[Instruction, ...]
    values: tuple[int, ...]
    slots: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Recording:
    """How a list of tensors (slots) is computed from arguments of fixed core shapes.

    Args:
        shapes: The core shape of each argument; leading dimensions come in front of it.
        constants: Slot and value of what depends on no argument.
        gathers: Slot, argument and flat positions of what is only picked from one argument.
        groups: Everything else.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> double = record(lambda x, w: [x[1] * w, x[0], 1.0], [(2,), ()])
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
        >>> double.replay([x, torch.tensor(10.0)])[0]
        tensor([20., 40., 60.], dtype=torch.float64)
    """

    shapes: tuple[tuple[int, ...], ...]
    constants: tuple[tuple[int, Tensor], ...]
    gathers: tuple[tuple[int, int, Tensor], ...]
    groups: tuple[Group, ...]

    def replay(self, arguments: Sequence[Tensor]) -> list[Tensor]:
        """The slots for these arguments, each with the leading dimensions of what it depends on.

        Leading dimensions of several arguments broadcast. Computed slots are float64 or complex128,
        gathered ones keep the dtype of their argument.
        """
        leads = [a.shape[: a.dim() - len(s)] for a, s in zip(arguments, self.shapes, strict=True)]
        count = len(self.constants) + len(self.gathers) + sum(len(g.slots) for g in self.groups)
        slots: list[Tensor] = [torch.empty(0)] * count
        device = arguments[0].device if arguments else torch.device("cpu")
        for slot, value in self.constants:
            slots[slot] = value.to(device)
        self._gather(arguments, leads, slots)
        for group in self.groups:
            for slot, value in self.computed(group, arguments).items():
                slots[slot] = value
        return slots

    def computed(self, group: Group, arguments: Sequence[Tensor]) -> dict[int, Tensor]:
        """The slots of one of the groups, by number.

        Example:
            >>> from quantum.tracing.recorder import record
            >>> double = record(lambda x: [2.0 * x[0]], [(1,)])
            >>> double.computed(double.groups[0], [torch.ones(1)])
            {0: tensor(2., dtype=torch.float64)}
        """
        leads = [a.shape[: a.dim() - len(s)] for a, s in zip(arguments, self.shapes, strict=True)]
        device = arguments[0].device if arguments else torch.device("cpu")
        values = _computed(group, arguments, leads, self.shapes, device)
        return dict(zip(group.slots, values, strict=True))

    def _gather(
        self, arguments: Sequence[Tensor], leads: Sequence[torch.Size], slots: list[Tensor]
    ) -> None:
        for argument, (tensor, lead) in enumerate(zip(arguments, leads, strict=True)):
            wanted = [(s, p) for s, a, p in self.gathers if a == argument]
            scalars = [(s, int(p)) for s, p in wanted if p.dim() == 0]
            flat = tensor.reshape(*lead, math.prod(self.shapes[argument]))
            if scalars:
                entries = flat.unbind(-1)
                for slot, position in scalars:
                    slots[slot] = entries[position]
            for slot, positions in wanted:
                if positions.dim():
                    index = positions.reshape(-1).to(tensor.device)
                    slots[slot] = flat.index_select(-1, index).reshape(*lead, *positions.shape)


def _copy(target: Tensor, source: Tensor, _blocking: bool = False) -> Tensor:
    return source.to(target.dtype).expand_as(target)


def _select_scatter(target: Tensor, source: Tensor, dim: int, index: int) -> Tensor:
    place = torch.tensor([index % target.shape[dim]], device=target.device)
    return target.index_copy(dim, place, source.to(target.dtype).unsqueeze(dim))


def _masked_fill(target: Tensor, mask: Tensor, value: Tensor) -> Tensor:
    return torch.where(mask, value.to(target.dtype), target)


# What `torch.vmap` has no rule for, or (select_scatter, torch 2.13) differentiates wrongly.
_REPLACED: dict[str, Callable[..., Any]] = {
    "aten::copy": _copy,
    "aten::fill.Tensor": _copy,
    "aten::masked_fill.Tensor": _masked_fill,
    "aten::select_scatter": _select_scatter,
}


@functools.cache
def _operator(name: str) -> Any:
    if name in _REPLACED:
        return _REPLACED[name]
    namespace, _, rest = name.partition("::")
    base, _, overload = rest.partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), base), overload or "default")


def execute(
    instructions: Sequence[Instruction], values: dict[int, Tensor], device: torch.device
) -> None:
    """Execute ``instructions``, adding their results to ``values``.

    Args:
        instructions: What to do, in order.
        values: Number → tensor; holds what the instructions refer to.
        device: Constants are moved to it.

    Example:
        >>> values = {0: torch.tensor(2.0)}
        >>> execute([Instruction("aten::neg", (Value(0),), {}, (1,))], values, torch.device("cpu"))
        >>> values[1]
        tensor(-2.)
    """
    for step in instructions:
        arguments = [_resolved(item, values, device) for item in step.arguments]
        keywords = {k: _resolved(item, values, device) for k, item in step.keywords.items()}
        result = _operator(step.operator)(*arguments, **keywords)
        tensors = result if isinstance(result, list | tuple) else [result]
        values.update(zip(step.results, tensors, strict=False))


def _resolved(item: Any, values: dict[int, Tensor], device: torch.device) -> Any:
    """An argument of an instruction with tensors in place of references."""
    if isinstance(item, Value):
        return values[item.number]
    if isinstance(item, Tensor):
        return item.to(device)
    if isinstance(item, list | tuple):
        return [_resolved(entry, values, device) for entry in item]
    return device if isinstance(item, torch.device) else item


def _slots(group: Group, device: torch.device, *needed: Tensor) -> tuple[Tensor, ...]:
    values = dict(zip(group.depends, needed, strict=True))
    execute(group.instructions, values, device)
    return tuple(values[number] for number in group.values)


def _computed(
    group: Group,
    arguments: Sequence[Tensor],
    leads: Sequence[torch.Size],
    shapes: Sequence[tuple[int, ...]],
    device: torch.device,
) -> list[Tensor]:
    """The slots of one group, with the broadcast leading dimensions of its arguments."""
    lead = broadcast_shapes(*[leads[number] for number in group.depends])
    cores = [shapes[number] for number in group.depends]

    slots = functools.partial(_slots, group, device)
    wide = [widened(arguments[number]) for number in group.depends]
    if not lead:
        return list(slots(*wide))
    if lead.numel() == 0:  # vmap takes no empty axis: only the shapes are wanted
        made = slots(*(torch.ones(s, dtype=torch.float64, device=device) for s in cores))
        return [value.expand(*lead, *value.shape) for value in made]
    rows = [
        (t.expand(*lead, *s).reshape(-1, *s), 0) if leads[number] else (t, None)
        for t, s, number in zip(wide, cores, group.depends, strict=True)
    ]
    made = torch.vmap(slots, in_dims=tuple(axis for _, axis in rows))(*(t for t, _ in rows))
    return [value.reshape(*lead, *value.shape[1:]) for value in made]


def leaves(item: Any) -> list[Any]:
    """What stands in nested lists, tuples and dictionaries, flat.

    Example:
        >>> leaves((1, [2, {"a": 3}]))
        [1, 2, 3]
    """
    if isinstance(item, list | tuple):
        return [leaf for entry in item for leaf in leaves(entry)]
    if isinstance(item, dict):
        return [leaf for entry in item.values() for leaf in leaves(entry)]
    return [item]


def mapped(function: Callable[[Tensor], Any], item: Any) -> Any:
    """``item`` with ``function`` applied to each tensor in its lists, tuples and dictionaries.

    Example:
        >>> mapped(torch.neg, [torch.tensor(1.0), "a"])
        [tensor(-1.), 'a']
    """
    if isinstance(item, Tensor):
        return function(item)
    if isinstance(item, list | tuple):
        return type(item)([mapped(function, entry) for entry in item])
    if isinstance(item, dict):
        return {key: mapped(function, entry) for key, entry in item.items()}
    return item


def widened(tensor: Tensor) -> Tensor:
    """``tensor`` in double precision, in which recordings are made and computed.

    Example:
        >>> widened(torch.zeros(1)).dtype
        torch.float64
    """
    return tensor.to(torch.complex128 if tensor.is_complex() else torch.float64)


def numbered(recording: Recording) -> dict[int, int]:
    """Slots that depend on arguments, each with a number: equal where they are computed alike.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> numbers = numbered(record(lambda x: [x[0], x[1], x[0], 2 * x[1], 2 * x[1]], [(2,)]))
        >>> [len({numbers[a], numbers[b]}) for a, b in ((0, 1), (0, 2), (1, 3), (3, 4))]
        [2, 1, 2, 1]
    """
    known: dict[Any, int] = {}

    def number(key: Any) -> int:
        return known.setdefault(key, len(known))

    made = {
        slot: number((argument, positions.shape, *positions.reshape(-1).tolist()))
        for slot, argument, positions in recording.gathers
    }
    for group in recording.groups:
        values = {argument: number(argument) for argument in group.depends}
        for step in group.instructions:
            keywords = sorted(step.keywords.items())
            key = (step.operator, _frozen(step.arguments, values), _frozen(keywords, values))
            values |= {result: number((key, k)) for k, result in enumerate(step.results)}
        made |= {s: values[v] for s, v in zip(group.slots, group.values, strict=True)}
    return made


def _frozen(item: Any, values: dict[int, int]) -> Any:
    """An argument of an instruction as a key, its references by their numbers in ``values``."""
    if isinstance(item, Value):
        return "value", values[item.number]
    if isinstance(item, Tensor):
        return item.dtype, item.shape, *item.reshape(-1).tolist()
    if isinstance(item, list | tuple):
        return tuple(_frozen(entry, values) for entry in item)
    return type(item), item


def same(first: Any, second: Any) -> bool:
    """Whether two recordings (or parts of them) say the same, tensors compared by value.

    Example:
        >>> same(Group((0,), (), (0,), (0,)), Group((0,), (), (0,), (0,)))
        True
    """
    if type(first) is not type(second):
        return False
    if isinstance(first, Tensor):
        alike = first.shape == second.shape and first.dtype == second.dtype
        return alike and torch.allclose(first, second, rtol=1e-12, atol=1e-12, equal_nan=True)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, Instruction | Group | Recording):
        return same(vars(first), vars(second))
    return bool(first == second)
