r"""Gates as Pauli rotations, phases and affine permutations (floor 0 of the kernel).

Every gate that the kernel runs is a product of

* `Turn`: :math:`e^{-i \theta P / 2}` with P a word of Pauli letters, at least one of them X or Y,
* `Shift`: :math:`e^{-i \theta Z_S / 2}` with :math:`Z_S` a product of Z, or the identity,
* `Flip` and `Swap`: permutations of the basis states,

each under conditions on the parity of some wires (controls are conditions on one wire). Angles are
constants plus multiples of slots, so that gradients need no other rule.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from quantum.circuits.program import Operation

__all__ = ["Angle", "Condition", "Flip", "Primitive", "Shift", "Swap", "Turn", "primitives"]


@dataclass(frozen=True)
class Angle:
    """A constant plus multiples of parameters, in radians.

    Args:
        constant: The part that depends on nothing.
        terms: Slot and coefficient of each other part.

    Example:
        >>> -Angle(0.5, ((3, 1.0),))
        Angle(constant=-0.5, terms=((3, -1.0),))
    """

    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    def __neg__(self) -> "Angle":
        return self * -1.0

    def __mul__(self, factor: float) -> "Angle":
        scaled = tuple((slot, factor * coefficient) for slot, coefficient in self.terms)
        return Angle(factor * self.constant, scaled)

    def __add__(self, other: "Angle") -> "Angle":
        return Angle(self.constant + other.constant, self.terms + other.terms)


@dataclass(frozen=True)
class Condition:
    """The parity of some wires equals ``value``.

    Example:
        >>> Condition((0, 1), 1).value
        1
    """

    wires: tuple[int, ...]
    value: int


@dataclass(frozen=True)
class Turn:
    """A rotation by a Pauli word that moves amplitudes.

    Example:
        >>> Turn((("Y", 0),), Angle(0.1)).letters
        (('Y', 0),)
    """

    letters: tuple[tuple[str, int], ...]
    angle: Angle
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Shift:
    """A rotation by a product of Z on ``wires``; a global phase where there are none.

    Example:
        >>> Shift((0, 1), Angle(0.1)).wires
        (0, 1)
    """

    wires: tuple[int, ...]
    angle: Angle
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Flip:
    """X on a wire, under conditions.

    Example:
        >>> Flip(1, (Condition((0,), 1),)).wire
        1
    """

    wire: int
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Swap:
    """Two wires exchanged.

    Example:
        >>> Swap(0, 1).second
        1
    """

    first: int
    second: int


Primitive = Turn | Shift | Flip | Swap
_PI = math.pi


def primitives(operation: Operation) -> list[Primitive] | None:
    """The primitives of an operation in the order in which they act; None where there are none.

    Args:
        operation: A gate of the table in `quantum.circuits.gates`, with controls and adjoint.

    Example:
        >>> primitives(Operation("RX", (0,), slots=(4,)))
        [Turn(letters=(('X', 0),), angle=Angle(constant=0.0, terms=((4, 1.0),)), conditions=())]
    """
    build = _GATES.get(operation.gate)
    if build is None:
        return None
    angles = [Angle(0.0, ((slot, 1.0),)) for slot in operation.slots]
    made = build(operation, angles)
    if operation.adjoint:
        made = [_reverted(primitive) for primitive in reversed(made)]
    conditions = tuple(
        Condition((wire,), int(value))
        for wire, value in zip(operation.controls, operation.control_values, strict=True)
    )
    if not conditions:
        return made
    return [one for primitive in made for one in _conditioned(primitive, conditions)]


def _reverted(primitive: Primitive) -> Primitive:
    if isinstance(primitive, Turn | Shift):
        return replace(primitive, angle=-primitive.angle)
    return primitive


def _conditioned(primitive: Primitive, conditions: tuple[Condition, ...]) -> list[Primitive]:
    if isinstance(primitive, Swap):
        there = Condition((primitive.first,), 1)
        back = Condition((primitive.second,), 1)
        outer = Flip(primitive.second, (there,))
        return [outer, Flip(primitive.first, (back, *conditions)), outer]
    return [replace(primitive, conditions=primitive.conditions + conditions)]


Builder = Callable[[Operation, Sequence[Angle]], list[Primitive]]


def _phase(wires: tuple[int, ...], angle: Angle) -> list[Primitive]:
    """diag(1, e^{i angle}) on the parity of the wires."""
    return [Shift(wires, angle), Shift((), -angle)]


def _wholly(angle: Angle) -> Shift:
    """The factor e^{i angle} on everything."""
    return Shift((), angle * -2.0)


def _fixed_phase(angle: float) -> Builder:
    return lambda o, _: _phase(o.wires, Angle(angle))


def _turns(*letters: str) -> Builder:
    def build(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
        return [Turn(tuple(zip(letters, o.wires, strict=True)), angles[0])]

    return build


def _pauli_y(o: Operation, _: Sequence[Angle]) -> list[Primitive]:
    return [*_phase(o.wires, Angle(_PI)), Flip(o.wires[0]), _wholly(Angle(_PI / 2))]


def _hadamard(o: Operation, _: Sequence[Angle]) -> list[Primitive]:
    return [*_phase(o.wires, Angle(_PI)), Turn((("Y", o.wires[0]),), Angle(_PI / 2))]


def _sqrt_x(o: Operation, _: Sequence[Angle]) -> list[Primitive]:
    return [Turn((("X", o.wires[0]),), Angle(_PI / 2)), _wholly(Angle(_PI / 4))]


def _euler(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
    first, middle, last = angles
    return [Shift(o.wires, first), Turn((("Y", o.wires[0]),), middle), Shift(o.wires, last)]


def _u3(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
    middle, left, right = angles
    turn = Turn((("Y", o.wires[0]),), middle)
    return [*_phase(o.wires, right), turn, *_phase(o.wires, left)]


def _u2(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
    return _u3(o, [Angle(_PI / 2), *angles])


def _both(o: Operation, letters: str, angle: Angle) -> Turn:
    return Turn(tuple(zip(letters, o.wires, strict=True)), angle)


def _ising_xy(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
    return [_both(o, "XX", angles[0] * -0.5), _both(o, "YY", angles[0] * -0.5)]


def _iswap(o: Operation, _: Sequence[Angle]) -> list[Primitive]:
    return [_both(o, "XX", Angle(-_PI / 2)), _both(o, "YY", Angle(-_PI / 2))]


def _sqrt_iswap(o: Operation, _: Sequence[Angle]) -> list[Primitive]:
    return [_both(o, "XX", Angle(-_PI / 4)), _both(o, "YY", Angle(-_PI / 4))]


def _phase_swap(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
    return [Swap(*o.wires), *_phase(o.wires, angles[0])]


def _select_phase(*values: int) -> Builder:
    """e^{i angle} where the two wires have these values."""

    def build(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
        pairs = zip(o.wires, values, strict=True)
        return [Shift((), angles[0] * -2.0, tuple(Condition((w,), v) for w, v in pairs))]

    return build


def _excitation(sign: int) -> Builder:
    """Givens rotation between |0..01..1> and |1..10..0>, with a phase on all other states."""

    def build(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
        half = len(o.wires) // 2
        head, tail = o.wires[:half], o.wires[half:]
        alike = [Condition((a, b), 0) for group in (head, tail) for a, b in pairwise(group)]
        conditions = (*alike, Condition((head[0], tail[0]), 1))
        letters = (("Y", o.wires[0]), *(("X", wire) for wire in o.wires[1:]))
        made: list[Primitive] = [Turn(letters, angles[0], conditions)]
        if sign:  # on all states, then off again where the rotation acts
            made.append(_wholly(angles[0] * (0.5 * sign)))
            made.append(replace(_wholly(angles[0] * (-0.5 * sign)), conditions=conditions))
        return made

    return build


def _pauli_rotation(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
    pairs = [
        (letter, wire) for letter, wire in zip(o.setting, o.wires, strict=True) if letter != "I"
    ]
    if any(letter in "XY" for letter, _ in pairs):
        return [Turn(tuple(pairs), angles[0])]
    return [Shift(tuple(wire for _, wire in pairs), angles[0])]


def _projector_phase(o: Operation, angles: Sequence[Angle]) -> list[Primitive]:
    """e^{i angle} on the first ``setting`` states, e^{-i angle} on the others."""
    wires, position = len(o.wires), 0
    made: list[Primitive] = [Shift((), angles[0] * 2.0)]
    for place in range(wires):  # blocks of states whose leading bits agree
        length = 1 << (wires - 1 - place)
        if position + length <= o.setting:
            bits = [(position >> (wires - 1 - k)) & 1 for k in range(place + 1)]
            pairs = zip(o.wires, bits, strict=False)
            conditions = tuple(Condition((wire,), bit) for wire, bit in pairs)
            made.append(Shift((), angles[0] * -4.0, conditions))
            position += length
    return made if position == o.setting else [Shift((), angles[0] * -2.0)]


_GATES: dict[str, Builder] = {
    "Identity": lambda _o, _a: [],
    "PauliX": lambda o, _: [Flip(o.wires[0])],
    "PauliY": _pauli_y,
    "PauliZ": _fixed_phase(_PI),
    "S": _fixed_phase(_PI / 2),
    "T": _fixed_phase(_PI / 4),
    "Hadamard": _hadamard,
    "SX": _sqrt_x,
    "SWAP": lambda o, _: [Swap(*o.wires)],
    "ISWAP": _iswap,
    "SISWAP": _sqrt_iswap,
    "RX": _turns("X"),
    "RY": _turns("Y"),
    "RZ": lambda o, a: [Shift(o.wires, a[0])],
    "PhaseShift": lambda o, a: _phase(o.wires, a[0]),
    "U1": lambda o, a: _phase(o.wires, a[0]),
    "U2": _u2,
    "U3": _u3,
    "Rot": _euler,
    "IsingXX": _turns("X", "X"),
    "IsingYY": _turns("Y", "Y"),
    "IsingZZ": lambda o, a: [Shift(o.wires, a[0])],
    "IsingXY": _ising_xy,
    "CPhaseShift00": _select_phase(0, 0),
    "CPhaseShift01": _select_phase(0, 1),
    "CPhaseShift10": _select_phase(1, 0),
    "PSWAP": _phase_swap,
    "SingleExcitation": _excitation(0),
    "SingleExcitationPlus": _excitation(1),
    "SingleExcitationMinus": _excitation(-1),
    "DoubleExcitation": _excitation(0),
    "DoubleExcitationPlus": _excitation(1),
    "DoubleExcitationMinus": _excitation(-1),
    "MultiRZ": lambda o, a: [Shift(o.wires, a[0])],
    "PauliRot": _pauli_rotation,
    "PCPhase": _projector_phase,
    "GlobalPhase": lambda _o, a: [Shift((), a[0] * 2.0)],
}
