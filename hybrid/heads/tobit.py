"""Tobit head: a normal law censored at known limits, by row where needed (floor 2)."""

import dataclasses
import math

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from hybrid.heads.censored import Censored
from hybrid.heads.head import Head, attach
from hybrid.heads.normal import UNIT_SCALE, location_and_scale
from hybrid.layers import Aside

__all__ = ["Column", "Tobit"]


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of the context that is a limit, by its name or its position.

    A name is resolved by the model that knows the context's columns (a `causal.SCM` does it when it
    is made); a position works at once.

    Args:
        key: Name, or position counted in the whole context.

    Raises:
        TypeError: ``key`` is neither.

    Example:
        >>> Column("cap")
        Column(key='cap')
    """

    key: str | int

    def __post_init__(self) -> None:
        if isinstance(self.key, bool) or not isinstance(self.key, str | int):
            raise TypeError(f"a column is a name or a position, got {self.key!r}")


class Tobit(Head):
    r"""Censored normal law :math:`y = \min(\max(x, l), u)`, :math:`x \sim N(\mu(c), \sigma(c)^2)`.

    Columns that are limits are kept from the body and may be ±∞; what the body sees is the context
    without them.

    Args:
        body: A Layer ``(*batch, width without limits) → (*batch, features)``, or None.
        features: Width of the body's result; read from the body where that is possible.
        lower: Lower limit: a number, None for no limit, or a `Column` of the context.
        upper: Upper limit, in the same three forms.

    Raises:
        TypeError: A limit is not one of the three forms.
        ValueError: The limits are not in order; at the call, a column's name was never bound, or a
            limit is NaN or out of order in some row.

    Example:
        >>> import torch
        >>> law = Tobit(torch.nn.Linear(2, 8), lower=0.0, upper=Column(2))
        >>> context = torch.tensor([[0.1, 0.2, 5.0], [0.1, 0.2, float("inf")]])
        >>> law(context).upper.detach()
        tensor([5., inf])
    """

    def __init__(
        self,
        body: nn.Module | None,
        *,
        features: int | None = None,
        lower: float | Column | None = 0.0,
        upper: float | Column | None = None,
    ) -> None:
        limits = _limit("lower", lower, -math.inf), _limit("upper", upper, math.inf)
        low = -math.inf if isinstance(limits[0], Column) else limits[0]
        high = math.inf if isinstance(limits[1], Column) else limits[1]
        if not low < high:
            raise ValueError(f"the lower limit must be below the upper one: {lower}, {upper}")
        columns = [limit.key for limit in limits if isinstance(limit, Column)]
        if len(set(columns)) < len(columns):
            raise ValueError(f"lower and upper are the same column: {lower}")
        whole = attach(body, features, [0.0, UNIT_SCALE])
        super().__init__(Aside(whole, columns) if columns else whole)
        self.lower, self.upper = limits

    @property
    def support(self) -> constraints.Constraint:
        """Between the limits where they are numbers, else all numbers."""
        if isinstance(self.lower, Column) or isinstance(self.upper, Column):
            return constraints.real
        if math.isinf(self.upper):
            return (
                constraints.real
                if math.isinf(self.lower)
                else constraints.greater_than_eq(self.lower)
            )
        return constraints.interval(self.lower, self.upper)

    @property
    def limit_columns(self) -> frozenset[str]:
        """Names of the context's columns that are limits, as far as they are known."""
        aside = self._aside()
        if aside is None:
            return frozenset()
        if aside.names is None:
            return frozenset(column for column in aside.columns if isinstance(column, str))
        return frozenset(aside.names[position] for position in aside.positions)

    def bind_columns(self, columns: tuple[str, ...]) -> None:
        """Tell the names of the context's columns, so that a `Column` named by one is found.

        Raises:
            ValueError: A limit is not among them, or other names were bound before.
        """
        aside = self._aside()
        if aside is not None:
            aside.bind(columns)

    def link(self, raw: Float[Tensor, "*batch outputs"]) -> Distribution:
        """Censored normal of a location, a positive scale and the limits."""
        location, scale = location_and_scale(raw[..., :2])
        taken = iter(raw[..., 2:].unbind(-1))
        lower, upper = (
            next(taken) if isinstance(limit, Column) else limit
            for limit in (self.lower, self.upper)
        )
        if raw.shape[-1] > 2 and not (raw.new_tensor(0) + lower < upper).all():
            raise ValueError(
                f"Tobit: in some row the lower limit ({self.lower}) is not below the upper one "
                f"({self.upper}), or is NaN"
            )
        return Censored(location.squeeze(-1), scale.squeeze(-1), lower, upper, validate_args=False)

    def _aside(self) -> Aside | None:
        return next((part for part in self.modules() if isinstance(part, Aside)), None)


def _limit(name: str, limit: float | Column | None, absent: float) -> float | Column:
    if isinstance(limit, Column):
        return limit
    try:
        return absent if limit is None else float(limit + 0)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{name} is a number, None or a Column of the context, got {limit!r}"
        ) from error
