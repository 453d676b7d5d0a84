"""Sets to adjust for: found, listed, and the one that estimates best (pure Python).

An effect is then ``P(y | do(x)) = sum_z P(y | x, z) P(z)``. Whether a set serves is decided by the
adjustment criterion, which is complete: no other set serves in every model of the graph. Bidirected
edges stand for unobserved common causes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from causal.bits import Bits, each
from causal.graph import Graph
from causal.separation import disjoint, joined, listed, nearest, reached

__all__ = [
    "NoAdjustmentSet",
    "NoOptimalSet",
    "adjustment_set",
    "adjustment_sets",
    "is_adjustment_set",
]

Names = str | Iterable[str]


class NoAdjustmentSet(ValueError):  # noqa: N818 - a verdict, like Unidentifiable
    """No allowed set of variables can be adjusted for; another formula may still identify.

    Example:
        >>> graph = Graph.parse("X -> Y; X <-> Y")
        >>> try:
        ...     adjustment_set(graph, outcomes="Y", treatments="X")
        ... except NoAdjustmentSet as refusal:
        ...     print("X <-> Y" in str(refusal))
        True
    """


class NoOptimalSet(ValueError):  # noqa: N818 - a verdict, like Unidentifiable
    """No adjustment set is known to be the best one in every model of the graph.

    Attributes:
        candidate: A valid adjustment set, never worse than the ancestors of treatment and outcome.

    Example:
        >>> NoOptimalSet("none is best in every model", frozenset("W")).candidate
        frozenset({'W'})
    """

    def __init__(self, message: str, candidate: frozenset[str]) -> None:
        super().__init__(message)
        self.candidate = candidate


@dataclass(frozen=True)
class _Problem:
    """Treatments and outcomes, what lies between them, and what may be adjusted for."""

    graph: Graph
    treatments: int
    outcomes: int
    required: int
    between: int  # on proper causal paths, the outcomes that are reached included
    backdoor: Bits  # the graph without the first edges of proper causal paths
    allowed: int

    @property
    def forbidden(self) -> int:
        return self.graph.bits.descendants(self.between) | self.treatments | self.outcomes

    def valid(self, names: int) -> bool:
        """The adjustment criterion, for a set that holds no forbidden node."""
        return not reached(self.backdoor, self.treatments, names) & self.outcomes

    def refusal(self) -> NoAdjustmentSet:
        named = self.graph.bits.named
        ends = [" and ".join(sorted(named(mask))) for mask in (self.treatments, self.outcomes)]
        bad = sorted(named(self.required & self.forbidden))
        if bad:
            return NoAdjustmentSet(
                f"{bad} cannot be adjusted for: a treatment causes it on the way to an outcome, or "
                "its cause; leave it out of `required`"
            )
        bits = self.graph.bits
        ancestors = bits.ancestors(self.treatments | self.outcomes | self.required)
        path = joined(self.backdoor, self.treatments, self.outcomes, ancestors & self.allowed)
        return NoAdjustmentSet(
            f"no set of {sorted(named(self.allowed))} adjusts for the effect of {ends[0]} on "
            f"{ends[1]}: a path such as {path} always stays open, and is not causal; `identify` "
            "may find another formula"
        )


def _problem(
    graph: Graph, outcomes: Names, treatments: Names, required: Names, allowed: Names | None
) -> _Problem:
    sets = disjoint(graph, treatments=treatments, outcomes=outcomes, required=required)
    for word in ("treatments", "outcomes"):
        if not sets[word]:
            raise ValueError(f"{word} is empty: name at least one variable")
    bits = graph.bits
    between = bits.proper_causal(sets["treatments"], sets["outcomes"])
    within = bits.nodes if allowed is None else graph.mask(allowed) | sets["required"]
    return _Problem(
        graph,
        sets["treatments"],
        sets["outcomes"],
        sets["required"],
        between,
        bits.remove_edges(sets["treatments"], between),
        within & ~(bits.descendants(between) | sets["treatments"] | sets["outcomes"]),
    )


def is_adjustment_set(graph: Graph, names: Names, *, outcomes: Names, treatments: Names) -> bool:
    """Whether ``P(y | do(x)) = sum_z P(y | x, z) P(z)`` holds in every model of the graph.

    The adjustment criterion: no member of ``names`` descends from a node on a proper causal path
    (one that leaves the treatments for good), and they separate treatments and outcomes once the
    first edges of these paths are removed.

    Args:
        graph: A causal graph.
        names: The candidate, a name or names, or the empty set.
        outcomes: What the query is about.
        treatments: What it sets.

    Raises:
        ValueError: A name is unknown, or in two of the sets.

    Source: Shpitser, VanderWeele & Robins, "On the validity of covariate adjustment for estimating
    causal effects" (2010), theorem 5; van der Zander, Liskiewicz & Textor (2014), theorem 7.

    Example:
        >>> graph = Graph.parse("Z -> X -> M -> Y; Z -> Y")
        >>> [is_adjustment_set(graph, z, outcomes="Y", treatments="X") for z in ("Z", (), "M")]
        [True, False, False]
    """
    problem = _problem(graph, outcomes, treatments, names, ())
    return not problem.required & problem.forbidden and problem.valid(problem.required)


def adjustment_set(
    graph: Graph,
    *,
    outcomes: Names,
    treatments: Names,
    optimal: bool = False,
    required: Names = (),
    allowed: Names | None = None,
) -> frozenset[str]:
    """A set to adjust for: a minimal one near the outcomes, or the one that estimates best.

    The optimal set has the smallest asymptotic variance of all valid ones: in linear models by
    least squares, in others by estimators efficient given the set. Without hidden variables it
    is ``pa(cn) - forb``: the causes of the nodes ``cn`` on causal paths, without the treatments,
    ``cn`` and its descendants. With hidden variables (bidirected edges, or nodes that are not
    ``allowed``) it need not exist.

    Args:
        graph: A causal graph.
        outcomes: What the query is about.
        treatments: What it sets.
        optimal: Whether to return the optimal set instead of a minimal one.
        required: What the set must hold; not together with ``optimal``.
        allowed: What it may hold besides, for example what was measured; None for any variable.

    Raises:
        NoAdjustmentSet: There is none.
        NoOptimalSet: There are some, and none is known to be best (its ``candidate`` is valid).
        ValueError: A name is unknown, or in two of the sets; an optimal set was asked for and an
            outcome is no effect of the treatments, or there are several treatments or outcomes in a
            graph with hidden variables.

    Source: minimal: van der Zander, Liskiewicz & Textor, "Separators and adjustment sets in causal
    graphs" (2019). Optimal: Henckel, Perkovic & Maathuis, "Graphical criteria for efficient total
    effect estimation via adjustment in causal linear models" (2022), definition 3.8 and theorem
    3.10; with hidden variables Runge, "Necessary and sufficient graphical conditions for optimal
    adjustment sets in causal graphical models with hidden variables" (2021), theorem 3.

    Example:
        >>> graph = Graph.parse("X -> Y <- B <- A -> X; C -> Y")
        >>> sorted(adjustment_set(graph, outcomes="Y", treatments="X"))
        ['B']
        >>> sorted(adjustment_set(graph, outcomes="Y", treatments="X", optimal=True))
        ['B', 'C']
    """
    problem = _problem(graph, outcomes, treatments, required, allowed)
    if optimal:
        if problem.required:
            raise ValueError("optimal=True chooses the whole set: leave out `required`")
        return _optimal(problem)
    found = None
    if not problem.required & problem.forbidden:
        found = nearest(
            problem.backdoor,
            problem.outcomes,
            problem.treatments,
            problem.required,
            problem.allowed,
        )
    if found is None:
        raise problem.refusal()
    return graph.bits.named(found)


def adjustment_sets(
    graph: Graph,
    *,
    outcomes: Names,
    treatments: Names,
    minimal: bool = True,
    required: Names = (),
    allowed: Names | None = None,
) -> Iterator[frozenset[str]]:
    """Every set to adjust for, one after the other; none if there is none.

    There can be exponentially many; the wait for the next one is polynomial.

    Args:
        graph: A causal graph.
        outcomes: What the query is about.
        treatments: What it sets.
        minimal: Only sets no part of which serves as well (members ``required`` aside); else all.
        required: What each set must hold.
        allowed: What it may hold besides; None for any variable.

    Raises:
        ValueError: A name is unknown, or in two of the sets.

    Source: van der Zander, Liskiewicz & Textor (2019), section 4; see `minimal_separators`.

    Example:
        >>> graph = Graph.parse("X -> Y <- B <- A -> X; C -> Y")
        >>> [sorted(z) for z in adjustment_sets(graph, outcomes="Y", treatments="X")]
        [['B'], ['A']]
    """
    problem = _problem(graph, outcomes, treatments, required, allowed)
    if problem.required & problem.forbidden:
        return iter(())
    ends = problem.outcomes, problem.treatments
    if minimal:
        found = listed(problem.backdoor, *ends, problem.required, problem.allowed)
    else:
        found = _all(problem)
    return (graph.bits.named(mask) for mask in found)


def _all(problem: _Problem) -> Iterator[int]:
    """Every valid set: at each node without it first, wherever a valid set is left."""
    ends = problem.outcomes, problem.treatments
    states = [(problem.required, problem.allowed)]
    while states:
        held, within = states.pop()
        if nearest(problem.backdoor, *ends, held, within) is None:
            continue
        free = within & ~held
        if not free:
            yield held
            continue
        place = free & -free
        states += [(held | place, within), (held, within & ~place)]


def _optimal(problem: _Problem) -> frozenset[str]:
    """The optimal set: Runge's, which without hidden variables is that of Henckel and others."""
    graph, named = problem.graph, problem.graph.bits.named
    idle = problem.outcomes & ~problem.between
    if idle:
        raise ValueError(
            f"no treatment causes {sorted(named(idle))}, so that no adjustment set is optimal: the "
            "effect is none; leave the outcome out"
        )
    hidden = graph.bits.nodes & ~(problem.allowed | problem.forbidden)
    if hidden:
        graph = graph.project(named(hidden))
        ends = named(problem.outcomes), named(problem.treatments)
        problem = _problem(graph, *ends, (), None)
    if graph.bidirected and (
        problem.outcomes.bit_count() > 1 or problem.treatments.bit_count() > 1
    ):
        raise ValueError(
            "with hidden variables the optimal set is known for one treatment and one outcome; got "
            f"{sorted(named(problem.treatments))} and {sorted(named(problem.outcomes))}"
        )
    parents, colliders, found = _informative(problem)
    if not problem.valid(found):
        raise problem.refusal()
    if colliders or _spouses(graph.bits, problem.between) & ~problem.forbidden:
        flaw = _flaw(problem, parents, colliders, found)
        if flaw and len([1 for _, _ in zip(range(2), _all(problem), strict=False)]) > 1:
            raise NoOptimalSet(
                f"no adjustment set is known to have the smallest variance in every model of this "
                f"graph: {flaw}; {sorted(named(found))} is valid and often good (`.candidate`), "
                "optimal=False gives a minimal set",
                named(found),
            )
    return named(found)


def _spouses(bits: Bits, mask: int) -> int:
    found = 0
    for place in each(mask):
        found |= bits.siblings[place]
    return found


def _parents(bits: Bits, mask: int) -> int:
    found = 0
    for place in each(mask):
        found |= bits.parents[place]
    return found


def _informative(problem: _Problem) -> tuple[int, int, int]:
    """Runge's set and its parts: parents, valid colliders, both with the colliders' parents.

    A node that bidirected edges join to the causal paths through valid colliders is one itself if
    it is no forbidden node, and an ancestor of treatment or outcome or separated from the treatment
    by these (Runge 2021, definition 3).
    """
    bits, forbidden = problem.graph.bits, problem.forbidden
    ancestors = bits.ancestors(problem.treatments | problem.outcomes) & ~forbidden
    near = reached(bits, problem.treatments, ancestors)
    suitable = (ancestors | ~near) & ~forbidden & bits.nodes
    colliders = pending = _spouses(bits, problem.between) & suitable
    while pending:
        pending = _spouses(bits, pending) & suitable & ~colliders
        colliders |= pending
    parents = _parents(bits, problem.between) & ~forbidden
    return parents, colliders, parents | colliders | (_parents(bits, colliders) & ~forbidden)


def _flaw(problem: _Problem, parents: int, colliders: int, found: int) -> str | None:
    """Which of Runge's two conditions (2021, theorem 3) fails, and where; None if neither does."""
    bits = problem.graph.bits
    ancestors = bits.ancestors(problem.treatments | problem.outcomes) & ~problem.forbidden
    for place in each(found & ~parents):
        node = 1 << place
        near = reached(bits, problem.treatments, found & ~node)
        if near & node and not _informs(bits, node, problem.between, colliders & ancestors):
            name = bits.names[place]
            return f"{name} tells of the outcome only together with what is no ancestor of it"
    return _better_path(problem, colliders, found)


def _informs(bits: Bits, node: int, between: int, colliders: int) -> bool:
    """Whether ``node *-> c <-> ... <-> between`` runs through these colliders."""
    place = node.bit_length() - 1
    reach = (bits.siblings[place] | bits.children[place]) & (colliders | between)
    pending = reach & colliders
    while pending:
        fresh = _spouses(bits, pending) & (colliders | between) & ~reach
        reach |= fresh
        pending = fresh & colliders
    return bool(reach & between)


def _better_path(problem: _Problem, colliders: int, found: int) -> str | None:
    """A node outside of the set that could serve better: Runge's first condition.

    Sought are bidirected paths from such a node through valid colliders to the causal paths, all
    nodes of which fit into a valid set together. Paths with chords need not be tried: what a chord
    leaves out makes the set larger only. The number of trials is bounded.
    """
    bits = problem.graph.bits
    outside = _spouses(bits, problem.between | colliders) & ~(problem.forbidden | found)
    paths = [(1 << place, 1 << place, 0) for place in each(outside)]
    for _ in range(20 * len(problem.graph.nodes)):
        if not paths:
            return None
        end, path, seen = paths.pop()
        ends = problem.outcomes, problem.treatments
        if nearest(problem.backdoor, *ends, path, problem.allowed) is None:
            continue
        beside = _spouses(bits, end)
        if beside & problem.between:
            return f"a set that holds {sorted(bits.named(path))} is better in some models"
        further = beside & colliders & ~(path | seen)
        paths += [(1 << k, path | 1 << k, seen | beside) for k in each(further)]
    return "whether another set serves better was not settled"
