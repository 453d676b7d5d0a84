"""Functions that dispatch on a distribution's class and are open to new classes (floor 0)."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor

__all__ = ["ByDistribution", "by_distribution"]


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


def by_distribution(default: Callable[..., Tensor]) -> ByDistribution:
    """Make ``default(distribution, value, *, convention, generator)`` open to cases by class.

    A case takes the two positional arguments and those keywords that its signature names.

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
        asked = inspect.signature(case).parameters
        return case(distribution, value, **{k: v for k, v in options.items() if k in asked})

    def register(kind: type, case: Callable[..., Tensor] | None = None) -> Any:
        if case is None:
            return functools.partial(register, kind)
        cases.register(kind, case)
        return case

    call.register = register  # type: ignore[attr-defined]
    return cast("ByDistribution", call)
