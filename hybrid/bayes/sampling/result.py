"""What sampling returns: draws, their summary, and a verdict on them (floor 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from hybrid.bayes.sampling.diagnostics import (
    bulk_size,
    mean_error,
    potential_scale_reduction,
    sd_error,
    tail_size,
)
from hybrid.bayes.sampling.stored import with_draws

__all__ = ["Draws", "Health", "Summary"]

_LARGEST_REDUCTION = 1.01
_FEWEST_EFFECTIVE = 400.0
_MOST_DIVERGING = 1e-3
_LEAST_ENERGY_FRACTION = 0.3


@dataclass(frozen=True)
class Summary:
    """A table of the posterior, one row for each number in it.

    Attributes:
        names: The rows, as ``theta[2]``.
        columns: mean, sd, q05, q50, q95, mcse_mean, mcse_sd, ess_bulk, ess_tail, r_hat; each one
            number per row.

    Example:
        >>> table = Draws({"x": torch.randn(4, 500)}).summary()
        >>> table.names, sorted(table.columns)[:3]
        (('x',), ['ess_bulk', 'ess_tail', 'mcse_mean'])
        >>> print(table)
              mean   sd  q05 ...
        x ...
    """

    names: tuple[str, ...]
    columns: Mapping[str, Float[Tensor, "rows"]]

    def __getitem__(self, column: str) -> Tensor:
        """One column."""
        return self.columns[column]

    def __str__(self) -> str:
        cells = {c: [f"{float(x):.4g}" for x in values] for c, values in self.columns.items()}
        first = max(map(len, self.names), default=0)
        width = {c: max(len(c), *map(len, texts)) for c, texts in cells.items()}
        lines = [" ".join([" " * first, *(c.rjust(width[c]) for c in cells)])]
        for i, name in enumerate(self.names):
            row = (texts[i].rjust(width[c]) for c, texts in cells.items())
            lines.append(" ".join([name.ljust(first), *row]))
        return "\n".join(lines)


@dataclass(frozen=True)
class Health:
    """A verdict on draws: true where nothing speaks against using them.

    Attributes:
        reasons: What speaks against it.

    Example:
        >>> bool(Health(())), str(Health(("3 % of the trajectories diverged",)))
        (True, 'not healthy: 3 % of the trajectories diverged')
    """

    reasons: tuple[str, ...]

    def __bool__(self) -> bool:
        return not self.reasons

    def __str__(self) -> str:
        return "not healthy: " + "; ".join(self.reasons) if self.reasons else "healthy"


@dataclass(frozen=True)
class Draws:
    """Draws from a posterior.

    Attributes:
        draws: The model's values by name, each ``(chains, draws, *shape)``.
        diverging: Which trajectories diverged, ``(chains, draws)``; None: not known.
        energy: Total energies of the trajectories, ``(chains, draws)``; None: not known.
        facts: The method, what it adapted, and how it computed gradients.

    Example:
        >>> draws = Draws({"x": torch.randn(4, 500, 2), "y": torch.randn(4, 500)})
        >>> draws["x"].shape, bool(draws.healthy)
        (torch.Size([4, 500, 2]), True)
    """

    draws: Mapping[str, Tensor]
    diverging: Bool[Tensor, "chains draws"] | None = None
    energy: Float[Tensor, "chains draws"] | None = None
    facts: Mapping[str, float | str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        """The draws of one variable, ``(chains, draws, *shape)``."""
        if name not in self.draws:
            raise KeyError(f"there are no draws of {name!r}, but of {list(self.draws)}")
        return self.draws[name]

    def summary(self) -> Summary:
        """Means, spreads, quantiles, Monte Carlo errors, effective sizes and R-hat."""
        return self._summary

    @cached_property
    def healthy(self) -> Health:
        """One verdict: R-hat, effective sizes, divergences and energies, with what is amiss."""
        table = self._summary
        moving = table["sd"] > 0  # what is constant by construction is not judged
        names = [name for name, moves in zip(table.names, moving, strict=True) if moves]
        reasons = [
            *_worst(names, table["r_hat"][moving], "R-hat", most=_LARGEST_REDUCTION),
            *_worst(names, table["ess_bulk"][moving], "effective size", least=_FEWEST_EFFECTIVE),
            *_worst(
                names,
                table["ess_tail"][moving],
                "effective size in the tails",
                least=_FEWEST_EFFECTIVE,
            ),
        ]
        if self.diverging is not None and float(self.diverging.double().mean()) > _MOST_DIVERGING:
            reasons.append(
                f"{int(self.diverging.sum())} of {self.diverging.numel()} trajectories diverged: "
                "ask for a higher acceptance, or write the model with standardised variables"
            )
        if self.energy is not None:
            jumps = self.energy.diff(dim=1).square().mean(1)
            fraction = float((jumps / self.energy.var(1)).min())
            if fraction < _LEAST_ENERGY_FRACTION:
                reasons.append(
                    f"energy moves slowly ({fraction:.2f} of its variance a draw, in the worst "
                    "chain): heavy tails, to be reached by another parameterisation"
                )
        return Health(tuple(reasons))

    def to_arviz(self, log_likelihood: Mapping[str, Tensor] | None = None) -> Any:
        """The draws as ArviZ's data tree, with divergences and energies.

        Args:
            log_likelihood: Its group of that name, by site, ``(chains, draws, *shape)`` each: what
                `hybrid.bayes.log_likelihood` returns.

        Raises:
            ImportError: ArviZ is not installed (the extra ``bayes``).
        """
        try:
            import arviz_base
        except ImportError as error:
            raise ImportError("to_arviz needs ArviZ: pip install borromean[bayes]") from error
        groups: dict[str, dict[str, Any]] = {
            "posterior": {name: values.cpu().numpy() for name, values in self.draws.items()}
        }
        kept = {"diverging": self.diverging, "energy": self.energy}
        stats = {name: values.cpu().numpy() for name, values in kept.items() if values is not None}
        if stats:
            groups["sample_stats"] = stats
        if log_likelihood:
            terms = {name: values.cpu().numpy() for name, values in log_likelihood.items()}
            groups["log_likelihood"] = terms
        return arviz_base.from_dict(groups)

    def apply(self, law: nn.Module) -> nn.Module:
        """The Law with these draws as its weights; it takes part in ``fixed``, its divergence is 0.

        Args:
            law: The Law (or Layer) whose parameters were sampled.

        Raises:
            ValueError: Names or shapes do not fit the law's parameters.
        """
        return with_draws(law, {name: x.flatten(0, 1) for name, x in self.draws.items()})

    @cached_property
    def _summary(self) -> Summary:
        names: list[str] = []
        columns: dict[str, list[Tensor]] = {}
        for name, values in self.draws.items():
            shape = values.shape[2:]
            names += [name + _place(i, shape) for i in range(shape.numel())]
            flat = values.reshape(*values.shape[:2], -1)
            if not flat.is_floating_point():
                flat = flat.double()
            for column, found in _columns(flat).items():
                columns.setdefault(column, []).append(found)
        return Summary(tuple(names), {c: torch.cat(parts) for c, parts in columns.items()})


def _columns(draws: Float[Tensor, "chains draws rows"]) -> dict[str, Tensor]:
    flat = draws.flatten(0, 1)
    ordered = flat.sort(0).values
    last = len(ordered) - 1
    quantiles = {
        f"q{round(100 * part):02d}": ordered[round(part * last)] for part in (0.05, 0.5, 0.95)
    }
    return {
        "mean": flat.mean(0),
        "sd": flat.std(0),
        **quantiles,
        "mcse_mean": mean_error(draws),
        "mcse_sd": sd_error(draws),
        "ess_bulk": bulk_size(draws),
        "ess_tail": tail_size(draws),
        "r_hat": potential_scale_reduction(draws),
    }


def _place(index: int, shape: torch.Size) -> str:
    places = []
    for size in reversed(shape):
        index, place = divmod(index, size)
        places.append(str(place))
    return f"[{', '.join(reversed(places))}]" if places else ""


def _worst(
    names: list[str],
    values: Tensor,
    what: str,
    *,
    most: float | None = None,
    least: float | None = None,
) -> list[str]:
    """A sentence on the value farthest beyond its limit, and how many are beyond it."""
    sign, limit, word = (1, most, "above") if most is not None else (-1, least or 0.0, "below")
    beyond = ~(sign * values <= sign * limit)  # what is no number is beyond any limit
    if not bool(beyond.any()):
        return []
    i = int((sign * values).nan_to_num(torch.inf).argmax())
    others = int(beyond.sum()) - 1
    more = f" (and {others} more)" if others else ""
    return [f"{what} of {names[i]} is {float(values[i]):.4g}, {word} {limit:g}{more}"]
