"""Interventional queries: ID and IDC from observations, gID and zID from experiments."""

from collections.abc import Iterable, Sequence
from functools import partial

from causal.bits import Bits
from causal.expression import Expression, Probability, canonical, product, ratio, total
from causal.graph import Graph
from causal.identification.derivation import listed
from causal.identification.districts import Experiment, Identified
from causal.identification.estimand import Estimand
from causal.identification.experiments import hedge, prepared, read
from causal.identification.proof import Adjustment, Factorisation, proof
from causal.identification.reduction import Query, reductions
from causal.identification.refusal import Hedge, Unidentifiable
from causal.render import text
from causal.separation import disjoint, nearest

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
    intervention is complete" (2006); Shpitser, "When does the ID algorithm fail?" (2023), on hedges;
    for experiments see `causal.identification.experiments`.

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
    query = moves[-1][1] if moves else asked
    names = {name: bits.named(mask) for name, mask in sets.items()}
    direct = _adjusted(bits, asked, supplied)
    if direct is None or direct.over:
        reduced = _adjusted(bits, query, supplied) if moves else direct
        direct = reduced if direct is None or (reduced and not reduced.over) else direct
    if direct is not None:
        way: Adjustment | Factorisation = direct
        expression = direct.expression(bits)
        moves = moves if direct.query is not asked else ()
    else:
        way = _factorised(bits, query, supplied, Probability(*_order(names)))
        expression = _formula(bits, way)
    prove = partial(proof, graph, asked, moves, way, expression)
    known = tuple(bits.named(done) for done in supplied)
    return Estimand(graph=graph, **names, experiments=known, expression=expression, prove=prove)


def _order(names: dict[str, frozenset[str]]) -> tuple[frozenset[str], ...]:
    return names["outcomes"], names["given"], names["treatments"]


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


def _adjusted(bits: Bits, query: Query, supplied: Sequence[int]) -> Adjustment | None:
    """An adjustment formula, from the experiment that leaves the least to adjust for.

    Source: Pearl (1995), the back-door criterion; the set is the minimal one nearest to the
    outcomes (van der Zander & Liskiewicz 2019), which keeps the variance of estimates small.
    """
    best: Adjustment | None = None
    for done in supplied:
        if done & ~query.treatments:
            continue
        treatments = query.treatments & ~done
        graph = bits.remove_incoming(done)
        allowed = bits.nodes & ~graph.descendants(treatments)
        # Descendants of treatments may be given only if there is nothing to adjust for.
        allowed = allowed if not query.given & ~allowed else 0
        kept = query.given | done
        cut = graph.remove_outgoing(treatments)
        found = nearest(cut, query.outcomes, treatments, kept, allowed | kept) if treatments else 0
        if found is None:
            continue
        over = found & ~kept
        if best is None or over.bit_count() < best.over.bit_count():
            best = Adjustment(query, done, over)
    return best


def _factorised(
    bits: Bits, query: Query, supplied: Sequence[int], asked: Probability
) -> Factorisation:
    """The c-factors of the query's ancestors, each read from one of the supplied distributions."""
    wanted = query.outcomes | query.given
    cut = bits.remove_incoming(query.treatments)
    ancestral = cut.ancestors(wanted) & ~query.treatments
    known = prepared(bits, supplied, ancestral)
    parts: list[Identified] = []
    for district in bits.districts(ancestral):
        answer = read(known, district)
        if isinstance(answer, tuple):
            thicket = tuple(hedge(stuck) for stuck in answer)
            raise Unidentifiable(_reason(asked, known, thicket), thicket[0], thicket)
        parts.append(answer)
    return Factorisation(query, ancestral, tuple(parts))


def _formula(bits: Bits, way: Factorisation) -> Expression:
    query = way.query
    over = bits.named(way.ancestral & ~(query.outcomes | query.given))
    joint = total(over, product(*(part.expression for part in way.parts)))
    if query.given:
        joint = ratio(joint, total(bits.named(query.outcomes), joint))
    return canonical(joint)


def _reason(asked: Probability, known: Sequence[Experiment], thicket: Sequence[Hedge]) -> str:
    witness = thicket[0]
    bottom = listed(witness.bottom)
    if witness.top == witness.bottom:
        return (
            f"{text(asked)} has no formula: it needs the joint distribution of {bottom} under "
            "interventions on other variables, and every supplied experiment sets one of these"
        )
    single = len(known) == 1 and not known[0].done
    sources = "the observed distribution" if single else "each supplied distribution"
    return (
        f"{text(asked)} has no formula: it needs the effect of {listed(witness.top - witness.bottom)}"
        f" on {bottom}, and hidden common causes join {listed(witness.top)}, all ancestors of "
        f"{listed(witness.roots)}, so that {sources} fits models with different answers"
    )
