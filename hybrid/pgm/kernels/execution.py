"""Inference in the compiled kernel, where it is there (floor 2 of the kernel)."""

import threading
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import _C, Tensor
from torch.autograd import forward_ad

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.kernels.library import load
from hybrid.pgm.kernels.plan import Mode, Plan
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["best", "draw", "run", "sums"]

_FIXED = 3  # sets of tables that are kept multiplied in
_RECENT = 64
_STRUCTURES = 128
_KEPT_CELLS = 1 << 24  # about 30 bytes each
_LARGE = 1 << 19
_MOST_CELLS = 1 << 31  # places within a clique are 32 bits wide


class _Plans:
    """Plans of one structure: some for tables that stay, one for tables that change."""

    def __init__(self, structure: "_Key") -> None:
        self.structure = structure
        self.fixed: list[Plan] = []
        self.changing: Plan | None = None
        self.misses = 0

    def made(self) -> Plan:
        library = load()
        if library is None:
            raise RuntimeError("the inference kernel is not there")
        return Plan(library, *self.structure)

    def filled(self, tables: Sequence[Tensor]) -> Plan:
        """A plan with these tables multiplied in; its lock is held."""
        for plan in self.fixed:
            if plan.holds(tables) and plan.lock.acquire(blocking=False):
                self.misses = 0
                return plan
        self.misses += 1
        passing = self.misses > _FIXED or any(
            table.requires_grad or table.is_inference() for table in tables
        )
        if not passing:
            plan = self.made()
            plan.lock.acquire()
            plan.fill(tables, passing=False)
            few = self.structure[0].cells > _LARGE
            self.fixed = [plan] if few else [plan, *self.fixed[: _FIXED - 1]]
            return plan
        changing = self.changing
        if changing is None or not changing.lock.acquire(blocking=False):
            changing = self.made()
            changing.lock.acquire()
            self.changing = changing
        changing.fill(tables, passing=True)
        return changing


_Recent = tuple[JunctionTree, Sequence[Tensor], tuple[tuple[int, ...], ...], Plan]
_recent: dict[tuple[int, int, int], _Recent] = {}  # by identity: the quick way for single rows
_Key = tuple[JunctionTree, tuple[bool, ...], tuple[tuple[int, ...], ...]]
_kept: dict[_Key, _Plans] = {}  # the latest one last
_kept_lock = threading.Lock()


def _plans(key: _Key) -> _Plans:
    """The plans of a structure; what was not used for longest goes when they become too large."""
    with _kept_lock:
        found = _kept.pop(key, None) or _Plans(key)
        _kept[key] = found
        cells = sum(tree.cells for tree, _, _ in _kept)
        while len(_kept) > _STRUCTURES or (cells > _KEPT_CELLS and len(_kept) > 1):
            oldest = next(iter(_kept))
            cells -= oldest[0].cells
            del _kept[oldest]
            for recent in [k for k, value in _recent.items() if value[0] == oldest[0]]:
                del _recent[recent]
    return found


def _served(tree: JunctionTree, tables: Sequence[Tensor], evidence: Evidence) -> bool:
    """Whether the kernel does this: double precision on the CPU, and not too many cells."""
    if load() is None or tree.cells >= _MOST_CELLS or not evidence.rows:
        return False
    double = torch.float64
    return all(table.dtype == double and table.device.type == "cpu" for table in tables)


def _plan(
    tree: JunctionTree,
    tables: Sequence[Tensor],
    evidence: Evidence,
    sets: tuple[tuple[int, ...], ...],
) -> Plan | None:
    """A plan with these tables multiplied in, its lock is held; None if the kernel cannot serve."""
    if _C._functorch.maybe_current_level() is not None or forward_ad._current_level >= 0:
        return None  # what stands behind numbers followed forwards or by torch.func is not read
    key = (id(tree), id(tables), id(sets))
    found = _recent.get(key)  # holds what it is known by, so that no number is used again
    if found is not None:
        plan = found[3]
        if evidence.rows and plan.holds(tables) and plan.lock.acquire(blocking=False):
            return plan
    if not _served(tree, tables, evidence):
        return None
    apart = tuple(
        table.dim() > len(scope) for table, scope in zip(tables, tree.scopes, strict=True)
    )
    plan = _plans((tree, apart, sets)).filled(tables)
    if not plan.apart and not plan.passing:
        if len(_recent) >= _RECENT:
            _recent.clear()
        _recent[key] = (tree, tables, sets, plan)
    return plan


def run(
    tree: JunctionTree,
    tables: Sequence[Float[Tensor, "..."]],
    evidence: Evidence,
    sets: tuple[tuple[int, ...], ...],
) -> tuple[Float[Tensor, " rows"], list[Float[Tensor, "rows ..."]]] | None:
    r"""The partition function of every row, and marginals.

    .. math::

        Z_r = \sum_x \prod_i f_i(x_i) e_r(x), \qquad
        p_r(x_A) = \frac{1}{Z_r} \sum_{x \setminus x_A} \prod_i f_i(x_i) e_r(x)

    Nothing is recorded for gradients. Rows whose numbers leave the range of double precision, and
    impossible rows, get :math:`\log Z = -\infty` and marginals of zero.

    Args:
        tree: The junction tree.
        tables: One table per factor, (cardinalities of its scope), or (rows, cardinalities).
        evidence: What was observed.
        sets: Sets of variables, each within one clique.

    Returns:
        :math:`\log Z` (rows,) and for each set (rows, cardinalities), views of one buffer; None
        where the kernel does not serve: it was not built, or the tables are elsewhere or of
        another type.

    Raises:
        ValueError: A set is in no clique.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2,), ((0,),))
        >>> table = torch.tensor([0.25, 0.75], dtype=torch.float64)
        >>> found = run(tree, [table], Evidence(1), ((0,),))
        >>> found is None or found[1][0].tolist() == [[0.25, 0.75]]
        True
    """
    plan = _plan(tree, tables, evidence, sets)
    if plan is None:
        return None
    try:
        log = torch.empty(evidence.rows, dtype=torch.float64)
        marginals = torch.empty(evidence.rows, plan.width, dtype=torch.float64)
        mode = Mode.MARGINALS if sets else Mode.PARTITION
        plan.run(mode, tables, evidence, log, marginals.data_ptr())
    finally:
        plan.lock.release()
    parts = list(marginals.split_with_sizes(plan.sizes, 1)) if sets else []
    if not plan.flat:
        parts = [
            part if len(shape) == 1 else part.view(evidence.rows, *shape)
            for part, shape in zip(parts, plan.shapes, strict=True)
        ]
    return log, parts


def sums(
    tree: JunctionTree,
    tables: Sequence[Float[Tensor, "..."]],
    evidence: Evidence,
    sets: tuple[tuple[int, ...], ...],
    weights: Float[Tensor, " rows"] | None = None,
) -> tuple[Float[Tensor, " rows"], list[Float[Tensor, "..."]]] | None:
    r"""The partition function of every row, and marginals summed over rows.

    .. math:: s(x_A) = \sum_r w_r \, p_r(x_A)

    With the factors' scopes as sets and all weights 1 these are the expected sufficient statistics
    of expectation maximisation; with the gradient that reaches :math:`\log Z_r` as weights, and
    divided by the tables, the gradients of shared tables. Rows with :math:`\log Z = -\infty` add
    nothing. The result does not depend on the number of threads.

    Args:
        tree: The junction tree.
        tables: One table per factor, (cardinalities of its scope), or (rows, cardinalities).
        evidence: What was observed.
        sets: Sets of variables, each within one clique.
        weights: The weight of each row, may be negative; 1 by default.

    Returns:
        :math:`\log Z` (rows,) and for each set (cardinalities), None where the kernel does not
        serve.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2,), ((0,),))
        >>> table = torch.tensor([0.25, 0.75], dtype=torch.float64)
        >>> found = sums(tree, [table], Evidence(4), ((0,),))
        >>> found is None or found[1][0].tolist() == [1.0, 3.0]
        True
    """
    plan = _plan(tree, tables, evidence, sets)
    if plan is None:
        return None
    try:
        log = torch.empty(evidence.rows, dtype=torch.float64)
        total = torch.empty(plan.width, dtype=torch.float64)
        if weights is None:
            weights = torch.ones(1, dtype=torch.float64).expand(evidence.rows)
        wide = weights.detach().to(torch.float64).contiguous()
        plan.run(Mode.SUMS, tables, evidence, log, total.data_ptr(), weights=wide.data_ptr())
    finally:
        plan.lock.release()
    parts = total.split_with_sizes(plan.sizes) if sets else ()
    return log, [part.view(shape) for part, shape in zip(parts, plan.shapes, strict=True)]


def best(
    tree: JunctionTree, tables: Sequence[Float[Tensor, "..."]], evidence: Evidence
) -> tuple[Int[Tensor, "rows variables"], Float[Tensor, " rows"]] | None:
    """The most probable assignment of every row and the logarithm of its product of factors.

    Where nothing is possible the states are −1 and the logarithm −∞.

    Args:
        tree: The junction tree.
        tables: One table per factor, (cardinalities of its scope), or (rows, cardinalities).
        evidence: What was observed.

    Returns:
        States and logarithms, None where the kernel does not serve.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> table = torch.tensor([0.25, 0.75], dtype=torch.float64)
        >>> found = best(junction_tree((2,), ((0,),)), [table], Evidence(1))
        >>> found is None or found[0].tolist() == [[1]]
        True
    """
    plan = _plan(tree, tables, evidence, ())
    if plan is None:
        return None
    try:
        log = torch.empty(evidence.rows, dtype=torch.float64)
        states = torch.empty(evidence.rows, plan.variables, dtype=torch.int64)
        plan.run(Mode.BEST, tables, evidence, log, states=states.data_ptr(), draws=1)
    finally:
        plan.lock.release()
    return states, log


def draw(
    tree: JunctionTree,
    tables: Sequence[Float[Tensor, "..."]],
    evidence: Evidence,
    n: int,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "rows n variables"] | None:
    """Assignments drawn from the posterior of every row, exactly and independently.

    Args:
        tree: The junction tree.
        tables: One table per factor, (cardinalities of its scope), or (rows, cardinalities).
        evidence: What was observed.
        n: Draws per row.
        generator: Source of randomness.

    Returns:
        States, −1 where nothing is possible; None where the kernel does not serve.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> table = torch.tensor([0.0, 1.0], dtype=torch.float64)
        >>> found = draw(junction_tree((2,), ((0,),)), [table], Evidence(1), 3)
        >>> found is None or found.tolist() == [[[1], [1], [1]]]
        True
    """
    plan = _plan(tree, tables, evidence, ())
    if plan is None:
        return None
    try:
        log = torch.empty(evidence.rows, dtype=torch.float64)
        states = torch.empty(evidence.rows, n, plan.variables, dtype=torch.int64)
        uniform = torch.rand(evidence.rows, n, plan.nodes, dtype=torch.float64, generator=generator)
        plan.run(
            Mode.DRAWS,
            tables,
            evidence,
            log,
            states=states.data_ptr(),
            draws=n,
            uniform=uniform.data_ptr(),
        )
    finally:
        plan.lock.release()
    return states
