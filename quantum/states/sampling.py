"""Measurements with a finite number of shots (floor 2 of states).

What is measured is sorted into settings: one basis (X, Y or Z for each wire) that many observables
share, as qubit-wise commuting words of Pauli matrices do, or the eigenbasis of one observable. Each
setting gets its own shots. The probabilities of a setting's outcomes are computed exactly, by
whatever simulates the circuit; draws from them are all that a measurement sees.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from quantum.circuits.gates import TABLE
from quantum.circuits.program import Measurement, Operation, Term
from quantum.states.evolution import apply
from quantum.states.outcomes import bits, counted, draw, frequencies
from quantum.states.statevector import marginal

__all__ = ["estimates", "sealed"]

Slots = Sequence[Tensor]
Execute = Callable[[tuple[Measurement, ...]], list[Tensor]]
_BASES = {"PauliX": "X", "PauliY": "Y", "PauliZ": "Z", "DiagonalQubitUnitary": "Z"}


@dataclass(eq=False)
class _Setting:
    """One way to measure: a letter for each wire, or (no letters) the eigenbasis of ``terms``."""

    letters: dict[int, str] = field(default_factory=dict)
    terms: tuple[Term, ...] = ()
    rotations: tuple[Operation, ...] = ()

    @property
    def wires(self) -> tuple[int, ...]:
        if self.terms:
            return tuple(sorted({w for t in self.terms for f in t.factors for w in _acted(f)}))
        return tuple(sorted(self.letters))

    def accepts(self, letters: dict[int, str]) -> bool:
        own = not self.terms and not self.rotations
        return own and all(self.letters.get(w, letter) == letter for w, letter in letters.items())

    def request(self) -> Measurement:
        """What has to be known exactly for it."""
        if self.terms:
            return Measurement("density_matrix", self.wires)
        turned = [o for wire, letter in sorted(self.letters.items()) for o in _turn(wire, letter)]
        return Measurement("probs", self.wires, rotations=(*self.rotations, *turned))


@dataclass(eq=False)
class _Drawn:
    """The draws of a setting: numbers of outcomes ``(*batch, shots)``."""

    wires: tuple[int, ...]
    numbers: Tensor
    states: int
    eigenvalues: Tensor | None  # of the setting's own observable, ``(*lead, states)``

    @property
    def shares(self) -> Tensor:
        return frequencies(self.numbers, self.states)


def estimates(
    measurements: Sequence[Measurement],
    execute: Execute,
    slots: Slots,
    lead: Sequence[int],
    shots: int,
    generator: torch.Generator | None = None,
) -> list[Any]:
    """Estimates of ``measurements`` from ``shots`` draws for each setting; no gradients.

    Args:
        measurements: What is measured.
        execute: Gives exact answers to other measurements of the same circuit.
        slots: Parameter values in the precision of the state.
        lead: The leading dimensions of the answer; each row has draws of its own.
        shots: How many draws.
        generator: Where random numbers come from; None: torch's global generator.

    Returns:
        For each measurement ``(*lead, width)``; samples are ``(*lead, shots, wires)`` integers or
        ``(*lead, shots)`` eigenvalues, counts are nested lists of dictionaries.

    Raises:
        ValueError: A measurement has no meaning with shots.

    Example:
        >>> certain = lambda asked: [torch.tensor([0.0, 1.0])]
        >>> estimates([Measurement("sample", (0,))], certain, [], (), 2)
        [tensor([[1],
                [1]])]
    """
    settings: list[_Setting] = []
    plans = [_planned(measurement, settings) for measurement in measurements]
    with torch.no_grad():
        slots = [slot.detach() for slot in slots]
        answers = execute(tuple(setting.request() for setting in settings))
        drawn = [
            _drawn(setting, answer, slots, lead, shots, generator)
            for setting, answer in zip(settings, answers, strict=True)
        ]
        return [
            _answer(measurement, [(drawn[k], terms) for k, terms in parts], slots)
            for measurement, parts in zip(measurements, plans, strict=True)
        ]


def sealed(answer: Any, sources: Sequence[Tensor], gradient: str) -> Any:
    """``answer``, such that asking for its gradient raises instead of giving zeros.

    Args:
        answer: An estimate, or anything else, which is given back as it is.
        sources: What it was computed from.
        gradient: The gradient method of the plan.

    Example:
        >>> angle = torch.zeros((), requires_grad=True)
        >>> sealed(torch.ones(1), [angle], "none").requires_grad
        True
    """
    if not isinstance(answer, Tensor) or not answer.is_floating_point():
        return answer
    trained = [source for source in sources if source.requires_grad]
    return _Sealed.apply(gradient, answer, *trained) if trained else answer


class _Sealed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: str, answer: Tensor, *_: Tensor) -> Tensor:
        ctx.gradient = gradient
        return answer.clone()

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        raise NotImplementedError(
            f"this answer from shots has no gradient with gradient={ctx.gradient!r}: samples have "
            "none, and after postselection parameter shifts do not hold; use expval, var or probs "
            "with gradient='parameter-shift' or 'spsa', or leave shots out"
        )


def _planned(
    measurement: Measurement, settings: list[_Setting]
) -> list[tuple[int, tuple[Term, ...]]]:
    """The settings that a measurement needs, by number, with the terms that each of them serves."""
    if measurement.kind not in ("expval", "var", "probs", "sample", "counts"):
        raise ValueError(
            f"{measurement.kind} cannot be estimated from shots: leave shots out, or return "
            "expval, var, probs, sample or counts"
        )
    if not measurement.terms:
        letters = dict.fromkeys(measurement.wires, "Z")
        return [(_place(letters, (), measurement.rotations, settings), ())]
    units: list[tuple[Term, ...]] = [(term,) for term in measurement.terms]
    if measurement.kind != "expval":  # the whole observable is read in each shot
        units = [measurement.terms]
    return [(_place(_letters(unit), unit, (), settings), unit) for unit in units]


def _place(
    letters: dict[int, str] | None,
    terms: tuple[Term, ...],
    rotations: tuple[Operation, ...],
    settings: list[_Setting],
) -> int:
    """The number of a setting that serves these letters (None: the eigenbasis of ``terms``)."""
    if letters is None:
        settings.append(_Setting(terms=terms))
        return len(settings) - 1
    for number, setting in enumerate(settings):
        if not rotations and setting.accepts(letters):
            setting.letters.update(letters)
            return number
    settings.append(_Setting(dict(letters), rotations=rotations))
    return len(settings) - 1


def _letters(terms: Sequence[Term]) -> dict[int, str] | None:
    """The basis of each wire in which all ``terms`` are diagonal; None: there is none."""
    letters: dict[int, str] = {}
    for factor in (factor for term in terms for factor in term.factors):
        if factor.gate == "Identity":
            continue
        if factor.gate not in _BASES or factor.controls:
            return None
        letter = _BASES[factor.gate]
        if any(letters.setdefault(wire, letter) != letter for wire in factor.wires):
            return None
    return letters


def _turn(wire: int, letter: str) -> list[Operation]:
    """What rotates the eigenbasis of a Pauli matrix into the computational basis."""
    hadamard = Operation("Hadamard", (wire,))
    if letter == "Y":
        return [Operation("S", (wire,), adjoint=True), hadamard]
    return [hadamard] if letter == "X" else []


def _drawn(
    setting: _Setting,
    answer: Tensor,
    slots: Slots,
    lead: Sequence[int],
    shots: int,
    generator: torch.Generator | None,
) -> _Drawn:
    eigenvalues = None
    if setting.terms:
        observable = _dense(setting.terms, setting.wires, slots, answer)
        eigenvalues, basis = torch.linalg.eigh(observable)
        answer = torch.einsum("...ik,...ij,...jk->...k", basis.conj(), answer, basis).real
    chances = answer.expand(*lead, answer.shape[-1])
    return _Drawn(setting.wires, draw(chances, shots, generator), answer.shape[-1], eigenvalues)


def _answer(
    measurement: Measurement, parts: Sequence[tuple[_Drawn, tuple[Term, ...]]], slots: Slots
) -> Any:
    kind = measurement.kind
    if kind == "expval":
        return sum(_mean(drawn, _values(drawn, terms, slots)) for drawn, terms in parts)
    ((drawn, terms),) = parts
    if not terms:
        places = tuple(drawn.wires.index(wire) for wire in measurement.wires)
        if kind == "probs":
            return marginal(drawn.shares, places)
        read = bits(drawn.numbers, len(drawn.wires))[..., list(places)]
        return read if kind == "sample" else _tallied(read, measurement.all_outcomes)
    values = _values(drawn, terms, slots)
    if kind == "var":
        return _mean(drawn, values.square()) - _mean(drawn, values).square()
    spread = values.expand(*drawn.numbers.shape[:-1], values.shape[-1])
    if kind == "sample":
        return spread.gather(-1, drawn.numbers)
    rounded = torch.round(spread, decimals=10) + 0.0  # equal eigenvalues become one outcome
    names = {value: value for value in torch.unique(rounded).tolist()}
    return counted(rounded.gather(-1, drawn.numbers), names, measurement.all_outcomes)


def _mean(drawn: _Drawn, values: Tensor) -> Tensor:
    return (drawn.shares * values).sum(-1, keepdim=True)


def _tallied(read: Tensor, all_outcomes: bool) -> Any:
    wires = read.shape[-1]
    powers = 2 ** torch.arange(wires - 1, -1, -1, device=read.device)
    numbers = (read * powers).sum(-1)
    present = range(2**wires) if all_outcomes else torch.unique(numbers).tolist()
    names = {number: format(number, f"0{wires}b") for number in present}
    return counted(numbers, names, all_outcomes)


def _values(drawn: _Drawn, terms: Sequence[Term], slots: Slots) -> Tensor:
    """The value of an observable for each outcome of a setting, ``(*lead, states)``."""
    if drawn.eigenvalues is not None:
        return drawn.eigenvalues.double()
    outcomes = torch.arange(drawn.states, device=drawn.numbers.device)
    read = bits(outcomes, len(drawn.wires))
    total = torch.zeros(drawn.states, dtype=torch.float64, device=read.device)
    for term in terms:
        product = slots[term.coefficient].real.double().unsqueeze(-1)
        for factor in term.factors:
            if factor.gate == "Identity":
                continue
            places = [drawn.wires.index(wire) for wire in factor.wires]
            entry = (read[:, places] * 2 ** torch.arange(len(places) - 1, -1, -1).to(read)).sum(-1)
            diagonal = torch.tensor([1.0, -1.0], device=read.device)
            if factor.gate == "DiagonalQubitUnitary":
                diagonal = slots[factor.slots[0]].real
            product = product * diagonal.double().index_select(-1, entry)
        total = total + product
    return total


def _acted(operation: Operation) -> tuple[int, ...]:
    return operation.controls + operation.wires


def _dense(terms: Sequence[Term], wires: tuple[int, ...], slots: Slots, like: Tensor) -> Tensor:
    """An observable as a matrix ``(*lead, d, d)`` on ``wires``."""
    place = {wire: number for number, wire in enumerate(wires)}
    total = torch.zeros((), dtype=like.dtype, device=like.device)
    for term in terms:
        rows = torch.eye(2 ** len(wires), dtype=like.dtype, device=like.device)
        for factor in reversed(term.factors):
            local = replace(
                factor,
                wires=tuple(place[wire] for wire in factor.wires),
                controls=tuple(place[wire] for wire in factor.controls),
            )
            cores = TABLE[factor.gate].core
            wide = {
                slot: slots[slot].unsqueeze(slots[slot].dim() - core)
                for slot, core in zip(factor.slots, cores, strict=True)
            }
            numbered = replace(local, slots=tuple(range(len(wide))))
            rows = apply(rows, numbered, [wide[slot] for slot in factor.slots])
        total = total + slots[term.coefficient][..., None, None] * rows.mT
    return total
