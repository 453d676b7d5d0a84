"""Interventional queries: ID and IDC from observations, gID and zID from experiments."""

from collections.abc import Iterable, Sequence
from functools import partial

from causal.expression import Probability
from causal.graph import Graph
from causal.identification.answers import answered
from causal.identification.derivation import listed
from causal.identification.estimand import Estimand
from causal.identification.experiments import hedge
from causal.identification.proof import proof
from causal.identification.reduction import Query, reductions
from causal.identification.refusal import Hedge, Unidentifiable
from causal.render import text
from causal.separation import disjoint

__all__ = ["identify"]

Names = str | Iterable[str]


def identify(
    graph: Graph,
    *,
    outcomes: Names,
    treatments: Names,
    given: Names = (),
    experiments: Iterable[Names] | None = None,
) -> Estimand:
    r"""The formula of :math:`P(outcomes \mid do(treatments), given)`, with its proof.

    Sound and complete: where it refuses, no formula exists. From observations alone this is ID, and
    IDC with ``given``; from several experiments gID, and zID where these are all subsets of a set.

    Positivity: the observational distribution is positive, and so is every supplied one over the
    variables that it does not set. Evaluating a formula needs less: the cells that stand below a
    line or behind a bar.

    Args:
        graph: What causes what; bidirected edges stand for hidden common causes.
        outcomes: A variable or variables.
        treatments: The variables that are set.
        given: The variables conditioned on.
        experiments: The sets of names that were set in the supplied distributions; the empty set
            stands for observations, which alone are supplied if None.

    Raises:
        Unidentifiable: There is no formula; the exception carries the hedge.
        ValueError: A name is unknown or has two roles, or there is no outcome.

    Source: Tian & Pearl, "A general identification condition for causal effects" (2002); Shpitser &
    Pearl, "Identification of joint interventional distributions" (2006) and "Identification of
    conditional interventional distributions" (2006); Huang & Valtorta, "Pearl's calculus of
    intervention is complete" (2006); on hedges Shpitser, "When does the ID algorithm fail?" (2023);
    for experiments see `causal.identification.experiments`, and with ``given`` Kivva, Etesami &
    Kiyavash, "On identifiability of conditional causal effects" (2023).

    Example:
        >>> front_door = Graph.parse("X -> M -> Y; X <-> Y")
        >>> print(identify(front_door, outcomes="Y", treatments="X"))
        P(Y | do(X)) = sum_{M} P(M | X) sum_{X'} P(Y | M, X') P(X')
        >>> identify(Graph.parse("X -> Y; X <-> Y"), outcomes="Y", treatments="X")
        Traceback (most recent call last):
        causal.identification.refusal.Unidentifiable: P(Y | do(X)) has no formula: ...
    """
    sets = disjoint(graph, outcomes=outcomes, treatments=treatments, given=given)
    asked = Query(**sets)
    if not asked.outcomes:
        raise ValueError("a query needs at least one outcome")
    supplied = _supplied(graph, experiments)
    bits = graph.bits
    moves = tuple(reductions(bits, asked))
    way = answered(bits, asked, moves[-1][1] if moves else asked, supplied)
    names = {name: bits.named(mask) for name, mask in sets.items()}
    if isinstance(way, tuple):
        query = Probability(names["outcomes"], names["given"], names["treatments"])
        thicket = tuple(hedge(stuck) for stuck in way)
        raise Unidentifiable(_reason(query, supplied, thicket), thicket[0], thicket)
    moves = () if way.query is asked else moves
    return Estimand(
        graph=graph,
        **names,
        experiments=tuple(bits.named(done) for done in supplied),
        expression=way.expression,
        prove=partial(proof, graph, asked, moves, way),
    )


def _supplied(graph: Graph, experiments: Iterable[Names] | None) -> tuple[int, ...]:
    if experiments is None:
        return (0,)
    if isinstance(experiments, str):
        raise ValueError(
            f"experiments is a list of sets of names, as in [{{{experiments!r}}}]; got a string"
        )
    supplied = tuple(dict.fromkeys(graph.mask(names) for names in experiments))
    if not supplied:
        raise ValueError("no distribution is supplied: experiments needs at least one set")
    return supplied


def _reason(asked: Probability, supplied: Sequence[int], thicket: Sequence[Hedge]) -> str:
    witness = thicket[0]
    bottom = listed(witness.bottom)
    if witness.top == witness.bottom:
        return (
            f"{text(asked)} has no formula: it needs the joint distribution of {bottom} under "
            "interventions on other variables, and every supplied experiment sets one of these"
        )
    causes = listed(witness.top - witness.bottom)
    sources = "the observed distribution" if supplied == (0,) else "each supplied distribution"
    return (
        f"{text(asked)} has no formula: it needs the effect of {causes} on {bottom}, and hidden "
        f"common causes join {listed(witness.top)}, all ancestors of {listed(witness.roots)}, so "
        f"that {sources} fits models with different answers"
    )
