"""Priors by the names of the parameters (floor 3)."""

import dataclasses
from collections.abc import Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn

from hybrid.bayes.priors.normal import Normal
from hybrid.bayes.priors.parts import Parts
from hybrid.bayes.priors.prior import Prior

__all__ = ["ByName"]


@dataclasses.dataclass(frozen=True)
class ByName:
    """A prior for each pattern of parameter names.

    A parameter takes the first pattern (as in a shell) that its name matches, also where its layer
    states a scale. Names are those of ``named_parameters()`` of the module that is made random, as
    for ``include=`` and ``exclude=`` of `hybrid.bayes.variational`.

    Args:
        priors: Pattern → prior.
        rest: The prior of parameters that match none.
        prefix: What the names of these weights have lost; `hybrid.bayes.variational` gives it.

    Raises:
        ValueError: There is no pattern, or one matches nothing.
        TypeError: A value is no prior.

    Example:
        >>> import torch
        >>> from hybrid.bayes.priors.laplace import Laplace
        >>> prior = ByName({"*.bias": Normal(10.0)}, rest=Laplace(0.1))
        >>> density = prior.over({"0.weight": torch.zeros(3), "0.bias": torch.zeros(1)})
        >>> density.surprisal(torch.zeros(4)).round(decimals=3)
        tensor(-1.6070)
    """

    priors: Mapping[str, Prior]
    rest: Prior = dataclasses.field(default_factory=Normal)
    prefix: str | None = dataclasses.field(default=None, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        if not self.priors:
            raise ValueError("ByName needs at least one pattern, such as {'*.bias': Normal(10.0)}")
        for pattern, prior in (*self.priors.items(), ("rest", self.rest)):
            if isinstance(prior, type) or not isinstance(prior, Prior):
                raise TypeError(
                    f"the prior of {pattern!r} must be an object such as priors.Normal(10.0), got "
                    f"{prior!r}"
                )
        object.__setattr__(self, "priors", dict(self.priors))

    def check(self, names: list[str]) -> None:
        """Raise for a pattern that matches none of the names."""
        for pattern in self.priors:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"the prior's pattern {pattern!r} matches no random parameter: {names}"
                )

    def inside(self, prefix: str) -> "ByName":
        """The same for parameters whose names have lost a prefix."""
        return dataclasses.replace(self, prefix=prefix)

    def over(
        self, weights: Mapping[str, Tensor], stated: Mapping[str, float] | None = None
    ) -> nn.Module:
        """The density of these weights."""
        if self.prefix is None:
            self.check(list(weights))
        groups: dict[str | None, list[str]] = {}
        for name in weights:
            whole = f"{self.prefix or ''}{name}"
            pattern = next((p for p in self.priors if fnmatchcase(whole, p)), None)
            groups.setdefault(pattern, []).append(name)
        parts = []
        for pattern, names in groups.items():
            own = {name: weights[name] for name in names}
            if pattern is None:
                known = {name: scale for name, scale in (stated or {}).items() if name in own}
                parts.append((names, self.rest.over(own, known)))
            else:
                parts.append((names, self.priors[pattern].over(own)))
        return Parts(weights, parts)
