"""C-factors: the distribution of a district when everything else is set, by exact bookkeeping.

Symbols as in Tian & Pearl (2002): for a set S of variables, Q[S] = P(S | do(V - S)). Sets are bits.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from causal.bits import Bits, each
from causal.expression import Expression, Probability, product, ratio, total

__all__ = ["Experiment", "Identified", "Stage", "Stuck", "identified", "reach", "topological"]


def reach(mask: int, neighbours: Sequence[int], within: int) -> int:
    """All that is reached from ``mask`` along ``neighbours`` inside ``within``.

    Example:
        >>> bin(reach(0b001, (0b010, 0b100, 0), 0b011))
        '0b11'
    """
    reached = pending = mask
    while pending:
        low = pending & -pending
        fresh = neighbours[low.bit_length() - 1] & within & ~reached
        reached |= fresh
        pending = (pending ^ low) | fresh
    return reached


def topological(bits: Bits, first: int) -> tuple[int, ...]:
    """The nodes, causes first; those in ``first`` as early as possible.

    What comes last in a district is summed away for nothing, and conditions are shorter.

    Example:
        >>> from causal.graph import Graph
        >>> topological(Graph.parse("A -> C; B -> C").bits, 0b010)
        (1, 0, 2)
    """
    order: list[int] = []
    done, ready = 0, 0
    for node in each(bits.nodes):
        if not bits.parents[node]:
            ready |= 1 << node
    while ready:
        low = (ready & first or ready) & -(ready & first or ready)
        node = low.bit_length() - 1
        ready ^= low
        done |= low
        order.append(node)
        for child in each(bits.children[node]):
            if not bits.parents[child] & ~done:
                ready |= 1 << child
    return tuple(order)


@dataclass(frozen=True, slots=True)
class Experiment:
    """A supplied distribution: the variables that were set, and the graph without arrows into them.

    Args:
        done: What was set; 0: observations.
        graph: The graph after the surgery.
        order: A topological order, which also serves the graph before it.
        earlier: For each node the nodes that come before it.

    Example:
        >>> from causal.graph import Graph
        >>> bits = Graph.parse("X -> M -> Y; X <-> Y").bits  # M, X, Y are bits 0, 1, 2
        >>> Experiment.of(bits, 0, topological(bits, 0)).sorted(0b111)
        [1, 0, 2]
    """

    done: int
    graph: Bits
    order: tuple[int, ...]
    earlier: tuple[int, ...]

    @classmethod
    def of(cls, bits: Bits, done: int, order: tuple[int, ...]) -> "Experiment":
        """The experiment that sets ``done``."""
        earlier, seen = [0] * len(bits.names), 0
        for node in order:
            earlier[node] = seen
            seen |= 1 << node
        graph = bits.remove_incoming(done) if done else bits
        return cls(done, graph, order, tuple(earlier))

    def sorted(self, mask: int) -> list[int]:
        """The nodes of a set, causes first."""
        if mask.bit_count() == 1:
            return [mask.bit_length() - 1]
        return sorted(each(mask), key=lambda node: self.earlier[node].bit_count())

    def blanket(self, node: int, ancestral: int) -> int:
        """What a node depends on among what comes before it in an ancestral set.

        Source: Richardson (2003), section 3.1, the ordered local Markov property: the node's
        district among these, and the parents of that district.
        """
        within = ancestral & self.earlier[node]
        blanket = district = reach(1 << node, self.graph.siblings, within | 1 << node)
        for member in each(district):
            blanket |= self.graph.parents[member]
        return blanket & ~(1 << node)


@dataclass(frozen=True, slots=True)
class _Block:
    """A factor of Q[S]: with its last members summed away, it does not depend on later variables.

    So Q[S] summed over all that comes after a member is the product of the blocks summed alike.
    """

    members: int
    expression: Expression
    scope: int  # what the expression depends on


@dataclass(frozen=True, slots=True)
class Stage:
    """A step of the recursion: a district, and the ancestors in it of what is wanted.

    Example:
        >>> Stage(district=0b110, ancestral=0b100).district
        6
    """

    district: int
    ancestral: int


@dataclass(frozen=True, slots=True)
class Identified:
    """A c-factor with its expression and the way to it.

    Example:
        >>> from causal.graph import Graph
        >>> bits = Graph.parse("X -> M -> Y; X <-> Y").bits
        >>> observed = Experiment.of(bits, 0, topological(bits, 0))
        >>> found = identified(observed, 0b100)
        >>> isinstance(found, Identified), len(found.stages)
        (True, 1)
    """

    target: int
    experiment: Experiment
    stages: tuple[Stage, ...]
    expression: Expression


@dataclass(frozen=True, slots=True)
class Stuck:
    """A district in which everything is an ancestor of the target: the top of a hedge.

    Example:
        >>> from causal.graph import Graph
        >>> bits = Graph.parse("X -> Y; X <-> Y").bits
        >>> observed = Experiment.of(bits, 0, topological(bits, 0))
        >>> identified(observed, 0b10).top
        3
    """

    target: int
    experiment: Experiment
    top: int


def identified(experiment: Experiment, target: int) -> Identified | Stuck:
    """Q[target] from one supplied distribution, for a target that bidirected paths connect.

    Source: Tian & Pearl, "A general identification condition for causal effects" (2002), the
    algorithm Identify; Huang & Valtorta (2006) for its completeness.

    Args:
        experiment: The supplied distribution; it sets nothing of the target.
        target: The set.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.render import text
        >>> bits = Graph.parse("X -> M -> Y; X <-> Y").bits
        >>> observed = Experiment.of(bits, 0, topological(bits, 0))
        >>> print(text(identified(observed, 0b100).expression))
        sum_{X} P(Y | M, X) P(X)
    """
    graph = experiment.graph
    ancestral = reach(target, graph.parents, graph.nodes)
    district = reach(target, graph.siblings, ancestral)
    blocks = _supplied(experiment, ancestral, district)
    stages: list[Stage] = []
    while True:
        ancestral = reach(target, graph.parents, district)
        stages.append(Stage(district, ancestral))
        if ancestral == district != target:
            return Stuck(target, experiment, district)
        blocks = _summed(experiment, blocks, district & ~ancestral)
        if ancestral == target:
            found = product(*(block.expression for block in blocks))
            return Identified(target, experiment, tuple(stages), found)
        district = reach(target, graph.siblings, ancestral)
        blocks = _restricted(experiment, blocks, district)


def _supplied(experiment: Experiment, ancestral: int, district: int) -> list[_Block]:
    """Q of a district of an ancestral set: one conditional probability per variable."""
    graph, done = experiment.graph, experiment.done
    do = graph.named(done)
    blocks: list[_Block] = []
    for node in experiment.sorted(district):
        blanket = experiment.blanket(node, ancestral)
        term = Probability(graph.names[node], graph.named(blanket & ~done), do)
        blocks.append(_Block(1 << node, term, blanket | done | 1 << node))
    return blocks


def _summed(experiment: Experiment, blocks: list[_Block], gone: int) -> list[_Block]:
    """The sum over some members, latest first; blocks that share one become one block."""
    graph = experiment.graph
    for node in reversed(experiment.sorted(gone)) if gone else ():
        bit = 1 << node
        touched = [block for block in blocks if (block.scope | block.members) & bit]
        blocks = [block for block in blocks if not (block.scope | block.members) & bit]
        members = 0
        for block in touched:
            members |= block.members
        members &= ~bit
        if members:  # else the block sums to one
            joined = product(*(block.expression for block in touched))
            found = total(graph.names[node], joined)
            blocks.append(_Block(members, found, graph.mask(found.arguments)))
    return blocks


def _restricted(experiment: Experiment, blocks: Iterable[_Block], kept: int) -> list[_Block]:
    """The blocks of the conditionals of ``kept``, given what comes before each."""
    result: list[_Block] = []
    for block in blocks:
        if block.members & ~kept:
            result.extend(_conditionals(experiment, block, kept))
        else:
            result.append(block)
    return result


def _conditionals(experiment: Experiment, block: _Block, kept: int) -> Iterable[_Block]:
    """For each run of kept members a ratio: the block up to its end, over that before it."""
    graph = experiment.graph
    run, later = 0, 0
    above = block.expression
    for node in (*reversed(experiment.sorted(block.members)), -1):
        bit = 0 if node < 0 else 1 << node
        if bit & kept:
            if not run:
                above = total(graph.named(later), block.expression)
            run |= bit
        elif run:
            below = total(graph.named(later), block.expression)
            found = above if later == block.members else ratio(above, below)
            yield _Block(run, found, graph.mask(found.arguments))
            run = 0
        later |= bit
