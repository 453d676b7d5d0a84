"""Proofs of formulas: the sequence of steps from the query to the expression."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from causal.bits import Bits, each
from causal.expression import Expression, Probability, Product, Ratio, Sum, canonical
from causal.graph import Graph
from causal.identification.answers import Adjustment, Factorisation
from causal.identification.derivation import Step, licence, substitute
from causal.identification.districts import Experiment, Identified
from causal.identification.reduction import Query

__all__ = ["proof"]


class _Writer:
    """The steps so far, and the expression they lead to."""

    def __init__(self, graph: Graph, expression: Expression) -> None:
        self.graph = graph
        self.expression = expression
        self.steps: list[Step] = []

    def rewrite(self, rule: str, pairs: Iterable[tuple[Expression, Expression]]) -> None:
        """One step in which each old term becomes the new one."""
        changes = tuple((old, new) for old, new in pairs if old is not new)
        after = substitute(self.expression, dict(changes))
        if after is not self.expression:
            self.steps.append(Step(rule, self.expression, after, (), changes))
            self.expression = after

    def exchange(self, rule: int, pairs: Iterable[tuple[Probability, Probability]]) -> None:
        """One step by a rule of do-calculus."""
        changes = tuple((old, new) for old, new in pairs if old is not new)
        if not changes:
            return
        licences = tuple(licence(self.graph, rule, old, new) for old, new in changes)
        after = substitute(self.expression, dict(changes))
        if after is not self.expression:
            self.steps.append(Step(f"rule {rule}", self.expression, after, licences, changes))
            self.expression = after


def proof(
    graph: Graph,
    asked: Query,
    moves: Sequence[tuple[int, Query]],
    way: Adjustment | Factorisation,
) -> tuple[Step, ...]:
    """The steps from the query to the formula.

    Args:
        graph: The graph.
        asked: The query.
        moves: Rules that made the query smaller, with what each led to.
        way: How the smaller query was answered.

    Example:
        >>> from causal.identification.answers import answered
        >>> graph = Graph.parse("X -> Y")
        >>> query = Query(outcomes=graph.mask("Y"), treatments=graph.mask("X"))
        >>> way = answered(graph.bits, query, query, [0])
        >>> [step.rule for step in proof(graph, query, [], way)]
        ['rule 2']
    """
    bits = graph.bits
    query = _probability(bits, asked)
    writer = _Writer(graph, query)
    for rule, smaller in moves:
        new = _probability(bits, smaller)
        writer.exchange(rule, [(query, new)])
        query = new
    if isinstance(way, Adjustment):
        _adjust(writer, query, way)
    else:
        _factorise(writer, query, way)
    derived, formula = writer.expression, way.expression
    if derived is not formula:
        # Where districts were summed on the way, the short form can differ from the formula.
        pair = ((derived, formula),) if canonical(derived) is formula else ()
        writer.steps.append(Step("algebra", derived, formula, (), pair))
    return tuple(writer.steps)


def _probability(bits: Bits, query: Query) -> Probability:
    named = bits.named
    return Probability(named(query.outcomes), named(query.given), named(query.treatments))


def _adjust(writer: _Writer, query: Probability, way: Adjustment) -> None:
    """Total probability over the covariates, then rule 3 for them and rule 2 for the outcomes."""
    named = writer.graph.bits.named
    over, do = named(way.over), named(way.done)
    term = Probability(query.outcomes, query.given | over, query.do)
    if way.weight is not None:
        weight = Probability(over, query.given, query.do)
        left = Probability(over, query.given, do)
        writer.rewrite("total probability", [(query, Sum(over, Product((term, weight))))])
        writer.exchange(3, [(weight, left)])
        writer.exchange(1, [(left, way.weight)])
    seen = Probability(query.outcomes, term.given | (query.do - do), do)
    writer.exchange(2, [(term, seen)])
    writer.exchange(1, [(seen, way.term)])


def _factorise(writer: _Writer, query: Probability, way: Factorisation) -> None:
    """The query as a product of c-factors, then each of these from its experiment."""
    bits, named = way.bits, way.bits.named
    joint = Probability(query.outcomes | query.given, (), query.do)
    if query.given:
        below = Sum(query.outcomes, joint)
        writer.rewrite("conditional probability", [(query, Ratio(joint, below))])
    everything = Probability(named(way.ancestral), (), query.do)
    rest = everything.outcomes - joint.outcomes
    if rest:
        writer.rewrite("total probability", [(joint, Sum(rest, everything))])
    if len(way.parts) == 1:
        writer.exchange(3, [(everything, _c_factor(bits, way.ancestral))])
    else:
        _split(writer, everything, way)
    for part in way.parts:
        _derive(writer, bits, part)


@dataclass(frozen=True, slots=True)
class _Rungs:
    """The conditional of one variable on its way between two c-factors.

    For a district T of an ancestral set D under do(x), and w the parents of T: from
    P(v | do(x), earlier in D) to P(v | do(w), earlier in T).
    """

    top: Probability
    set_: Probability  # earlier members of D outside T are set instead of seen: rule 2
    wide: Probability  # the rest of w is set as well: rule 3
    bottom: Probability  # nothing but w is set: rule 3


def _rungs(
    bits: Bits, experiment: Experiment, inside: int, around: int, treatments: int
) -> list[_Rungs]:
    named, found = bits.named, []
    parents = named(_parents(bits, inside))
    for node in experiment.sorted(inside):
        earlier = around & experiment.earlier[node]
        seen, other = named(earlier & inside), named(earlier & ~inside)
        do, one = named(treatments), frozenset({bits.names[node]})
        found.append(
            _Rungs(
                Probability(one, seen | other, do),
                Probability(one, seen, do | other),
                Probability(one, seen, do | other | parents),
                Probability(one, seen, parents),
            )
        )
    return found


def _parents(bits: Bits, mask: int) -> int:
    found = 0
    for node in each(mask):
        found |= bits.parents[node]
    return found & ~mask


def _c_factor(bits: Bits, mask: int) -> Probability:
    """Q[S]: what is not a parent of S need not be set."""
    return Probability(bits.named(mask), (), bits.named(_parents(bits, mask)))


def _split(writer: _Writer, everything: Probability, way: Factorisation) -> None:
    """The joint distribution of an ancestral set as the product of its c-factors."""
    bits, experiment = way.bits, way.parts[0].experiment
    rungs = {
        node: rung
        for part in way.parts
        for node, rung in zip(
            experiment.sorted(part.target),
            _rungs(bits, experiment, part.target, way.ancestral, way.query.treatments),
            strict=True,
        )
    }
    chain = [rungs[node] for node in experiment.sorted(way.ancestral)]
    writer.rewrite("chain rule", [(everything, Product(rung.top for rung in chain))])
    writer.exchange(2, [(rung.top, rung.set_) for rung in chain])
    writer.exchange(3, [(rung.set_, rung.wide) for rung in chain])
    writer.exchange(3, [(rung.wide, rung.bottom) for rung in chain])
    factors = Product(_c_factor(bits, part.target) for part in way.parts)
    writer.rewrite("chain rule", [(Product(rung.bottom for rung in chain), factors)])


def _derive(writer: _Writer, bits: Bits, part: Identified) -> None:
    """A c-factor in terms of the experiment, by the stages of its recursion, last one first."""
    experiment, named = part.experiment, bits.named
    graph = experiment.graph
    for level in range(len(part.stages) - 1, -1, -1):
        stage = part.stages[level]
        whole = _c_factor(bits, stage.district)
        if stage.ancestral != stage.district:
            term = _c_factor(bits, stage.ancestral)
            wide = Probability(term.outcomes, (), whole.do)
            gone = named(stage.district & ~stage.ancestral)
            writer.exchange(3, [(term, wide)])
            writer.rewrite("total probability", [(wide, Sum(gone, whole))])
        if level:
            around = part.stages[level - 1].ancestral
            treatments = _parents(bits, around)
        else:
            around = graph.ancestors(part.target) & ~experiment.done
            treatments = experiment.done
        rungs = _rungs(bits, experiment, stage.district, around, treatments)
        if len(rungs) > 1:
            writer.rewrite("chain rule", [(whole, Product(rung.bottom for rung in rungs))])
        writer.exchange(3, [(rung.bottom, rung.wide) for rung in rungs])
        writer.exchange(3, [(rung.wide, rung.set_) for rung in rungs])
        writer.exchange(2, [(rung.set_, rung.top) for rung in rungs])
        nodes = experiment.sorted(stage.district)
        if level:
            _condition(writer, bits, experiment, around, dict(zip(nodes, rungs, strict=True)))
            continue
        pruned = [
            Probability(
                bits.names[node],
                named(experiment.blanket(node, around) & ~experiment.done),
                named(experiment.done),
            )
            for node in nodes
        ]
        writer.exchange(1, [(rung.top, new) for rung, new in zip(rungs, pruned, strict=True)])


def _condition(
    writer: _Writer, bits: Bits, experiment: Experiment, around: int, rungs: dict[int, _Rungs]
) -> None:
    """Conditionals as ratios of sums of the joint distribution of ``around``."""
    joint = _c_factor(bits, around)
    pairs: list[tuple[Expression, Expression]] = []
    for node, rung in rungs.items():
        later = around & ~experiment.earlier[node] & ~(1 << node)
        above: Expression = Sum(bits.named(later), joint) if later else joint
        if around & experiment.earlier[node]:
            above = Ratio(above, Sum(bits.named(later | 1 << node), joint))
        pairs.append((rung.top, above))
    writer.rewrite("conditional probability", pairs)
