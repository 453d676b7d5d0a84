"""Which supplied distribution a c-factor is read from: gID, of which ID and zID are cases."""

from collections.abc import Iterable, Sequence

from causal.bits import Bits
from causal.expression import Expression, Probability, subexpressions
from causal.identification.districts import Experiment, Identified, Stuck, identified, topological
from causal.identification.refusal import Hedge

__all__ = ["hedge", "prepared", "read", "terms"]


def prepared(bits: Bits, experiments: Iterable[int], first: int) -> tuple[Experiment, ...]:
    """The supplied distributions with their graphs, under one order that prefers ``first``.

    Example:
        >>> from causal.graph import Graph
        >>> bits = Graph.parse("Z -> X -> Y; X <-> Y").bits  # X, Y, Z are bits 0, 1, 2
        >>> [experiment.done for experiment in prepared(bits, [0, 0b001], 0)]
        [0, 1]
    """
    order = topological(bits, first)
    return tuple(Experiment.of(bits, done, order) for done in experiments)


def terms(expression: Expression) -> int:
    """The number of probabilities that the printed formula has, repeated sub-terms repeated.

    Example:
        >>> from causal.expression import Ratio, Sum
        >>> joint = Probability({"X", "Y"})
        >>> terms(Ratio(joint, Sum({"Y"}, joint)))
        2
    """
    counts: dict[Expression, int] = {}
    for node in subexpressions(expression):
        inner = sum(counts[operand] for operand in node.operands)
        counts[node] = 1 if isinstance(node, Probability) else inner
    return counts[expression]


def read(experiments: Sequence[Experiment], target: int) -> Identified | tuple[Stuck, ...]:
    r"""The c-factor of a district from the experiment that gives the shortest formula.

    The c-factor of a district is a function of the supplied distributions if and only if one of
    them alone, of an experiment that sets nothing of the district, determines it. With the
    observations alone this is ID; with every subset of a set of variables it is zID.

    Every supplied distribution and the observational one are assumed positive. (Without the second
    assumption the original proof of completeness has a gap.)

    Source: Lee, Correa & Bareinboim, "General identifiability with arbitrary surrogate
    experiments" (2019), theorem 3, with the correction of Kivva, Mokhtarian, Etesami & Kiyavash,
    "Revisiting the general identifiability problem" (2022), theorem 1; Bareinboim & Pearl, "Causal
    inference by surrogate experiments" (2012) for zID.

    Args:
        experiments: The supplied distributions.
        target: The district.

    Returns:
        The c-factor; or where each usable experiment got stuck.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.render import text
        >>> bits = Graph.parse("X -> Y; X <-> Y").bits
        >>> print(text(read(prepared(bits, [0, 0b01], 0), 0b10).expression))
        P(Y | do(X))
        >>> [stuck.top for stuck in read(prepared(bits, [0], 0), 0b10)]
        [3]
    """
    found: list[Identified] = []
    stuck: list[Stuck] = []
    for experiment in experiments:
        if experiment.done & target:
            continue
        answer = identified(experiment, target)
        if isinstance(answer, Stuck):
            stuck.append(answer)
        elif len(experiments) == 1:
            return answer
        else:
            found.append(answer)
    if found:
        return min(found, key=lambda answer: terms(answer.expression))
    return tuple(stuck) or (Stuck(target, experiments[0], target),)


def hedge(stuck: Stuck) -> Hedge:
    """The witness of a district that is stuck, in names.

    Example:
        >>> from causal.graph import Graph
        >>> bits = Graph.parse("X -> Y; X <-> Y").bits
        >>> (stuck,) = read(prepared(bits, [0], 0), 0b10)
        >>> sorted(hedge(stuck).top), sorted(hedge(stuck).bottom)
        (['X', 'Y'], ['Y'])
    """
    graph, target = stuck.experiment.graph, stuck.target
    roots = target
    for node in stuck.experiment.sorted(target):
        roots &= ~graph.parents[node]
    sets = (graph.named(mask) for mask in (stuck.top, target, roots, stuck.experiment.done))
    return Hedge(*sets)
