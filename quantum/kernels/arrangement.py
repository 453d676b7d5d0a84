"""Rotations and phases in the order in which the kernel executes them (floor 2 of the kernel).

Neighbours that rotate alike are merged; what no observable can see is left out; rotations of single
bits at the start become a product state; the rest is sorted into alternating diagonals and groups
of rotations, each operation as early as the operations that it does not commute with allow.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from quantum.kernels.lowering import Phase, Rotation, Word, merged

__all__ = ["Arrangement", "Link", "arrange"]


@dataclass(frozen=True)
class Link:
    """A rotation of one bit of the product state that a circuit starts from.

    Args:
        bit: Its physical bit, 0 the lowest.
        letter: 0, 1, 2 for X, Y, Z.
        sign: 1 or -1, multiplies the angle.
        operation: Where the angle comes from.

    Example:
        >>> from quantum.kernels.rotations import Angle
        >>> Link(0, 2, 1, Phase(1, Angle(0.1))).letter
        2
    """

    bit: int
    letter: int
    sign: int
    operation: Rotation | Phase


@dataclass(frozen=True)
class Arrangement:
    """A product state, then groups of operations of one kind each.

    Example:
        >>> from quantum.kernels.rotations import Angle
        >>> turns = (Rotation(1, 1, False, 1, Angle(0.1)), Rotation(2, 2, False, 1, Angle(0.2)))
        >>> len(Arrangement((), (turns, (Phase(3, Angle(0.3)),))).groups)
        2
    """

    links: tuple[Link, ...]
    groups: tuple[tuple[Rotation, ...] | tuple[Phase, ...], ...]


def arrange(operations: Sequence[Rotation | Phase], words: Sequence[Word] | None) -> Arrangement:
    """Arrange ``operations``; ``words`` are what is observed, None if the state itself is.

    Example:
        >>> from quantum.kernels.rotations import Angle
        >>> turn = Rotation(1, 1, False, 1, Angle(0.1))
        >>> made = arrange([turn, Phase(1, Angle(0.2))], [Word(0, 1, 0)])
        >>> len(made.links), len(made.groups)
        (1, 0)
    """
    seen = _together(operations)
    links, rest = _product(seen if words is None else _visible(seen, words))
    return Arrangement(tuple(links), tuple(_levels(rest)))


def _odd(bits: int) -> int:
    return bits.bit_count() & 1


def _masks(operation: Rotation | Phase) -> tuple[int, int, tuple[int, ...]]:
    """x, z and the masks of the conditions."""
    if isinstance(operation, Phase):
        return 0, operation.mask, ()
    return operation.x, operation.z, tuple(mask for mask, _ in operation.conditions)


def _commute(first: Rotation | Phase, second: Rotation | Phase) -> bool:
    x1, z1, conditions1 = _masks(first)
    x2, z2, conditions2 = _masks(second)
    if _odd(x1 & z2) ^ _odd(x2 & z1):
        return False
    return not (any(_odd(x1 & c) for c in conditions2) or any(_odd(x2 & c) for c in conditions1))


def _together(operations: Sequence[Rotation | Phase]) -> list[Rotation | Phase]:
    """Rotations by the same word, with only what they commute with in between, as one."""
    made: list[Rotation | Phase] = []
    last: dict[object, int] = {}
    for operation in operations:
        place = last.get(_kind(operation))
        if place is not None and all(_commute(operation, other) for other in made[place + 1 :]):
            before = made[place]
            sign = _sign(operation) * _sign(before)
            made[place] = replace(before, angle=before.angle + operation.angle * sign)
            continue
        last[_kind(operation)] = len(made)
        made.append(operation)
    return [operation for operation in made if _acts(operation)]


def _kind(operation: Rotation | Phase) -> object:
    """Equal for rotations that are the same but for angle and sign."""
    if isinstance(operation, Phase):
        return operation.mask
    return operation.x, operation.z, operation.imaginary, operation.conditions


def _sign(operation: Rotation | Phase) -> int:
    return operation.sign if isinstance(operation, Rotation) else 1


def _acts(operation: Rotation | Phase) -> bool:
    """Whether its angle is anything at all, as far as constants and terms tell."""
    terms: dict[int, float] = {}
    for slot, coefficient in operation.angle.terms:
        terms[slot] = terms.get(slot, 0.0) + coefficient
    return bool(operation.angle.constant) or any(terms.values())


def _visible(
    operations: Sequence[Rotation | Phase], words: Sequence[Word]
) -> list[Rotation | Phase]:
    """Without what commutes with all that comes after it and with everything observed."""
    kept: list[Rotation | Phase] = []
    for operation in reversed(operations):
        x, z, conditions = _masks(operation)
        hidden = all(
            not (_odd(x & w.z) ^ _odd(w.x & z)) and not any(_odd(w.x & c) for c in conditions)
            for w in words
        )
        if not (hidden and all(_commute(operation, later) for later in kept)):
            kept.append(operation)
    return kept[::-1]


def _product(
    operations: Sequence[Rotation | Phase],
) -> tuple[list[Link], list[Rotation | Phase]]:
    """Rotations of single bits that come before everything else on their bit."""
    links: list[Link] = []
    rest: list[Rotation | Phase] = []
    waiting: dict[int, list[Phase]] = {}  # phases on one bit that may still join the product
    closed = 0
    for operation in operations:
        x, z, conditions = _masks(operation)
        touched = x | z
        for mask in conditions:
            touched |= mask
        alone = touched.bit_count() == 1 and not conditions and not touched & closed
        if alone and isinstance(operation, Phase):
            waiting.setdefault(touched, []).append(operation)
        elif alone and isinstance(operation, Rotation):
            bit = touched.bit_length() - 1
            links += [Link(bit, 2, 1, phase) for phase in waiting.pop(touched, [])]
            links.append(Link(bit, 1 if z else 0, operation.sign, operation))
        else:
            for bit in [b for b in waiting if b & touched]:
                rest += waiting.pop(bit)
            closed |= touched
            rest.append(operation)
    rest += [phase for phases in waiting.values() for phase in phases]
    return links, rest


def _levels(
    operations: Sequence[Rotation | Phase],
) -> list[tuple[Rotation, ...] | tuple[Phase, ...]]:
    """Alternating groups: the phases of a level come before its rotations."""
    phases: list[list[Phase]] = [[]]
    rotations: list[list[Rotation]] = [[]]
    for operation in operations:
        level = len(phases) - 1
        while level >= 0:
            if not all(_commute(operation, other) for other in rotations[level]):
                level += isinstance(operation, Phase)
                break
            if isinstance(operation, Rotation) and not all(
                _commute(operation, other) for other in phases[level]
            ):
                break
            level -= 1
        level = max(level, 0)
        if level == len(phases):
            phases.append([])
            rotations.append([])
        if isinstance(operation, Phase):
            phases[level].append(operation)
        else:
            rotations[level].append(operation)
    groups: list[tuple[Rotation, ...] | tuple[Phase, ...]] = []
    for diagonal, turns in zip(phases, rotations, strict=True):
        kept = merged(diagonal)
        if kept:
            groups.append(tuple(kept))
        if turns:
            groups.append(tuple(_paired(turns)))
    return groups


def _paired(turns: list[Rotation]) -> list[Rotation]:
    """The same rotations, neighbours of one kind where they commute (they share a pass)."""
    kinds = sorted({turn.imaginary for turn in turns})
    if len(kinds) == 1 and not any(turn.conditions for turn in turns):
        return turns
    if not all(_commute(a, b) for k, a in enumerate(turns) for b in turns[:k]):
        return turns
    return sorted(turns, key=lambda turn: (bool(turn.conditions), turn.imaginary))
