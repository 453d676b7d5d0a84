"""Whether what a circuit's function reads has changed since it was traced (floor 1 of tracing).

A circuit is traced once. **The purity rule**: what a trace depends on, besides the shapes of the
arguments, must be visible from the function: its code, defaults, closure variables, globals, the
attributes of modules, classes and objects that it names, the object of a bound method, the
arguments of a `functools.partial`, and the same of every function of the user's that it calls.
These are watched. What cannot be seen is not: files, the clock, random numbers, the state of C
extensions, names put together at run time (``globals()[name]``), and what libraries (Python's own,
PyTorch, NumPy, SciPy, PennyLane) keep inside. Call `CircuitLayer.retrace` where such things change.
"""

import dis
import importlib.util
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType, NoneType
from typing import Any, NamedTuple

import torch

from quantum.tracing.snapshot import Members, holds, is_fixed, members, snapshot

__all__ = ["Fingerprint"]

# Code that is not looked into: it is the same for every call.
_LIBRARIES = sys.stdlib_module_names | {
    *("autograd", "autoray", "beartype", "causal", "hybrid", "jax", "jaxtyping", "matplotlib"),
    *("networkx", "numpy", "pandas", "pennylane", "pgmpy", "pyro", "quantum", "scipy", "sklearn"),
    *("tensorflow", "torch", "zuko"),
}
_GLOBALS = frozenset({"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "IMPORT_FROM"})
_PARTS = ("__code__", "__defaults__", "__kwdefaults__")
_NAMED = (BuiltinFunctionType, CodeType, FunctionType, ModuleType, NoneType, str, type)
_ABSENT = object()


@dataclass(frozen=True, eq=False, slots=True)
class _Watch:
    """Values that were read together, how to read them again, and what the mutable ones held.

    Of a mutable value its place, its picture and, where it consists of lists, dictionaries and
    plain objects of things that never look different, these.
    """

    read: Callable[[], tuple[Any, ...]]
    labels: tuple[str, ...]
    values: tuple[Any, ...]
    mutable: tuple[tuple[int, Any, Members | None], ...]
    named: bool  # only functions, classes, modules and the like: no number equals another thing


@dataclass(frozen=True, eq=False, slots=True)
class _Missing:
    """Names that were not there, for which something else stood in (a builtin, a default)."""

    still: Callable[[Any], bool]
    what: Any
    label: str


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """Everything that a function reads besides its arguments, as it was when this was made.

    The check compares identities first and costs about a microsecond where only modules, functions
    and classes are read; containers, arrays and objects are compared by content at each check. Made
    before the function is traced, it also notices what the trace itself changes. A pickled
    fingerprint watches nothing, a copied one is itself.

    Args:
        watches: What was read.
        missing: What was looked for and not there.
        dtype: PyTorch's default dtype, in which constants may be made.

    Example:
        >>> depth = 2
        >>> def circuit(x):
        ...     return [x] * depth
        >>> fingerprint = Fingerprint.of(circuit)
        >>> fingerprint.changed() is None
        True
        >>> circuit.__defaults__ = (1.0,)
        >>> fingerprint.changed()
        "the defaults of 'circuit'"
    """

    watches: tuple[_Watch, ...] = field(default=(), repr=False)
    missing: tuple[_Missing, ...] = field(default=(), repr=False)
    dtype: torch.dtype | None = None
    _named: tuple[tuple[Callable[[], Any], Any], ...] = field(init=False, repr=False)
    _other: tuple[_Watch, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        named = tuple((watch.read, watch.values) for watch in self.watches if watch.named)
        object.__setattr__(self, "_named", named)
        object.__setattr__(self, "_other", tuple(w for w in self.watches if not w.named))

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Fingerprint":
        """The fingerprint of ``function`` as things are now.

        Args:
            function: A function, bound method, `functools.partial` or callable object.

        Example:
            >>> settings = {"depth": 2}
            >>> fingerprint = Fingerprint.of(lambda x, settings=settings: [x] * settings["depth"])
            >>> settings["depth"] = 3
            >>> fingerprint.changed()
            "the defaults of '<lambda>'"
        """
        survey = _Survey()
        survey.start(function)
        return cls(*survey.result(), torch.get_default_dtype())

    def changed(self) -> str | None:
        """What has changed since, in words; None while everything reads the same.

        Example:
            >>> Fingerprint.of(lambda x: torch.sin(x)).changed() is None
            True
        """
        found = self._first_change(self._other if self._is_named_same() else self.watches)
        if found is not None:
            return found
        for absent in self.missing:
            if not absent.still(absent.what):
                return absent.label
        if self.dtype is not None and torch.get_default_dtype() != self.dtype:
            return "torch's default dtype"
        return None

    def _is_named_same(self) -> bool:
        """Whether functions, classes and modules are what they were: compared in C, by identity."""
        try:
            for read, values in self._named:
                if read() != values:
                    return False
        except Exception:  # whatever is gone, or a foreign comparison raises
            return False
        return True

    def _first_change(self, watches: Sequence[_Watch]) -> str | None:
        """What reads otherwise now, compared one after the other."""
        for watch in watches:
            try:
                now = watch.read()
            except (KeyError, ValueError, AttributeError):
                return watch.labels[_place_of_absent(watch)]
            if not all(map(operator.is_, now, watch.values)):
                place = _first_other(watch, now)
                if place is not None:
                    return watch.labels[place]
            for place, before, parts in watch.mutable:
                if parts is not None and holds(now[place], parts):
                    continue  # quicker than a picture
                if snapshot(now[place]) != before:
                    return watch.labels[place]
        return None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Fingerprint":
        return self

    def __reduce__(self) -> tuple[type["Fingerprint"], tuple[()]]:
        return Fingerprint, ()


def _first_other(watch: _Watch, now: tuple[Any, ...]) -> int | None:
    """The place of the first value that is another object and does not read the same."""
    known = {place for place, _, _ in watch.mutable}
    for place, (new, old) in enumerate(zip(now, watch.values, strict=True)):
        # Mutable ones are compared with what they held, by the caller.
        if new is not old and place not in known and snapshot(new) != snapshot(old):
            return place
    return None


def _place_of_absent(watch: _Watch) -> int:
    """Which of several values is gone."""
    reader = watch.read
    if isinstance(reader, partial) and isinstance(reader.func, operator.itemgetter):
        names = reader.func.__reduce__()[1]
        return next((k for k, name in enumerate(names) if name not in reader.args[0]), 0)
    return 0


def _contents(cells: tuple[CellType, ...]) -> tuple[Any, ...]:
    return tuple([cell.cell_contents for cell in cells])


def _contents_or_absent(cells: tuple[CellType, ...]) -> tuple[Any, ...]:
    """Contents of cells some of which are not filled yet."""
    values = []
    for cell in cells:
        try:
            values.append(cell.cell_contents)
        except ValueError:
            values.append(_ABSENT)
    return tuple(values)


def _constants(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return values


def _is_library(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in _LIBRARIES


def _codes(code: CodeType) -> Iterator[CodeType]:
    """``code`` and that of the functions, classes and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _words(code: CodeType) -> set[str]:
    """Constants that may be names of attributes, as in ``getattr(settings, "depth")``."""
    flat = list(code.co_consts)
    for constant in code.co_consts:
        if isinstance(constant, tuple | frozenset):
            flat.extend(constant)
    return {c for c in flat if isinstance(c, str) and c.isidentifier()}


class _Namespace(NamedTuple):
    """Where names are taken from, the names wanted of it, and how to speak of one of them."""

    owner: Any
    holds: Mapping[str, Any]
    names: set[str]
    form: str
    is_own: bool  # the user's, not a library's


class _Survey:
    """Walks from a function to everything that it may read."""

    def __init__(self) -> None:
        self.pending: list[Any] = []
        self.seen: dict[int, Any] = {}
        self.attributes: set[str] = set()  # names that some code takes from some object
        self.words: set[str] = set()
        self.globals: dict[int, tuple[dict[str, Any], set[str]]] = {}
        self.imports: set[str] = set()
        self.modules: list[ModuleType] = []
        self.classes: list[type] = []
        self.functions: list[FunctionType] = []
        self.read: set[tuple[int, str]] = set()
        self.watches: list[_Watch] = []

    def start(self, function: Any) -> None:
        """Walk from ``function``, whatever library it belongs to."""
        if isinstance(function, FunctionType):
            self.seen[id(function)] = function
            self.function(function)
        else:
            inner = getattr(function, "__func__", getattr(function, "func", None))
            for target in (inner, getattr(type(function), "__call__", None)):  # noqa: B004
                if isinstance(target, FunctionType):
                    self.seen[id(target)] = target
                    self.function(target)
            self.watch(partial(_constants, (function,)), ("the object that is called",))
        while self.pending or self.grow():
            while self.pending:
                self.visit(self.pending.pop())

    def found(self, thing: Any) -> None:
        """Note a function, class or module for a visit."""
        if isinstance(thing, FunctionType | type | ModuleType) and id(thing) not in self.seen:
            self.seen[id(thing)] = thing
            self.pending.append(thing)

    def visit(self, thing: Any) -> None:
        """Look into a function, class or module."""
        if isinstance(thing, ModuleType):
            self.modules.append(thing)
        elif isinstance(thing, type):
            if not _is_library(thing.__module__):
                self.classes.append(thing)
                for parent in thing.__mro__[1:]:
                    self.found(parent)
        elif _is_library(thing.__globals__.get("__name__")):
            self.closure(thing)  # a library's decorator around a function of the user's
        else:
            self.function(thing)

    def function(self, function: FunctionType) -> None:
        """Note what a function's code reads."""
        self.functions.append(function)
        names = self.globals.setdefault(id(function.__globals__), (function.__globals__, set()))[1]
        for code in _codes(function.__code__):
            self.words |= _words(code)
            steps = list(dis.get_instructions(code))
            for place, step in enumerate(steps):
                if step.opname in _GLOBALS:
                    names.add(step.argval)
                elif step.opname in _ATTRIBUTES:
                    self.attributes.add(step.argval)
                elif step.opname == "IMPORT_NAME":
                    self.imports |= _imported(step.argval, steps[place - 2].argval, function)
        labels = [f"{what} of {function.__name__!r}" for what in ("the code", "the defaults")]
        reader = partial(operator.attrgetter(*_PARTS), function)
        self.watch(reader, (*labels, labels[1]))
        self.closure(function)

    def closure(self, function: FunctionType) -> None:
        """Note the closure variables of a function."""
        cells = function.__closure__
        if cells:
            empty = any(value is _ABSENT for value in _contents_or_absent(cells))
            names = function.__code__.co_freevars
            labels = tuple(f"the closure variable {name!r}" for name in names)
            self.watch(partial(_contents_or_absent if empty else _contents, cells), labels)

    def watch(
        self, read: Callable[[], tuple[Any, ...]], labels: tuple[str, ...], walk: bool = True
    ) -> None:
        """Watch what ``read`` returns; ``walk`` into the functions and modules among it."""
        values = read()
        found = self.found if walk else self.found_in_library
        pictures = [snapshot(value, found) for value in values]
        mutable = [
            (k, picture, members(value))
            for k, (picture, value) in enumerate(zip(pictures, values, strict=True))
            if not is_fixed(value)
        ]
        named = not mutable and all(isinstance(value, _NAMED) for value in values)
        self.watches.append(_Watch(read, labels, values, tuple(mutable), named))

    def found_in_library(self, thing: Any) -> None:
        """Of what a library holds only its modules are followed."""
        if isinstance(thing, ModuleType):
            self.found(thing)

    def grow(self) -> bool:
        """Read the names that are wanted of each namespace and not yet read."""
        wanted = len(self.read)
        for owner, names_of, names, form, own in list(self.namespaces()):
            fresh = sorted(n for n in names if n in names_of and (id(owner), n) not in self.read)
            if fresh:
                self.read |= {(id(owner), name) for name in fresh}
                several = fresh if len(fresh) > 1 else fresh * 2  # one would not be a tuple
                reader = partial(operator.itemgetter(*several), names_of)
                self.watch(reader, tuple(form.format(n) for n in several), own)
        return len(self.read) > wanted

    def namespaces(self) -> Iterator[_Namespace]:
        """Everything that names are taken from."""
        for names_of, names in self.globals.values():
            yield _Namespace(names_of, names_of, names, "the global '{}'", True)
        yield _Namespace(sys, sys.modules, self.imports, "the module '{}'", True)
        both = self.attributes | self.words
        for module in self.modules:
            own = not _is_library(module.__name__)
            form = f"'{{}}' of the module {module.__name__!r}"
            yield _Namespace(module, vars(module), both if own else self.attributes, form, own)
        for kind in self.classes:
            special = {n for n, v in vars(kind).items() if _is_special(n, v)}
            form = f"'{{}}' of the class {kind.__name__!r}"
            yield _Namespace(kind, vars(kind), both | special, form, True)
        for function in self.functions:
            form = f"'{{}}' of the function {function.__name__!r}"
            yield _Namespace(function, vars(function), both, form, True)

    def result(self) -> tuple[tuple[_Watch, ...], tuple[_Missing, ...]]:
        """All watches, and the names that may still turn up."""
        missing = []
        for _, names_of, names, form, own in self.namespaces():
            absent = tuple(sorted(name for name in names if name not in names_of))
            if not absent or not own:
                continue
            label = "one of " + form.format("', '".join(absent)) + ", which was not there,"
            if len(names_of) < len(absent) and isinstance(names_of, dict):
                missing.append(_Missing(frozenset(absent).isdisjoint, names_of, label))
            else:
                missing.append(_Missing(names_of.keys().isdisjoint, absent, label))
        return tuple(self.watches), tuple(missing)


def _is_special(name: str, value: Any) -> bool:
    """Methods that Python calls without naming them."""
    return name.startswith("__") and isinstance(value, FunctionType)


def _imported(name: str, level: Any, function: FunctionType) -> set[str]:
    """The full names of the modules that an import statement inside ``function`` names."""
    if isinstance(level, int) and level > 0:
        package = function.__globals__.get("__package__") or ""
        return {importlib.util.resolve_name("." * level + name, package)} if package else set()
    return {name, name.partition(".")[0]}
