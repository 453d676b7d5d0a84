"""The mean of an outcome under two interventions, on given rows (floor 1)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor

from causal.ancestral import simulate
from causal.columns import Mechanisms
from causal.draws import seeded
from causal.law import draw_from, states_of

__all__ = ["contrast", "needed_rows"]


def needed_rows(model: Mechanisms, outcome: str, arms: Iterable[Mapping[str, Any]]) -> set[str]:
    """The variables whose observed values enter the outcome's mean in some arm.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> graph = Graph.parse("W -> X -> M -> Y <- W; Z -> X")
        >>> parents = {name: graph.parents(name) for name in graph.nodes}
        >>> model = Mechanisms(graph, {}, parents, torch.zeros(()))
        >>> sorted(needed_rows(model, "Y", [{"X": 1}, {"X": 0}]))
        ['W']
    """
    arms = list(arms)
    return set().union(*(_roles(model, outcome, arm, arms)[1] for arm in arms))


def _roles(
    model: Mechanisms, outcome: str, arm: Mapping[str, Any], arms: Iterable[Mapping[str, Any]]
) -> tuple[set[str], set[str]]:
    """What is simulated on the way to the outcome, and what is kept as observed."""
    treatments = {name for other in arms for name in other}
    below = {d for name in treatments for d in model.graph.descendants(name) - {name}}
    simulated: set[str] = set()
    kept: set[str] = set()
    pending = [outcome]
    while pending:
        name = pending.pop()
        if name in simulated or name in kept:
            continue
        if name in arm:
            action = arm[name]
            if callable(action) and not isinstance(action, Tensor | td.Distribution):
                pending += model.parents[name]
        elif name in below:
            simulated.add(name)
            pending += model.parents[name]
        else:
            kept.add(name)
    return simulated, kept


def contrast(
    model: Mechanisms,
    outcome: str,
    arms: tuple[Mapping[str, Any], Mapping[str, Any]],
    rows: Mapping[str, Tensor],
    full: tuple[int, ...],
    *,
    samples: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Mean of the outcome over rows in the first arm minus the second, (\*draws, \*event).

    Variables that are no descendants of a treatment keep their rows; descendants are simulated
    ``samples`` times, with the same random numbers in both arms; of the outcome the law's mean is
    taken where it has one.

    Args:
        model: Graph and laws, inside ``fixed``.
        outcome: The variable whose mean is compared.
        arms: Two interventions.
        rows: Observed (\*draws, batch, \*event), the draws' axis of 1 where rows are shared.
        full: Batch shape (\*draws, batch).
        samples: Simulated values per row and draw, where something other than the outcome is.
        generator: Source of randomness.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> class Noisy(torch.nn.Module):
        ...     event_shape, support = torch.Size(), torch.distributions.constraints.real
        ...
        ...     def forward(self, context):
        ...         return torch.distributions.Normal(2 * context.sum(-1), 1.0)
        >>> graph, parents = Graph.parse("X -> Y"), {"X": (), "Y": ("X",)}
        >>> model = Mechanisms(graph, {"X": Noisy(), "Y": Noisy()}, parents, torch.zeros(()))
        >>> contrast(model, "Y", ({"X": 1.0}, {"X": 0.0}), {}, (3,))
        tensor(2.)
    """
    random = (_roles(model, outcome, arm, arms)[0] - {outcome} for arm in arms)
    count = samples if any(random) or not _has_mean(model, outcome) else 1
    common = torch.Generator().manual_seed(_seed(generator))
    state = common.get_state()
    at = len(full) - 1
    wide = (*full[:at], count, full[-1])
    seen = {name: row.unsqueeze(at) for name, row in rows.items()}
    means = []
    for arm in arms:
        common.set_state(state)
        means.append(_mean(model, outcome, arm, arms, seen, wide, common))
    difference = means[0] - means[1]
    return difference.mean((at, at + 1))


def _has_mean(model: Mechanisms, outcome: str) -> bool:
    """Whether the law of a variable says that it has a mean in closed form.

    Unknown before it is called, so that simulated outcomes take all samples: True only if finite.
    """
    return states_of(model.laws[outcome]) == 2


def _seed(generator: torch.Generator | None) -> int:
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**62, (), generator=generator, device=device))


def _mean(
    model: Mechanisms,
    outcome: str,
    arm: Mapping[str, Any],
    arms: tuple[Mapping[str, Any], Mapping[str, Any]],
    seen: Mapping[str, Tensor],
    full: tuple[int, ...],
    generator: torch.Generator,
) -> Tensor:
    """The outcome's mean in each row, or one simulated value where its law knows no mean."""
    simulated, kept = _roles(model, outcome, arm, arms)
    event = model.event_shape(outcome)
    names = (simulated | kept | set(arm)) - {outcome}
    known = {name: seen[name] for name in kept}
    values = simulate(
        model, full, actions=arm, kept=known, names=names, generator=generator
    )
    if outcome in kept:
        return known[outcome].expand(*full, *event)
    rows = (*(1 for _ in full[:-1]), full[-1])
    law = model.at(outcome, values, rows, full)
    try:
        mean = law.mean
    except (NotImplementedError, AttributeError):
        with seeded(generator):
            mean = draw_from(law)
    if not bool(mean.isfinite().all()):
        raise ValueError(
            f"the law of {outcome!r} ({type(law).__name__}) has no finite mean: its average effect "
            "is undefined (make a class a binary variable; use sample(do=…) for quantiles)"
        )
    return mean.expand(*full, *event)
