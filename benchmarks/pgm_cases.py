"""Networks and evidence of `pgm.py`, and what we hold ourselves to.

The networks are those that the pgmpy package ships. Evidence is drawn from the network itself, so
that none of it is impossible; a tenth of the variables of each row stays, the rest is hidden.
"""

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pgmpy
from peers.networks import Network, Rows, order, save

from hybrid.pgm.formats.bif import parse_bif

__all__ = ["CASES", "Case", "evidence", "network", "prepared"]

_MANY = {
    **dict.fromkeys(("child", "alarm", "win95pts", "hepar2"), (45.0, 100.0)),
    **dict.fromkeys(("hailfinder", "pathfinder"), (35.0, 80.0)),
    "insurance": (3.0, 10.0),
    "andes": (4.0, 10.0),
}
_LARGE = dict.fromkeys(("pigs", "munin2", "munin3"), (3.0, 6.0))
_SINGLE = dict.fromkeys(_MANY, (1.4, 3.0)) | {"insurance": (1.2, 3.0)} | _LARGE


@dataclass(frozen=True)
class Case:
    """Which rows of which network are answered.

    Args:
        network: Its name in the pgmpy package.
        kind: "many": all rows, each observing variables of its own; "shared": all rows, observing
            the same variables; "new": row by row, each observing variables that no row before did;
            "again": one row again and again.
        rows: How many.
        peers: Whom we are compared with: (floor, stretch) of their time over ours.
    """

    network: str
    kind: Literal["many", "shared", "new", "again"]
    rows: int
    peers: dict[str, tuple[float, float | None]]

    @property
    def name(self) -> str:
        """As tables show it."""
        shown = {"many": "", "shared": ", same variables", "new": ", new", "again": ", again"}
        return f"{self.network}, {self.rows if self.kind != 'new' else 1}{shown[self.kind]}"

    @property
    def by_row(self) -> bool:
        """Whether a step is one row for everybody."""
        return self.kind in ("new", "again")


def _cases() -> tuple[Case, ...]:
    many = [Case(name, "many", 1000, {"pyagrum": bounds}) for name, bounds in _MANY.items()]
    many[1].peers["pgmpy"] = (500.0, None)
    shared = Case("alarm", "shared", 1000, {"nbn": (8.0, 15.0), "pyagrum": (1.0, None)})
    single = [
        Case(name, kind, 1 if kind == "again" else 20 if name in _LARGE else 100, {"pyagrum": goal})
        for name, goal in _SINGLE.items()
        for kind in ("again", "new")
    ]
    return (*many, shared, *single)


CASES = _cases()


def network(name: str) -> Network:
    """A network of the pgmpy package; its rows sum to one as closely as float64 allows."""
    folder = Path(pgmpy.__file__).parent / "utils" / "example_models"
    text = gzip.decompress((folder / f"{name}.bif.gz").read_bytes()).decode()
    read = parse_bif(text)
    tables = {own: table / table.sum(-1, keepdims=True) for own, table in read.tables.items()}
    return Network(read.parents, tables)


def evidence(of: Network, rows: int, *, shared: bool = False, seed: int = 0) -> Rows:
    """Rows that see a tenth of their variables; ``shared``: each the same ones."""
    random = np.random.default_rng(seed)
    names = of.names
    states: dict[str, np.ndarray] = {}
    for name in order(of):
        weights = of.tables[name][tuple(states[parent] for parent in of.parents[name])]
        weights = np.broadcast_to(weights, (rows, weights.shape[-1])).cumsum(-1)
        draws = random.random((rows, 1)) * weights[:, -1:]
        states[name] = (draws > weights).sum(-1)
    seen = max(1, round(0.1 * len(names)))
    ranks = random.random((1 if shared else rows, len(names))).argsort(-1).argsort(-1)
    values = np.stack([states[name] for name in names], -1)
    return np.where(ranks < seen, values, -1)


def prepared(case: Case, folder: Path) -> Path:
    """The file of a case, made where it is missing."""
    path = folder / f"{case.network}-{case.kind}-{case.rows}.npz"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        of = network(case.network)
        save(path, of, evidence(of, case.rows, shared=case.kind == "shared"))
    return path
