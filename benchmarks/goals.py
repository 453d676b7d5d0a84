"""What we hold ourselves to, as data, and how far a run is from it.

Every goal compares our time (or memory) with another's of the same run, never with a number from
another machine. Floor: below it is a defect. Stretch: what is aimed for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from contest import CONTESTANTS
from peers.cases import DEPTHS, DRAWS, ENTANGLING, GENERAL

__all__ = ["GOALS", "Goal", "Result", "results"]

Bounds = tuple[float | None, float | None]
_COMPILED = ("pennylane_jax", "quimb_jax", "tensorcircuit_scan", "tensorflow_quantum")


@dataclass(frozen=True)
class Goal:
    """One line of goals.

    Args:
        title: Against whom, in which precision.
        kind: "speed": their time over ours; "overhead": our time over theirs; "memory": our peak
            over theirs, beyond importing torch; "depth": our peak beyond importing torch over that
            of the shallowest circuit; "limit": shortest possible time over our time.
        ours: Our contestant.
        peers: Whom it is compared with; the fastest of them counts.
        bounds: Name of a case → (floor, stretch); None where there is none.
    """

    title: str
    kind: Literal["speed", "overhead", "memory", "depth", "limit"]
    ours: str
    peers: tuple[str, ...]
    bounds: Mapping[str, Bounds]

    @property
    def wants_more(self) -> bool:
        """Whether a higher figure is better."""
        return self.kind in ("speed", "limit")


@dataclass(frozen=True)
class Result:
    """A goal in one case: the figure by medians and by minima, and what was wanted."""

    goal: Goal
    case: str
    peer: str
    median: float
    minimum: float
    floor: float | None
    stretch: float | None

    @property
    def verdict(self) -> str:
        """Which bound the figure of the medians reaches."""
        for bound, word in ((self.stretch, "stretch"), (self.floor, "floor")):
            if bound is None:
                continue
            if self.median >= bound if self.goal.wants_more else self.median <= bound:
                return word
        return "no floor" if self.floor is None else "MISSED"


def _sizes(bounds: Mapping[int, Bounds]) -> dict[str, Bounds]:
    return {case.name: bounds[case.wires] for case in ENTANGLING if case.wires in bounds}


def _same(wires: tuple[int, ...], floor: float | None, stretch: float | None) -> dict[int, Bounds]:
    return dict.fromkeys(wires, (floor, stretch))


_GENERAL_CASES: dict[str, Bounds] = {case.name: (30.0, 80.0) for case in GENERAL}
_EVERY_SIZE = tuple(case.wires for case in ENTANGLING)
GOALS = (
    Goal(
        "default.qubit torch backprop, both complex128",
        "speed",
        "ours_double",
        ("default_qubit",),
        _sizes(_same((6, 8, 10, 12), 40.0, 80.0)),
    ),
    Goal(
        "fastest compiled package, both complex64",
        "speed",
        "ours",
        _COMPILED,
        _sizes(
            {
                4: (2.0, 2.5),
                6: (8.0, 9.0),
                8: (9.0, 20.0),
                10: (11.0, 25.0),
                12: (20.0, 40.0),
                14: (20.0, 40.0),
                16: (8.0, 12.0),
                20: (2.0, 6.0),
            }
        ),
    ),
    Goal(
        "hand-tuned JAX, both complex64",
        "speed",
        "ours",
        ("tuned_jax",),
        _sizes(
            {
                4: (1.3, None),
                6: (3.0, None),
                **_same((8, 10, 12, 14), 3.0, 6.0),
                16: (1.2, 2.0),
                20: (None, 1.2),
            }
        ),
    ),
    Goal(
        "default.qubit torch backprop (complex128), ours complex64",
        "speed",
        "ours",
        ("default_qubit",),
        _sizes(
            {
                **_same((4, 6), 100.0, None),
                **_same((8, 10, 12), 100.0, 250.0),
                14: (55.0, 60.0),
                16: (17.0, 50.0),
                20: (25.0, 60.0),
            }
        ),
    ),
    Goal(
        "general circuits: default.qubit torch backprop",
        "speed",
        "ours",
        ("default_qubit",),
        _GENERAL_CASES,
    ),
    Goal(
        "draws: loop over TorchLayer", "speed", "ours", ("torch_layer",), {DRAWS.name: (50, None)}
    ),
    Goal(
        "draws: vmap over TorchLayer",
        "speed",
        "ours",
        ("torch_layer_vmap",),
        {DRAWS.name: (20, None)},
    ),
    Goal(
        "no kernel: default.qubit torch backprop",
        "speed",
        "ours_torch",
        ("default_qubit",),
        _sizes(_same(_EVERY_SIZE, 6.0, 15.0)),
    ),
    Goal(
        "empty autograd.Function",
        "overhead",
        "ours",
        ("empty",),
        _sizes({4: (1.5, None)}),
    ),
    Goal(
        "peak memory: default.qubit",
        "memory",
        "ours",
        ("default_qubit",),
        _sizes(_same((12, 14, 16, 20), 0.1, None)),
    ),
    Goal(
        "peak memory: the shallowest circuit",
        "depth",
        "ours",
        ("ours",),
        {case.name: (1.1, None) for case in DEPTHS[1:]},
    ),
    Goal(
        "measured limit of the core",
        "limit",
        "ours",
        (),
        _sizes(_same((8, 10, 12, 14), 0.4, 0.6)),
    ),
)


def results(run: Mapping[str, Any]) -> Iterator[Result]:
    """The goals that the run has figures for.

    Args:
        run: What `quantum_layer.py` writes as JSON.
    """
    times = {(line["case"], line["name"]): line for line in run["lines"] if "median_ms" in line}
    peaks = {
        (row["case"], row["name"]): row["peak_bytes"] - run["torch_bytes"]
        for row in run["memory"]
        if "peak_bytes" in row
    }
    for goal in GOALS:
        for case, (floor, stretch) in goal.bounds.items():
            found = _figures(goal, case, times, peaks, run["limit_ms"])
            if found is not None:
                yield Result(goal, case, *found, floor, stretch)


def _figures(
    goal: Goal,
    case: str,
    times: Mapping[tuple[str, str], Mapping[str, float]],
    peaks: Mapping[tuple[str, str], int],
    limits: Mapping[str, float],
) -> tuple[str, float, float] | None:
    """Whom we were compared with and the figure, by medians and by minima; None: not measured."""
    if goal.kind in ("memory", "depth"):
        peer = goal.peers[0]
        other = (DEPTHS[0].name if goal.kind == "depth" else case, peer)
        if (case, goal.ours) not in peaks or other not in peaks:
            return None
        share = peaks[case, goal.ours] / peaks[other]
        return CONTESTANTS[peer].title, share, share
    ours = times.get((case, goal.ours))
    if ours is None:
        return None
    if goal.kind == "limit":
        if case not in limits:
            return None
        return "limit", limits[case] / ours["median_ms"], limits[case] / ours["minimum_ms"]
    peers = [name for name in goal.peers if (case, name) in times]
    if not peers:
        return None
    peer = min(peers, key=lambda name: times[case, name]["median_ms"])
    ratios = [times[case, peer][key] / ours[key] for key in ("median_ms", "minimum_ms")]
    if goal.kind == "overhead":
        ratios = [1 / ratio for ratio in ratios]
    return CONTESTANTS[peer].title, ratios[0], ratios[1]
