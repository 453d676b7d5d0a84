"""Programs in the form that the compiled kernel reads (floor 3 of the kernel)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from quantum.circuits.program import Measurement, Operation, Program
from quantum.kernels.arrangement import Arrangement, arrange
from quantum.kernels.combinations import Combination, Product, Source, combinations
from quantum.kernels.lowering import Layout, Phase, Rotation, Word, lower
from quantum.kernels.rotations import Angle

__all__ = ["Compiled", "compiled"]

_PAULIS = {"PauliX": "X", "PauliY": "Y", "PauliZ": "Z"}


@dataclass(frozen=True, eq=False)
class Compiled:
    """What the kernel needs to know of a program.

    Args:
        code: Whole numbers, in the order in which the kernel reads them.
        reals: Real numbers, likewise.
        arrays: The arrays that are read, as numbered by `quantum.kernels.combinations.Source`.
        picked: For each of them the positions that are read, None for the whole of an argument.
        words: The Pauli words whose expectations are computed, each as the gates of the word; None:
            the state is computed.
        sums: For each output the slots of coefficients and the words they belong to; None where
            output k is word k.

    Example:
        >>> Compiled(
        ...     np.zeros(1, dtype=np.int64), np.zeros(0), (0,), (None,), None, None
        ... ).words is None
        True
    """

    code: np.ndarray
    reals: np.ndarray
    arrays: tuple[int, ...]
    picked: tuple[tuple[int, ...] | None, ...]
    words: tuple[tuple[Operation, ...], ...] | None
    sums: tuple[tuple[tuple[int, int], ...], ...] | None


def compiled(program: Program) -> Compiled | None:
    """``program`` for the kernel, None where it contains what the kernel does not run.

    Example:
        >>> from quantum.circuits.program import Operation, Term
        >>> from quantum.tracing.recorder import record
        >>> turn = Operation("RY", (0,), (0,))
        >>> read = Measurement("expval", terms=(Term(1, (Operation("PauliZ", (0,)),)),))
        >>> made = compiled(Program(1, (turn,), (read,), record(lambda x: [x[0], 1.0], [(1,)])))
        >>> len(made.words), made.sums
        (1, None)
    """
    lowered = lower(program)
    if lowered is None or program.wires > 40:
        return None
    operations, layout = lowered
    constants, sources = _slots(program)
    if any(slot not in constants and slot not in sources for slot in _used(operations)):
        return None
    found = _words(program.measurements, layout, constants)
    words = None if found is None else found[0]
    arrangement = arrange(operations, words)
    writer = _Writer(constants, sources, len(program.recording.shapes))
    writer.program(program, arrangement, words or [], layout)
    return Compiled(
        np.array(writer.code, dtype=np.int64),
        np.array(writer.reals, dtype=np.float64),
        tuple(writer.arrays),
        tuple(writer.picked),
        None if found is None else found[1],
        None if found is None else found[2],
    )


def _used(operations: Iterable[Rotation | Phase]) -> set[int]:
    return {slot for operation in operations for slot, _ in operation.angle.terms}


def _slots(program: Program) -> tuple[dict[int, float], dict[int, Combination]]:
    """Slots with a constant value, and how the others are computed from what is read."""
    recording = program.recording
    constants = {
        slot: float(value.real)
        for slot, value in recording.constants
        if value.dim() == 0 and not (value.is_complex() and bool(value.imag))
    }
    sources = {
        slot: _alone(argument, int(position))
        for slot, argument, position in recording.gathers
        if position.dim() == 0
    }
    for number, group in enumerate(recording.groups):
        for position, slot in enumerate(group.slots):
            sources[slot] = _alone(len(recording.shapes) + number, position)
    return constants, sources | combinations(recording)


def _alone(array: int, position: int) -> Combination:
    return Combination(0.0, ((Source(array, position), 1.0),))


Sums = tuple[tuple[tuple[int, int], ...], ...]
Observed = tuple[list[Word], tuple[tuple[Operation, ...], ...], Sums | None]


def _words(
    measurements: Sequence[Measurement], layout: Layout, constants: dict[int, float]
) -> Observed | None:
    """The words that are observed, sorted by x, their gates, and the sums to be made of them."""
    gates: dict[Word, tuple[Operation, ...]] = {}
    sums: list[list[tuple[int, Word]]] = []
    for measurement in measurements:
        if measurement.kind != "expval":
            return None
        members = []
        for term in measurement.terms:
            factors = tuple(f for f in term.factors if f.gate != "Identity")
            wires = [wire for factor in factors for wire in factor.wires]
            plain = all(f.gate in _PAULIS and not f.controls for f in factors)
            if not plain or len(set(wires)) < len(wires):
                return None
            word = Word(*layout.word([(_PAULIS[f.gate], f.wires[0]) for f in factors]))
            gates[word] = factors
            members.append((term.coefficient, word))
        sums.append(members)
    simple = all(len(m) == 1 and constants.get(m[0][0]) == 1.0 for m in sums)
    chosen = [word for members in sums for _, word in members] if simple else list(gates)
    order = sorted(chosen, key=lambda word: word.x)
    observed = tuple(gates[word] for word in order)
    if simple and order == chosen:
        return order, observed, None
    places = {word: place for place, word in enumerate(order)}
    return order, observed, tuple(tuple((slot, places[w]) for slot, w in m) for m in sums)


class _Writer:
    """Collects the numbers that the kernel reads."""

    def __init__(
        self, constants: dict[int, float], sources: dict[int, Combination], arguments: int
    ) -> None:
        self.constants = constants
        self.sources = sources
        self.arguments = arguments
        self.picked: list[tuple[int, ...] | None] = []
        self.code: list[int] = []
        self.reals: list[float] = []
        self.arrays: list[int] = []
        self.parameters: dict[Source, int] = {}
        self.products: dict[Product, int] = {}
        self.angles: dict[tuple[float, tuple[tuple[Source | Product, float], ...]], int] = {}

    def angle(self, angle: Angle) -> int:
        """The number of an angle, constants folded in."""
        constant = angle.constant
        terms: dict[Source | Product, float] = {}
        for slot, coefficient in angle.terms:
            if slot in self.constants:
                constant += coefficient * self.constants[slot]
                continue
            combination = self.sources[slot]
            constant += coefficient * combination.constant
            for item, factor in combination.terms:
                terms[item] = terms.get(item, 0.0) + coefficient * factor
        for item in terms:
            if isinstance(item, Source):
                self.parameters.setdefault(item, len(self.parameters))
                continue
            self.products.setdefault(item, len(self.products))
            for source in (source for form in item for source, _ in form.terms):
                self.parameters.setdefault(source, len(self.parameters))
        return self.angles.setdefault((constant, tuple(terms.items())), len(self.angles))

    def affine(self, constant: float, terms: Sequence[tuple[Source | Product, float]]) -> None:
        """A constant and multiples of parameters and products, which are numbered after them."""
        self.reals.append(constant)
        self.code.append(len(terms))
        for item, coefficient in terms:
            if isinstance(item, Source):
                self.code.append(self.parameters[item])
            else:
                self.code.append(len(self.parameters) + self.products[item])
            self.reals.append(coefficient)

    def program(
        self, program: Program, arrangement: Arrangement, words: Sequence[Word], layout: Layout
    ) -> None:
        """Everything, in the order in which the kernel reads it."""
        body: list[int] = [len(arrangement.links)]
        for link in arrangement.links:
            body += [link.bit, link.letter, link.sign, self.angle(link.operation.angle)]
        flat = [operation for group in arrangement.groups for operation in group]
        phases = [o for o in flat if isinstance(o, Phase)]
        rotations = [o for o in flat if isinstance(o, Rotation)]
        body.append(len(phases))
        for phase in phases:
            body += [phase.mask, self.angle(phase.angle)]
        body.append(len(rotations))
        for r in rotations:
            body += [r.x, r.z, int(r.imaginary), r.sign, self.angle(r.angle), len(r.conditions)]
            body += [number for condition in r.conditions for number in condition]
        body += self.groups(arrangement)
        body.append(len(words))
        body += [number for word in words for number in (word.x, word.z, word.turns)]
        body += layout.flips[::-1]
        body.append(layout.origin())
        # Arguments that nothing depends on are read too: their gradient is zero, not missing.
        used = {source.array for source in self.parameters}
        self.arrays = sorted(used | set(range(self.arguments)))
        self.picked = [
            tuple(sorted({s.position for s in self.parameters if s.array == array}))
            if array >= self.arguments
            else None
            for array in self.arrays
        ]
        self.code = [program.wires, len(self.arrays), len(self.parameters)]
        for source in self.parameters:
            place = self.arrays.index(source.array)
            picked = self.picked[place]
            position = source.position if picked is None else picked.index(source.position)
            self.code += [place, position]
        self.code.append(len(self.products))
        for product in self.products:
            self.code.append(len(product))
            for form in product:
                self.affine(form.constant, form.terms)
        self.code.append(len(self.angles))
        for constant, terms in self.angles:
            self.affine(constant, terms)
        self.code += body

    @staticmethod
    def groups(arrangement: Arrangement) -> list[int]:
        """Kind and members of each group; members are numbered through all groups of a kind."""
        made = [len(arrangement.groups)]
        counts = [0, 0]
        for group in arrangement.groups:
            diagonal = int(isinstance(group[0], Phase))
            made += [diagonal, len(group)]
            made += range(counts[diagonal], counts[diagonal] + len(group))
            counts[diagonal] += len(group)
        return made
