"""Formulas by nested Monte Carlo on any Joint, where variables are continuous."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from causal.evaluation.query import Query
from causal.evaluation.sampler import Rows, Simulation, constants
from causal.expression import Probability

__all__ = ["simulated_density", "simulated_mean"]

Experiments = Mapping[Any, Any] | Any
AVERAGED = 16  # draws of free names, over which a formula is averaged


def _columns(values: Mapping[str, Any], needed: frozenset[str]) -> tuple[Rows, int]:
    """Checked rows, all of one length."""
    missing, unknown = sorted(needed - values.keys()), sorted(values.keys() - needed)
    if missing or unknown:
        raise ValueError(
            f"rows are needed of {sorted(needed)}: missing {missing}, superfluous {unknown}"
        )
    rows = {name: torch.as_tensor(value) for name, value in values.items()}
    lengths = {len(row) for row in rows.values() if row.dim()}
    if len(lengths) > 1:
        raise ValueError(f"columns have different lengths: {sorted(lengths)}")
    count = lengths.pop() if lengths else 1
    return {name: row if row.dim() else row.expand(count) for name, row in rows.items()}, count


def _freed(
    simulation: Simulation, names: frozenset[str], free: str | Mapping[str, Any], count: int
) -> tuple[Rows, int]:
    """Values of free names for ``repeats`` copies of each row."""
    if isinstance(free, str) and free != "average":
        raise ValueError(f"free is 'average' or a value for each free name, got {free!r}")
    chosen = {} if isinstance(free, str) else dict(free)
    if not chosen.keys() <= names:
        raise ValueError(
            f"{sorted(chosen.keys() - names)} are not free in this formula: its free names are "
            f"{sorted(names)}"
        )
    rest = names - chosen.keys()
    repeats = AVERAGED if rest else 1
    rows = constants(chosen, count * repeats)
    if rest:
        drawn = simulation.sampled(Probability(rest), {}, count * repeats)
        rows |= {name: drawn[name] for name in rest}
    return rows, repeats


def simulated_density(
    estimand: Query,
    joint: Any = None,
    rows: Mapping[str, Any] | None = None,
    *,
    experiments: Experiments = None,
    free: str | Mapping[str, Any] = "average",
    samples: int = 1000,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The query's density at rows, by nested Monte Carlo; for joints with continuous variables.

    A sum over names is the mean over ``samples`` draws of them from the conditional distributions
    in it, times the densities of the rest; sums within sums are drawn along, ratios within sums
    afresh. Both parts of a ratio see the same draws. Gradients reach the joint's parameters through
    the densities, and through the draws by their score with the mean as baseline.

    An SCM gives :math:`p(a \mid b)` where b holds its ancestors and so do a and b together, so
    that it should be fitted along an order in which the formula reads it; else the call refuses.

    Args:
        estimand: What ``identify`` returned.
        joint: The observational distribution: a Joint with ``sample`` and ``log_probability``.
        rows: ``{name: (batch,)}`` for outcomes, treatments and given; numbers serve all rows.
        experiments: A mapping or a function from a frozenset of intervened names to a Joint, of
            which the distribution given these names is read.
        free: ``"average"`` over draws of the free names, or a value for each.
        samples: Draws for each sum and row; the error falls with their square root.
        generator: Source of randomness; None advances torch's global generator.

    Returns:
        Densities, (batch,).

    Raises:
        ValueError: Rows are missing, or the joint cannot draw or score what the formula reads.
        TypeError: A source is not a Joint.

    Example:
        >>> from causal.factor import Factor
        >>> from causal.graph import Graph
        >>> from causal.identification.observational import identify
        >>> query = identify(Graph.parse("Z -> X -> Y; Z -> Y"), outcomes="Y", treatments="X")
        >>> joint = Factor(("X", "Y", "Z"), torch.ones(2, 2, 2))
        >>> simulated_density(query, joint, {"X": torch.tensor([0, 1]), "Y": 1})
        tensor([0.5000, 0.5000])
    """
    needed = estimand.outcomes | estimand.treatments | estimand.given
    table, count = _columns(rows or {}, needed)
    with Simulation(joint, experiments, samples, generator) as simulation:
        freed, repeats = _freed(simulation, estimand.expression.arguments - needed, free, count)
        wide = {name: row.repeat_interleave(repeats, 0) for name, row in table.items()} | freed
        found = simulation.value(estimand.expression, wide, count * repeats)
    return found.expand(count * repeats).reshape(count, repeats).mean(-1)


def simulated_mean(
    estimand: Query,
    joint: Any = None,
    at: Mapping[str, Any] | None = None,
    *,
    outcome: str | None = None,
    experiments: Experiments = None,
    free: str | Mapping[str, Any] = "average",
    samples: int = 1000,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""The mean of an outcome under the query, :math:`E[y \mid do(x), z]`, by nested Monte Carlo.

    The plug-in of the joint's own regressions: all outcomes are drawn with the other names, not
    integrated over a grid. See `simulated_density`.

    Args:
        estimand: What ``identify`` returned.
        joint: The observational distribution: a Joint with ``sample`` and ``log_probability``.
        at: Values of treatments and given, one or (batch,) each.
        outcome: The outcome whose mean it is; None where there is one.
        experiments: As in `simulated_density`.
        free: As in `simulated_density`.
        samples: Draws for each sum and row.
        generator: Source of randomness; None advances torch's global generator.

    Returns:
        Means, (batch,).

    Raises:
        ValueError: Values are missing, or the joint cannot draw or score what the formula reads.
        TypeError: A source is not a Joint.

    Example:
        >>> from causal.factor import Factor
        >>> from causal.graph import Graph
        >>> from causal.identification.observational import identify
        >>> query = identify(Graph.parse("X -> Y"), outcomes="Y", treatments="X")
        >>> joint = Factor(("X", "Y"), torch.tensor([[0.0, 0.5], [0.5, 0.0]]))
        >>> simulated_mean(query, joint, {"X": torch.tensor([0, 1])})
        tensor([1., 0.])
    """
    outcomes = estimand.outcomes
    if outcome is None and len(outcomes) != 1:
        raise ValueError(f"outcome says which mean of {sorted(outcomes)} it is")
    of = next(iter(outcomes)) if outcome is None else outcome
    if of not in outcomes:
        raise ValueError(f"{of!r} is not an outcome of the query: these are {sorted(outcomes)}")
    needed = estimand.treatments | estimand.given
    table, count = _columns(at or {}, needed)
    names = estimand.expression.arguments - needed - outcomes
    with Simulation(joint, experiments, samples, generator) as simulation:
        freed, repeats = _freed(simulation, names, free, count)
        wide = {name: row.repeat_interleave(repeats, 0) for name, row in table.items()} | freed
        found = simulation.outcome_mean(estimand.expression, outcomes, of, wide, count * repeats)
    return found.expand(count * repeats).reshape(count, repeats).mean(-1)
