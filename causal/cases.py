"""Users' functions: cases by a distribution's class, and actions of named values (floor 0)."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast, runtime_checkable

import torch.distributions as td
from torch import Tensor

__all__ = ["ByDistribution", "acted", "by_distribution", "check_value"]


@runtime_checkable
class ByDistribution(Protocol):
    """A verb over distributions, with a register of cases.

    Example:
        >>> from causal.noise import abduct
        >>> isinstance(abduct, ByDistribution)
        True
    """

    def __call__(
        self, distribution: Any, value: Any, /, *, convention: Any = None, generator: Any = None
    ) -> Tensor:
        """Run the case of the distribution's class."""
        ...

    def register(self, kind: type, case: Callable[..., Tensor] | None = None) -> Any:
        """Add a case for a class: ``register(kind, case)``, or ``@register(kind)``."""
        ...


def by_distribution(
    default: Callable[..., Tensor], check: Callable[[Any, Any], None] | None = None
) -> ByDistribution:
    """Make ``default(distribution, value, *, convention, generator)`` open to cases by class.

    A case takes the two positional arguments and those keywords that its signature names; ``check``
    runs before it on the positional ones.

    Example:
        >>> import torch
        >>> @by_distribution
        ... def width(distribution, value, *, convention=None, generator=None):
        ...     raise TypeError("no width")
        >>> _ = width.register(torch.distributions.Normal, lambda d, value: d.scale * value)
        >>> width(torch.distributions.Normal(0.0, 3.0), torch.tensor(2.0))
        tensor(6.)
    """
    cases = functools.singledispatch(default)

    @functools.wraps(default)
    def call(distribution: Any, value: Any, /, **options: Any) -> Tensor:
        unknown = sorted(set(options) - {"convention", "generator"})
        if unknown:
            raise TypeError(f"{default.__name__} takes convention and generator, not {unknown}")
        case = cases.dispatch(type(distribution))
        if case is default and not isinstance(distribution, td.Distribution):
            raise TypeError(
                f"{default.__name__} takes a torch.distributions.Distribution, got "
                f"{type(distribution).__name__}"
            )
        if check is not None:
            check(distribution, value)
        asked = inspect.signature(case).parameters
        return case(distribution, value, **{k: v for k, v in options.items() if k in asked})

    def register(kind: type, case: Callable[..., Tensor] | None = None) -> Any:
        if case is None:
            return functools.partial(register, kind)
        cases.register(kind, case)
        return case

    call.register = register  # type: ignore[attr-defined]
    return cast("ByDistribution", call)


def check_value(distribution: Any, value: Any) -> None:
    """Refuse values that a distribution would silently broadcast, or cannot have made.

    Axes may be 1 long in the distribution (and the draws' leading one in the value); further
    leading axes of the value, or of the distribution, stand for several values of one law and
    several laws of one value.

    Raises:
        ValueError: The shapes do not fit, or a value is NaN or outside of the support.

    Example:
        >>> import torch
        >>> check_value(torch.distributions.LogNormal(torch.zeros(2), 1.0), torch.ones(2))
    """
    if not isinstance(distribution, td.Distribution) or not isinstance(value, Tensor):
        return
    event, batch = tuple(distribution.event_shape), tuple(distribution.batch_shape)
    rows = tuple(value.shape[: max(value.dim() - len(event), 0)])
    law = f"{type(distribution).__name__} with batch shape {batch} and event shape {event}"
    if tuple(value.shape[len(rows) :]) != event or not _fits(rows, batch):
        raise ValueError(f"the value has shape {tuple(value.shape)}, which does not fit {law}")
    try:
        support: Any = distribution.support
        inside = support.check(value)
    except (NotImplementedError, AttributeError):
        inside = value == value
    if not bool(inside.all()):
        raise ValueError(f"the value is NaN or outside of the support of {law}")


def _fits(rows: tuple[int, ...], batch: tuple[int, ...]) -> bool:
    """Whether a value's batch shape goes with a distribution's; see `check_value`."""
    extra = len(rows) - len(batch)
    if extra < 0:
        return batch[-extra:] == rows
    draws = extra == 0 and len(rows) > 1 and rows[0] == 1
    pairs = zip(rows[extra:], batch, strict=True)
    return all(d in (1, r) or (k == 0 and draws) for k, (r, d) in enumerate(pairs))


def acted(name: str, function: Callable[..., Any], known: Mapping[str, Any]) -> Any:
    """What a user's function of other variables says that ``name`` is set to.

    A function whose parameters are all called as variables gets those by name; a function without
    parameters gets nothing; any other one gets the mapping ``{name: value}``.

    Raises:
        ValueError: The function asks for a variable that is not there, or cannot be called so.

    Example:
        >>> acted("Y", lambda X: 2 * X, {"X": 3.0, "W": 1.0})
        6.0
        >>> acted("Y", lambda parents: 2 * parents["X"], {"X": 3.0, "W": 1.0})
        6.0
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        asked = None
    else:
        needed = [p for p in parameters if p.default is p.empty]
        plain = all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in needed)
        asked = [p.name for p in needed] if plain and (needed or not parameters) else None
    try:
        if asked is not None and set(asked) <= set(known):
            return function(**{key: known[key] for key in asked})
        return function(dict(known))
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"do({name!r}): the function failed with {type(error).__name__}: {error}; it is given "
            f"{sorted(known)}, as a mapping {{name: value}} or by the names of its parameters"
        ) from error
