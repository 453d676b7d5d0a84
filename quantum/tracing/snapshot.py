"""What a Python value looks like now, in a form that can be compared later (floor 0 of tracing).

Numbers and strings are taken by value, containers and arrays by content, objects by their
attributes, tensors by identity, version and (where small) value. Functions, classes and modules
stand for themselves: `quantum.tracing.fingerprint` looks into them.
"""

import enum
import functools
import operator
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import (
    BuiltinMethodType,
    CellType,
    CodeType,
    EllipsisType,
    FunctionType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

__all__ = ["Members", "holds", "is_fixed", "members", "snapshot"]

Found = Callable[[Any], Any]

_ATOMS = frozenset({bool, int, str, bytes, NoneType, EllipsisType})
_SELF = (FunctionType, type, ModuleType, CodeType, enum.Enum, torch.dtype, torch.device, np.dtype)
_PRINTED = (range, slice, complex, float)
_OPAQUE = frozenset({"_io", "_thread", "io", "logging", "pennylane", "re", "threading", "weakref"})
_BUFFERS = (bytearray, memoryview)
_SMALL = 4096  # entries of a tensor that are compared by value as well
_HEAP = 1 << 9  # the flag of classes written in Python


class _Same:
    """Equal to another one of the same object only; holds the object, so its id is not reused."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.thing is self.thing

    __hash__ = None  # type: ignore[assignment]


def is_fixed(value: Any) -> bool:
    """Whether ``value`` can never look different while it is the same object.

    Example:
        >>> is_fixed((1, "a", torch.float32)), is_fixed((1, [2]))
        (True, False)
    """
    kind = type(value)
    if kind in (tuple, frozenset):
        return all(map(is_fixed, value))
    if kind is BuiltinMethodType:
        return value.__self__ is None or isinstance(value.__self__, ModuleType | type)
    return kind in _ATOMS or isinstance(value, (*_SELF, np.generic)) or kind in _PRINTED


def snapshot(value: Any, found: Found | None = None) -> Any:
    """A comparable picture of ``value``: equal pictures mean that it reads the same.

    Two pictures are compared by ``==``. What cannot be looked into (open files, locks, random
    number generators, objects of C extensions) is compared by identity. PennyLane's operators are
    immutable, so of them only the arrays in ``data`` are looked at.

    Args:
        value: Anything.
        found: Called with each function, class and module met on the way.

    Example:
        >>> settings = {"depth": 2, "angles": np.zeros(3)}
        >>> before = snapshot(settings)
        >>> settings["angles"][0] = 1.0
        >>> snapshot(settings) == before
        False
    """
    return _picture(value, {}, found)


Members = tuple[tuple[Any, tuple[Any, ...]], ...]


def _flat(container: Any) -> tuple[Any, ...]:
    if type(container) is list:
        return tuple(container)
    held = container if type(container) is dict else vars(container)
    return (type(container), *held.keys(), *held.values())


def members(value: Any) -> Members | None:
    """The lists, dictionaries and plain objects in ``value``, itself first, and what each holds.

    None where something else in them may come to look different.

    Example:
        >>> members([1, {"a": 2}])
        (([1, {'a': 2}], (1, {'a': 2})), ({'a': 2}, (<class 'dict'>, 'a', 2)))
    """
    found: dict[int, tuple[Any, tuple[Any, ...]]] = {}
    pending = [value]
    while pending:
        part = pending.pop()
        if type(part) is tuple:
            pending.extend(part)
        elif is_fixed(part) or id(part) in found:
            continue
        elif type(part) in (list, dict) or _is_plain(part):
            found[id(part)] = (part, _flat(part))
            pending.extend(found[id(part)][1])
        else:
            return None
    return tuple(found.values())


def holds(value: Any, parts: Members) -> bool:
    """Whether ``value`` is the container that it was, and all in it hold the same objects.

    Example:
        >>> wires = [0, 1]
        >>> before = members(wires)
        >>> wires[1] = 2
        >>> holds(wires, before)
        False
    """
    if not parts or value is not parts[0][0]:
        return False
    for container, before in parts:
        now = _flat(container)
        if len(now) != len(before) or not all(map(operator.is_, now, before)):
            return False
    return True


def _is_plain(value: Any) -> bool:
    """Whether all that can look different in ``value`` are the attributes in its ``__dict__``."""
    kind = type(value)
    return (
        all(c is object or c.__flags__ & _HEAP for c in kind.__mro__)
        and all("__slots__" not in vars(c) for c in kind.__mro__)
        and hasattr(value, "__dict__")
        and kind.__module__.partition(".")[0] not in _OPAQUE
        and _content(value, lambda part: part) is None
    )


def _picture(value: Any, seen: dict[int, tuple[int, Any]], found: Found | None) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return kind, value
    if kind is float and value:
        return kind, value if value == value else "nan"
    if kind in _PRINTED:
        return kind, repr(value)  # tells -0.0 from 0.0
    if id(value) in seen:
        return "seen", seen[id(value)][0]
    seen[id(value)] = (len(seen), value)  # kept, so that no id is met twice
    if isinstance(value, _SELF) or value is sys.modules:
        if found is not None:
            found(value)
        return _Same(value)

    def inner(part: Any) -> Any:
        return _picture(part, seen, found)

    content = _content(value, inner)
    if content is not None:
        return kind, content, _attributes(value, inner, found)
    if kind.__module__.partition(".")[0] in _OPAQUE:
        return _Same(value), inner(_data(value))
    attributes = _attributes(value, inner, found)
    python = all(c is object or c.__flags__ & _HEAP for c in kind.__mro__)
    return (kind, attributes) if python and _has_attributes(kind) else (_Same(value), attributes)


def _content(value: Any, inner: Callable[[Any], Any]) -> Any:
    """What the value holds apart from its attributes; None where that is all there is."""
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return value.shape, tuple(map(inner, value.reshape(-1).tolist()))
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, np.generic):
        return value.dtype.str, value.tobytes()
    if isinstance(value, dict | MappingProxyType | Mapping):
        return tuple((inner(key), inner(value[key])) for key in list(value))
    if isinstance(value, list | tuple | deque | set | frozenset):
        return tuple(map(inner, list(value)))
    if isinstance(value, float | int | str | bytes | complex):
        return repr(value)
    if isinstance(value, _BUFFERS) or type(value).__module__ == "array":
        return bytes(value)
    if hasattr(type(value), "__array__"):  # data frames, arrays of other libraries
        axes = getattr(value, "axes", ())
        arrays = [np.asarray(part) for part in (value, *(axes if isinstance(axes, list) else ()))]
        return tuple(map(inner, arrays))
    return _callable(value, inner)


def _callable(value: Any, inner: Callable[[Any], Any]) -> Any:
    """The parts of functions that are made of others."""
    if isinstance(value, functools.partial):
        return inner(value.func), inner(value.args), inner(value.keywords)
    if isinstance(value, MethodType):
        return inner(value.__func__), inner(value.__self__)
    if isinstance(value, BuiltinMethodType):
        owner = value.__self__
        shown = _Same(owner) if owner is None or isinstance(owner, _SELF) else inner(owner)
        return value.__name__, shown
    if isinstance(value, staticmethod | classmethod):
        return (inner(value.__func__),)
    if isinstance(value, property):
        return (inner(value.fget),)
    if isinstance(value, functools.cached_property):
        return (inner(value.func),)
    if isinstance(value, CellType):
        try:
            return (inner(value.cell_contents),)
        except ValueError:  # empty
            return ()
    if isinstance(value, ContextVar):
        return (inner(value.get(None)),)
    return None


def _tensor(value: Tensor) -> Any:
    """Identity, version and memory, and the entries of small ones (``.data`` has no version)."""
    version = None if value.is_inference() else value._version
    known = (_Same(value), version, value.dtype, tuple(value.shape))
    if value.layout is not torch.strided or type(value).__name__ == "FakeTensor":
        return known
    if torch._C._functorch.peek_interpreter_stack() is None:
        return known, *_memory(value, version is None)
    with temporarily_clear_interpreter_stack():  # whatever transform surrounds the call
        return known, *_memory(value, version is None)


def _memory(value: Tensor, always: bool) -> tuple[Any, ...]:
    """Where the entries lie, and their bytes where they are few (or ``always``)."""
    if torch._C._functorch.is_functorch_wrapped_tensor(value):
        return ()
    place = value.data_ptr()
    if value.device.type != "cpu" or not (always or value.numel() <= _SMALL):
        return (place,)
    try:
        return place, value.detach().numpy().tobytes()
    except (RuntimeError, TypeError):  # bfloat16, lazily conjugated
        plain = value.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return place, plain.view(torch.uint8).numpy().tobytes()


def _data(value: Any) -> Any:
    """The arrays inside one of PennyLane's operators."""
    try:
        return getattr(value, "data", None)
    except Exception:  # whatever a foreign property raises
        return None


def _has_attributes(kind: type) -> bool:
    return any("__dict__" in c.__dict__ or c.__dict__.get("__slots__") for c in kind.__mro__)


def _attributes(value: Any, inner: Callable[[Any], Any], found: Found | None) -> Any:
    """The attributes of an object, those in slots as well; nothing for plain containers."""
    kind = type(value)
    if kind.__module__ == "builtins" or kind.__module__.partition(".")[0] in _OPAQUE:
        return ()
    if found is not None:
        found(kind)
    held = [(name, inner(part)) for name, part in list(getattr(value, "__dict__", {}).items())]
    for parent in kind.__mro__:
        if parent.__flags__ & _HEAP and "__slots__" in parent.__dict__:
            slots = [(n, d) for n, d in vars(parent).items() if isinstance(d, MemberDescriptorType)]
            held += [(n, inner(_slot(d, value))) for n, d in slots]
    return tuple(held)


def _slot(descriptor: Any, value: Any) -> Any:
    try:
        return descriptor.__get__(value)
    except AttributeError:  # not filled
        return None
