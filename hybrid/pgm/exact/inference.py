"""Questions to a junction tree: partition functions, marginals, best assignments, draws (floor 6).

Variables, factors and cliques are numbers here; results have the rows first.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact.blocks import blocks, require_memory
from hybrid.pgm.exact.conditioning import Conditioned, conditioned, worth_cutting
from hybrid.pgm.exact.explanation import best_of_block
from hybrid.pgm.exact.gradient import log_partition_with_gradient
from hybrid.pgm.exact.posterior import Sets, chosen, derived, plain
from hybrid.pgm.exact.sampling import draw_block
from hybrid.pgm.exact.summation import summed as sums_of_rows
from hybrid.pgm.kernels import execution
from hybrid.pgm.trees.tree import JunctionTree

__all__ = ["best", "draw", "log_partition", "marginals", "summed"]

Tables = Sequence[Float[Tensor, "..."]]


def log_partition(tree: JunctionTree, tables: Tables, evidence: Evidence) -> Float[Tensor, " rows"]:
    r"""The logarithm of the sum of the product of all factors, row by row; differentiable.

    .. math:: \log Z_r = \log \sum_x \prod_i f_i(x_{scope_i}) e_r(x)

    with the row's evidence :math:`e_r`. For the tables of a Bayesian network this is the
    log-probability of the evidence; its derivative by the logarithm of a factor is that factor's
    marginal (Darwiche 2003, *A differential approach to inference in Bayesian networks*).

    Args:
        tree: The tree of the factors.
        tables: One for each factor, not negative: (\*cards of its scope), or with rows in front.
        evidence: What the rows observe.

    Returns:
        (rows,); −∞ for rows that are impossible.

    Raises:
        TooLarge: One row of the tree does not fit in memory.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 2), ((0,), (0, 1)))
        >>> tables = [torch.tensor([0.2, 0.8]), torch.tensor([[0.5, 0.5], [0.1, 0.9]])]
        >>> log_partition(tree, tables, Evidence(2, {1: torch.tensor([1, -1])})).exp()
        tensor([0.8200, 1.0000])
    """
    cut = worth_cutting(tree, evidence)
    if cut:
        less = conditioned(tree, tables, evidence, cut)
        tree, tables, evidence = less.tree, less.tables, less.evidence
    require_memory(tree, tables[0])
    if _recorded(tables, evidence):
        return log_partition_with_gradient(tree, tables, evidence)
    return plain(tree, tables, evidence, ())[0]


def marginals(
    tree: JunctionTree, tables: Tables, evidence: Evidence, sets: Sets
) -> tuple[Float[Tensor, " rows"], list[Float[Tensor, "rows ..."]]]:
    r"""Marginals of sets of variables given each row's evidence; differentiable.

    .. math:: p_r(x_A) = \frac{1}{Z_r} \sum_{x \setminus x_A} \prod_i f_i(x_{scope_i}) e_r(x)

    Args:
        tree: The tree of the factors.
        tables: One for each factor, not negative: (\*cards of its scope), or with rows in front.
        evidence: What the rows observe.
        sets: Sets of variables, each within one clique, in the order of the results' axes.

    Returns:
        :math:`\log Z` (rows,), and (rows, \*cards) for each set; zeros for rows that are
        impossible.

    Raises:
        TooLarge: One row of the tree does not fit in memory.
        ValueError: A set is in no clique.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 2), ((0,), (0, 1)))
        >>> tables = [torch.tensor([0.2, 0.8]), torch.tensor([[0.5, 0.5], [0.1, 0.9]])]
        >>> marginals(tree, tables, Evidence(1, {1: torch.tensor([1])}), ((0,),))[1]
        [tensor([[0.1220, 0.8780]])]
    """
    cut = worth_cutting(tree, evidence)
    if cut:
        less = conditioned(tree, tables, evidence, cut)
        kept = tuple(tuple(less.number[v] for v in s if v in less.number) for s in sets)
        inner = tuple(dict.fromkeys(variables for variables in kept if variables))
        log, found = marginals(less.tree, less.tables, less.evidence, inner)
        values = dict(zip(inner, found, strict=True))
        whole = [
            _with_observed(tree, less, variables, values.get(rest), log)
            for variables, rest in zip(sets, kept, strict=True)
        ]
        return log, whole
    require_memory(tree, tables[0])
    way = derived if _recorded(tables, evidence) else plain
    return way(tree, tables, evidence, sets)


def summed(
    tree: JunctionTree,
    tables: Tables,
    evidence: Evidence,
    sets: Sets,
    weights: Float[Tensor, " rows"] | None = None,
) -> tuple[Float[Tensor, " rows"], list[Float[Tensor, "..."]]]:
    r"""Marginals summed over rows, for expected statistics; not differentiable.

    .. math:: s(x_A) = \sum_r w_r \, p_r(x_A)

    Args:
        tree: The tree of the factors.
        tables: One for each factor, not negative: (\*cards of its scope), or with rows in front.
        evidence: What the rows observe.
        sets: Sets of variables, each within one clique, in the order of the results' axes.
        weights: A weight for each row; None for 1.

    Returns:
        :math:`\log Z` (rows,), and (\*cards) for each set.

    Raises:
        TooLarge: One row of the tree does not fit in memory.
        ValueError: A set is in no clique.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 2), ((0,), (0, 1)))
        >>> tables = [torch.tensor([0.2, 0.8]), torch.tensor([[0.5, 0.5], [0.1, 0.9]])]
        >>> summed(tree, tables, Evidence(2, {1: torch.tensor([1, -1])}), ((0,),))[1]
        [tensor([0.3220, 1.6780])]
    """
    require_memory(tree, tables[0])
    return sums_of_rows(tree, tables, evidence, sets, weights)


def _with_observed(
    tree: JunctionTree,
    less: Conditioned,
    variables: tuple[int, ...],
    rest: Tensor | None,
    log_partition: Tensor,
) -> Tensor:
    """A marginal over the variables that are left, put where the others have their states."""
    if not any(variable in less.states for variable in variables):
        if rest is None:
            raise ValueError("a set of variables whose marginals are wanted is empty")
        return rest
    rows = log_partition.shape[0]
    if rest is None:
        rest = torch.isfinite(log_partition).to(log_partition.dtype)
    free = [axis for axis, variable in enumerate(variables) if variable not in less.states]
    known = [axis for axis, variable in enumerate(variables) if variable in less.states]
    sizes = [tree.cardinalities[variables[axis]] for axis in (*known, *free)]
    place = (torch.arange(rows, device=rest.device), *(less.states[variables[a]] for a in known))
    whole = rest.new_zeros(rows, *sizes).index_put(place, rest)
    back = [1 + (*known, *free).index(axis) for axis in range(len(variables))]
    return whole.permute(0, *back)


def best(
    tree: JunctionTree, tables: Tables, evidence: Evidence, count: int = 1
) -> tuple[Int[Tensor, "rows count variables"], Float[Tensor, "rows count"]]:
    r"""The assignments with the largest product of factors, best first, exactly.

    .. math:: x^{(1)}, …, x^{(k)} = \operatorname{arg\,top}_k \prod_i f_i(x_{scope_i}) e_r(x)

    Every message carries the k best completions of each of its cells (Nilsson 1998, *An efficient
    algorithm for finding the M most probable configurations*, states the problem). Not
    differentiable.

    Args:
        tree: The tree of the factors.
        tables: One for each factor, not negative: (\*cards of its scope), or with rows in front.
        evidence: What the rows observe.
        count: k.

    Returns:
        States, and the logarithm of the product: −∞ where fewer than k assignments are possible.

    Raises:
        TooLarge: One row of the tree does not fit in memory.
        ValueError: The count is not positive.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 2), ((0,), (0, 1)))
        >>> tables = [torch.tensor([0.2, 0.8]), torch.tensor([[0.6, 0.4], [0.1, 0.9]])]
        >>> states, logs = best(tree, tables, Evidence(1), count=2)
        >>> states, logs.exp()
        (tensor([[[1, 1],
                 [0, 0]]]), tensor([[0.7200, 0.1200]]))
    """
    if count < 1:
        raise ValueError(f"count is the number of best assignments, at least 1, got {count}")
    require_memory(tree, tables[0], 2 + 2 * count)
    with torch.no_grad():
        if count == 1:
            found = execution.best(tree, tables, evidence)
            if found is not None:
                return _reconsidered(tree, tables, evidence, *found)
        parts = [
            best_of_block(tree, part, seen, count)
            for *_, part, seen in blocks(tree, tables, evidence, weight=2 + count * count)
        ]
    return torch.cat([states for states, _ in parts]), torch.cat([logs for _, logs in parts])


def _reconsidered(
    tree: JunctionTree, tables: Tables, evidence: Evidence, states: Tensor, logs: Tensor
) -> tuple[Tensor, Tensor]:
    """Best assignments of the kernel; rows in which it saw nothing possible, with logarithms."""
    doubtful = (~logs.isfinite()).nonzero().squeeze(1)
    if len(doubtful):
        part, seen = chosen(tree, tables, evidence, doubtful)
        again, values = best_of_block(tree, part, seen, 1)
        states[doubtful], logs[doubtful] = again[:, 0], values[:, 0]
    return states.unsqueeze(1), logs.unsqueeze(1)


def draw(
    tree: JunctionTree,
    tables: Tables,
    evidence: Evidence,
    n: int,
    generator: torch.Generator | None = None,
) -> Int[Tensor, "rows n variables"]:
    r"""Independent exact draws :math:`x \sim p_r(x)` given each row's evidence.

    Cliques are drawn from the roots on, each given its separator (Dawid 1992, *Applications of a
    general propagation algorithm for probabilistic expert systems*, section 5.2).

    Args:
        tree: The tree of the factors.
        tables: One for each factor, not negative: (\*cards of its scope), or with rows in front.
        evidence: What the rows observe.
        n: Draws for each row.
        generator: Source of the draws; None: PyTorch's global one.

    Returns:
        States; of no meaning in rows that are impossible.

    Raises:
        TooLarge: One row of the tree does not fit in memory.
        ValueError: n is negative.

    Example:
        >>> from hybrid.pgm.trees.tree import junction_tree
        >>> tree = junction_tree((2, 2), ((0,), (0, 1)))
        >>> tables = [torch.tensor([0.0, 1.0]), torch.tensor([[0.5, 0.5], [1.0, 0.0]])]
        >>> draw(tree, tables, Evidence(1), 2)
        tensor([[[1, 0],
                 [1, 0]]])
    """
    if n < 0:
        raise ValueError(f"n is the number of draws for each row, got {n}")
    require_memory(tree, tables[0], 3)
    with torch.no_grad():
        found = execution.draw(tree, tables, evidence, n, generator)
        if found is not None:
            return _redrawn(tree, tables, evidence, found, generator)
        parts = [
            draw_block(tree, part, seen, n, generator)
            for *_, part, seen in blocks(tree, tables, evidence, weight=3)
        ]
    return torch.cat(parts)


def _redrawn(
    tree: JunctionTree,
    tables: Tables,
    evidence: Evidence,
    states: Tensor,
    generator: torch.Generator | None,
) -> Tensor:
    """Draws of the kernel; rows in which it saw nothing possible, with logarithms."""
    doubtful = (states[..., 0] < 0).any(1).nonzero().squeeze(1)
    if len(doubtful):
        part, seen = chosen(tree, tables, evidence, doubtful)
        states[doubtful] = draw_block(tree, part, seen, states.shape[1], generator)
    return states


def _recorded(tables: Tables, evidence: Evidence) -> bool:
    """Whether autograd follows anything here."""
    return torch.is_grad_enabled() and any(
        values.requires_grad for values in (*tables, *evidence.soft.values())
    )
