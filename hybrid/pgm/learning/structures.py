"""Graphs from data: the best tree, and searches of pgmpy (floor 2)."""

import itertools
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from causal.graph import Graph
from hybrid.pgm.learning.counting import family_counts
from hybrid.pgm.learning.rows import labels_of, numbered

__all__ = ["chow_liu", "learn_structure"]

Method = Literal["chow_liu", "hill_climb", "pc", "ges"]


def learn_structure(data: Any, method: Method = "hill_climb", **options: Any) -> Graph:
    """A graph that complete rows of states speak for.

    Args:
        data: Columns by name: a mapping or DataFrame of state numbers or names, none missing.
        method: "chow_liu": the best tree, of `chow_liu`; "hill_climb": greedy steps that raise a
            score (the BIC unless ``scoring_method`` says otherwise); "pc": tests of independence;
            "ges": greedy search over classes of graphs that no data can tell apart. The last three
            are pgmpy's; edges that the data leave without a direction get one of those allowed.
        options: Further arguments of `chow_liu`, or of pgmpy's HillClimbSearch, PC or GES.

    Raises:
        ValueError: An unknown method, a missing value, or a column without values.

    Source: Koller & Friedman, "Probabilistic Graphical Models" (2009), chapter 18.

    Example:
        >>> rows = {"A": [0, 0, 1, 1] * 9, "B": [0, 0, 1, 1] * 9, "C": [0, 1, 0, 1] * 9}
        >>> str(learn_structure(rows, "chow_liu"))
        'A -> B; A -> C'
    """
    if method == "chow_liu":
        return chow_liu(data, **options)
    if method not in ("hill_climb", "pc", "ges"):
        raise ValueError(
            f"unknown method {method!r}: expected 'chow_liu', 'hill_climb', 'pc' or 'ges'"
        )
    return Graph.from_pgmpy(_searched(_complete(data)[0], method, options))


def _searched(columns: Mapping[str, Tensor], method: str, options: Mapping[str, Any]) -> Any:
    """The DAG that pgmpy finds."""
    import pandas as pd
    from pgmpy.causal_discovery import GES, PC, HillClimbSearch

    frame = pd.DataFrame({name: column.numpy() for name, column in columns.items()})
    frame = frame.astype("category")
    if method == "pc":
        chosen = {"ci_test": "chi_square", "n_jobs": 1, "show_progress": False} | dict(options)
        search = PC(return_type="dag", **chosen)
    elif method == "ges":
        search = GES(return_type="dag", **({"scoring_method": "bic-d"} | dict(options)))
    else:
        chosen = {"scoring_method": "bic-d", "show_progress": False} | dict(options)

        class Ordered(HillClimbSearch):  # of equal steps the first by name, not by Python's hashes
            def _legal_operations_dag(self, *args: Any, **kwargs: Any) -> Any:
                return sorted(super()._legal_operations_dag(*args, **kwargs))

        search = Ordered(return_type="dag", **chosen)
    return search.fit(frame).causal_graph_


def chow_liu(data: Any, *, root: str | None = None) -> Graph:
    r"""The tree that makes complete rows most probable.

    It is the tree of largest total mutual information,

    .. math:: I(x; y) = \sum_{x, y} \hat p(x, y) \log \frac{\hat p(x, y)}{\hat p(x) \hat p(y)}.

    Args:
        data: Columns by name: a mapping or DataFrame of state numbers or names, none missing.
        root: Where the edges start; the first name, sorted, unless given.

    Raises:
        ValueError: A value is missing, or ``root`` is no column.

    Source: Chow & Liu, "Approximating discrete probability distributions with dependence trees"
    (1968), section III.

    Example:
        >>> rows = {"A": [0, 0, 1, 1], "B": [0, 1, 1, 1], "C": [0, 1, 1, 1]}
        >>> str(chow_liu(rows, root="B"))
        'B -> A; B -> C'
    """
    columns, sizes = _complete(data)
    names = sorted(columns)
    root = names[0] if root is None else root
    if root not in columns:
        raise ValueError(f"the root {root!r} is no column: the columns are {names}")
    shared = {
        frozenset(pair): _mutual_information(family_counts(columns, pair, sizes))
        for pair in itertools.combinations(names, 2)
    }
    inside, edges = [root], []
    while len(inside) < len(names):
        pairs = [(a, b) for a in sorted(inside) for b in names if b not in inside]
        best = max(pairs, key=lambda pair: shared[frozenset(pair)])
        edges.append(best)
        inside.append(best[1])
    return Graph(edges, nodes=names)


def _complete(data: Any) -> tuple[dict[str, Tensor], dict[str, int]]:
    sizes, labels = labels_of(data)
    columns = numbered(data, list(sizes), labels, sizes)
    for name, column in columns.items():
        missing = (column < 0).nonzero()
        if len(missing):
            raise ValueError(
                f"{name!r} is missing in row {int(missing[0, 0])}: structures are learned from "
                "complete rows; drop those with missing values"
            )
    return columns, sizes


def _mutual_information(counts: Tensor) -> float:
    joint = counts / counts.sum()
    apart = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
    return float(
        torch.special.xlogy(joint, joint.where(joint > 0, 1.0) / apart.where(apart > 0, 1.0)).sum()
    )
