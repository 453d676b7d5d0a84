"""Abduct, act, replay: what would have happened to observed units (floor 1)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor

from causal.ancestral import act
from causal.columns import Mechanisms, Table
from causal.draws import seeded
from causal.guide import posterior
from causal.noise import NoiseNotRecoverable, abduct, replay

__all__ = ["Counterfactual", "in_worlds"]


@dataclass(frozen=True, eq=False)
class Counterfactual(Mapping[str, Tensor]):
    r"""Columns of the worlds asked for: ``result["Y"]`` is (\*draws, worlds, batch, \*event).

    Attributes:
        columns: The columns by name.
        conventions: The convention used for each variable whose noise needed one; "guide" for each
            hidden cause, which was drawn from the guide: the result is then no longer exact.
        identified: With hidden causes, the formula of what the interventions do to the population,
            or why there is none: the result then rests on the form of the laws.

    Example:
        >>> import torch
        >>> result = Counterfactual({"Y": torch.zeros(2, 5)}, {})
        >>> result["Y"].shape, list(result)
        (torch.Size([2, 5]), ['Y'])
    """

    columns: Mapping[str, Tensor]
    conventions: Mapping[str, str]
    identified: str = ""

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.columns:
            raise KeyError(f"{name!r} is not in the result, which has {list(self.columns)}")
        return self.columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)


def in_worlds(
    model: Mechanisms,
    evidence: Table,
    worlds: Sequence[Mapping[str, Any]],
    *,
    draws: int | None = None,
    convention: str | Mapping[str, str] | None = None,
    generator: torch.Generator | None = None,
    outcomes: Iterable[str] | None = None,
) -> Counterfactual:
    r"""The three steps of Pearl (2009, *Causality*, theorem 7.1.7) on rows of evidence.

    Abduct the noise :math:`\epsilon_v = f_v^{-1}(x_v; x_{pa(v)})` of the strict descendants of what
    is intervened on; act; replay :math:`x'_v = f_v(\epsilon_v; x'_{pa(v)})`. One noise serves all
    worlds. In rows where all parents keep their values a variable keeps its own, exactly. Hidden
    causes are drawn from the guide given the whole row, once for all worlds.

    Args:
        model: Graph and laws, inside ``fixed(…, draws)``.
        evidence: Observed rows (batch, \*event).
        worlds: One mapping of interventions each; they may name different variables.
        draws: Number S of weight draws in force, or None.
        convention: How to define noise that values leave open, for all variables or by variable.
        generator: Source of the undetermined noise.
        outcomes: The variables wanted; None for all. What does not lead to them needs no noise.

    Raises:
        ValueError: Evidence or interventions are incomplete or do not fit.
        NoiseNotRecoverable: A law's noise is not determined and no convention was named.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> class Noisy(torch.nn.Module):
        ...     event_shape, support = torch.Size(), torch.distributions.constraints.real
        ...
        ...     def forward(self, context):
        ...         return torch.distributions.Normal(context.sum(-1), 1.0)
        >>> parents = {"X": (), "Y": ("X",)}
        >>> laws = {"X": Noisy(), "Y": Noisy()}
        >>> model = Mechanisms(Graph.parse("X -> Y"), laws, parents, torch.zeros(()))
        >>> seen = {"X": torch.tensor([1.0]), "Y": torch.tensor([1.5])}
        >>> in_worlds(model, seen, [{"X": 0.0}])["Y"]
        tensor([[0.5000]])
    """
    if not worlds:
        raise ValueError("counterfactual needs at least one world: do=[{...}, ...]")
    graph = model.graph
    wanted = graph.ancestors(graph.nodes if outcomes is None else outcomes)
    acted = {name for world in worlds for name in model.interventions(world)}
    moved = {name for world in worlds for name in _strict(model, world) - set(world)} & wanted
    needed = moved | {p for name in moved for p in model.parents[name]}
    needed |= {p for name in acted if _reads(worlds, name) for p in model.visible(name)}
    # What an intervention sets in every world, and no noise is abducted from, need not be seen.
    needed = (needed | acted) - _always_set(model, worlds, moved)
    unseen = [name for name in model.hidden if name in needed]
    rows = model.rows(evidence, model.variables if unseen else sorted(needed))
    if not rows:
        raise ValueError("evidence is empty: give at least one column, for its rows")
    n = len(next(iter(rows.values())))
    lead = () if draws is None else (draws,)
    seen = {name: row if draws is None else row.unsqueeze(0) for name, row in rows.items()}
    named = _conventions(model, convention)
    if unseen:
        drawn = posterior(model, seen, n, draws).values
        seen |= {name: drawn[name] for name in unseen}
    with seeded(generator):
        noise, used = _abduct(model, seen, moved, (*lead, n), named)
        columns = _replay(model, seen, noise, worlds, (*lead, len(worlds), n), used)
    found = [name for name in model.variables if name in columns and name in wanted]
    used |= dict.fromkeys(unseen, "guide")
    return Counterfactual({name: columns[name] for name in found}, used)


def _strict(model: Mechanisms, world: Mapping[str, Any]) -> set[str]:
    """Strict descendants of what a world intervenes on."""
    return {d for name in world for d in model.graph.descendants(name) - {name}}


def _reads(worlds: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Whether an intervention on a variable reads its parents."""
    actions = [world[name] for world in worlds if name in world]
    return any(callable(a) and not isinstance(a, Tensor | td.Distribution) for a in actions)


def _always_set(
    model: Mechanisms, worlds: Sequence[Mapping[str, Any]], moved: set[str]
) -> set[str]:
    """Variables set in every world that are parents of nothing abducted."""
    abducted = {p for name in moved for p in model.parents[name]} | moved
    return {name for name in model.graph.nodes if all(name in w for w in worlds)} - abducted


def _conventions(
    model: Mechanisms, convention: str | Mapping[str, str] | None
) -> Mapping[str, str]:
    if isinstance(convention, Mapping):
        model.names(convention)
        return convention
    return {} if convention is None else dict.fromkeys(model.graph.nodes, convention)


def _abduct(
    model: Mechanisms,
    seen: Mapping[str, Tensor],
    moved: set[str],
    full: tuple[int, ...],
    named: Mapping[str, str],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The noise of the moved variables, and the conventions it took."""
    noise: dict[str, Tensor] = {}
    used: dict[str, str] = {}
    rows = (*(1 for _ in full[:-1]), full[-1])
    for name in model.graph.order:
        if name not in moved:
            continue
        distribution = model.at(name, seen, rows, full)
        value = seen[name].expand(*full, *model.event_shape(name))
        try:
            try:
                noise[name] = abduct(distribution, value)
            except NoiseNotRecoverable:
                if name not in named:
                    raise
                noise[name] = abduct(distribution, value, convention=named[name])
                used[name] = named[name]
        except NoiseNotRecoverable as error:
            hint = (
                f"; name one for this variable: convention={{{name!r}: {error.conventions[0]!r}}}"
                if error.conventions
                else ""
            )
            raise NoiseNotRecoverable(
                f"counterfactual of {name!r}: {error}{hint}", error.conventions
            ) from error
        except ValueError as error:
            raise ValueError(f"counterfactual of {name!r}: {error}") from error
    return noise, used


def _replay(
    model: Mechanisms,
    seen: Mapping[str, Tensor],
    noise: Mapping[str, Tensor],
    worlds: Sequence[Mapping[str, Any]],
    full: tuple[int, ...],
    used: Mapping[str, str],
) -> dict[str, Tensor]:
    """Values in all worlds at once; the worlds' axis is the second from the right of the batch."""
    at = len(full) - 2
    fact = {name: value.unsqueeze(at) for name, value in seen.items()}
    rows = (*(1 for _ in full[:-1]), full[-1])
    values: dict[str, Tensor] = {}
    for name in model.graph.order:
        event = model.event_shape(name)
        if name in noise:
            law = model.at(name, values, rows, full)
            value = replay(law, noise[name].unsqueeze(at), convention=used.get(name))
            same = _same(model, name, values, fact)
            value = torch.where(same.reshape(*same.shape, *(1 for _ in event)), fact[name], value)
        elif name in fact:
            value = fact[name]
        elif not any(name in world for world in worlds):
            continue
        else:
            value = model.like.new_zeros(())  # set in every world below
        value = value.expand(*full, *event)
        if any(name in world for world in worlds):
            single = (*full[:at], full[-1])
            parts = list(value.unbind(at))
            for k, world in enumerate(worlds):
                if name in world:
                    known = {p: values[p].select(at, k) for p in model.visible(name) if p in values}
                    parts[k] = act(model, name, world[name], known, single)
            value = torch.stack(parts, at)
        values[name] = value
    return values


def _same(
    model: Mechanisms, name: str, values: Mapping[str, Tensor], fact: Mapping[str, Tensor]
) -> Tensor:
    r"""Where all parents of a variable have their factual values, (\*draws, worlds, batch)."""
    same = torch.tensor(True, device=model.like.device)
    for parent in model.parents[name]:
        equal = values[parent] == fact[parent]
        dims = len(model.event_shape(parent))
        same = same & (equal.flatten(equal.dim() - dims).all(-1) if dims else equal)
    return same
