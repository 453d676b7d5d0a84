"""A junction tree as the kernel walks it (floor 0 of the kernel).

Every separator becomes a node of its own, once however many cliques share it, and hangs on the
smallest table that contains it. So every clique has one message to its parent, which is a sum over
its last axes, and whatever fits into a smaller table is multiplied and summed there.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

__all__ = ["Arrangement", "Node", "arrange"]

_READ, _WRITTEN = 2.0, 1.5  # work per cell: a table read on the way up and down, a table written
_MOST_JOINED = 40  # tables at one clique among which pairs are looked for


@dataclass(frozen=True)
class Node:
    """A clique, or a table without factors: a separator or the union of smaller tables.

    Args:
        clique: The number of the clique, -1 for other tables.
        axes: Its variables, the last one varies fastest. Those of a clique begin with its parent's.
        parent: The number of its parent, -1 for the root.

    Example:
        >>> Node(-1, (), -1).axes
        ()
    """

    clique: int
    axes: tuple[int, ...]
    parent: int


@dataclass(frozen=True)
class Arrangement:
    """Nodes, parents before children, and where everything else is read or written.

    Args:
        nodes: The nodes; the first one is the root, a table of one cell.
        factors: For each factor its node.
        evidence: For each variable the node where its evidence is multiplied.
        outputs: For each wanted set of variables its node.

    Example:
        >>> made = arrange((2, 3), ((0, 1),), (-1,), ((),), ((0, 1),), (0,), (), [(1,)])
        >>> [node.axes for node in made.nodes], made.outputs
        ([(), (0, 1)], (1,))
    """

    nodes: tuple[Node, ...]
    factors: tuple[int, ...]
    evidence: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass
class _Draft:
    """A node while the tree is rearranged."""

    clique: int
    mask: int
    cells: int
    parent: int


def arrange(
    cardinalities: Sequence[int],
    cliques: Sequence[Sequence[int]],
    parents: Sequence[int],
    separators: Sequence[Sequence[int]],
    scopes: Sequence[Sequence[int]],
    homes: Sequence[int],
    apart: Iterable[int],
    sets: Sequence[Sequence[int]],
) -> Arrangement:
    """Arrange a junction tree.

    Args:
        cardinalities: The number of states of each variable.
        cliques: The variables of each clique.
        parents: The parent of each clique, -1 for roots.
        separators: The variables that each clique shares with its parent.
        scopes: The variables of each factor.
        homes: The clique of each factor.
        apart: The factors whose tables differ from row to row: they are multiplied in the smallest
            table that has their variables, the others in their home.
        sets: The sets of variables whose marginals are wanted, each within a clique.

    Raises:
        ValueError: A set is in no clique.

    Example:
        >>> made = arrange(
        ...     (2, 2, 2), ((0, 1), (0, 2)), (-1, 0), ((), (0,)), ((0, 1), (0, 2)), (0, 1), (), ()
        ... )
        >>> [(node.clique, node.axes, node.parent) for node in made.nodes]
        [(-1, (), -1), (0, (1, 0), 0), (-1, (0,), 1), (1, (0, 2), 2)]
    """
    drafts = _drafts(cardinalities, cliques, parents, separators)
    places = _Places(cardinalities, drafts)
    _rehang(drafts, places)
    evidence = [places.smallest(1 << v) for v in range(len(cardinalities))]
    outputs = [places.smallest(_mask(variables)) for variables in sets]
    for variables, place in zip(sets, outputs, strict=True):
        if place < 0:
            raise ValueError(
                f"the variables {tuple(variables)} are in no clique together: name them in "
                "`together` when the junction tree is made"
            )
    rows = set(apart)
    at = {draft.clique: number for number, draft in enumerate(drafts) if draft.clique >= 0}
    factors = [
        places.smallest(_mask(scope)) if number in rows else at[home]
        for number, (scope, home) in enumerate(zip(scopes, homes, strict=True))
    ]
    _join(cardinalities, drafts, scopes, factors, rows, evidence, outputs, sets)
    return _ordered(drafts, factors, evidence, outputs)


def _mask(variables: Iterable[int]) -> int:
    mask = 0
    for variable in variables:
        mask |= 1 << variable
    return mask


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def _cells(cardinalities: Sequence[int], mask: int) -> int:
    return prod(cardinalities[v] for v in _bits(mask))


def _drafts(
    cardinalities: Sequence[int],
    cliques: Sequence[Sequence[int]],
    parents: Sequence[int],
    separators: Sequence[Sequence[int]],
) -> list[_Draft]:
    """The cliques, one node for each distinct separator, and the root, which is the last."""
    count = len(cliques)
    drafts = [
        _Draft(k, mask, _cells(cardinalities, mask), -1)
        for k, mask in enumerate(map(_mask, cliques))
    ]
    depths = _depths(parents)
    numbers: dict[int, int] = {}
    for k in sorted(range(count), key=lambda k: depths[k]):  # a shared one hangs on the highest
        mask = _mask(separators[k]) if parents[k] >= 0 else 0
        if mask and mask not in numbers:
            numbers[mask] = len(drafts)
            drafts.append(_Draft(-1, mask, _cells(cardinalities, mask), parents[k]))
        drafts[k].parent = numbers[mask] if mask else -1
    root = len(drafts)
    drafts.append(_Draft(-1, 0, 1, -1))
    for draft in drafts[:root]:
        if draft.parent < 0:
            draft.parent = root
    return drafts


def _depths(parents: Sequence[int]) -> list[int]:
    depths = [-1] * len(parents)
    for k in range(len(parents)):
        path = []
        while k >= 0 and depths[k] < 0:
            path.append(k)
            k = parents[k]
        depth = depths[k] if k >= 0 else -1
        for step in reversed(path):
            depth += 1
            depths[step] = depth
    return depths


class _Places:
    """Which nodes hold a variable, the smallest first."""

    def __init__(self, cardinalities: Sequence[int], drafts: Sequence[_Draft]) -> None:
        self.drafts = drafts
        self.holding: list[list[int]] = [[] for _ in cardinalities]
        for number in sorted(range(len(drafts)), key=lambda k: (drafts[k].cells, k)):
            for variable in _bits(drafts[number].mask):
                self.holding[variable].append(number)

    def containing(self, mask: int) -> Iterable[int]:
        """The nodes that contain all of ``mask``, the smallest first."""
        if not mask:
            return [len(self.drafts) - 1]
        rarest = min((self.holding[v] for v in _bits(mask)), key=len)
        return (k for k in rarest if not mask & ~self.drafts[k].mask)

    def smallest(self, mask: int) -> int:
        """The smallest node that contains all of ``mask``, -1 if none does."""
        return next(iter(self.containing(mask)), -1)


def _rehang(drafts: list[_Draft], places: _Places) -> None:
    """Hang every separator on the smallest table that contains it (a junction tree stays one)."""

    def below(node: int, ancestor: int) -> bool:
        while node >= 0:
            if node == ancestor:
                return True
            node = drafts[node].parent
        return False

    changed = True
    while changed:  # ends: every move makes the sum of the parents' sizes smaller
        changed = False
        for number, draft in enumerate(drafts):
            if draft.clique >= 0 or not draft.mask:
                continue
            for place in places.containing(draft.mask):
                if drafts[place].cells >= drafts[draft.parent].cells:
                    break
                if not below(place, number):
                    draft.parent = place
                    changed = True
                    break


@dataclass
class _Item:
    """Something that is read or written at a clique."""

    mask: int
    read: bool
    written: bool
    hang: list[tuple[list[int], int]]  # lists of places and positions in them


def _join(
    cardinalities: Sequence[int],
    drafts: list[_Draft],
    scopes: Sequence[Sequence[int]],
    factors: list[int],
    rows: set[int],
    evidence: list[int],
    outputs: list[int],
    sets: Sequence[Sequence[int]],
) -> None:
    """Unite small tables that are read or written at the same large clique."""
    parents = [draft.parent for draft in drafts]
    items: dict[int, list[_Item]] = {}
    for number, draft in enumerate(drafts):
        if draft.clique < 0 and draft.mask:
            items.setdefault(draft.parent, []).append(
                _Item(draft.mask, True, True, [(parents, number)])
            )
    for k in rows:
        items.setdefault(factors[k], []).append(
            _Item(_mask(scopes[k]), True, False, [(factors, k)])
        )
    for v, place in enumerate(evidence):
        items.setdefault(place, []).append(_Item(1 << v, True, False, [(evidence, v)]))
    for k, place in enumerate(outputs):
        items.setdefault(place, []).append(_Item(_mask(sets[k]), False, True, [(outputs, k)]))
    count = len(drafts)
    for place, found in items.items():
        if drafts[place].clique < 0 or not 2 <= len(found) <= _MOST_JOINED:
            continue
        for item in _united(cardinalities, drafts[place].cells, found):
            if len(item.hang) > 1:
                drafts.append(_Draft(-1, item.mask, _cells(cardinalities, item.mask), place))
                for target, position in item.hang:
                    target[position] = len(drafts) - 1
    for draft, parent in zip(drafts[:count], parents, strict=True):
        draft.parent = parent


def _work(item: _Item) -> float:
    return _READ * item.read + _WRITTEN * item.written


def _united(cardinalities: Sequence[int], cells: int, items: list[_Item]) -> list[_Item]:
    """Items with pairs united, the best first, as long as work is saved."""
    items = list(items)
    while True:
        best, pair = 0.0, None
        for a, b in combinations(items, 2):
            union = a.mask | b.mask
            size = _cells(cardinalities, union)
            if size >= cells:
                continue
            saved = _READ * (a.read and b.read) + _WRITTEN * (a.written and b.written)
            gain = saved * cells - (_work(a) + _work(b) + 1) * size
            if gain > best:
                best, pair = gain, (a, b)
        if pair is None:
            return items
        a, b = pair
        items = [item for item in items if item is not a and item is not b]
        items.append(
            _Item(a.mask | b.mask, a.read or b.read, a.written or b.written, a.hang + b.hang)
        )


def _ordered(
    drafts: Sequence[_Draft],
    factors: Sequence[int],
    evidence: Sequence[int],
    outputs: Sequence[int],
) -> Arrangement:
    """Number the nodes so that parents come before children, and order their axes."""
    children: list[list[int]] = [[] for _ in drafts]
    root = next(k for k, draft in enumerate(drafts) if draft.parent < 0)
    for number, draft in enumerate(drafts):
        if draft.parent >= 0:
            children[draft.parent].append(number)
    places: dict[int, int] = {}
    nodes: list[Node] = []
    waiting = [root]
    while waiting:
        number = waiting.pop()
        draft = drafts[number]
        parent = places.get(draft.parent, -1)
        places[number] = len(nodes)
        leading = nodes[parent].axes if draft.clique >= 0 else ()
        below = [drafts[child].mask for child in children[number]]
        rest = _bits(draft.mask & ~_mask(leading))
        rest.sort(key=lambda v: (sum(mask >> v & 1 for mask in below), v))
        nodes.append(Node(draft.clique, (*leading, *rest), parent))
        waiting += reversed(children[number])
    return Arrangement(
        tuple(nodes),
        tuple(places[k] for k in factors),
        tuple(places[k] for k in evidence),
        tuple(places[k] for k in outputs),
    )
