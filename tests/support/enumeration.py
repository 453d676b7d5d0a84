"""Truth by enumeration: random functional models on a mixed graph, in numpy alone.

Every variable is a function of its parents, of one hidden cause per bidirected edge and of a noise
of its own. Hidden causes and noises are finite, so observational, interventional and counterfactual
probabilities are finite sums. Nothing of the library is used: this is what it is compared with.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Event = tuple[str, int | None, Mapping[str, Any]]  # (variable, value, {name: value or Event})


def topological(nodes: Iterable[str], directed: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The nodes, causes first; ties by name."""
    directed, left, order = set(directed), set(nodes), []
    while left:
        roots = sorted(v for v in left if not any(b == v and a in left for a, b in directed))
        if not roots:
            raise ValueError(f"a directed cycle among {sorted(left)}")
        order.append(roots[0])
        left.remove(roots[0])
    return tuple(order)


def responses(rng, configurations, states, noise, floor):
    """Noise probabilities (K,) and a table (configurations, K) of states.

    Each configuration gives each state a probability of at least ``floor``, whatever the rest is.
    """
    maps = np.array(list(itertools.product(range(states), repeat=noise)))
    weights = rng.dirichlet(np.full(noise, 2.0))
    while True:
        masses = np.stack([(maps == s) @ weights for s in range(states)], -1)
        allowed = np.flatnonzero(masses.min(-1) >= floor)
        if len(allowed) >= 2 * states:
            return weights, maps[rng.choice(allowed, size=configurations)]
        weights = (weights + 1 / noise) / 2


@dataclass(frozen=True)
class Model:
    """A functional model: `Model.random` draws one.

    nodes: causes first. parents: {variable: names of its parents}. cards: numbers of states.
    hidden: {bidirected edge: its probabilities}. noise: {variable: probabilities of its noise}.
    tables: {variable: states, axes (parents, hidden causes, noise)}.
    """

    nodes: tuple[str, ...]
    parents: Mapping[str, tuple[str, ...]]
    cards: Mapping[str, int]
    hidden: Mapping[tuple[str, str], np.ndarray]
    noise: Mapping[str, np.ndarray]
    tables: Mapping[str, np.ndarray]

    @classmethod
    def random(
        cls,
        directed: Iterable[tuple[str, str]],
        bidirected: Iterable[tuple[str, str]] = (),
        nodes: Iterable[str] = (),
        *,
        rng: np.random.Generator | int,
        cards: int | Mapping[str, int] = 2,
        hidden: int = 2,
        noise: int = 3,
        floor: float = 0.05,
        cell: float | None = None,
    ) -> "Model":
        """A strictly positive model compatible with the graph.

        floor: least probability of a state given parents and hidden causes. cell: least
        probability of a cell of P(V), which then sets the floor. noise: states of the noise per
        state of the variable (fewer make counterfactuals cheaper). hidden: states of each cause.
        """
        rng = np.random.default_rng(rng)
        directed, bidirected = sorted(set(directed)), sorted(set(bidirected))
        order = topological({*nodes, *itertools.chain(*directed, *bidirected)}, directed)
        cards = {v: cards if isinstance(cards, int) else cards.get(v, 2) for v in order}
        share = 0.0
        if cell is not None:
            share = (cell * math.prod(cards.values())) ** (1 / max(1, len(order)))
            if share >= 0.99:
                raise ValueError(f"{math.prod(cards.values())} cells cannot all have {cell}")
        parents = {v: tuple(sorted(a for a, b in directed if b == v)) for v in order}
        causes = {edge: 0.2 + rng.dirichlet(np.ones(hidden)) for edge in bidirected}
        weights, tables = {}, {}
        for v in order:
            shape = [cards[p] for p in parents[v]] + [hidden for edge in bidirected if v in edge]
            least = share / cards[v] if cell is not None else min(floor, 0.9 / cards[v])
            weights[v], table = responses(
                rng, math.prod(shape), cards[v], noise * cards[v] if cards[v] < 3 else 6, least
            )
            tables[v] = table.reshape(*shape, -1)
        causes = {edge: p / p.sum() for edge, p in causes.items()}
        return cls(order, parents, cards, causes, weights, tables)

    @property
    def edges(self) -> list[tuple[str, str]]:
        """The bidirected edges, in the order of their axes."""
        return list(self.hidden)

    def causes(self, variable: str) -> list[tuple[str, str]]:
        """The bidirected edges at a variable, in the order of its table's axes."""
        return [edge for edge in self.hidden if variable in edge]

    def mechanism(self, variable: str) -> np.ndarray:
        """P(variable | parents, hidden causes), axes (parents, hidden causes, variable)."""
        table, states = self.tables[variable], range(self.cards[variable])
        return np.stack([(table == s) @ self.noise[variable] for s in states], -1)

    def interventional(self, do: Iterable[str] = ()) -> np.ndarray:
        """P_do(x)(v) for every setting x of ``do``; axes are all variables, sorted.

        At (x, rest) stands the probability of the rest in the experiment that sets x, so that the
        table sums to one over the rest for each x.
        """
        do = set(do)
        axes = {name: axis for axis, name in enumerate((*sorted(self.nodes), *self.hidden))}
        terms: list[Any] = []
        for v in self.nodes:
            if v in do:
                terms += [np.ones(self.cards[v]), [axes[v]]]
            else:
                names = (*self.parents[v], *self.causes(v), v)
                terms += [self.mechanism(v), [axes[name] for name in names]]
        for edge, probability in self.hidden.items():
            terms += [probability, [axes[edge]]]
        return np.einsum(*terms, [axes[v] for v in sorted(self.nodes)], optimize="greedy")

    def observational(self) -> np.ndarray:
        """P(V); axes are all variables, sorted."""
        return self.interventional()

    def query(
        self, outcomes: Iterable[str], treatments: Iterable[str] = (), given: Iterable[str] = ()
    ) -> np.ndarray:
        """P(outcomes | do(treatments), given); axes are all of these names, sorted."""
        outcomes, treatments, given = set(outcomes), set(treatments), set(given)
        names = sorted(self.nodes)
        table = self.interventional(treatments)
        gone = [names.index(v) for v in names if v not in outcomes | treatments | given]
        joint = table.sum(tuple(gone))
        kept = [v for v in names if v in outcomes | treatments | given]
        axes = tuple(kept.index(v) for v in outcomes)
        return joint / joint.sum(axes, keepdims=True)

    def counterfactual(self, events: Sequence[Event], given: Sequence[Event] = ()) -> float:
        """P(events | given), each event (variable, value, do).

        ``do`` maps names to values, or to events (variable, None, do) whose value is the one that
        the variable takes in another world of the same unit.
        """
        below = self._probability(given)
        if below == 0:
            raise ZeroDivisionError(f"the condition {list(given)} has probability 0")
        return self._probability([*events, *given]) / below

    def _probability(self, events: Sequence[Event]) -> float:
        axes = [*self.hidden, *self.nodes]
        known: dict[Any, np.ndarray] = {}
        hold = np.ones((1,) * len(axes), dtype=bool)
        for variable, value, do in events:
            if value is None:
                raise ValueError(f"the event on {variable!r} has no value")
            hold = hold & (self._value(variable, do, known) == value)
        for axis in range(len(axes) - 1, -1, -1):  # an axis of 1: the events do not depend on it
            weights = self.hidden[axes[axis]] if axis < len(self.hidden) else self.noise[axes[axis]]
            hold = hold @ weights if hold.shape[-1] > 1 else hold[..., 0]
        return float(hold)

    def _value(self, variable: str, do: Mapping[str, Any], known: dict[Any, np.ndarray]):
        """The variable's value in the world ``do``, an array over hidden causes and noises."""
        key = (variable, _frozen(do))
        if key in known:
            return known[key]
        dims = len(self.hidden) + len(self.nodes)
        if variable in do:
            value = do[variable]
            if isinstance(value, tuple):
                other, fixed, world = value
                if fixed is not None:
                    raise ValueError("a nested event takes the value None: whatever it is there")
                known[key] = self._value(other, world, known)
            else:
                known[key] = np.full((1,) * dims, value)
            return known[key]
        index: list[np.ndarray] = [self._value(p, do, known) for p in self.parents[variable]]
        places = [self.edges.index(edge) for edge in self.causes(variable)]
        sizes = [len(self.hidden[edge]) for edge in self.causes(variable)]
        places.append(len(self.hidden) + self.nodes.index(variable))
        sizes.append(len(self.noise[variable]))
        for place, size in zip(places, sizes, strict=True):
            index.append(np.arange(size).reshape([size if i == place else 1 for i in range(dims)]))
        known[key] = self.tables[variable][tuple(index)]
        return known[key]


def _frozen(do: Mapping[str, Any]):
    """A world as something that can be looked up."""
    return tuple(
        (name, (value[0], value[1], _frozen(value[2])) if isinstance(value, tuple) else value)
        for name, value in sorted(do.items())
    )
