"""Record a function of tensors on example values (floor 1 of tracing).

Two modes watch the function: one below autograd writes down every operator, one above notices when
the value of a traced tensor is about to leave torch, where a recording would silently go wrong.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from quantum.tracing.recording import (
    Group,
    Instruction,
    Recording,
    Value,
    execute,
    leaves,
    mapped,
    widened,
)

__all__ = ["MOVES", "record", "refuse"]

# Operations that only move entries: a slot made of these alone is a gather from its argument.
MOVES = frozenset(
    """
    aten::select.int aten::slice.Tensor aten::unbind.int aten::view aten::_unsafe_view aten::alias
    aten::t aten::transpose.int aten::permute aten::split.Tensor aten::split_with_sizes aten::clone
    aten::squeeze aten::squeeze.dim aten::squeeze.dims aten::unsqueeze aten::expand aten::diagonal
    aten::flip aten::cat aten::stack aten::repeat
    """.split()  # noqa: SIM905
)
# Python-level doors through which the value of a tensor leaves torch.
_ESCAPES = frozenset(
    """
    numpy __array__ item tolist __bool__ __float__ __int__ __index__ __complex__ equal allclose
    is_nonzero __contains__ __repr__ __format__
    """.split()  # noqa: SIM905
)
_DETACH = "aten::detach"
_COPIES = frozenset({"tensor", "as_tensor", "asarray"})  # of lists


def record(
    function: Callable[..., Sequence[Any]],
    shapes: Sequence[Sequence[int]],
    *,
    seed: int = 0,
    trusted: Callable[[Tensor], Tensor] | None = None,
) -> Recording:
    """Record ``function``, which takes tensors of these shapes and returns a sequence of tensors.

    Everything is recorded in float64 (and replayed in it), on positive example values from a
    generator of its own. The function must compute the same thing whatever the values are.

    Args:
        function: Takes one tensor per shape; returns tensors and numbers.
        shapes: Core shapes of its arguments.
        seed: Chooses the example values.
        trusted: Called with a traced tensor when its value leaves torch (``.item()``, ``bool``,
            ``.numpy()``); returns the tensor to be shown, or raises. None always raises.

    Raises:
        ValueError: The function looks at the value of an argument.

    Example:
        >>> record(lambda x: [x[0] if x[0] > 0 else x[1]], [(2,)])
        Traceback (most recent call last):
        ...
        ValueError: the value of a traced tensor is needed: ...
    """
    generator = np.random.default_rng(seed)
    with ExitStack() as stack:
        # Whatever surrounds the call (vmap, no_grad, autocast, a device) has no part in the trace.
        stack.enter_context(temporarily_clear_interpreter_stack())
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(torch.autocast("cpu", enabled=False))
        examples = [torch.as_tensor(generator.uniform(0.1, 0.9, tuple(s))).double() for s in shapes]
        for example in examples:
            example.requires_grad_()  # PennyLane treats trainable parameters with more care
        tape = _Tape(examples)
        stack.enter_context(_Guard(tape, trusted or refuse))
        with tape:
            outputs = [_tensor(value) for value in function(*examples)]
        return _finish(tape, outputs, tuple(tuple(s) for s in shapes))


class _Tape(TorchDispatchMode):
    """Writes down every operator that runs, and which values descend from the arguments."""

    def __init__(self, examples: Sequence[Tensor]) -> None:
        super().__init__()
        self.examples = list(examples)
        self.kept: list[Tensor] = []  # keeps ids unique: value number → tensor
        self.numbers: dict[int, int] = {}
        self.traced: list[frozenset[int]] = []  # value number → arguments it descends from
        self.instructions: list[Instruction] = []
        self.outputs: list[Tensor] = []
        self.paused = False
        self.writes = False
        for argument, example in enumerate(self.examples):
            self._keep(example, frozenset([argument]))

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Never compiled, so that torch's compiler need not be imported (seconds)."""
        return False

    def _keep(self, tensor: Tensor, descent: frozenset[int]) -> int:
        number = self.numbers.setdefault(id(tensor), len(self.kept))
        if number == len(self.kept):
            self.kept.append(tensor)
            self.traced.append(descent)
        else:
            self.traced[number] |= descent
        return number

    def descent(self, value: Any) -> frozenset[int]:
        """The arguments that any tensor in ``value`` descends from."""
        found: frozenset[int] = frozenset()
        for leaf in leaves(value):
            if isinstance(leaf, Tensor) and id(leaf) in self.numbers:
                found |= self.traced[self.numbers[id(leaf)]]
        return found

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        descent = self.descent((args, kwargs))
        if descent:
            self._check(func, args)
        if descent and not func._schema.is_mutable:
            args, kwargs = self._widened(args, kwargs)
        arguments = tuple(mapped(self._reference, item) for item in args)
        keywords = {key: mapped(self._reference, item) for key, item in kwargs.items()}
        result = func(*args, **kwargs)
        tensors = [leaf for leaf in leaves(result) if isinstance(leaf, Tensor)]
        results = tuple(self._keep(tensor, descent) for tensor in tensors)
        self.instructions.append(Instruction(func.name(), arguments, keywords, results))
        self.writes |= func._schema.is_mutable
        return result

    def _check(self, func: Any, args: tuple[Any, ...]) -> None:
        """Refuse operators whose outcome or shape depends on traced values."""
        masks = [args[0]]
        if func.overloadpacket in (torch.ops.aten.index, torch.ops.aten.index_put):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
        elif not {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape} & set(func.tags):
            return
        for mask in masks:
            if self.descent(mask):
                refuse(mask)

    def _reference(self, tensor: Tensor) -> Any:
        number = self.numbers.get(id(tensor))
        return Value(number) if number is not None else _constant(tensor)

    def _widened(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Constants in the precision of the trace, so that code written for float32 records."""
        found = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        doubles = (torch.float64, torch.complex128)
        if not any(leaf.dtype in doubles and self.descent(leaf) for leaf in found):
            return args, kwargs
        return mapped(self._widen, args), mapped(self._widen, kwargs)

    def _widen(self, tensor: Tensor) -> Tensor:
        if tensor.dim() == 0 or self.descent(tensor):
            return tensor
        wide = {torch.float32: torch.float64, torch.complex64: torch.complex128}
        return tensor.to(wide.get(tensor.dtype, tensor.dtype))

    def functional(self, outputs: Sequence[Tensor]) -> "_Tape":
        """This tape again without writes into tensors."""
        numbers = [self._reference(output) for output in outputs]
        tape = _Tape(self.examples)
        meant = set()  # positions of the detachments that the function itself asked for

        def again(*arguments: Tensor) -> list[Tensor]:
            values: dict[int, Tensor] = dict(enumerate(arguments))
            for step in self.instructions:
                execute([step], values, torch.device("cpu"))
                if step.operator == _DETACH:
                    last = len(tape.instructions) - 1
                    while tape.instructions[last].operator != _DETACH:
                        last -= 1
                    meant.add(last)
            return [values[n.number] if isinstance(n, Value) else n.clone() for n in numbers]

        with tape:
            tape.outputs = torch.func.functionalize(again)(*self.examples)
        # `functionalize` detaches what it writes: undo that, gradients flow through it.
        tape.instructions = [
            replace(step, operator="aten::alias")
            if step.operator == _DETACH and place not in meant
            else step
            for place, step in enumerate(tape.instructions)
        ]
        return tape


class _Guard(TorchFunctionMode):
    """Notices when the value of a traced tensor is about to leave torch."""

    def __init__(self, tape: _Tape, trusted: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.tape = tape
        self.trusted = trusted

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in _COPIES and args and isinstance(args[0], list | tuple):
            args = (self.copied(args[0], name), *args[1:])
        if name in _ESCAPES:
            args = mapped(self.shown, args)
        return func(*args, **(kwargs or {}))

    def copied(self, entries: Any, name: str) -> Any:
        """The entries of a list whose values are copied into a new tensor."""
        try:
            return mapped(self.shown, entries)
        except ValueError:
            raise ValueError(
                f"torch.{name}([...]) of traced tensors copies their values and stops gradients: "
                "use torch.stack([...])"
            ) from None

    def shown(self, tensor: Tensor) -> Tensor:
        """What may be seen of ``tensor``: itself, where it does not descend from an argument."""
        if not self.tape.descent(tensor):
            return tensor
        self.tape.paused = True
        try:
            return self.trusted(tensor).detach()
        finally:
            self.tape.paused = False


def refuse(tensor: Tensor) -> Tensor:
    """Say that the value of a traced tensor must not be looked at.

    Raises:
        ValueError: Always.

    Example:
        >>> refuse(torch.zeros(2))
        Traceback (most recent call last):
        ...
        ValueError: the value of a traced tensor is needed: ...
    """
    raise ValueError(
        "the value of a traced tensor is needed: the circuit is traced once, so its structure may "
        f"depend on shapes but not on values (a tensor of shape {tuple(tensor.shape)} was asked "
        "for its value by bool(), float(), .item(), .numpy(), .detach() or the like). Use torch "
        "functions of the inputs instead, torch.where for a choice"
    )


def _constant(tensor: Tensor) -> Tensor:
    """A copy of a tensor that the function takes from outside its arguments."""
    if tensor.requires_grad:
        raise ValueError(
            f"the circuit uses a tensor of shape {tuple(tensor.shape)} that requires gradients but "
            "is not one of its arguments, so it would not be trained: pass it as a weight, or "
            "detach it"
        )
    return tensor.clone()


def _tensor(value: Any) -> Tensor:
    """Python numbers and arrays keep their own precision instead of torch's default one."""
    return value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))


def _finish(
    tape: _Tape, outputs: Sequence[Tensor], shapes: tuple[tuple[int, ...], ...]
) -> Recording:
    """Sort the outputs into constants, gathers and groups with only the instructions they need."""
    if tape.writes:
        # Writes into tensors: repeat the tape with every write turned into a new tensor.
        tape = tape.functional(outputs)
        outputs = tape.outputs
    constants, gathers = [], []
    grouped: dict[frozenset[int], list[tuple[int, int]]] = {}
    positions = _positions(tape)
    for slot, output in enumerate(outputs):
        descent = tape.descent(output)
        if not descent:
            known = id(output) in tape.numbers
            constants.append((slot, widened(output if known else _constant(output)).clone()))
            continue
        number = tape.numbers[id(output)]
        if number in positions:
            (argument,) = descent
            gathers.append((slot, argument, positions[number]))
        else:
            grouped.setdefault(descent, []).append((slot, number))
    groups = []
    for descent, members in grouped.items():
        numbers = tuple(number for _, number in members)
        needed = _needed(tape, numbers)
        groups.append(Group(tuple(sorted(descent)), needed, numbers, tuple(s for s, _ in members)))
    return Recording(shapes, tuple(constants), tuple(gathers), tuple(groups))


def _needed(tape: _Tape, numbers: Sequence[int]) -> tuple[Instruction, ...]:
    """The traced instructions that the values with these numbers rest on, in order."""

    def settle(item: Any) -> Any:
        if isinstance(item, Value) and not tape.traced[item.number]:
            return tape.kept[item.number].clone()
        if isinstance(item, list | tuple):
            return [settle(entry) for entry in item]
        return item

    wanted = set(numbers)
    chosen: list[Instruction] = []
    for step in reversed(tape.instructions):
        if wanted.isdisjoint(step.results):
            continue
        arguments = tuple(settle(item) for item in step.arguments)
        keywords = {key: settle(item) for key, item in step.keywords.items()}
        used = leaves((arguments, keywords))
        wanted.update(leaf.number for leaf in used if isinstance(leaf, Value))
        chosen.append(Instruction(step.operator, arguments, keywords, step.results))
    return tuple(reversed(chosen))


def _positions(tape: _Tape) -> dict[int, Tensor]:
    """For each value that is merely picked from one argument: the flat positions it is made of."""
    positions: dict[int, Tensor] = {}
    for number, example in enumerate(tape.examples):
        positions[number] = torch.arange(example.numel()).reshape(example.shape)
    for step in tape.instructions:
        used = leaves((step.arguments, step.keywords))
        sources = [leaf.number for leaf in used if isinstance(leaf, Value)]
        pure = step.operator in MOVES and not any(isinstance(leaf, Tensor) for leaf in used)
        known = all(number in positions for number in sources)
        if pure and known and len({tape.traced[number] for number in sources}) == 1:
            execute([step], positions, torch.device("cpu"))
    return positions
