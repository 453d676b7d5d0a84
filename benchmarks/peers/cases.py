"""What is computed: circuits, sizes and data, the same numbers for every contestant.

Needs numpy only, so that every peer's environment can read it.
"""

import json
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DEPTHS", "DRAWS", "ENTANGLING", "GENERAL", "Case", "Data", "data", "ranges"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """One circuit at one size.

    Args:
        circuit: "entangling" (see `ENTANGLING`) or a name in `peers.circuits`.
        wires: The number of wires, which is also the number of inputs and of outputs.
        layers: How often the circuit's layer is repeated.
        batch: Rows of inputs.
        draws: Weight sets, each run on all rows; 0: one weight set without an axis for it.
    """

    circuit: str
    wires: int
    layers: int
    batch: int
    draws: int = 0

    @property
    def name(self) -> str:
        """A name for tables and files, such as ``entangling-8-4-256``."""
        draws = f"-{self.draws}" if self.draws else ""
        return f"{self.circuit}-{self.wires}-{self.layers}-{self.batch}{draws}"

    @property
    def weight_shape(self) -> tuple[int, int, int]:
        """Three angles per layer and wire; circuits that need fewer leave the rest unused."""
        return (self.layers, self.wires, 3)

    def json(self) -> str:
        """The case as `Case(**json.loads(text))` reads it."""
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Data:
    """The arguments of a step, in float64.

    Args:
        inputs: ``(batch, wires)``, uniform in [-π, π).
        weights: ``(*draws, layers, wires, 3)``, uniform in [0, 2π).
        cotangent: ``(*draws, batch, wires)``, normal: the loss is the sum of it times the outputs.
    """

    inputs: Array
    weights: Array
    cotangent: Array


# RY angle embedding, then StronglyEntanglingLayers, then ⟨Z⟩ of each wire: (wires, layers, batch).
_SIZES = (
    (4, 2, 32),
    (6, 3, 256),
    (8, 4, 256),
    (10, 6, 256),
    (12, 6, 128),
    (14, 6, 32),
    (16, 6, 8),
    (20, 6, 1),
)
ENTANGLING = tuple(Case("entangling", *size) for size in _SIZES)
GENERAL = tuple(
    Case(circuit, wires, 4, 256)
    for circuit in ("reuploading", "zz_feature_map", "ry_rz_cz", "qaoa", "random_gates")
    for wires in (8, 10, 12)
)
DRAWS = Case("entangling", 8, 4, 32, draws=32)
DEPTHS = tuple(Case("entangling", 12, layers, 128) for layers in (2, 6, 12, 24))


def data(case: Case) -> Data:
    """The numbers of a case, the same in every process."""
    generator = np.random.default_rng(1234 + case.wires)
    draws = (case.draws,) if case.draws else ()
    return Data(
        generator.uniform(-np.pi, np.pi, (case.batch, case.wires)),
        generator.uniform(0.0, 2 * np.pi, draws + case.weight_shape),
        generator.normal(size=(*draws, case.batch, case.wires)),
    )


def ranges(case: Case) -> list[int]:
    """How far the CNOTs of each entangling layer reach, as StronglyEntanglingLayers chooses."""
    return [layer % (case.wires - 1) + 1 for layer in range(case.layers)]
