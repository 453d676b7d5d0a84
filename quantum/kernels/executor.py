"""A program in the compiled kernel, from the circuit's arguments to its answers (floor 5)."""

import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

from quantum.circuits.program import Measurement, Program, Term
from quantum.kernels.compiled import Compiled, compiled
from quantum.kernels.function import Executable
from quantum.kernels.library import Circuit, load
from quantum.states import statevector
from quantum.states.evolution import evolve
from quantum.states.measure import measure

__all__ = ["Executor", "executor"]

_KNOWN: "weakref.WeakKeyDictionary[Program, Executor | None]" = weakref.WeakKeyDictionary()


def executor(program: Program) -> "Executor | None":
    """The executor of ``program``; None where the kernel is missing or does not run it.

    Example:
        >>> from quantum.tracing.recorder import record
        >>> empty = Program(1, (), (Measurement("probs", (0,)),), record(lambda x: [], [(1,)]))
        >>> executor(empty) is executor(empty)
        True
    """
    if program not in _KNOWN:
        library = load()
        made = None if library is None or not _usual(program) else compiled(program)
        _KNOWN[program] = (
            None
            if made is None or library is None
            else Executor(program, made, Circuit(library, made.code, made.reals))
        )
    return _KNOWN[program]


def _usual(program: Program) -> bool:
    return all(m.kind in ("expval", "var", "probs") for m in program.measurements)


class Executor:
    """Runs a program whose gates and measurements the kernel knows.

    Args:
        program: What is run.
        made: Its compiled form.
        circuit: That form in the library.

    Example:
        >>> from quantum.circuits.program import Operation
        >>> from quantum.tracing.recorder import record
        >>> turn = Operation("RY", (0,), (0,))
        >>> asked = (Measurement("probs", (0,)),)
        >>> made = executor(Program(1, (turn,), asked, record(lambda x: [x[0]], [(1,)])))
        >>> made is None or made.run([torch.zeros(1)], torch.complex64, True)[0].tolist() == [1, 0]
        True
    """

    def __init__(self, program: Program, made: Compiled, circuit: Circuit) -> None:
        self.recording = program.recording
        self.operations = program.operations
        self.measurements = program.measurements
        self.wires = program.wires
        self.made = made
        count = len(self.recording.shapes)
        cores = [
            self.recording.shapes[array] if picked is None else (len(picked),)
            for array, picked in zip(made.arrays, made.picked, strict=True)
        ]
        self.executable = Executable(made, circuit, program.wires, cores, self._reference)
        self.direct = all(array < count for array in made.arrays)
        self.mixing = _mixing(made, program)
        self.simple = made.words is not None and (made.sums is None or self.mixing is not None)
        self._observed = (
            (Measurement("state", tuple(range(program.wires))),)
            if made.words is None
            else tuple(Measurement("expval", terms=(Term(self.slots, w),)) for w in made.words)
        )

    def run(
        self, arguments: Sequence[Tensor], precision: torch.dtype, automatic: bool
    ) -> list[Tensor]:
        """The answer of each measurement, ``(*batch, width)``.

        Args:
            arguments: The circuit's arguments, each ``(*lead, *core)``.
            precision: complex64 or complex128.
            automatic: Second derivatives by automatic differentiation in PyTorch; False: they
                raise.
        """
        real = precision.to_real()
        if self.direct and self.simple:
            return list(self.words(arguments, real, automatic).split(1, -1))
        slots = self.recording.replay(list(arguments))
        values = [slot.to(precision if slot.is_complex() else real) for slot in slots]
        answer = self.executable(self._arrays(arguments, values, real), real, automatic)
        if self.made.words is None:
            return measure(answer, self.measurements, values)
        if self.simple:
            return list(self.mixed(answer).split(1, -1))
        return [
            torch.stack(
                torch.broadcast_tensors(
                    *[values[slot].real * answer[..., word] for slot, word in members]
                )
            )
            .sum(0)
            .unsqueeze(-1)
            for members in self.made.sums or ()
        ]

    def words(self, arguments: Sequence[Tensor], real: torch.dtype, automatic: bool) -> Tensor:
        """All answers in one tensor, of a program that is `direct` and `simple`."""
        arrays = [arguments[k] for k in self.made.arrays]
        if any(array.dtype != real for array in arrays):
            arrays = [_as_real(array, real) for array in arrays]
        return self.mixed(self.executable(arrays, real, automatic))

    def mixed(self, answer: Tensor) -> Tensor:
        """The measured sums of the words' expectations, of a program that is `simple`."""
        return answer if self.mixing is None else answer @ self.mixing.to(answer.dtype)

    def _arrays(
        self, arguments: Sequence[Tensor], values: Sequence[Tensor], real: torch.dtype
    ) -> list[Tensor]:
        arrays = []
        for array, picked in zip(self.made.arrays, self.made.picked, strict=True):
            if picked is None:
                arrays.append(_as_real(arguments[array], real))
                continue
            slots = self.recording.groups[array - len(self.recording.shapes)].slots
            arrays.append(torch.stack([values[slots[k]].real for k in picked], -1))
        return arrays

    def _reference(self, *arrays: Tensor) -> Tensor:
        """What the kernel computes of these arrays, in PyTorch, with all its derivatives."""
        real = arrays[0].dtype if arrays else torch.float64
        values: list[Tensor] = [torch.ones((), dtype=real)] * self.slots
        for slot, value in self.recording.constants:
            values[slot] = value.to(real.to_complex() if value.is_complex() else real)
        count = len(self.recording.shapes)
        read = dict(zip(self.made.arrays, self.made.picked, strict=True))
        for number, group in enumerate(self.recording.groups):
            if len(read.get(count + number) or ()) < len(group.slots):  # computed in the kernel
                for slot, value in self.recording.computed(group, arrays[:count]).items():
                    values[slot] = value.real.to(real)
        for array, picked, tensor in zip(self.made.arrays, self.made.picked, arrays, strict=True):
            if picked is not None:
                slots = self.recording.groups[array - count].slots
                for place, k in enumerate(picked):
                    values[slots[k]] = tensor[..., place]
                continue
            core = self.recording.shapes[array]
            flat = tensor.reshape(*tensor.shape[: tensor.dim() - len(core)], -1)
            for slot, argument, position in self.recording.gathers:
                if argument == array and position.dim() == 0:
                    values[slot] = flat[..., int(position)]
        state = statevector.ground(self.wires, real.to_complex(), torch.device("cpu"))
        state = evolve(state, self.operations, values)
        values.append(torch.ones((), dtype=real))
        return torch.cat(torch.broadcast_tensors(*measure(state, self._observed, values)), -1)

    @property
    def slots(self) -> int:
        """The number of slots of the program."""
        recording = self.recording
        return (
            len(recording.constants)
            + len(recording.gathers)
            + sum(len(group.slots) for group in recording.groups)
        )


def _mixing(made: Compiled, program: Program) -> Tensor | None:
    """The matrix from words to outputs; None where outputs are words or coefficients vary."""
    if made.words is None or made.sums is None:
        return None
    known = {slot: value for slot, value in program.recording.constants if value.dim() == 0}
    matrix = torch.zeros(len(made.words), len(made.sums), dtype=torch.float64)
    for output, members in enumerate(made.sums):
        for slot, word in members:
            if slot not in known or bool(known[slot].imag if known[slot].is_complex() else 0):
                return None
            matrix[word, output] += float(known[slot].real)
    return matrix


def _as_real(argument: Tensor, real: torch.dtype) -> Tensor:
    """An argument as the kernel reads it; matrices, which may be complex, are only passed along."""
    return (argument.real if argument.is_complex() else argument).to(real)
