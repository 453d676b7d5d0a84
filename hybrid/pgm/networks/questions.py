"""Questions to a network: which plan, which tables, which rows (floor 5)."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from causal.bits import each
from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact import inference
from hybrid.pgm.networks.impossible import ImpossibleEvidence
from hybrid.pgm.networks.model import Model, Supply
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.plans import Plan, plan_all, plan_sets

__all__ = [
    "best_states",
    "drawn",
    "log_evidence",
    "refuse_impossible",
    "restored",
    "set_marginals",
    "summed_families",
]

Sets = tuple[tuple[int, ...], ...]
LITTLE = 2**14  # cells


def _evidence(model: Model, plan: Plan, observed: Observed, lead: int) -> Evidence:
    """The evidence on a plan's variables, its rows once for each draw."""
    numbers, states, like = observed.numbers, observed.states, model.like
    soft = {number: table.to(like) for number, table in observed.soft.items()}
    if not plan.whole:
        kept = [k for k, number in enumerate(numbers) if number in plan.place]
        if len(kept) < len(numbers):
            states = states[kept]
        numbers = tuple(plan.place[numbers[k]] for k in kept)
        soft = {plan.place[n]: table for n, table in soft.items() if n in plan.place}
    if lead > 1:
        states = states.repeat(1, lead)
        soft = {number: table.repeat(lead, 1) for number, table in soft.items()}
    return Evidence(observed.rows * lead, _Columns(numbers, states), soft, numbers, states)


class _Columns(Mapping[int, Tensor]):
    """The rows of a stacked tensor by variable, made when somebody reads them."""

    def __init__(self, numbers: tuple[int, ...], states: Tensor) -> None:
        self._numbers, self._states = numbers, states

    def __getitem__(self, number: int) -> Tensor:
        return self._states[self._numbers.index(number)]

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def log_evidence(model: Model, observed: Observed) -> Tensor:
    r"""The log probability of each row's evidence, :math:`\log p(e)`, (lead, rows).

    Lead is 1, or the number of draws where tables depend on them; −inf marks impossible rows.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> log_evidence(model, observe(coin, {}, {}, {"X": torch.tensor([1, -1])})).exp()
        tensor([[0.7500, 1.0000]], dtype=torch.float64)
    """
    structure, rows = model.structure, observed.rows
    alive = structure.ancestors(observed.some | _above_leaves(model, observed))
    if not alive & ~observed.known and not observed.soft:
        tables = (*each(alive), *_leaf_tables(model, observed))
        supply = model.supply(tables, observed, density=True)
        found = _looked_up(model, tables, supply, observed)
        return _scaled(found.reshape(supply.lead, rows), supply)
    plan = _evidence_plan(model, observed)
    supply = model.supply(plan.tables, observed, density=True)
    if not rows:
        return _scaled(model.like.new_zeros(supply.lead, 0), supply)
    evidence = _evidence(model, plan, observed, supply.lead)
    found = inference.log_partition(plan.tree, supply.tables, evidence)
    return _scaled(found.reshape(supply.lead, rows), supply)


def _evidence_plan(model: Model, observed: Observed) -> Plan:
    """Without what is barren; but a small tree of plain tables is not planned for each pattern."""
    whole = plan_all(model.structure, observed.leaves)
    if whole.tree.cells <= LITTLE and not model.mechanisms:
        return whole
    return plan_sets(model.structure, (), observed.some, observed.known, observed.leaves)


def _above_leaves(model: Model, observed: Observed) -> int:
    """The parents of observed leaves."""
    masks, count, above = model.structure.scope_masks, len(model.structure.names), 0
    for place in each(observed.leaves):
        above |= masks[count + place]
    return above


def _leaf_tables(model: Model, observed: Observed) -> list[int]:
    count = len(model.structure.names)
    return [count + k for k in each(observed.leaves) if model.structure.scopes[count + k]]


def _scaled(found: Tensor, supply: Supply) -> Tensor:
    return found if supply.log_scale is None else found + supply.log_scale


def _looked_up(model: Model, tables: Sequence[int], supply: Supply, observed: Observed) -> Tensor:
    """The log of the product of the cells where all is known, (lead · rows,)."""
    lead, rows = supply.lead, observed.rows
    place = {number: k for k, number in enumerate(observed.numbers)}
    states = observed.states if lead == 1 else observed.states.repeat(1, lead)
    total = model.like.new_zeros(lead * rows)
    every = torch.arange(lead * rows, device=states.device)
    for number, table in zip(tables, supply.tables, strict=True):
        scope = model.structure.scopes[number]
        cell = tuple(states[place[variable]] for variable in scope)
        values = table[cell] if table.dim() == len(scope) else table[(every, *cell)]
        empty = values <= 0
        logs = torch.where(empty, 1.0, values).log()
        total = total + torch.where(empty, -torch.inf, logs)
    return total


def restored(found: Tensor, lead: int, draws: int | None, batch: tuple[int, ...]) -> Tensor:
    r"""Results (lead · rows, \*event) as (\*draws, \*batch, \*event).

    Example:
        >>> restored(torch.zeros(6, 4), 1, 5, (2, 3)).shape
        torch.Size([5, 2, 3, 4])
    """
    event = found.shape[1:]
    if draws is None:
        return found if len(batch) == 1 else found.reshape((*batch, *event))
    return found.reshape((lead, *batch, *event)).expand((draws, *batch, *event))


def set_marginals(
    model: Model, observed: Observed, sets: Sets | None, *, families: bool = False
) -> tuple[int, tuple[Tensor, ...] | list[Tensor]]:
    r"""Marginals of sets of finite variables given each row's evidence.

    Args:
        model: The network at work.
        observed: The evidence.
        sets: Numbers of variables; None for each variable alone.
        families: Whether, without sets, each table's variables are the sets.

    Returns:
        Lead (1 or the number of draws), and the marginals (lead · rows, \*states).

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> set_marginals(model, observe(coin, {}, {}, {}), None)[1][0]
        tensor([[0.2500, 0.7500]], dtype=torch.float64)
    """
    structure = model.structure
    if sets is None:
        plan = plan_all(structure, observed.leaves, families)
    else:
        plan = plan_sets(structure, sets, observed.some, observed.known, observed.leaves)
    supply = model.supply(plan.tables, observed)
    if not plan.tables:
        return 1, [_one_hot(model, observed, chosen) for chosen in sets or ()]
    if not observed.rows:
        wanted = plan.sets if sets is None else sets
        shapes = [[structure.cardinalities[number] for number in chosen] for chosen in wanted]
        return supply.lead, [model.like.new_zeros(0, *shape) for shape in shapes]
    evidence = _evidence(model, plan, observed, supply.lead)
    logs, found = inference.marginals(plan.tree, supply.tables, evidence, plan.sets)
    refuse_impossible(model, observed, logs)
    return supply.lead, found


def summed_families(
    model: Model, observed: Observed, weights: Tensor | None
) -> list[Tensor] | None:
    r"""Marginals of all tables' variables summed over the rows, where no gradient is recorded.

    Args:
        model: The network at work.
        observed: The evidence, R rows.
        weights: A weight for each row, (rows,); None for 1.

    Returns:
        (1, \*states) for each finite variable; None where there are no rows, where tables depend on
        draws, or where autograd follows something.

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> seen = observe(coin, {}, {}, {"X": torch.tensor([0, -1])})
        >>> summed_families(model, seen, None)[0]
        tensor([[1.2500, 0.7500]], dtype=torch.float64)
    """
    plan = plan_all(model.structure, observed.leaves, families=True)
    supply = model.supply(plan.tables, observed)
    inputs = (*supply.tables, *observed.soft.values(), *(() if weights is None else (weights,)))
    if not observed.rows or supply.lead > 1 or any(values.requires_grad for values in inputs):
        return None
    evidence = _evidence(model, plan, observed, 1)
    logs, found = inference.summed(plan.tree, supply.tables, evidence, plan.sets, weights)
    refuse_impossible(model, observed, logs)
    return [table.unsqueeze(0) for table in found]


def _one_hot(model: Model, observed: Observed, numbers: Sequence[int]) -> Tensor:
    """The marginal of variables that every row knows."""
    sizes = [model.structure.cardinalities[number] for number in numbers]
    states = [observed.states[observed.numbers.index(number)] for number in numbers]
    table = model.like.new_zeros(observed.rows, *sizes)
    rows = torch.arange(observed.rows, device=table.device)
    return table.index_put((rows, *states), model.like.new_ones(()))


def best_states(model: Model, observed: Observed, count: int) -> tuple[int, Tensor, Tensor]:
    r"""The most probable states of all finite variables in each row, best first.

    Args:
        model: The network at work.
        observed: The evidence.
        count: How many per row.

    Returns:
        Lead, states (lead · rows, count, variables), and the log of their joint probability with
        the evidence (lead · rows, count).

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> best_states(model, observe(coin, {}, {}, {}), 2)[1]
        tensor([[[1],
                 [0]]])
    """
    plan = plan_all(model.structure, observed.leaves)
    supply = model.supply(plan.tables, observed, density=True)
    if not observed.rows:
        states = torch.empty(0, count, len(plan.variables), dtype=torch.long)
        return supply.lead, states, model.like.new_zeros(0, count)
    evidence = _evidence(model, plan, observed, supply.lead)
    states, logs = inference.best(plan.tree, supply.tables, evidence, count)
    refuse_impossible(model, observed, logs[:, 0])
    if count > 1:
        states = states.masked_fill((logs == -torch.inf).unsqueeze(-1), -1)
    if supply.log_scale is not None:
        scale = supply.log_scale.expand(supply.lead, observed.rows)
        logs = logs + scale.reshape(-1, 1)
    return supply.lead, states, logs


def drawn(model: Model, observed: Observed, n: int, generator: torch.Generator | None) -> Tensor:
    """Exact draws of all finite variables given each row's evidence, by the junction tree.

    Args:
        model: The network at work.
        observed: The evidence.
        n: How many per row (and draw of weights).
        generator: Source of randomness; None advances torch's global generator.

    Returns:
        States (draws or 1, rows, n, variables).

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.0, 1.0])}, {}, torch.zeros(()).double())
        >>> drawn(model, observe(coin, {}, {}, {}), 3, None).flatten()
        tensor([1, 1, 1])
    """
    plan = plan_all(model.structure, observed.leaves)
    lead, rows, count = model.draws or 1, observed.rows, len(plan.variables)
    if not rows or not n:
        return torch.empty(lead, rows, n, count, dtype=torch.long, device=model.like.device)
    supply = model.supply(plan.tables, observed)
    evidence = _evidence(model, plan, observed, supply.lead)
    refuse_impossible(model, observed, log_evidence(model, observed).reshape(-1))
    if supply.lead == lead:
        states = inference.draw(plan.tree, supply.tables, evidence, n, generator)
        return states.reshape(lead, rows, n, count)
    states = inference.draw(plan.tree, supply.tables, evidence, n * lead, generator)
    return states.reshape(rows, lead, n, count).movedim(1, 0)


def refuse_impossible(model: Model, observed: Observed, logs: Tensor) -> None:
    """Raise where the evidence of a row has probability 0, with the node that makes it so.

    Args:
        model: The network at work.
        observed: The evidence.
        logs: Its log probability, (lead · rows,).

    Raises:
        ImpossibleEvidence: It is −inf in some row.

    Example:
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {}, {}, torch.zeros(()))
        >>> refuse_impossible(model, observe(coin, {}, {}, {}), torch.zeros(1))
    """
    if logs.detach().amin().item() > -math.inf:
        return
    for place in (logs == -torch.inf).nonzero()[:1, 0].tolist():
        row = place % observed.rows
        raise ImpossibleEvidence(*_culprit(model, observed, row), row)


def _culprit(model: Model, observed: Observed, place: int) -> tuple[str, object]:
    """The first node, parents before children, with which a row's evidence is impossible."""
    structure, one, row = model.structure, model.part(place, place + 1), observed.row(place)
    seen = [number for number in structure.order if row.some >> number & 1]

    def impossible(count: int) -> bool:
        logs = log_evidence(one, row.only(seen[:count], {}))
        return bool((logs == -torch.inf).any())

    with torch.no_grad():
        first = bisect_left(range(len(seen) + 1), True, key=impossible)
    if first > len(seen) or not first:  # the values of leaves, whose density is 0
        leaves = [structure.leaves[k] for k in each(row.leaves)]
        return (leaves or [structure.names[0]])[0], None
    number = seen[first - 1]
    name = structure.names[number]
    if number in row.soft:
        return name, None
    state = int(row.states[row.numbers.index(number), 0])
    return name, model.labels[name][state] if name in model.labels else state
