"""Two explicit models that agree on all that is supplied and disagree on a query (floor 4)."""

import itertools
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from causal.factor import Factor
from causal.graph import Graph
from causal.identification.events import Event
from causal.identification.refusal import Unidentifiable
from causal.witness.model import DiscreteModel
from causal.witness.network import Key, Network, Skeleton
from causal.witness.problem import Problem
from causal.witness.question import (
    Names,
    Question,
    counterfactual_question,
    interventional_question,
)
from causal.witness.reduction import essential, restricted
from causal.witness.search import search
from causal.witness.worlds import event_network, experiment_network

__all__ = ["Disagreement", "WitnessNotFound", "disagreement"]

COIN = 0.9  # probability of the likeliest state of a variable that matters to no other
LEAST = 1e-3  # by how much the models differ on the query
MOST = 1e-12  # by how much they may differ on what is supplied
MANY = 4  # variables; where more are joined, fewer edges are looked for
RESPONSES = 64  # of a variable; where there are more functions of its parents, some are drawn


@dataclass(frozen=True, eq=False)
class Disagreement:
    """Two models that agree on everything supplied and differ on the query.

    Attributes:
        models: The two models.
        supplied: The experiments in which they agree, as the sets of names that are set; the
            empty set stands for observation. For counterfactuals these are all experiments on the
            variables that matter; the other variables are independent of all else.
        query: The query's table in each model; for events, a number.
        essential: The edges that the models use.
        discrepancy: The largest difference in what is supplied.
        asked: The query in words.

    Example:
        >>> graph = Graph.parse("X -> Y; X <-> Y")
        >>> found = disagreement(graph, outcomes="Y", treatments="X")
        >>> found.discrepancy < 1e-12 < 1e-3 <= found.difference
        True
    """

    models: tuple[DiscreteModel, DiscreteModel]
    supplied: tuple[frozenset[str], ...]
    query: tuple[Factor, Factor]
    essential: Graph
    discrepancy: float
    asked: str

    @property
    def difference(self) -> float:
        """The largest difference between the models in the query."""
        first, second = self.query
        return float((first.values - second.values).abs().max())

    def __str__(self) -> str:
        first, second = (table.values for table in self.query)
        apart = (first - second).abs().flatten()
        place = int((apart > apart.max() - 1e-9).nonzero()[0])  # the first of equal ones
        low, high = sorted((first.flatten()[place].item(), second.flatten()[place].item()))
        cell = self.query[0].names
        index = torch.unravel_index(torch.tensor(place), first.shape) if cell else ()
        where = ", ".join(f"{name}={int(i)}" for name, i in zip(cell, index, strict=True))
        return (
            f"two models on {self.essential} agree on {_supplied_text(self.supplied)} to "
            f"{self.discrepancy:.0e}, and give {self.asked} as {low:.4f} and {high:.4f}"
            + (f" at {where}" if where else "")
        )


class WitnessNotFound(RuntimeError):  # noqa: N818 - a verdict, like Unidentifiable
    """No two models were found that differ enough, in the time that was allowed.

    Attributes:
        best: The pair that differs most; None if none agreed on what is supplied.

    Example:
        >>> str(WitnessNotFound("no two models were found in 1 s", None))
        'no two models were found in 1 s'
    """

    def __init__(self, message: str, best: Disagreement | None) -> None:
        super().__init__(message)
        self.best = best


def disagreement(
    graph: Graph,
    *,
    outcomes: Names = (),
    treatments: Names = (),
    given: Names | Iterable[Event] | Event = (),
    experiments: Iterable[Names] | None = None,
    events: Iterable[Event] | Event | None = None,
    available: Literal["experiments", "observations"] = "experiments",
    seconds: float = 60,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> Disagreement:
    r"""Two strictly positive discrete models that show why a query cannot be identified.

    They are models on the same graph, agree to 1e-12 on everything supplied and differ by at least
    1e-3 on the query :math:`P(outcomes \mid do(treatments), given)`, or on the probability of
    counterfactual ``events``. So no formula in what is supplied can be right in both.

    First edges are left out while the query stays refused. Then, from random models: everything
    supplied and the query (or its numerator and denominator) are linear in each block of a model,
    the law of a hidden cause or one mechanism. Moving a block inside the null space of what is
    supplied changes the query and nothing else, exactly; one model moves up and one down, block by
    block (compare Kivva et al. 2022, theorem 1, whose two models differ in one hidden cause).

    Args:
        graph: The causal graph.
        outcomes: Variables whose probability is asked for.
        treatments: Variables that are set.
        given: What is conditioned on: names, or with ``events`` Events.
        experiments: The sets of names that were experimented on, as in `identify`; None for
            observation alone.
        events: Counterfactual events, instead of outcomes and treatments.
        available: What is supplied for ``events``: all experiments, or observation alone.
        seconds: Time after which the search gives up.
        seed: Of the random models, where no generator is given.
        generator: Source of the random models.

    Raises:
        ValueError: The query is identified, so that no two models can disagree; or it is malformed.
        WitnessNotFound: Nothing was found in time; it has the best pair.

    Example:
        >>> bow = Graph.parse("X -> Y; X <-> Y")
        >>> found = disagreement(bow, outcomes="Y", treatments="X")
        >>> first, second = found.models
        >>> torch.allclose(first.factor().values, second.factor().values, rtol=0, atol=1e-12)
        True
        >>> found.difference > 1e-3
        True
    """
    if events is None:
        question = interventional_question(graph, outcomes, treatments, given, experiments)
    else:
        if outcomes or treatments or experiments is not None:
            raise ValueError(
                "events state the query by themselves: leave out outcomes, treatments and "
                "experiments (available= says what is supplied)"
            )
        question = counterfactual_question(graph, events, given, available)
    try:
        formula = question.ask(graph)
    except Unidentifiable:
        return _found(question, generator or torch.Generator().manual_seed(seed), seconds)
    raise ValueError(
        f"{question.text} is identified, so that no two models can agree on what is supplied and "
        f"disagree on it: {formula}"
    )


def _found(question: Question, generator: torch.Generator, seconds: float) -> Disagreement:
    """The first pair that is good enough; each round has other essential edges."""
    deadline = time.monotonic() + seconds
    best: Disagreement | None = None
    for attempt in itertools.count():
        # With events first as few states as they name, then more: some refusals need them.
        few = question.worlds and attempt % 2 == 0
        states = question.states if few or not question.worlds else question.larger
        small = _smallest(question, generator if attempt > 1 else None)
        found = _searched(question, small, states, generator, deadline, patient=not few)
        if found is not None and (best is None or found.difference > best.difference):
            best = found
        if best is not None and best.difference >= LEAST and best.discrepancy <= MOST:
            return best
        if time.monotonic() > deadline:
            break
    raise WitnessNotFound(
        f"{question.text} is refused, but no two models that disagree on it were found in "
        f"{seconds:g} s: allow more seconds or another seed"
        + ("" if best is None else f"; the best difference is {best.difference:.1e}"),
        best,
    )


def _smallest(question: Question, generator: torch.Generator | None) -> Graph:
    """Essential edges; where they join many variables, the fewest of several choices."""
    small = essential(question.graph, question.refused, generator)
    if len(_joined(question, small)) <= MANY:
        return small
    source = generator or torch.Generator().manual_seed(0)
    others = (essential(question.graph, question.refused, source) for _ in range(4))
    return min(
        (small, *others),
        key=lambda g: (len(_joined(question, g)), len(g.directed) + len(g.bidirected)),
    )


def _searched(
    question: Question,
    small: Graph,
    states: Mapping[str, int],
    generator: torch.Generator,
    deadline: float,
    patient: bool,
) -> Disagreement | None:
    """The best pair on the essential edges, extended to all variables."""
    joined = _joined(question, small)
    core = small.subgraph(joined)
    heard = [v for v in joined if core.parents(v)] if question.worlds else []
    functions = {
        v: responses(states[v], [states[p] for p in core.parents(v)], generator) for v in heard
    }
    shape = Skeleton(core, functions, {name: states[name] for name in joined})
    supplied = _supplied(question, joined)
    below = restricted(question.known, joined)
    problem = Problem(
        _factors(shape, supplied),
        event_network(shape, (*restricted(question.events, joined), *below)),
        event_network(shape, below) if below else None,
    )
    coins = _coins(question, states, [name for name in small.nodes if name not in joined])
    thinned = COIN ** len({event.variable for event in question.events} & coins.keys())
    least = 1.01 * LEAST / thinned
    pair = search(
        problem, shape, generator=generator, deadline=deadline, least=least, patient=patient
    )
    if pair is None:
        return None
    whole = Skeleton(small, functions, states)
    first, second = (
        DiscreteModel(question.graph, whole, {**blocks, **coins}, question.labelled(states))
        for blocks in (pair.first, pair.second)
    )
    tables = question.table(first), question.table(second)
    networks = tuple(experiment_network(shape, names) for names in supplied)
    discrepancy = Problem(networks, problem.above, None).discrepancy(pair.first, pair.second)
    return Disagreement((first, second), supplied, tables, small, discrepancy, question.text)


def _joined(question: Question, small: Graph) -> list[str]:
    """The variables that matter: those with an edge, or never left to themselves."""
    names = {name for edge in small.directed | small.bidirected for name in edge}
    if question.experiments is not None:
        asked = {event.variable for event in (*question.events, *question.known)}
        names |= asked.intersection(*question.experiments)
    return sorted(names)


def _factors(shape: Skeleton, supplied: Iterable[frozenset[str]]) -> tuple[Network, ...]:
    r"""The factors of districts, which what is supplied determines and is made of.

    The experiment on :math:`Z` is the product of :math:`Q[S] = P_{V \ S}(S)`, a function of
    :math:`S` and its parents, over the districts :math:`S` of the graph without :math:`Z`, and each
    is a function of it (Tian & Pearl 2002). These tables are smaller than the experiments.
    """
    graph, names = shape.graph, frozenset(shape.graph.nodes)
    parts = {part for set_ in supplied for part in graph.subgraph(names - set_).districts}
    return tuple(
        experiment_network(shape, names - part, part.union(*map(graph.parents, part)))
        for part in sorted(parts, key=sorted)
    )


def _supplied(question: Question, joined: Sequence[str]) -> tuple[frozenset[str], ...]:
    """The experiments on the variables that matter."""
    if question.experiments is not None:
        return tuple(dict.fromkeys(names & set(joined) for names in question.experiments))
    sizes = range(len(joined) + 1)
    subsets = itertools.chain.from_iterable(itertools.combinations(joined, k) for k in sizes)
    return tuple(map(frozenset, subsets))


def responses(states: int, parents: Sequence[int], generator: torch.Generator) -> Tensor:
    """The functions from the parents' states to a variable's, axes (response, parents, variable).

    All of them, or where there are more than `RESPONSES` the constant ones and others drawn.

    Example:
        >>> responses(2, [2], torch.Generator()).shape
        torch.Size([4, 2, 2])
    """
    cells = math.prod(parents)
    if states**cells <= RESPONSES:
        maps = torch.tensor(list(itertools.product(range(states), repeat=cells)))
    else:
        constant = torch.arange(states)[:, None].expand(states, cells)
        drawn = torch.randint(states, (RESPONSES - states, cells), generator=generator)
        maps = torch.cat([constant, drawn])
    return torch.eye(states, dtype=torch.float64)[maps].reshape(len(maps), *parents, states)


def _coins(
    question: Question, states: Mapping[str, int], names: Iterable[str]
) -> dict[Key, Tensor]:
    """Mechanisms of variables that matter to no other: mostly the state that is asked about."""
    asked = {e.variable: int(e.value or 0) for e in (*question.events, *question.known)}
    coins: dict[Key, Tensor] = {}
    for name in names:
        rest = (1 - COIN) / (states[name] - 1)
        coins[name] = torch.full((states[name],), rest, dtype=torch.float64)
        coins[name][asked.get(name, 0)] = COIN
    return coins


def _supplied_text(supplied: Sequence[frozenset[str]]) -> str:
    if len(supplied) > 4:
        return f"{len(supplied)} experiments"
    return ", ".join(f"P(V | do({', '.join(sorted(s))}))" if s else "P(V)" for s in supplied)
