"""A program → rotations, phases and words on physical basis states (floor 1 of the kernel).

Permutations that are affine over GF(2) (X, CNOT, SWAP) are never executed: `Layout` keeps track of
which physical basis state stands for which logical one, and later gates are expressed on physical
masks. Basis states are numbers whose highest bit is the first wire.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from quantum.circuits.program import Program
from quantum.kernels.rotations import (
    Angle,
    Condition,
    Flip,
    Primitive,
    Shift,
    Swap,
    Turn,
    primitives,
)

__all__ = ["Layout", "Phase", "Rotation", "Word", "lower"]

_MOST_CONDITIONS = 10


@dataclass(frozen=True)
class Rotation:
    r""":math:`e^{-i \\theta P / 2}` with P a Pauli word on physical masks.

    Args:
        x: What is XORed to a basis state.
        z: Whose parity gives the sign.
        imaginary: P has real off-diagonal entries, so that real and imaginary parts mix.
        sign: 1 or -1: the sign of the entry that leads from parity 0 to parity 1, with the
            phase convention of the kernel.
        angle: Its angle.
        conditions: Physical mask and parity that it must have for the rotation to act.

    Example:
        >>> Rotation(1, 1, False, 1, Angle(0.3)).x
        1
    """

    x: int
    z: int
    imaginary: bool
    sign: int
    angle: Angle
    conditions: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Phase:
    r"""The factor :math:`e^{-i \\theta (-1)^{|j \\wedge mask|} / 2}` on the basis state j.

    Example:
        >>> Phase(3, Angle(0.3)).mask
        3
    """

    mask: int
    angle: Angle


@dataclass(frozen=True)
class Word:
    r"""The observable :math:`P|j> = i^{turns} (-1)^{|j \\wedge z|} |j \\oplus x>`.

    Example:
        >>> Word(0, 1, 0).z
        1
    """

    x: int
    z: int
    turns: int


class Layout:
    """Which physical basis state stands for which logical one: an affine map over GF(2).

    Example:
        >>> layout = Layout(2)
        >>> layout.flip(1, [((0,), 1)])
        >>> layout.rows[1], layout.flips[0]
        (3, 3)
    """

    def __init__(self, wires: int) -> None:
        units = [1 << (wires - 1 - wire) for wire in range(wires)]
        self.rows = list(units)  # whose parity is the logical bit
        self.offsets = [0] * wires
        self.flips = list(units)  # what flips the logical bit and no other

    def flip(self, target: int, controls: Sequence[tuple[tuple[int, ...], int]]) -> None:
        """X on ``target``, under at most one condition on the parity of other wires."""
        if not controls:
            self.offsets[target] ^= 1
            return
        ((wires, value),) = controls
        for wire in wires:
            self.rows[target] ^= self.rows[wire]
            self.offsets[target] ^= self.offsets[wire]
            self.flips[wire] ^= self.flips[target]
        self.offsets[target] ^= 1 ^ value

    def swap(self, first: int, second: int) -> None:
        """Exchange two wires."""
        for values in (self.rows, self.offsets, self.flips):
            values[first], values[second] = values[second], values[first]

    def parity(self, wires: Iterable[int]) -> tuple[int, int]:
        """Physical mask and offset of the parity of some wires."""
        mask = offset = 0
        for wire in wires:
            mask ^= self.rows[wire]
            offset ^= self.offsets[wire]
        return mask, offset

    def word(self, letters: Iterable[tuple[str, int]]) -> tuple[int, int, int]:
        """Physical x and z masks of a Pauli word and the power of i that comes with it."""
        x = z = turns = 0
        for letter, wire in letters:
            if letter in "XY":
                x ^= self.flips[wire]
            if letter in "YZ":
                z ^= self.rows[wire]
                turns += 2 * self.offsets[wire]
            if letter == "Y":
                turns += 1
        return x, z, turns % 4

    def origin(self) -> int:
        """The physical basis state that stands for the logical state 0."""
        place = 0
        for flip, offset in zip(self.flips, self.offsets, strict=True):
            if offset:
                place ^= flip
        return place


def lower(program: Program) -> tuple[list[Rotation | Phase], Layout] | None:
    """The operations of ``program`` on physical basis states and the final layout.

    None where an operation is none of those that the kernel runs.

    Example:
        >>> from quantum.circuits.program import Operation
        >>> from quantum.tracing.recorder import record
        >>> cnot = Operation("PauliX", (1,), controls=(0,), control_values=(True,))
        >>> program = Program(2, (cnot, Operation("RX", (0,), (0,))), (), record(lambda: [], []))
        >>> lower(program)[0][0].x
        3
    """
    layout = Layout(program.wires)
    made: list[Rotation | Phase] = []
    for operation in program.operations:
        steps = primitives(operation)
        if steps is None:
            return None
        for step in steps:
            if len(getattr(step, "conditions", ())) > _MOST_CONDITIONS:
                return None
            made += _physical(step, layout)
    return made, layout


def _physical(step: Primitive, layout: Layout) -> list[Rotation | Phase]:
    if isinstance(step, Swap):
        layout.swap(step.first, step.second)
        return []
    if isinstance(step, Flip):
        if len(step.conditions) < 2:
            layout.flip(step.wire, [(c.wires, c.value) for c in step.conditions])
            return []
        # X = i exp(-i pi X / 2)
        turn = Turn((("X", step.wire),), Angle(math.pi), step.conditions)
        return [
            *_physical(turn, layout),
            *_physical(Shift((), Angle(-math.pi), step.conditions), layout),
        ]
    if isinstance(step, Turn):
        return [_rotation(step, layout)]
    return _phases(step, layout)


def _rotation(step: Turn, layout: Layout) -> Rotation:
    x, z, turns = layout.word(step.letters)
    imaginary = not (turns % 2)
    # <j0|P|j1> is 1 (real entries) or -i, both times the sign, where j0 has parity 0.
    sign = -1 if turns in (2, 3) else 1
    conditions = tuple(_condition(condition, layout) for condition in step.conditions)
    return Rotation(x, z, imaginary, sign, step.angle, conditions)


def _condition(condition: Condition, layout: Layout) -> tuple[int, int]:
    mask, offset = layout.parity(condition.wires)
    return mask, condition.value ^ offset


def _phases(step: Shift, layout: Layout) -> list[Rotation | Phase]:
    """A phase under k conditions is a product of 2^k phases on parities."""
    mask, offset = layout.parity(step.wires)
    base = -step.angle if offset else step.angle
    conditions = [_condition(condition, layout) for condition in step.conditions]
    made: list[Rotation | Phase] = []
    for chosen in itertools.product((0, 1), repeat=len(conditions)):
        whole, factor = mask, 0.5 ** len(conditions)
        for take, (extra, value) in zip(chosen, conditions, strict=True):
            if take:
                whole ^= extra
                factor = -factor if value else factor
        made.append(Phase(whole, base * factor))
    return made


def merged(phases: Iterable[Phase]) -> list[Phase]:
    """Phases on the same parity as one, without those that are nothing.

    Example:
        >>> merged([Phase(1, Angle(0.5)), Phase(1, Angle(-0.5))])
        []
    """
    angles: dict[int, Angle] = {}
    for phase in phases:
        angles[phase.mask] = angles.get(phase.mask, Angle()) + phase.angle
    made = []
    for mask, angle in angles.items():
        terms: dict[int, float] = {}
        for slot, coefficient in angle.terms:
            terms[slot] = terms.get(slot, 0.0) + coefficient
        kept = tuple((slot, c) for slot, c in terms.items() if c)
        if kept or angle.constant:
            made.append(Phase(mask, replace(angle, terms=kept)))
    return made
