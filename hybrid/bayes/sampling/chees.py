"""Hamiltonian Monte Carlo with many chains that share one trajectory length (floor 3).

Source: Hoffman, Radul & Sountsov, An adaptive-MCMC scheme for setting trajectory lengths in
Hamiltonian Monte Carlo, AISTATS 2021: section 4 (the criterion), algorithm 1. The metric is
estimated from all chains, which the source leaves open; distances in the criterion are measured in
it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from causal.draws import standard_normal, uniform
from hybrid.bayes.sampling.density import Density, Potential, potential, spread_out
from hybrid.bayes.sampling.method import Run
from hybrid.bayes.sampling.metric import Diagonal, Metric, Moments
from hybrid.bayes.sampling.settling import settled_together
from hybrid.bayes.sampling.step_size import DualAveraging, rough_step

__all__ = ["ChEES"]

_FEWEST_CHAINS = 16
_DENSE_UP_TO = 64  # dimensions, for 64 chains
_WINDOWS = (0.1, 0.2, 0.35, 0.55, 0.8)  # parts of the warm-up after which the metric is estimated
_LEARNING_RATE = 0.05
_DIVERGED = 1000.0


@dataclass(frozen=True)
class ChEES:
    r"""Many-chain Hamiltonian Monte Carlo with an adapted, jittered trajectory length.

    All chains run in step: the number of leapfrog steps is the same for all, so that a batched
    gradient is always used whole. The trajectory length T ascends the expected change of squared
    distance from the centre,

    .. math:: \tfrac14 E\big[(\|q' - E q'\|^2 - \|q - E q\|^2)^2\big], \qquad t = h T ,

    where h is a Halton sequence on (0, 1). The step size is adapted so that the harmonic mean of
    the acceptance probabilities is ``acceptance``, the metric to the covariance over all chains.

    Args:
        acceptance: The acceptance probability to adapt to.
        dense: Whether the metric is a full matrix; None: up to as many dimensions as chains.
        longest: The most leapfrog steps of a trajectory.

    Raises:
        ValueError: ``acceptance`` is not between 0 and 1, or ``longest`` below 1.

    Example:
        >>> ChEES(dense=False)
        ChEES(acceptance=0.651, dense=False, longest=1000)
    """

    acceptance: float = 0.651
    dense: bool | None = None
    longest: int = 1000

    def __post_init__(self) -> None:
        if not 0 < self.acceptance < 1:
            raise ValueError(f"acceptance must be between 0 and 1: {self.acceptance}")
        if self.longest < 1:
            raise ValueError(f"longest must be at least 1: {self.longest}")

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Chains, warm-up iterations and draws where none are asked for."""
        return 64, 500, 1000

    def run(
        self, density: Density, chains: int, warmup: int, draws: int, generator: torch.Generator
    ) -> Run:
        """Sample the density.

        Raises:
            ValueError: Fewer than 16 chains, whose adaptation cannot be trusted, or no warm-up.
        """
        if chains < _FEWEST_CHAINS:
            raise ValueError(
                f"ChEES needs at least {_FEWEST_CHAINS} chains, got {chains}: the chains adapt "
                "together. Take more, or method=NUTS()"
            )
        if warmup < 20:
            raise ValueError(f"ChEES needs at least 20 warm-up iterations, got {warmup}")
        found = potential(density.energy, density.example.expand(chains, -1).contiguous())
        with torch.no_grad():
            start = settled_together(
                found.both, lambda: spread_out(density, found, chains, generator)
            )
            return _Chains(self, found, start, generator).run(warmup, draws)


class _Place(NamedTuple):
    """Where the chains are: positions, their energies and gradients."""

    position: Float[Tensor, "chains dim"]
    energy: Float[Tensor, "chains"]
    gradient: Float[Tensor, "chains dim"]


class _Step(NamedTuple):
    """A proposed place, what led there and what is thought of it."""

    place: _Place
    velocity: Float[Tensor, "chains dim"]
    excess: Float[Tensor, "chains"]  # energy at the end minus energy at the beginning
    accepted: Float[Tensor, "chains"]
    total: Float[Tensor, "chains"]


class _Chains:
    """The loop, and the three things that it adapts: step size, metric, trajectory length."""

    def __init__(
        self, method: ChEES, found: Potential, start: Tensor, generator: torch.Generator
    ) -> None:
        chains, dim = start.shape
        most = chains if method.dense is None else (math.inf if method.dense else 0)
        self.method, self.found, self.generator = method, found, generator
        self.place = _Place(start, *found.both(start))
        self.metric: Metric = Diagonal(torch.ones_like(start[0]))
        self.moments = Moments(start[0], dense=dim <= most)
        self.gradients = 0
        first = rough_step(self._acceptance_of_one, 0.1, method.acceptance)
        self.steps = DualAveraging(first, method.acceptance)
        self.length = _Length(10 * first)

    def run(self, warmup: int, draws: int) -> Run:
        """Warm up, then draw."""
        self._warm_up(warmup)
        step, length = self.steps.average, self.length.average
        position = self.place.position
        kept = position.new_empty(draws, *position.shape)
        energy = position.new_empty(draws, len(position))
        excess, accepted = energy.clone(), energy.clone()
        jitter = _halton()
        for i in range(draws):
            moved = self._propose(step, self._count(next(jitter) * length, step))
            self._accept(moved)
            kept[i], energy[i] = self.place.position, moved.total
            excess[i], accepted[i] = moved.excess, moved.accepted
        facts: dict[str, float | str] = {
            "method": "ChEES",
            "gradient": self.found.route,
            "step_size": step,
            "trajectory_length": length,
            "acceptance": float(accepted.mean()),
            "gradients": float(self.gradients),
            "metric": "diagonal" if isinstance(self.metric, Diagonal) else "dense",
        }
        if self.found.reason:
            facts["not recorded because"] = self.found.reason
        diverging = ~(excess < _DIVERGED)
        return Run(kept.transpose(0, 1).contiguous(), diverging.mT, energy.mT, facts)

    def _warm_up(self, warmup: int) -> None:
        ends = [max(2, int(warmup * part)) for part in _WINDOWS]
        jitter = _halton()
        for i in range(warmup):
            h = next(jitter)
            first = i < ends[0]
            # Before the first metric only a few steps are made: far out, a length means nothing.
            count = (
                1 + int(10 * h) if first else self._count(h * self.length.value, self.steps.step)
            )
            before = self.place.position
            moved = self._propose(self.steps.step, count)
            self.steps.update(float(1 / (1 / moved.accepted.clamp_min(1e-4)).mean()))
            if not first:
                self.length.update(
                    self._criterion_slope(before, moved, h), self.steps.step, late=i >= ends[-1]
                )
            self._accept(moved)
            if i < ends[-1] and (not first or i >= 0.8 * ends[0]):
                self.moments.add(self.place.position)
            if i + 1 in ends:
                if self.moments.count > 1:  # a short warm-up may end before any was kept
                    self.metric = self.moments.metric()
                self.moments.clear()
                step = rough_step(
                    self._acceptance_of_one, self.steps.average, self.method.acceptance
                )
                self.steps.restart(step)
                if i + 1 == ends[0]:
                    self.length = _Length(math.pi / 2)

    def _count(self, time: float, step: float) -> int:
        return max(1, min(self.method.longest, math.ceil(time / step)))

    def _propose(self, step: float, count: int) -> _Step:
        position, energy, slope = self.place
        noise = standard_normal(position.shape, position, self.generator)
        velocity = self.metric.kick(self.metric.colour(noise), slope, step / 2)
        for _ in range(count - 1):
            position = torch.add(position, velocity, alpha=step)
            velocity = self.metric.kick(velocity, self.found.gradient(position), step)
        position = torch.add(position, velocity, alpha=step)
        reached, slope = self.found.both(position)
        velocity = self.metric.kick(velocity, slope, step / 2)
        self.gradients += count
        total = energy + 0.5 * noise.square().sum(-1)
        excess = reached + 0.5 * self.metric.whiten(velocity).square().sum(-1) - total
        excess = torch.where(excess.isfinite(), excess, torch.full_like(excess, math.inf))
        accepted = (-excess).clamp_max(0).exp()
        return _Step(_Place(position, reached, slope), velocity, excess, accepted, total)

    def _accept(self, moved: _Step) -> None:
        """Each chain goes to its proposal, or stays."""
        go = uniform(moved.accepted.shape, moved.accepted, self.generator) < moved.accepted
        rows = go.unsqueeze(-1)
        old, new = self.place, moved.place
        self.place = _Place(
            torch.where(rows, new.position, old.position),
            torch.where(go, new.energy, old.energy),
            torch.where(rows, new.gradient, old.gradient),
        )

    def _acceptance_of_one(self, step: float) -> float:
        return float(self._propose(step, 1).accepted.mean())

    def _criterion_slope(self, before: Tensor, moved: _Step, h: float) -> float:
        r"""The slope of the criterion with respect to log T, averaged over the chains.

        Chains count by their acceptance probability (eq. 9 of the source). Per unit of time the
        criterion was tried, too: trajectories are then shorter, and effective draws fewer.
        """
        weight = moved.accepted + 1e-20
        after = moved.place.position.nan_to_num(0.0, 0.0, 0.0)
        centre = (weight.unsqueeze(-1) * after).sum(0) / weight.sum()
        start = self.metric.whiten(before - before.mean(0))
        end = self.metric.whiten(after - centre)
        change = end.square().sum(-1) - start.square().sum(-1)
        slope = change * (end * self.metric.whiten(moved.velocity)).sum(-1)
        slope = torch.where(slope.isfinite(), slope, torch.zeros_like(slope))
        time = h * self.length.value
        return float((slope * weight).sum() / weight.sum()) * time


class _Length:
    """The logarithm of the trajectory length, moved by Adam; averaged in the end."""

    def __init__(self, length: float) -> None:
        self.value = self.average = length
        self._log = self._log_average = math.log(length)
        self._mean, self._square, self._count = 0.0, 0.0, 0

    def update(self, slope: float, step: float, *, late: bool) -> None:
        """One step up the slope with respect to the logarithm."""
        self._count += 1
        self._mean = 0.9 * self._mean + 0.1 * slope
        self._square = 0.95 * self._square + 0.05 * slope * slope
        mean = self._mean / (1 - 0.9**self._count)
        size = math.sqrt(self._square / (1 - 0.95**self._count)) + 1e-12
        self._log += _LEARNING_RATE * mean / size
        self._log = min(max(self._log, math.log(step)), math.log(200 * step))
        self._log_average = 0.9 * self._log_average + 0.1 * self._log if late else self._log
        self.value, self.average = math.exp(self._log), math.exp(self._log_average)


def _halton() -> Iterator[float]:
    """The Halton sequence of base 2 (van der Corput's): 1/2, 1/4, 3/4, 1/8 and so on."""
    index = 0
    while True:
        index += 1
        number, part, rest = 0.0, 0.5, index
        while rest:
            number += part * (rest & 1)
            rest >>= 1
            part /= 2
        yield number
