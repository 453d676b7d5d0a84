"""The tensors of a schedule from the arguments of a circuit (floor 2 of fused).

Everything of one recipe is made together, in one batch: all rotations of all layers cost as many
calls as one rotation. Plain differentiable PyTorch on small tensors.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Operation
from quantum.fused.schedule import Ingredient, Recipe
from quantum.shapes import broadcast_shapes
from quantum.states import statevector
from quantum.states.evolution import evolve
from quantum.tracing.recording import Recording

__all__ = ["Parameters", "made", "product"]


class Parameters:
    """The slots of a program, as columns ``(slots, *lead, rows or 1, *core)``.

    Args:
        recording: How arguments become slots.
        arguments: The circuit's arguments, ``(*lead, *core)``.
        precision: complex64 or complex128.
        lead: The leading dimensions of all arguments that are used.
        split: How many of them, from the left, stay leading dimensions; the others become rows.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> recording = record(lambda x: [x[0], x[1]], [(2,)])
        >>> x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> Parameters(recording, [x], torch.complex64, (2,), 0).column((0, 1))
        tensor([[1., 3.],
                [2., 4.]])
    """

    def __init__(
        self,
        recording: Recording,
        arguments: Sequence[Tensor],
        precision: torch.dtype,
        lead: Sequence[int],
        split: int,
    ) -> None:
        self.recording = recording
        self.arguments = arguments
        self.precision = precision
        self.lead = tuple(lead)
        self.split = split
        self._flat: dict[int, Tensor] = {}
        self._all: list[Tensor] | None = None

    @functools.cached_property
    def like(self) -> Tensor:
        """A real tensor of the precision and device of everything that is made."""
        device = self.arguments[0].device if self.arguments else None
        return torch.zeros((), dtype=self.precision.to_real(), device=device)

    def every(self) -> list[Tensor]:
        """All slots, ``(*lead, *core)`` each, in the precision asked for."""
        if self._all is None:
            real = self.precision.to_real()
            slots = self.recording.replay(list(self.arguments))
            self._all = [s.to(self.precision if s.is_complex() else real) for s in slots]
        return self._all

    def column(self, slots: tuple[int, ...], core: int = 0) -> Tensor:
        """These slots, ``(slots, *lead, rows or 1, *core)``."""
        picked = _picked(self.recording)
        places = [picked[slot] for slot in slots if slot in picked]
        if len(places) == len(slots) and len({argument for argument, _ in places}) == 1:
            flat = self._flattened(places[0][0])
            return self._aligned(_chosen(flat, tuple(place for _, place in places)), 0)
        values = [self.every()[slot] for slot in slots]
        shape = broadcast_shapes(*[v.shape[: v.dim() - core] for v in values])
        stacked = torch.stack([v.expand((*shape, *v.shape[v.dim() - core :])) for v in values])
        return self._aligned(stacked, core)

    def _flattened(self, argument: int) -> Tensor:
        """An argument as ``(entries, *lead)``."""
        if argument not in self._flat:
            tensor, shape = self.arguments[argument], self.recording.shapes[argument]
            lead = tensor.shape[: tensor.dim() - len(shape)]
            flat = tensor.reshape(*lead, math.prod(shape)).to(self.precision.to_real())
            self._flat[argument] = flat.movedim(-1, 0).contiguous() if lead else flat
        return self._flat[argument]

    def _aligned(self, values: Tensor, core: int) -> Tensor:
        """``(slots, *own lead, *core)`` → ``(slots, *lead, rows or 1, *core)``."""
        end = values.dim() - core
        own: tuple[int, ...] = tuple(values.shape[1:end])
        cores = values.shape[end:]
        own = (*[1] * (len(self.lead) - len(own)), *own)
        front, rows = own[: self.split], own[self.split :]
        if math.prod(rows) == 1 or rows == self.lead[self.split :]:
            return values.reshape(len(values), *front, math.prod(rows), *cores)
        values = values.reshape(len(values), *own, *cores)
        rows = self.lead[self.split :]
        return values.expand(len(values), *front, *rows, *cores).reshape(
            len(values), *front, math.prod(rows), *cores
        )


@functools.lru_cache(maxsize=256)
def _picked(recording: Recording) -> dict[int, tuple[int, int]]:
    """Slots that are one entry of an argument: the argument and the position."""
    return {slot: (a, int(p)) for slot, a, p in recording.gathers if p.dim() == 0}


def _chosen(flat: Tensor, positions: tuple[int, ...]) -> Tensor:
    """Rows of ``flat``: a slice where the positions are evenly spaced."""
    first, step = positions[0], positions[1] - positions[0] if len(positions) > 1 else 1
    if step > 0 and positions == tuple(range(first, first + step * len(positions), step)):
        return flat[first : positions[-1] + 1 : step]
    return flat.index_select(0, torch.tensor(positions, device=flat.device))


def made(ingredients: Sequence[Ingredient], parameters: Parameters) -> list[Tensor]:
    """The tensor of each ingredient.

    Matrices ``(*lead, d, d)``, matrices of rows ``(*lead, 2, 2, rows)``, diagonals and states
    ``(*lead, d, rows or 1)``, parameters ``(*lead, rows or 1, *core)``.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> parameters = Parameters(record(lambda x: [], [(1,)]), [], torch.complex64, (), 0)
        >>> flip = Ingredient(Recipe("vector", 1, (Operation("PauliX", (0,)),)), ())
        >>> made([flip], parameters)[0].flatten()
        tensor([0.+0.j, 1.+0.j])
    """
    alike: dict[object, list[int]] = {}
    for number, item in enumerate(ingredients):
        alike.setdefault((item.recipe, _leads(item, parameters)), []).append(number)
    tensors: list[Tensor] = [torch.empty(0)] * len(ingredients)
    for numbers in alike.values():
        recipe = ingredients[numbers[0]].recipe
        slots = [ingredients[number].slots for number in numbers]
        stacked = _made(recipe, slots, parameters)
        if stacked.shape[0] == 1:
            parts = [stacked.squeeze(0)] * len(numbers)
        else:
            parts = list(stacked.unbind(0))
        for number, part in zip(numbers, parts, strict=True):
            tensors[number] = part
    return tensors


def _leads(item: Ingredient, parameters: Parameters) -> tuple[object, ...]:
    """What must be alike for tensors to be made together: where their parameters come from."""
    picked = _picked(parameters.recording)
    return tuple(
        picked[slot][0]
        if slot in picked
        else (parameters.every()[slot].shape, parameters.every()[slot].dtype)
        for slot in item.slots
    )


def _made(recipe: Recipe, slots: Sequence[tuple[int, ...]], parameters: Parameters) -> Tensor:
    """All tensors of one recipe, stacked (or one, where they take no parameters)."""
    if recipe.kind == "slot":
        return parameters.column(tuple(s[0] for s in slots), recipe.wires)
    if recipe.kind == "dense":
        return _dense(recipe, slots, parameters).squeeze(-3)
    if recipe.kind == "rows":
        matrix = _chain(recipe.operations, slots, parameters)
        return matrix.movedim(-3, -1).contiguous()
    columns = _columns(recipe.operations, slots, parameters)
    if recipe.kind == "vector":
        return _ranked(_vector(recipe.operations, columns, parameters.like), parameters, 1).mT
    return _diagonal(recipe, columns, parameters.like).mT


def _columns(
    operations: Sequence[Operation], slots: Sequence[tuple[int, ...]], parameters: Parameters
) -> list[Tensor]:
    columns = []
    for operation in operations:
        cores = (1,) if operation.gate == "StatePrep" else TABLE[operation.gate].core
        for slot, core in zip(operation.slots, cores, strict=True):
            columns.append(parameters.column(tuple(s[slot] for s in slots), core))
    return columns


def _dense(recipe: Recipe, slots: Sequence[tuple[int, ...]], parameters: Parameters) -> Tensor:
    """Matrices ``(stack or 1, *lead, 1, d, d)``."""
    plain, numbers, alike = _chains(recipe)
    if not plain:
        return _evolved(recipe, _columns(recipe.operations, slots, parameters), parameters)
    if not alike:
        picked = [[tuple(s[n] for n in own) for s in slots] for own in numbers]
        pairs = zip(plain, picked, strict=True)
        return functools.reduce(_outer, [_chain(c, own, parameters) for c, own in pairs])
    # Alike on all wires: one stack of all chains, then products of neighbours.
    flat = [tuple(s[n] for n in own) for s in slots for own in numbers]
    single = _chain(plain[0], flat, parameters)
    if single.shape[0] == 1:
        return _kron(single.expand(len(plain), *single.shape[1:]).unsqueeze(1))
    return _kron(single.unflatten(0, (len(slots), len(plain))).transpose(0, 1))


Chains = tuple[list[list[Operation]], list[list[int]], bool]


@functools.lru_cache(maxsize=1024)
def _chains(recipe: Recipe) -> Chains:
    """Operations by wire, their slots, whether all wires are alike; empty where wires meet."""
    chains: list[list[Operation]] = [[] for _ in range(recipe.wires)]
    for operation in recipe.operations:
        if len(operation.wires) != 1 or operation.controls:
            return [], [], False
        chains[operation.wires[0]].append(operation)
    numbers = [[slot for o in chain for slot in o.slots] for chain in chains]
    plain = [_renumbered(chain) for chain in chains]
    return plain, numbers, all(chain == plain[0] for chain in plain)


def _renumbered(chain: Sequence[Operation]) -> list[Operation]:
    made, start = [], 0
    for operation in chain:
        slots = tuple(range(start, start + len(operation.slots)))
        made.append(replace(operation, wires=(0,), slots=slots))
        start += len(slots)
    return made


def _outer(left: Tensor, right: Tensor) -> Tensor:
    r""":math:`A \otimes B` of matrices."""
    size = left.shape[-1] * right.shape[-1]
    made = left.unsqueeze(-2).unsqueeze(-1) * right.unsqueeze(-2).unsqueeze(-4)
    return made.reshape((*made.shape[:-4], size, size))


def _kron(parts: Tensor) -> Tensor:
    """The product of ``(count, ...)`` matrices in order."""
    last: list[Tensor] = []
    while (count := parts.shape[0]) > 1:
        if count % 2:
            last.append(parts[-1])
            parts = parts[:-1]
        parts = _outer(*parts.unflatten(0, (count // 2, 2)).unbind(1))
    return functools.reduce(_outer, [parts.squeeze(0), *reversed(last)])


def _gate(operation: Operation, columns: Sequence[Tensor], like: Tensor) -> tuple[str, Tensor]:
    """A gate on one wire as a diagonal ``(..., 2)`` or a matrix ``(..., 2, 2)``."""
    gate = TABLE[operation.gate]
    own = [columns[slot] for slot in operation.slots]
    built = gate.build(*own, size=len(operation.wires), setting=operation.setting, like=like)
    if gate.form == "permutation":
        images = built.tolist()
        built = torch.zeros(len(images), len(images), dtype=torch.complex64)
        built[images, range(len(images))] = 1
        built = built.to(like.device).to(torch.promote_types(like.dtype, torch.complex64))
    if gate.form == "word":
        letter = {"I": "Identity", "X": "PauliX", "Y": "PauliY", "Z": "PauliZ"}[operation.setting]
        kind, word = _gate(Operation(letter, (0,)), [], like)
        word = torch.diag(word) if kind == "diagonal" else word
        identity = torch.eye(2, dtype=word.dtype, device=word.device)
        built = built[..., 0, None, None] * identity + built[..., 1, None, None] * word
    if gate.form == "diagonal":
        return "diagonal", built.conj() if operation.adjoint else built
    return "matrix", built.mH if operation.adjoint else built


def _chain(
    operations: Sequence[Operation], slots: Sequence[tuple[int, ...]], parameters: Parameters
) -> Tensor:
    """The product of gates on one wire, ``(stack or 1, *lead, rows or 1, 2, 2)``."""
    columns, like = _columns(operations, slots, parameters), parameters.like
    form, total = _gate(operations[0], columns, like)
    for operation in operations[1:]:
        kind, gate = _gate(operation, columns, like)
        if kind == form == "diagonal":
            total = gate * total
        elif kind == "diagonal":
            total = gate.unsqueeze(-1) * total
        elif form == "diagonal":
            form, total = "matrix", gate * total.unsqueeze(-2)
        else:
            total = (gate.unsqueeze(-1) * total.unsqueeze(-3)).sum(-2)
    total = torch.diag_embed(total) if form == "diagonal" else total
    return _ranked(total, parameters, 2)


def _ranked(tensor: Tensor, parameters: Parameters, core: int) -> Tensor:
    """Stack, leading and row dimensions of 1 where a tensor without parameters lacks them."""
    missing = 2 + parameters.split + core - tensor.dim()
    return tensor.reshape(*[1] * missing, *tensor.shape)


def _vector(operations: Sequence[Operation], columns: Sequence[Tensor], like: Tensor) -> Tensor:
    """The state ``(stack or 1, *lead, rows or 1, d)`` that gates make of zeros."""
    first = operations[0]
    if first.gate == "StatePrep":
        return columns[0].to(torch.promote_types(like.dtype, torch.complex64))
    kind, gate = _gate(first, columns, like)
    if kind == "diagonal":
        zero = torch.zeros_like(gate)
        vector = torch.stack([gate[..., 0], zero[..., 1]], -1)
    else:
        vector = gate[..., 0]
    for operation in operations[1:]:
        kind, gate = _gate(operation, columns, like)
        diagonal = kind == "diagonal"
        vector = gate * vector if diagonal else (gate * vector.unsqueeze(-2)).sum(-1)
    return vector


def _diagonal(recipe: Recipe, columns: Sequence[Tensor], like: Tensor) -> Tensor:
    """The diagonal ``(stack, *lead, rows or 1, d)`` of one gate, controls as wires."""
    (operation,) = recipe.operations
    gate = TABLE[operation.gate]
    own = [columns[slot] for slot in operation.slots]
    built = gate.build(*own, size=len(operation.wires), setting=operation.setting, like=like)
    built = built.conj() if operation.adjoint else built
    ones = torch.ones(2**recipe.wires, dtype=built.dtype, device=built.device)
    return statevector.apply_diagonal(
        ones, built, operation.wires, operation.controls, operation.control_values
    )


def _evolved(recipe: Recipe, columns: Sequence[Tensor], parameters: Parameters) -> Tensor:
    """The matrices of a small circuit, its columns being the states it makes of basis states."""
    size = 2**recipe.wires
    identity = torch.eye(size, dtype=parameters.precision, device=parameters.like.device)
    made = evolve(identity, recipe.operations, columns).mT
    return _ranked(made.unsqueeze(-3), parameters, 2)


def product(factors: Sequence[Tensor]) -> Tensor:
    """The product state ``(*lead, 2^n, rows)`` of factors ``(*lead, d, rows or 1)``.

    Example:
        >>> product([torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [5.0]])]).flatten()
        tensor([ 3.,  5.,  6., 10.])
    """
    if len(factors) > 3 and len({factor.shape for factor in factors}) == 1:
        half = len(factors) // 2
        pairs = torch.stack(list(factors[: 2 * half])).unflatten(0, (half, 2)).unbind(1)
        return product([*_joined(*pairs).unbind(0), *factors[2 * half :]])
    if len(factors) == 1:
        return factors[0]
    half = len(factors) // 2
    return _joined(product(factors[:half]), product(factors[half:]))


def _joined(left: Tensor, right: Tensor) -> Tensor:
    return (left.unsqueeze(-2) * right.unsqueeze(-3)).flatten(-3, -2)
