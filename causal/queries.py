"""Sampling and scoring a model whose weights are fixed (floor 2)."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.distributions as td
from torch import Tensor

from causal.ancestral import log_density, simulate
from causal.bound import lower_bound
from causal.columns import Mechanisms, Table
from causal.factor import Factor
from causal.law import is_integer, states_of
from causal.tables import infinite, joint_table

__all__ = ["sample_rows", "score_rows"]

ACCEPTANCE = 0.01  # the least share of samples that may meet a condition

Action = Mapping[str, Any]
_NAMES = (str, list, tuple, set, frozenset)


def _lead(draws: int | None, *shape: int) -> tuple[int, ...]:
    return shape if draws is None else (draws, *shape)


def _shared(row: Tensor, draws: int | None) -> Tensor:
    """Rows with the axis that all draws share."""
    return row if draws is None else row.unsqueeze(0)


def _closed(model: Mechanisms, names: Iterable[str], acted: Action) -> bool:
    """Whether names hold their ancestors, once the arrows into what is acted on are cut."""
    chosen = {*names, *acted}
    return all(set(model.parents[name]) <= chosen for name in chosen if name not in acted)


def _classes(actions: Action) -> bool:
    """Whether each action is one class, so that it fits in a table."""
    return all(
        not isinstance(a, td.Distribution)
        and (isinstance(a, Tensor) or not callable(a))
        and torch.as_tensor(a).dim() == 0
        for a in actions.values()
    )


def sample_rows(
    model: Mechanisms,
    n: int,
    do: Action,
    given: Action,
    draws: int | None,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    r"""``n`` rows of all variables, (\*draws, n, \*event), and of their hidden causes.

    See ``SCM.sample``.

    Raises:
        ValueError: Unknown names, or a condition that cannot be met.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> model = Mechanisms(Graph.parse(""), {}, {}, torch.zeros(()))
        >>> sample_rows(model, 3, {}, {}, None, None)
        {}
    """
    if n < 0:
        raise ValueError(f"n is a number of rows, got {n}")
    graph, full = model.graph, _lead(draws, n)
    model.interventions(do)
    model.names(given)
    both = sorted(set(do) & set(given))
    if both:
        raise ValueError(f"{both} are in do and in given: condition on what is not intervened on")
    kept = {name: _conditioned(model, name, value, n) for name, value in given.items()}
    if not given or _closed(model, given, do):
        shared = {name: _shared(row, draws) for name, row in kept.items()}
        values = simulate(model, full, actions=do, kept=shared, generator=generator)
    elif not infinite(model) and _classes(do):
        values = _from_table(model, joint_table(model, draws, do), n, kept, generator)
    else:
        values = _by_rejection(model, n, do, kept, draws, generator)
    return {
        name: values[name].expand((*full, *model.event_shape(name))).contiguous()
        for name in graph.nodes
    }


def _conditioned(model: Mechanisms, name: str, value: Any, n: int) -> Tensor:
    """A condition as ``n`` rows."""
    event = model.event_shape(name)
    row = model.cast(name, value)
    if tuple(row.shape) not in (event, (n, *event)):
        raise ValueError(
            f"given {name!r} has shape {tuple(row.shape)}, expected {event} or {(n, *event)}"
        )
    return row.expand((n, *event))


def _from_table(
    model: Mechanisms,
    table: Factor,
    n: int,
    kept: Mapping[str, Tensor],
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    rows = table.sample(n, {name: row.long() for name, row in kept.items()}, generator)
    like = model.like
    return {
        name: row if is_integer(model.laws[name]) else row.to(like.dtype)
        for name, row in rows.items()
    }


def _by_rejection(
    model: Mechanisms,
    n: int,
    do: Action,
    kept: Mapping[str, Tensor],
    draws: int | None,
    generator: torch.Generator | None,
) -> dict[str, Tensor]:
    """Simulate, keep the rows that meet the condition, until each draw has ``n`` of them."""
    endless = sorted(name for name in kept if states_of(model.laws[name]) is None)
    if endless:
        unseen = sorted(model.graph.remove_incoming(do).ancestors(endless) & set(model.hidden))
        causes = f", and {unseen} are hidden" if unseen else "; condition on those too"
        raise ValueError(
            f"given {endless}: a continuous variable can be conditioned on only together with all "
            f"its ancestors{causes}, or on classes"
        )
    one = {name: row[:1] for name, row in kept.items()}
    if any(bool((row != one[name]).any()) for name, row in kept.items()):
        raise ValueError(f"given {sorted(kept)}: one value each, where rows come by rejection")
    if any(isinstance(a, Tensor) and a.dim() for a in do.values()):
        raise ValueError("do with one value per row cannot be combined with given here")
    block = max(4 * n, 1024)
    found: list[dict[str, Tensor]] = []
    accepted = torch.zeros(draws or 1, dtype=torch.long, device=model.like.device)
    masks: list[Tensor] = []
    while bool((accepted < n).any()):
        values = simulate(model, _lead(draws, block), actions=do, kept={}, generator=generator)
        mask = torch.ones(_lead(draws, block), dtype=torch.bool, device=model.like.device)
        for name, row in one.items():
            mask = mask & (values[name] == row)
        found.append({k: v.expand((*mask.shape, *model.event_shape(k))) for k, v in values.items()})
        masks.append(mask.reshape(draws or 1, block))
        accepted = accepted + masks[-1].sum(-1)
        share = int(accepted.min()) / (block * len(masks))
        if share < ACCEPTANCE:
            raise ValueError(
                f"given {sorted(kept)} holds in {share:.2%} of the samples, less than "
                f"{ACCEPTANCE:.0%}: too rare for rejection"
            )
    # The positions of each draw's first n accepted rows.
    order = torch.cat(masks, -1).int().argsort(dim=-1, descending=True, stable=True)[:, :n]
    rows: dict[str, Tensor] = {}
    for name in model.graph.nodes:
        column = torch.cat([part[name] for part in found], 0 if draws is None else 1)
        column = column if draws is not None else column.unsqueeze(0)
        picked = torch.stack([c[i] for c, i in zip(column, order, strict=True)])
        rows[name] = picked if draws is not None else picked.squeeze(0)
    return rows


def score_rows(
    model: Mechanisms,
    values: Table,
    given: Table | Iterable[str] | None,
    do: Action,
    draws: int | None,
    generator: torch.Generator | None,
    samples: int = 1,
) -> Tensor:
    r"""Log density of rows given others, (\*draws, batch); see ``SCM.log_probability``.

    With hidden causes among the ancestors it is the lower bound of `causal.bound`.

    Raises:
        ValueError: Bad rows, or a marginal without a closed form.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> class Fair(torch.nn.Module):
        ...     event_shape, support = torch.Size(), torch.distributions.constraints.boolean
        ...
        ...     def forward(self, context):
        ...         return torch.distributions.Bernoulli(context.new_full(context.shape[:-1], 0.5))
        >>> model = Mechanisms(Graph.parse("X"), {"X": Fair()}, {"X": ()}, torch.zeros(()))
        >>> score_rows(model, {"X": torch.tensor([1.0])}, None, {}, None, None).exp()
        tensor([0.5000])
    """
    model.interventions(do)
    if isinstance(values, Tensor) or not isinstance(values, Table):
        raise TypeError(
            f"values are columns by name, {{name: (batch,) tensor}}, got {type(values).__name__}"
        )
    table: dict[str, Any] = {name: values[name] for name in values}
    conditions = _named(given)
    if given is not None and not isinstance(given, _NAMES):
        table |= {name: given[name] for name in given}  # type: ignore[index]
    unknown = sorted(conditions - set(table))
    if unknown:
        raise ValueError(f"given {unknown} has no values: add their rows, or give {{name: rows}}")
    rows = model.rows({name: table[name] for name in table if name not in do})
    if not rows:
        raise ValueError("log_probability needs the rows of at least one variable")
    n = len(next(iter(rows.values())))
    conditions -= set(do)
    if _closed(model, rows, do) and _closed(model, conditions, do):
        # The terms of what is not conditioned on: the others cancel.
        lead = () if draws is None else (1,)
        kept = {name: _shared(row, draws) for name, row in rows.items()}
        names = set(rows) | _read(model, rows, do)
        full = _lead(draws, n)
        acted = simulate(model, full, actions=do, kept=kept, names=names, generator=generator)
        total = log_density(model, acted, set(rows) - conditions, (*lead, n))
        return total.expand(_lead(draws, n))
    if model.hidden:
        if not _closed(model, conditions, do):
            raise ValueError(
                f"a condition on {sorted(conditions)}, which share hidden causes with others, has "
                "no bound: of log p(values, given) − log p(given) both would be bounds"
            )
        wanted = set(rows) - conditions
        return lower_bound(model, rows, wanted, do, draws, samples, generator)
    endless = infinite(model)
    if endless:
        raise ValueError(_lacking(model, set(rows), conditions, do, endless))
    if not _classes(do):
        raise ValueError("a marginal under do needs one class for each intervention")
    table_rows = {name: row.long() for name, row in rows.items()}
    return joint_table(model, draws, do).log_probability(table_rows, conditions or None)


def _lacking(
    model: Mechanisms, rows: set[str], conditions: set[str], do: Action, endless: list[str]
) -> str:
    """Why a density has no closed form, and what to add."""
    cut = model.graph.remove_incoming(do)
    missing = sorted(cut.ancestors(rows) - rows - set(do))
    if missing:
        return (
            f"missing column(s) {missing}: without them the density of {sorted(rows)} has no "
            f"closed form, because {endless} are not finite"
        )
    more = sorted(cut.ancestors(conditions) - conditions - set(do))
    return (
        f"a condition on {sorted(conditions)} without {more} has no closed form, because "
        f"{endless} are not finite: condition on the ancestors too"
    )


def _named(given: Table | Iterable[str] | None) -> set[str]:
    """The names that are conditioned on."""
    if given is None:
        return set()
    return {given} if isinstance(given, str) else set(given)


def _read(model: Mechanisms, names: Iterable[str], do: Action) -> set[str]:
    """The interventions that the terms of ``names`` depend on."""
    found: set[str] = set()
    pending = [p for name in names for p in model.parents[name] if p in do]
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            if callable(do[name]):
                pending += [p for p in model.parents[name] if p in do]
    return found
