"""The contract of a conditional distribution, and its bridges to Pyro and to columns (floor 0).

A Law says how its variable looks as columns of another law's context: a scalar is one column, a
vector of d numbers is d, a variable of two classes is one column of 0 and 1, and one of k > 2
classes is k one-hot columns.
"""

import functools
import itertools
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributions as td
from pyro.contrib.zuko import ZukoToPyro
from pyro.distributions import torch as pyro_torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

__all__ = [
    "Law",
    "as_pyro",
    "columns_of",
    "draw_from",
    "encode",
    "is_integer",
    "law_at",
    "law_over",
    "log_probability_of",
    "states_of",
    "width_of",
]


@runtime_checkable
class Law(Protocol):
    r"""A module that is the conditional distribution of one variable: ``law(context)``.

    The context is ``(*batch, width)``; the distribution has that batch shape (or one that
    broadcasts to it) and the law's ``event_shape``. Three more attributes are optional:

    - ``states``: the number of classes, or None. A law with ``support`` boolean has two classes
      with the values 0.0 and 1.0; any other law with states has the integers 0 … states − 1.
    - ``bind_columns(columns)``: is told the names of the context's columns.
    - ``limit_columns``: those columns that are limits, in which ±inf is legal.

    Example:
        >>> import torch
        >>> class Linear(torch.nn.Module):
        ...     event_shape, support = torch.Size(), torch.distributions.constraints.real
        ...
        ...     def __init__(self, width):
        ...         super().__init__()
        ...         self.mean = torch.nn.Linear(width, 1)
        ...
        ...     def forward(self, context):
        ...         return torch.distributions.Normal(self.mean(context).squeeze(-1), 1.0)
        >>> law = Linear(3)
        >>> isinstance(law, Law), law(torch.zeros(5, 3)).batch_shape
        (True, torch.Size([5]))
    """

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one value: ``()`` for a scalar, ``(d,)`` for a vector."""
        ...

    @property
    def support(self) -> constraints.Constraint:
        """Where the values lie."""
        ...

    def __call__(self, context: Tensor) -> td.Distribution:
        """The distribution given ``context`` of shape ``(*batch, width)``."""
        ...


@functools.lru_cache(maxsize=256)
def _pyro_class(kind: type) -> type:
    """The subclass of ``kind`` with Pyro's methods; Pyro's own where it keeps the same fields."""
    own: Any = getattr(pyro_torch, kind.__name__, None)
    if isinstance(own, type) and kind in own.__bases__ and "__init__" not in vars(own):
        return own
    return type(kind.__name__, (kind, TorchDistributionMixin), {"__module__": kind.__module__})


def as_pyro(distribution: Any) -> td.Distribution:
    """The same distribution, with the same tensors, in a class that ``pyro.sample`` accepts.

    Pyro's own come back unchanged; zuko's are wrapped by ``pyro.contrib.zuko``; any other torch
    distribution (compound ones too) gets Pyro's methods added to its class.

    Args:
        distribution: Any ``torch.distributions.Distribution``.

    Raises:
        TypeError: ``distribution`` is something else.

    Example:
        >>> import torch, pyro
        >>> plain = torch.distributions.Normal(torch.zeros(3), 1.0)
        >>> type(as_pyro(plain)).__module__
        'pyro.distributions.torch'
        >>> pyro.sample("x", as_pyro(torch.distributions.Independent(plain, 1))).shape
        torch.Size([3])
    """
    if isinstance(distribution, TorchDistributionMixin):
        return distribution
    if not isinstance(distribution, td.Distribution):
        raise TypeError(
            f"a law must return a torch.distributions.Distribution, got "
            f"{type(distribution).__name__}: wrap what it returns in a distribution"
        )
    if any(kind.__module__.split(".")[0] == "zuko" for kind in type(distribution).__mro__):
        return ZukoToPyro(distribution)
    plain: Any = type(distribution)
    kind = _pyro_class(plain)
    result: td.Distribution = object.__new__(kind)
    result.__dict__.update(distribution.__dict__)
    return result


def states_of(law: Any) -> int | None:
    """Number of classes of a finite law, else None.

    Raises:
        ValueError: The law has both classes and an event shape.

    Example:
        >>> import types, torch
        >>> boolean = torch.distributions.constraints.boolean
        >>> states_of(types.SimpleNamespace(event_shape=torch.Size(), support=boolean))
        2
    """
    states = getattr(law, "states", None)
    if states is None and law.support is constraints.boolean and not law.event_shape:
        return 2
    if states is not None and tuple(law.event_shape):
        raise ValueError(
            f"{type(law).__name__} has states={states} and event_shape {tuple(law.event_shape)}: "
            "a law with classes is scalar; leave states out for a vector"
        )
    return None if states is None else int(states)


def is_integer(law: Any) -> bool:
    """Whether the law's values are class numbers (a long tensor) and not 0.0 and 1.0.

    Example:
        >>> import types, torch
        >>> support = torch.distributions.constraints.integer_interval(0, 2)
        >>> is_integer(types.SimpleNamespace(event_shape=torch.Size(), support=support, states=3))
        True
    """
    return states_of(law) is not None and law.support is not constraints.boolean


def width_of(law: Any) -> int:
    """Number of columns that the law's variable takes in a context.

    Example:
        >>> import types, torch
        >>> real = torch.distributions.constraints.real
        >>> width_of(types.SimpleNamespace(event_shape=torch.Size([4]), support=real))
        4
    """
    states = states_of(law)
    if states is not None:
        return states if states > 2 else 1
    return int(torch.Size(law.event_shape).numel())


def columns_of(name: str, law: Any) -> tuple[str, ...]:
    """Names of the columns that variable ``name`` takes in a context.

    Example:
        >>> import types, torch
        >>> real = torch.distributions.constraints.real
        >>> columns_of("X", types.SimpleNamespace(event_shape=torch.Size([2]), support=real))
        ('X[0]', 'X[1]')
    """
    states = states_of(law)
    if states is not None and states > 2:
        return tuple(f"{name}[{k}]" for k in range(states))
    if not tuple(law.event_shape):
        return (name,)
    cells = itertools.product(*(range(size) for size in law.event_shape))
    return tuple(f"{name}[{','.join(map(str, cell))}]" for cell in cells)


def encode(law: Any, value: Tensor, dtype: torch.dtype) -> Tensor:
    r"""A variable's values ``(*batch, *event)`` as columns ``(*batch, width)`` of a context.

    Example:
        >>> import types, torch
        >>> support = torch.distributions.constraints.integer_interval(0, 2)
        >>> law = types.SimpleNamespace(event_shape=torch.Size(), support=support, states=3)
        >>> encode(law, torch.tensor([2, 0]), torch.float32)
        tensor([[0., 0., 1.],
                [1., 0., 0.]])
    """
    states = states_of(law)
    if states is not None and states > 2:
        classes = torch.arange(states, device=value.device)
        return (value.unsqueeze(-1) == classes).to(dtype)
    dims = len(law.event_shape)
    batch = value.shape[: value.dim() - dims]
    return value.to(dtype).reshape(*batch, width_of(law))


def draw_from(distribution: td.Distribution) -> Tensor:
    """One value of the distribution, through its own path of gradients where it has one.

    Pyro's wrapper of zuko's flows samples only when called, plain torch's only by ``sample``.

    Example:
        >>> import torch
        >>> draw_from(torch.distributions.Normal(torch.zeros(3), 1.0)).shape
        torch.Size([3])
    """
    if isinstance(distribution, TorchDistributionMixin):
        return distribution()
    return distribution.rsample() if distribution.has_rsample else distribution.sample()


def law_at(law: Any, context: Tensor) -> td.Distribution:
    """The law's distribution at ``context``, with the context's batch shape.

    A distribution with fewer axes, or axes 1 long, is expanded; a leading axis of 1 of the context
    may have become the law's draws.

    Raises:
        ValueError: The batch shape is another one.

    Example:
        >>> import torch
        >>> constant = lambda context: torch.distributions.Normal(0.0, 1.0)
        >>> law_at(constant, torch.zeros(5, 0)).batch_shape
        torch.Size([5])
    """
    distribution = law(context)
    if not isinstance(distribution, td.Distribution):
        raise TypeError(
            f"{type(law).__name__} must return a torch.distributions.Distribution for a context, "
            f"got {type(distribution).__name__}"
        )
    batch, rows = tuple(distribution.batch_shape), tuple(context.shape[:-1])
    if batch == rows:
        return distribution
    padded = (1,) * (len(rows) - len(batch)) + batch
    lead = len(rows) > 1 and rows[0] == 1
    if len(padded) != len(rows) or any(
        d not in (1, r) and not (k == 0 and lead)
        for k, (d, r) in enumerate(zip(padded, rows, strict=True))
    ):
        raise ValueError(
            f"{type(law).__name__} returned a distribution of batch shape {batch} for a context of "
            f"shape {tuple(context.shape)}: expected {rows} (is a squeeze(-1) missing?)"
        )
    full = tuple(r if d == 1 else d for d, r in zip(padded, rows, strict=True))
    return distribution if batch == full else distribution.expand(torch.Size(full))


def law_over(law: Any, context: Tensor, full: tuple[int, ...] | None) -> td.Distribution:
    """The law's distribution at ``context``, expanded to the batch shape ``full``.

    A distribution that cannot be expanded is made from an expanded context.

    Raises:
        ValueError: The batch shape does not come from the context's.

    Example:
        >>> law = lambda context: torch.distributions.Normal(context.sum(-1), 1.0)
        >>> law_over(law, torch.zeros(1, 5, 2), (3, 5)).batch_shape
        torch.Size([3, 5])
    """
    distribution = law_at(law, context)
    if full is None or tuple(distribution.batch_shape) == full:
        return distribution
    try:
        return distribution.expand(full)
    except NotImplementedError:
        return law_at(law, context.expand(*full, -1))


def log_probability_of(distribution: td.Distribution, value: Tensor, name: str = "y") -> Tensor:
    r"""Log density of ``value`` ``(*batch, *event)``, which is never broadcast to the law.

    An axis may be 1 long in the distribution, and the leading one (the draws) in the value too.

    Raises:
        ValueError: The shapes differ in any other way.

    Example:
        >>> import torch
        >>> law = torch.distributions.Normal(torch.zeros(5), 1.0)
        >>> log_probability_of(law, torch.zeros(5)).shape
        torch.Size([5])
        >>> log_probability_of(law, torch.zeros(5, 1))
        Traceback (most recent call last):
        ValueError: y has shape (5, 1) but the law is scalar: expected (5,), use y.squeeze(-1)
    """
    event = tuple(distribution.event_shape)
    batch = tuple(distribution.batch_shape)
    shape = tuple(value.shape)
    rows = shape[: len(shape) - len(event)]
    fits = shape[len(rows) :] == event and (not batch or len(rows) == len(batch))
    if fits and batch:
        lead = len(batch) > 1 and rows[0] == 1
        fits = all(
            d in (1, r) or (k == 0 and lead)
            for k, (r, d) in enumerate(zip(rows, batch, strict=True))
        )
    if not fits:
        raise ValueError(_mismatch(name, shape, batch, event))
    return distribution.log_prob(value)


def _mismatch(
    name: str, shape: tuple[int, ...], batch: tuple[int, ...], event: tuple[int, ...]
) -> str:
    """What is wrong with a value's shape, and what to do."""
    kind = "scalar" if not event else f"of vectors with shape {event}"
    expected = (*batch, *event)
    mend = ""
    if shape == (*expected, 1):
        mend = f", use {name}.squeeze(-1)"
    elif event == (1,) and shape == batch:
        mend = f", use {name}.unsqueeze(-1), or a law with event=None"
    return f"{name} has shape {shape} but the law is {kind}: expected {expected}{mend}"
