"""The mean of an outcome under two interventions, on given rows (floor 1)."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
import torch.distributions as td
from torch import Tensor

from causal.ancestral import simulate
from causal.columns import Mechanisms
from causal.draws import seeded
from causal.law import draw_from

__all__ = ["mean_contrast", "needed_rows"]


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
    return set().union(*(_roles(model, outcome, arm, arms).kept for arm in arms))


class _Roles(NamedTuple):
    """Where the variables on the way to the outcome get their values."""

    simulated: set[str]
    kept: set[str]
    acted: set[str]


def _roles(
    model: Mechanisms, outcome: str, arm: Mapping[str, Any], arms: Iterable[Mapping[str, Any]]
) -> "_Roles":
    """Follow the outcome's ancestors until an intervention or an observed value stops each path."""
    treatments = {name for other in arms for name in other}
    below = {d for name in treatments for d in model.graph.descendants(name) - {name}}
    simulated, kept, acted = roles = _Roles(set(), set(), set())
    pending = [outcome]
    while pending:
        name = pending.pop()
        if name in simulated | kept | acted:
            continue
        if name in arm:
            acted.add(name)
            action = arm[name]
            if callable(action) and not isinstance(action, Tensor | td.Distribution):
                pending += model.visible(name)
        elif name in below:
            simulated.add(name)
            pending += model.parents[name]
        else:
            kept.add(name)
    return roles


def mean_contrast(
    model: Mechanisms,
    outcome: str,
    arms: tuple[Mapping[str, Any], Mapping[str, Any]],
    rows: Mapping[str, Tensor],
    full: tuple[int, ...],
    *,
    samples: int = 1,
    drawn: Mapping[str, Tensor] | None = None,
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
        drawn: Hidden causes of the rows, (\*draws, samples, batch, \*event).
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
        >>> mean_contrast(model, "Y", ({"X": 1.0}, {"X": 0.0}), {}, (3,))
        tensor(2.)
    """
    drawn = drawn or {}
    random = bool(drawn) or any(
        _roles(model, outcome, arm, arms).simulated - {outcome} for arm in arms
    )
    common = torch.Generator().manual_seed(_seed(generator))
    state = common.get_state()
    at = len(full) - 1
    wide = (*full[:at], samples if random else 1, full[-1])
    seen = {**{name: row.unsqueeze(at) for name, row in rows.items()}, **drawn}
    means = []
    for arm in arms:
        common.set_state(state)
        roles = _roles(model, outcome, arm, arms)
        means.append(_mean(model, outcome, roles, arm, seen, wide, samples, common))
    return means[0] - means[1]


def _seed(generator: torch.Generator | None) -> int:
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**62, (), generator=generator, device=device))


def _mean(
    model: Mechanisms,
    outcome: str,
    roles: _Roles,
    arm: Mapping[str, Any],
    seen: Mapping[str, Tensor],
    full: tuple[int, ...],
    samples: int,
    generator: torch.Generator,
) -> Tensor:
    """The outcome's mean over samples and rows; from simulated values if its law knows no mean."""
    axes = (len(full) - 2, len(full) - 1)
    known = {name: seen[name] for name in roles.kept}
    if outcome in roles.kept:
        return known[outcome].expand(*full, *model.event_shape(outcome)).mean(axes)
    names = (roles.simulated | roles.kept | roles.acted) - {outcome}
    values = simulate(model, full, actions=arm, kept=known, names=names, generator=generator)
    rows = (*(1 for _ in full[:-1]), full[-1])
    law = model.at(outcome, values, rows, full)
    try:
        mean = law.mean
    except (NotImplementedError, AttributeError):
        full = (*full[:-2], samples, full[-1])
        with seeded(generator):
            mean = draw_from(model.at(outcome, values, rows, full))
    if not bool(mean.isfinite().all()):
        raise ValueError(
            f"the law of {outcome!r} ({type(law).__name__}) has no finite mean, so that its "
            "average effect is undefined: make a class a binary variable, or use sample(do=…)"
        )
    return mean.expand(*full, *model.event_shape(outcome)).mean(axes)
