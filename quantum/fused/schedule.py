"""A program's operations → few large steps and what their tensors are made of (floor 1 of fused).

Gates on single wires before anything else make a product state. After that, neighbouring gates are
gathered into matrices on at most four wires, permutations into one gather, diagonals into one
multiplication; what fits nowhere is a step of its own. Pure decisions: no tensor is computed here
but index tables.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Operation
from quantum.fused.steps import Dense, Gather, Phases, Rows, Single, Step
from quantum.states import statevector

__all__ = ["WIDEST", "Recipe", "Schedule", "schedule"]

WIDEST = 4  # wires of a dense step
_MOST = 14  # wires, above which diagonals stay apart


@dataclass(frozen=True)
class Recipe:
    """How a tensor is made: a small circuit whose operations have wires and slots from 0.

    Args:
        kind: The unitary matrix of a dense step, the matrices of rows, a diagonal, a parameter, or
            the state that the operations make of zeros.
        wires: The number of wires; of a parameter its number of dimensions.
        operations: With slots numbered as in ``slots`` of `Ingredient`.

    Example:
        >>> Recipe("dense", 1, (Operation("RX", (0,), (0,)),)).kind
        'dense'
    """

    kind: Literal["dense", "rows", "diagonal", "slot", "vector"]
    wires: int
    operations: tuple[Operation, ...]


@dataclass(frozen=True)
class Ingredient:
    """A recipe and the program's slots that it takes.

    Example:
        >>> Ingredient(Recipe("slot", 0, ()), (3,)).slots
        (3,)
    """

    recipe: Recipe
    slots: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Schedule:
    """What to do with a state.

    Args:
        wires: The number of wires.
        start: The factors of the first state, in the order of the wires.
        steps: The steps, in order.
        tensors: What the tensors of the steps are made of, in order.
        shared: Whether no tensor varies from row to row.

    Example:
        >>> schedule(1, [Operation("PauliX", (0,))], frozenset()).steps
        ()
    """

    wires: int
    start: tuple[Ingredient, ...]
    steps: tuple[Step, ...]
    tensors: tuple[Ingredient, ...]
    shared: bool


def schedule(
    wires: int, operations: Sequence[Operation], varying: frozenset[int], widest: int = WIDEST
) -> Schedule:
    """Gather operations into steps.

    Args:
        wires: The number of wires.
        operations: What is done to :math:`|0...0>`.
        varying: The slots that are different from row to row.
        widest: The most wires of a dense step.

    Example:
        >>> circuit = [Operation("RX", (w,), (w,)) for w in range(3)]
        >>> circuit += [Operation("PauliX", (1,), (), (0,), (True,))] + circuit
        >>> [type(step).__name__ for step in schedule(3, circuit, frozenset()).steps]
        ['Gather', 'Dense']
    """
    chains, rest = _prefix(wires, operations)
    start, order = _start(chains)
    builder = _Builder(wires, varying, widest)
    if order != list(range(wires)):
        builder.reorder(np.argsort(order).tolist())
    for operation, soft in zip(rest, _soft(rest), strict=True):
        builder.add(operation, soft)
    builder.flush()
    builder.emit_moves()
    shared = all(varying.isdisjoint(item.slots) for item in builder.tensors)
    return Schedule(wires, start, tuple(builder.steps), tuple(builder.tensors), shared)


def ingredient(
    kind: Literal["dense", "rows", "diagonal", "slot", "vector"],
    operations: Sequence[Operation],
    places: Sequence[int],
) -> Ingredient:
    """The recipe of ``operations`` on the wires ``places``.

    Example:
        >>> ingredient("dense", [Operation("RX", (5,), (7,))], [4, 5]).slots
        (7,)
    """
    local = {wire: number for number, wire in enumerate(places)}
    slots: list[int] = []
    made = []
    for operation in operations:
        own = tuple(range(len(slots), len(slots) + len(operation.slots)))
        slots += operation.slots
        targets = tuple(local[w] for w in operation.wires)
        controls = tuple(local[w] for w in operation.controls)
        made.append(replace(operation, wires=targets, controls=controls, slots=own))
    return Ingredient(Recipe(kind, len(places), tuple(made)), tuple(slots))


def _prefix(
    wires: int, operations: Sequence[Operation]
) -> tuple[list[list[Operation]], list[Operation]]:
    """Operations that make a product state, by factor; the others."""
    chains: dict[int, list[Operation]] = {wire: [] for wire in range(wires)}
    prepared: list[list[Operation]] = []
    open_wires = set(range(wires))
    rest = []
    for operation in operations:
        touched = operation.controls + operation.wires
        if operation.gate == "StatePrep":
            for wire in touched:
                chains.pop(wire)
            prepared.append([operation])
            open_wires.difference_update(touched)
        elif _is_plain(operation) and touched[0] in open_wires:
            chains[touched[0]].append(operation)
        else:
            open_wires.difference_update(touched)
            rest.append(operation)
    # `rest` keeps its order; what was moved in front of it acts on wires that it touches later.
    return [*prepared, *([*c] or [Operation("Identity", (w,))] for w, c in chains.items())], rest


def _soft(operations: Sequence[Operation]) -> list[bool]:
    """For each operation whether no matrix follows on its wires before a permutation or diagonal.

    A diagonal on one wire is then better multiplied together with others than into a matrix.
    """
    free: dict[int, bool] = {}
    soft = []
    for operation in reversed(operations):
        touched = operation.controls + operation.wires
        form = TABLE[operation.gate].form if operation.gate in TABLE else "other"
        alone = form == "diagonal" and len(touched) == 1
        soft.append(all(free.get(wire, True) for wire in touched))
        if not alone:
            free.update(dict.fromkeys(touched, form in ("permutation", "diagonal")))
    return soft[::-1]


def _start(chains: list[list[Operation]]) -> tuple[tuple[Ingredient, ...], list[int]]:
    """Factors sorted by their first wire, and the wires in the order of the product."""
    chains = sorted(chains, key=lambda chain: min(chain[0].wires))
    order = [wire for chain in chains for wire in chain[0].wires]
    return tuple(ingredient("vector", chain, chain[0].wires) for chain in chains), order


@dataclass
class _Block:
    """Operations on a few wires, waiting to become one matrix."""

    wires: tuple[int, ...]
    operations: list[Operation]
    rows: bool


@dataclass
class _Builder:
    """Steps made so far, blocks waiting, and permutations and diagonals waiting before them."""

    wires: int
    varying: frozenset[int]
    widest: int
    steps: list[Step] = field(default_factory=list)
    tensors: list[Ingredient] = field(default_factory=list)
    blocks: list[_Block] = field(default_factory=list)
    source: np.ndarray | None = None
    diagonals: list[tuple[Operation, np.ndarray]] = field(default_factory=list)

    def add(self, operation: Operation, soft: bool) -> None:
        """Put one operation where it costs least."""
        touched = operation.controls + operation.wires
        form = TABLE[operation.gate].form if operation.gate in TABLE else "other"
        own = [block for block in self.blocks if set(block.wires) & set(touched)]
        rows = not self.varying.isdisjoint(operation.slots)
        union = {w for block in own for w in block.wires} | set(touched)
        inside = len(own) == 1 and len(union) == len(own[0].wires)
        fits = len(touched) > 0 and operation.gate in TABLE and len(union) <= self.widest
        fits &= operation.gate != "PauliExponential"
        if rows or any(block.rows for block in own):
            fits &= len(union) == 1 and _is_plain(operation)
        if form == "permutation" or (form == "diagonal" and (soft or len(touched) > 1)):
            fits &= inside
        if fits:
            self._merge(operation, own, tuple(sorted(union)), rows)
        elif form == "permutation":
            self.flush()
            self._permute(operation)
        elif form == "diagonal" and (self.wires <= _MOST or not rows) and len(touched) <= 10:
            self.flush()
            self.diagonals.append((operation, self._entries(operation)))
        else:
            self._single(operation)

    def _merge(
        self, operation: Operation, own: list[_Block], wires: tuple[int, ...], rows: bool
    ) -> None:
        operations = [o for block in own for o in block.operations]
        self.blocks = [block for block in self.blocks if block not in own]
        rows = rows or any(block.rows for block in own)
        self.blocks.append(_Block(wires, [*operations, operation], rows))

    def _permute(self, operation: Operation) -> None:
        images = tuple(TABLE[operation.gate].build(like=torch.empty(0)).tolist())
        if operation.adjoint:
            images = tuple(int(place) for place in np.argsort(images))
        step = statevector.permutation(
            self.wires, images, operation.wires, operation.controls, operation.control_values
        )
        self.source = step if self.source is None else self.source[step]

    def _entries(self, operation: Operation) -> np.ndarray:
        """The entry of the diagonal for each amplitude, before the permutation that waits."""
        touched = operation.controls + operation.wires
        places = np.arange(2**self.wires)
        entries = np.zeros_like(places)
        for wire in touched:
            entries = 2 * entries + (places >> (self.wires - 1 - wire) & 1)
        if self.source is None:
            return entries
        moved = np.empty_like(entries)
        moved[self.source] = entries
        return moved

    def _single(self, operation: Operation) -> None:
        self.flush()
        self.emit_moves()
        slots = tuple(range(len(operation.slots)))
        cores = TABLE[operation.gate].core
        self.steps.append(
            Single(replace(operation, slots=slots), tuple(1 + core for core in cores))
        )
        for slot, core in zip(operation.slots, cores, strict=True):
            self.tensors.append(Ingredient(Recipe("slot", core, ()), (slot,)))

    def reorder(self, order: Sequence[int]) -> None:
        """Wait with a permutation of wires: axis k of the state becomes what ``order[k]`` was."""
        if list(order) == list(range(self.wires)):
            return
        places = np.arange(2**self.wires).reshape((2,) * self.wires)
        step = places.transpose(*order).reshape(-1)
        self.source = step if self.source is None else self.source[step]

    def emit_moves(self) -> None:
        """Make steps of the diagonals and the permutation that wait."""
        if self.diagonals:
            self._emit_diagonals()
        if self.source is not None and not np.array_equal(self.source, np.arange(2**self.wires)):
            back = np.argsort(self.source)
            self.steps.append(Gather(torch.as_tensor(self.source), torch.as_tensor(back)))
        self.source = None

    def _emit_diagonals(self) -> None:
        constant: torch.Tensor | None = None
        entries = []
        for operation, places in self.diagonals:
            touched = operation.controls + operation.wires
            made = ingredient("diagonal", [operation], touched)
            index = torch.as_tensor(places)
            if operation.slots:
                entries.append(index)
                self.tensors.append(made)
                continue
            diagonal = _constant(made.recipe)[index].unsqueeze(-1)
            constant = diagonal if constant is None else constant * diagonal
        self.steps.append(Phases(tuple(entries), constant, (2,) * len(entries)))
        self.diagonals = []

    def flush(self) -> None:
        """Make steps of the blocks that wait."""
        if not self.blocks:
            return
        dense = [block for block in self.blocks if not block.rows]
        groups = list(_packed(dense, self.widest))
        order = [wire for group in groups for block in group for wire in block.wires]
        if not _contiguous(groups):
            order += [wire for wire in range(self.wires) if wire not in order]
        else:
            order = list(range(self.wires))
        self.reorder(order)
        self.emit_moves()
        position = {wire: place for place, wire in enumerate(order)}
        for group in groups:
            places = [wire for block in group for wire in block.wires]
            operations = [o for block in group for o in block.operations]
            self.tensors.append(ingredient("dense", operations, places))
            self.steps.append(Dense(position[places[0]], len(places)))
        for block in self.blocks:
            if block.rows:
                self.tensors.append(ingredient("rows", block.operations, block.wires))
                self.steps.append(Rows(position[block.wires[0]]))
        self.blocks = []
        self.reorder(np.argsort(order).tolist())


def _is_plain(operation: Operation) -> bool:
    return (
        operation.gate in TABLE
        and operation.gate != "PauliExponential"
        and len(operation.wires) == 1
        and not operation.controls
    )


def _contiguous(groups: Sequence[Sequence[_Block]]) -> bool:
    for group in groups:
        places = [wire for block in group for wire in block.wires]
        if places != list(range(places[0], places[0] + len(places))):
            return False
    return True


def _packed(blocks: Sequence[_Block], widest: int) -> Iterator[list[_Block]]:
    """Blocks on disjoint wires side by side, at most ``widest`` wires together, evenly."""
    blocks = sorted(blocks, key=lambda block: block.wires)
    total = sum(len(block.wires) for block in blocks)
    left = -(-total // widest)
    group: list[_Block] = []
    for number, block in enumerate(blocks):
        group.append(block)
        size = sum(len(b.wires) for b in group)
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        even = -(-total // max(left, 1))
        if following is None or size >= even or size + len(following.wires) > widest:
            yield group
            total, left, group = total - size, left - 1, []


def _constant(recipe: Recipe) -> torch.Tensor:
    """The diagonal of a gate without parameters, controls first, in double precision."""
    (operation,) = recipe.operations
    like = torch.zeros((), dtype=torch.float64)
    gate = TABLE[operation.gate]
    made = gate.build(size=len(operation.wires), setting=operation.setting, like=like)
    made = made.conj() if operation.adjoint else made
    state = torch.ones(2**recipe.wires, dtype=torch.complex128)
    return statevector.apply_diagonal(
        state, made, operation.wires, operation.controls, operation.control_values
    )
