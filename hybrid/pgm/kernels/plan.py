"""A junction tree that the library holds, with its tables (floor 1 of the kernel)."""

import ctypes
import struct
import threading
from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.kernels.arrangement import arrange
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["Mode", "Plan"]


class Mode:
    """What a run computes, as the library numbers it.

    Example:
        >>> Mode.MARGINALS
        1
    """

    PARTITION, MARGINALS, BEST, DRAWS, SUMS = range(5)


class Plan:
    """A junction tree, the sets whose marginals are wanted, and which factors differ by row.

    Args:
        library: The loaded library.
        tree: The junction tree.
        apart: For each factor whether it has one table per row.
        sets: The wanted sets of variables.

    Raises:
        MemoryError: The library could not hold it.

    Example:
        >>> from hybrid.pgm.kernels.library import load
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 3), ((0,), (0, 1)))
        >>> library = load()
        >>> library is None or Plan(library, tree, (False, False), ((1,),)).width == 3
        True
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        tree: JunctionTree,
        apart: tuple[bool, ...],
        sets: tuple[tuple[int, ...], ...],
    ) -> None:
        self.library = library
        self.lock = threading.Lock()
        self.filled = self.passing = False
        self.tables: Sequence[Tensor | None] = ()
        self.versions: list[int] = []
        self.shared = [k for k, differs in enumerate(apart) if not differs]
        self.apart = [k for k, differs in enumerate(apart) if differs]
        self.cells = [prod(tree.cardinalities[v] for v in scope) for scope in tree.scopes]
        self.shapes = [tuple(tree.cardinalities[v] for v in variables) for variables in sets]
        self.sizes = [prod(shape) for shape in self.shapes]
        self.flat = all(len(shape) == 1 for shape in self.shapes)
        self.width = sum(self.sizes)
        self.variables = len(tree.cardinalities)
        self._numbers: dict[tuple[int, ...], np.ndarray] = {}
        code = _code(tree, self.shared, self.apart, sets)
        self.nodes = int(code[1 + self.variables])
        self._run = library.borromean_pgm_run
        self.handle = library.borromean_pgm_create(code.ctypes.data)
        if not self.handle:
            raise MemoryError("the inference kernel ran out of memory while reading a tree")

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.library.borromean_pgm_destroy(self.handle)

    def holds(self, tables: Sequence[Tensor]) -> bool:
        """Whether these very tables were multiplied in, and have not changed since."""
        if self.passing or not self.filled:
            return False
        mine = self.tables
        if tables is not mine and any(tables[k] is not mine[k] for k in self.shared):
            return False
        return [tables[k]._version for k in self.shared] == self.versions

    def fill(self, tables: Sequence[Tensor], passing: bool) -> None:
        """Multiply in the tables that all rows share.

        Args:
            tables: One table per factor, those that differ by row are passed over.
            passing: They change from call to call; otherwise cells that are zero are left out.

        Raises:
            MemoryError: There is not enough memory.
        """
        wide = [tables[k].detach().to(torch.float64).contiguous() for k in self.shared]
        packed = struct.pack(f"{len(wide)}q", *[table.data_ptr() for table in wide])
        self.filled = False
        if self.library.borromean_pgm_fill(self.handle, packed, not passing):
            raise MemoryError("the inference kernel ran out of memory")
        self.filled, self.passing = True, passing
        if not passing:
            kept = set(self.shared)
            self.tables = (
                tuple(tables)
                if not self.apart
                else [table if k in kept else None for k, table in enumerate(tables)]
            )
            self.versions = [tables[k]._version for k in self.shared]

    def run(
        self,
        mode: int,
        tables: Sequence[Tensor],
        evidence: Evidence,
        log: Tensor,
        marginals: int = 0,
        states: int = 0,
        draws: int = 0,
        uniform: int = 0,
        weights: int = 0,
        lanes: int = 0,
    ) -> None:
        """Send rows through the tree.

        Args:
            mode: What is computed.
            tables: One table per factor; those that differ by row are read here.
            evidence: What was observed.
            log: Where the logarithms are written (rows,).
            marginals: Address of (rows, width), of sums over rows (width,).
            states: Address of (rows, draws, variables).
            draws: Assignments per row.
            uniform: Address of (rows, draws, nodes).
            weights: Address of the weights of rows in sums (rows,).
            lanes: Rows side by side, 0 leaves the choice to the kernel.

        Raises:
            MemoryError: There is not enough memory.
        """
        kept: list[Tensor] = []
        seen: list[int] = []
        stacked: tuple[int, ...] = (0,) * 5
        if evidence.states is not None:
            block = evidence.states
            numbers = self._numbers.get(evidence.observed)
            if numbers is None:
                numbers = np.array(evidence.observed, dtype=np.int64)
                if len(self._numbers) >= 256:
                    self._numbers.clear()
                self._numbers[evidence.observed] = numbers
            stacked = (len(numbers), numbers.ctypes.data, block.data_ptr(), *block.stride())
        else:
            for variable, values in evidence.hard.items():
                seen += (variable, values.data_ptr(), values.stride(0))
        hard = len(seen) // 3
        for variable, values in evidence.soft.items():
            soft = _rows(values)
            kept.append(soft)
            seen += (variable, soft.data_ptr(), soft.stride(0))
        for k in self.apart:
            table = _rows(tables[k])
            kept.append(table)
            seen += (table.data_ptr(), table.stride(0) if table.shape[0] > 1 else 0)
        words = (
            self.handle, mode, evidence.rows, torch.get_num_threads(), lanes, log.data_ptr(),
            marginals, states, draws, uniform, weights, *stacked, hard, len(evidence.soft), *seen,
        )  # fmt: skip
        if self._run(struct.pack(f"{len(words)}q", *words)):
            raise MemoryError("the inference kernel ran out of memory")


def _rows(values: Tensor) -> Tensor:
    """Double precision, each row's numbers next to each other."""
    wide = values.detach().to(torch.float64)
    wide = wide.reshape(wide.shape[0], -1)
    return wide if wide.stride(1) == 1 or wide.shape[1] == 1 else wide.contiguous()


def _code(
    tree: JunctionTree, shared: list[int], apart: list[int], sets: tuple[tuple[int, ...], ...]
) -> np.ndarray:
    """The plan as the library reads it."""
    made = arrange(
        tree.cardinalities,
        tree.cliques,
        tree.parents,
        tree.separators,
        tree.scopes,
        tree.homes,
        apart,
        sets,
    )
    code = [len(tree.cardinalities), *tree.cardinalities, len(made.nodes)]
    for node in made.nodes:
        code += (node.clique >= 0, node.parent, len(node.axes), *node.axes)
    for factors in (shared, apart):
        code.append(len(factors))
        for k in factors:
            code += (made.factors[k], len(tree.scopes[k]), *tree.scopes[k])
    code.append(len(tree.cardinalities))
    for variable, place in enumerate(made.evidence):
        code += (place, 1, variable)
    code.append(len(sets))
    for variables, place in zip(sets, made.outputs, strict=True):
        code += (place, len(variables), *variables)
    return np.array(code, dtype=np.int64)
