"""One draw of everything random inside a module serves one whole public call (floor 0).

A module takes part by owning a method ``fixed(draws, generator)``, a context manager inside which
its random part keeps the same value. `fixed` walks a module and enters all of them; what they hold
lives in a `ContextVar`, so threads (and nested calls on other modules) do not mix.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

__all__ = [
    "ALONE",
    "Random",
    "divergence",
    "drawing",
    "fixed",
    "held",
    "hold",
    "seeded",
    "standard_normal",
    "uniform",
]

_FIXED: ContextVar[Mapping[int, int | None]] = ContextVar("borromean_fixed")
_HELD: ContextVar[Mapping[int, Any]] = ContextVar("borromean_held")
_DRAWING: ContextVar[bool] = ContextVar("borromean_drawing", default=False)
# Torch's global generators and Pyro's stack of handlers belong to the process. One lock for both,
# so that no two threads wait for each other.
ALONE = threading.RLock()


@runtime_checkable
class Random(Protocol):
    """A module with a random part: weights with a distribution, ensemble members, dropout masks.

    Example:
        >>> from torch import nn
        >>> isinstance(nn.Linear(2, 1), Random)
        False
    """

    def fixed(
        self, draws: int | None, generator: torch.Generator | None = None
    ) -> AbstractContextManager[None]:
        """Hold ``draws`` values of the random part (None: one value, without an axis) inside."""
        ...

    def divergence(self) -> Tensor:
        """Scalar KL divergence of the random part from its prior (0 where it has none)."""
        ...


@contextmanager
def fixed(
    module: nn.Module, draws: int | None = None, generator: torch.Generator | None = None
) -> Iterator[int | None]:
    """Hold one draw of everything random in ``module``; yields the number of draws in force.

    Inside, with ``draws=S``, inputs have a leading axis of 1 or S and results one of S (1 where
    nothing is random). With ``draws=None`` one value is held and no axis appears. A module that is
    already fixed keeps what it holds, so that nested calls agree on their weights.

    Args:
        module: Any module; each submodule with a ``fixed`` method takes part.
        draws: The number of draws S, or None.
        generator: Source of randomness; None advances torch's global generator.

    Raises:
        ValueError: ``draws`` is below 1, or differs from what an enclosing `fixed` holds.

    Example:
        >>> import torch
        >>> with fixed(torch.nn.Linear(2, 1), draws=5) as draws:
        ...     draws
        5
    """
    if draws is not None and not isinstance(draws, int):
        raise TypeError(f"draws is a whole number, or None, got {draws!r}")
    if draws is not None and draws < 1:
        raise ValueError(f"draws must be at least 1 (or None for one draw without axis): {draws}")
    active = _FIXED.get({})
    members = _members(module)
    outer = {active[id(m)] for m in members if id(m) in active}
    if len(outer) > 1 or (outer and draws is not None and draws not in outer):
        raise ValueError(
            f"{type(module).__name__} is already fixed with draws={sorted(outer, key=str)}: "
            f"inside that context ask for the same number or leave draws out (got {draws})"
        )
    if outer:
        draws = outer.pop()
    # looked up on the class: a miss on an instance is slow
    random = [m for m in members if callable(getattr(type(m), "fixed", None))]
    if draws is None and not random:
        yield None  # nothing to hold, and no axis that parts would have to agree on
        return
    token = _FIXED.set({**active, **{id(m): draws for m in members}})
    try:
        with ExitStack() as stack:
            for member in random:
                if id(member) not in active:
                    weights = _DRAWING.set(True)
                    try:
                        enter: Any = member.fixed
                        stack.enter_context(enter(draws, generator))
                    finally:
                        _DRAWING.reset(weights)
            yield draws
    finally:
        _FIXED.reset(token)


def _members(module: nn.Module) -> list[nn.Module]:
    """``list(module.modules())``, in a fraction of the time: every call of a law needs it."""
    found: list[nn.Module] = []
    seen: set[int] = set()
    waiting: list[nn.Module | None] = [module]
    while waiting:
        part = waiting.pop()
        if part is not None and id(part) not in seen:
            seen.add(id(part))
            found.append(part)
            if part._modules:
                waiting.extend(reversed(part._modules.values()))
    return found


def drawing() -> bool:
    """Whether `fixed` is drawing the random parts of a module now: they belong to no row.

    Example:
        >>> drawing()
        False
    """
    return _DRAWING.get()


@contextmanager
def hold(module: nn.Module, value: Any) -> Iterator[None]:
    """Keep ``value`` for ``module`` inside; `held` reads it. For authors of a ``fixed`` method.

    Example:
        >>> import torch
        >>> layer = torch.nn.Identity()
        >>> with hold(layer, "weights"):
        ...     held(layer)
        'weights'
    """
    token = _HELD.set({**_HELD.get({}), id(module): value})
    try:
        yield
    finally:
        _HELD.reset(token)


def held(module: nn.Module, default: Any = None) -> Any:
    """What `hold` keeps for ``module`` here, else ``default``.

    Example:
        >>> import torch
        >>> held(torch.nn.Identity(), default="nothing")
        'nothing'
    """
    return _HELD.get({}).get(id(module), default)


def divergence(module: nn.Module) -> Tensor:
    r"""Sum of the divergences of all random parts of ``module``: :math:`\sum_i KL(q_i \| p_i)`.

    Example:
        >>> import torch
        >>> divergence(torch.nn.Linear(2, 1))
        tensor(0.)
    """
    total: Tensor | None = None
    for member in _members(module):
        own: Any = getattr(type(member), "divergence", None)
        if own is not None and callable(own):
            value: Tensor = own(member)
            total = value if total is None else total.to(value) + value
    return torch.zeros(()) if total is None else total


@contextmanager
def seeded(generator: torch.Generator | None) -> Iterator[None]:
    """Run foreign sampling code, which takes no generator, from ``generator``.

    None changes nothing. Otherwise torch's global generators (CPU, and CUDA where it is in use) are
    seeded from ``generator`` and restored afterwards; one process-wide lock serialises such blocks.

    Example:
        >>> import torch
        >>> before = torch.get_rng_state()
        >>> with seeded(torch.Generator().manual_seed(0)):
        ...     _ = torch.rand(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """
    if generator is None:
        yield
        return
    seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
    cuda = torch.cuda.is_initialized()
    devices = list(range(torch.cuda.device_count())) if cuda else []
    with ALONE, torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(int(seed))
        if cuda:
            torch.cuda.manual_seed_all(int(seed))
        yield


def standard_normal(
    shape: Sequence[int], like: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Standard normal noise with the dtype and device of ``like``, from ``generator``.

    A generator on another device than ``like`` is allowed: the noise is made there and moved.

    Example:
        >>> import torch
        >>> standard_normal((2, 3), like=torch.zeros(())).shape
        torch.Size([2, 3])
    """
    device = like.device if generator is None else generator.device
    noise = torch.randn(tuple(shape), generator=generator, dtype=like.dtype, device=device)
    return noise.to(like.device)


def uniform(shape: Sequence[int], like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Uniform noise on [0, 1) with the dtype and device of ``like``, from ``generator``.

    Example:
        >>> import torch
        >>> uniform((2,), like=torch.zeros(()), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([2])
    """
    device = like.device if generator is None else generator.device
    noise = torch.rand(tuple(shape), generator=generator, dtype=like.dtype, device=device)
    return noise.to(like.device)
