"""PennyLane measurements with a finite number of shots (floor 2 of scripts).

Measurements that one basis can answer share their samples: the engine gives the probabilities of
basis states after the rotation into that basis, samples are drawn from them, and PennyLane's own
measurement processes turn samples into results.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import (
    ClassicalShadowMP,
    ExpectationMP,
    MeasurementProcess,
    ProbabilityMP,
    ShadowExpvalMP,
    Shots,
)
from pennylane.operation import Operator
from pennylane.ops import LinearCombination, Prod, SProd, Sum
from pennylane.wires import Wires

from quantum.scripts.script import Basis, Exact, read
from quantum.simulators import StateVector

__all__ = ["Arrangement", "arranged", "draw", "partitioned", "sampled"]

_LETTERS = {"PauliX": "X", "PauliY": "Y", "PauliZ": "Z", "Identity": "I"}
_SHADOWS = (ClassicalShadowMP, ShadowExpvalMP)


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Measurements split into pieces, and the pieces sorted by the basis that answers them.

    Args:
        pieces: Measurements without sums of observables.
        parts: For each measurement the coefficients and numbers of its pieces; a number of None is
            the identity. A measurement that is its own piece has the coefficient None.
        bases: For each basis the operators that rotate into it and the numbers of its pieces.

    Example:
        >>> found = arranged([qml.expval(qml.X(0) + 2 * qml.Z(1)), qml.sample(wires=[1])])
        >>> [members for _, members in found.bases]
        [[0, 1, 2]]
    """

    pieces: tuple[MeasurementProcess, ...]
    parts: tuple[tuple[tuple[Any, int | None], ...], ...]
    bases: tuple[tuple[tuple[Operator, ...], list[int]], ...]

    @property
    def requests(self) -> list[Basis]:
        """One request for the probabilities in each basis."""
        return [Basis(rotations) for rotations, _ in self.bases]

    def results(self, samples: Sequence[np.ndarray], wires: Wires) -> tuple[Any, ...]:
        """The result of each measurement.

        Args:
            samples: For each basis ``(*batch, shots, wires)`` of 0 and 1.
            wires: The wire labels of the last axis.

        Where no shot is left, which only postselection can bring about, everything is NaN.
        """
        if samples[0].shape[-2] == 0:
            return tuple(self._lost(parts, wires) for parts in self.parts)
        found: dict[int | None, Any] = {None: np.ones(samples[0].shape[:-2])[()]}
        for (_, members), drawn in zip(self.bases, samples, strict=True):
            for number in members:
                found[number] = self.pieces[number].process_samples(drawn, wires)
        return tuple(_combined(parts, found) for parts in self.parts)

    def _lost(self, parts: Sequence[tuple[Any, int | None]], wires: Wires) -> Any:
        number = parts[0][1]
        piece = None if number is None else self.pieces[number]
        if isinstance(piece, ProbabilityMP):
            return np.full(2 ** len(piece.wires or wires), np.nan)
        return np.nan


def arranged(measurements: Sequence[MeasurementProcess]) -> Arrangement:
    """Split sums of observables and sort what one basis can answer together.

    Args:
        measurements: Anything that PennyLane computes from samples, classical shadows excepted.

    Example:
        >>> len(arranged([qml.expval(qml.X(0)), qml.expval(qml.Z(0))]).bases)
        2
    """
    pieces: list[MeasurementProcess] = []
    parts = tuple(tuple(_split(measurement, 1.0, pieces, True)) for measurement in measurements)
    words: list[tuple[dict[Any, str], list[int]]] = []
    bases: list[tuple[tuple[Operator, ...], list[int]]] = []
    for number, piece in enumerate(pieces):
        letters = _letters(piece)
        if letters is None:
            bases.append((tuple(piece.diagonalizing_gates()), [number]))
            continue
        for known, members in words:
            if all(known.get(wire, letter) == letter for wire, letter in letters.items()):
                known.update(letters)
                members.append(number)
                break
        else:
            words.append((letters, [number]))
    for known, members in words:
        bases.append((tuple(_rotations(known)), members))
    bases = bases or [((), [])]
    return Arrangement(tuple(pieces), parts, tuple(bases))


def draw(probabilities: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """Basis states ``(*batch, shots, wires)`` drawn with ``probabilities`` ``(*batch, 2^wires)``.

    Example:
        >>> draw(np.array([0.0, 0.0, 1.0, 0.0]), 2, np.random.default_rng(0))
        array([[1, 0],
               [1, 0]])
    """
    wires = probabilities.shape[-1].bit_length() - 1
    rising = np.cumsum(np.clip(probabilities, 0.0, None), axis=-1).reshape(-1, 2**wires)
    points = generator.random((len(rising), shots)) * rising[:, -1:]
    places = np.stack(
        [
            # Rounding may put a point on the total itself: that is still the last possible state.
            np.minimum(np.searchsorted(row, own, side="right"), np.searchsorted(row, row[-1]))
            for row, own in zip(rising, points, strict=True)
        ]
    )
    bits = places[..., None] >> np.arange(wires - 1, -1, -1) & 1
    return bits.reshape(*probabilities.shape[:-1], shots, wires)


def partitioned(shots: Shots, per_bin: Sequence[tuple[Any, ...]]) -> Any:
    """Results in PennyLane's nesting: bins of the shot vector outside, measurements inside.

    Example:
        >>> partitioned(Shots((1, 2)), [(0.5,), (0.25,)])
        (0.5, 0.25)
    """
    nested = tuple(found[0] if len(found) == 1 else found for found in per_bin)
    return nested if shots.has_partitioned_shots else nested[0]


def sampled(
    operators: Sequence[Operator],
    measurements: Sequence[MeasurementProcess],
    wires: Wires,
    shots: Shots,
    simulator: Exact,
    generator: np.random.Generator,
    fill: bool = False,
) -> Any:
    """The results of measurements with shots, in PennyLane's nesting.

    A `qml.Projector` among the operators is a postselection: shots are lost with the probability
    of the other outcome.

    Args:
        operators: Applied in order to :math:`|0...0>`.
        measurements: Anything that PennyLane computes from samples, and classical shadows.
        wires: All wire labels.
        shots: How many, in which partition.
        simulator: What it is simulated with.
        generator: The source of randomness.
        fill: No shot is lost to postselection.

    Raises:
        RuntimeError: Shots are to be filled, but what is postselected never happens.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> flip, read_out = [qml.X(0)], [qml.sample(wires=0)]
        >>> sampled(flip, read_out, Wires(0), Shots(3), StateVector(), generator).ravel()
        array([1, 1, 1])
    """
    shadows = [m for m in measurements if isinstance(m, _SHADOWS)]
    arrangement = arranged([m for m in measurements if not isinstance(m, _SHADOWS)])
    requests = [*arrangement.requests, *([qml.state()] if shadows else [])]
    # A matrix, unlike a projection, leaves the norm: the probability of what is postselected.
    applied = [
        qml.QubitUnitary(o.matrix(), o.wires) if isinstance(o, qml.Projector) else o
        for o in operators
    ]
    answers = [a.detach().cpu().numpy() for a in read(applied, wires, requests, simulator)]
    state = answers.pop() if shadows else np.empty(0)
    sizes = [upper - lower for lower, upper in shots.bins()]
    if answers and any(isinstance(operator, qml.Projector) for operator in operators):
        sizes = _kept(float(answers[0].sum()), sizes, generator, fill)
    drawn = [draw(probabilities, sum(sizes), generator) for probabilities in answers]
    ends = np.cumsum([0, *sizes])
    per_bin = []
    for lower, upper in itertools.pairwise(ends):
        sampled_results = iter(arrangement.results([s[..., lower:upper, :] for s in drawn], wires))
        per_bin.append(
            tuple(
                _shadow(m, state, wires, int(upper - lower), simulator, generator)
                if isinstance(m, _SHADOWS)
                else next(sampled_results)
                for m in measurements
            )
        )
    return partitioned(shots, per_bin)


def _kept(
    chance: float, sizes: Sequence[int], generator: np.random.Generator, fill: bool
) -> list[int]:
    """How many shots of each bin survive a postselection of this probability."""
    if not fill:
        return [int(generator.binomial(size, min(chance, 1.0))) for size in sizes]
    if chance < 1e-16:
        raise RuntimeError(
            "the outcome that is postselected has the probability 0, so there is nothing to fill "
            "the shots with: use postselect_mode='hw-like', or another circuit"
        )
    return list(sizes)


def _shadow(
    measurement: Any,
    state: np.ndarray,
    wires: Wires,
    shots: int,
    simulator: Exact,
    generator: np.random.Generator,
) -> Any:
    """Classical shadows, which PennyLane draws from the state itself."""
    if isinstance(simulator, StateVector):
        cube, rows, axes = measurement.process_state_with_shots, state.shape[:-1], len(wires)
    else:
        cube, rows = measurement.process_density_matrix_with_shots, state.shape[:-2]
        axes = 2 * len(wires)
    state = state.reshape(*rows, *[2] * axes)
    if not rows:
        return cube(state, wires, shots, rng=generator)
    return np.stack([cube(row, wires, shots, rng=generator) for row in state])


def _split(
    measurement: MeasurementProcess,
    coefficient: Any,
    pieces: list[MeasurementProcess],
    whole: bool = False,
) -> list[tuple[Any, int | None]]:
    """The pieces of a measurement, appended to ``pieces``, with their coefficients."""
    observable = measurement.obs
    terms: Iterator[tuple[Any, Any]]
    if isinstance(measurement, ExpectationMP) and isinstance(observable, Sum | LinearCombination):
        terms = zip(*observable.terms(), strict=True)
    elif isinstance(measurement, ExpectationMP) and isinstance(observable, SProd):
        terms = iter([(observable.scalar, observable.base)])
    elif isinstance(measurement, ExpectationMP) and isinstance(observable, qml.Identity):
        return [(coefficient, None)]
    else:
        pieces.append(measurement)
        return [(None if whole else coefficient, len(pieces) - 1)]
    return [
        part
        for factor, term in terms
        for part in _split(ExpectationMP(obs=term), coefficient * factor, pieces)
    ]


def _combined(parts: Sequence[tuple[Any, int | None]], found: dict[int | None, Any]) -> Any:
    if parts[0][0] is None:
        return found[parts[0][1]]
    return np.real(sum(qml.math.toarray(factor) * found[number] for factor, number in parts))


def _letters(piece: MeasurementProcess) -> dict[Any, str] | None:
    """The basis of each wire, None where it is not a product of X, Y and Z on distinct wires."""
    if piece.obs is None:  # basis states
        return dict.fromkeys(piece.wires, "Z")
    observable = piece.obs
    while isinstance(observable, SProd):
        observable = observable.base
    factors = observable.operands if isinstance(observable, Prod) else [observable]
    names = [_LETTERS.get(factor.name) for factor in factors]
    labels = [label for factor in factors for label in factor.wires]
    if None in names or len(set(labels)) < len(labels):
        return None
    letters = zip(factors, names, strict=True)
    return {f.wires[0]: letter for f, letter in letters if letter not in (None, "I")}


def _rotations(letters: dict[Any, str]) -> list[Operator]:
    gates = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}
    return [
        gate
        for wire, letter in letters.items()
        for gate in gates[letter](wire).diagonalizing_gates()
    ]
