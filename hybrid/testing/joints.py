"""The conformance check of joint distributions (floor 4)."""

import math
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from causal.draws import fixed
from hybrid.testing.contract import Clauses, own_randomness

__all__ = ["check_joint"]


def check_joint(joint: Any, *, n: int = 64, seed: int = 0) -> None:
    r"""Check that ``joint`` is a Joint: named variables with a probability and samples.

    Checked are: ``variables`` without repetition; samples with these names and n rows; one finite
    log probability per sampled row; and, where it has a ``factor()``, that the table sums to one
    and agrees with ``log_probability``, given nothing and given each variable, and with how often
    the cells are sampled, and that ``sample(n, given)`` keeps what is given.

    Args:
        joint: The joint distribution, without batch dimensions of its own.
        n: How many rows are drawn.
        seed: Of the rows.

    Raises:
        ContractError: A clause is broken; it says which.

    Example:
        >>> import causal, torch
        >>> check_joint(causal.Factor(("A", "B"), torch.tensor([[0.1, 0.2], [0.3, 0.4]])))
    """
    clauses = Clauses(joint)
    clause = "variables are different names"
    with clauses.within(clause):
        names = joint.variables
        named = isinstance(names, tuple) and all(isinstance(name, str) for name in names)
        clauses.require(named and len(set(names)) == len(names), clause, f"got {names!r}")
    one_draw = fixed(joint) if isinstance(joint, nn.Module) else nullcontext()
    with own_randomness(seed), torch.no_grad(), one_draw:
        rows = _check_sample(clauses, joint, n)
        _check_log_probability(clauses, joint, rows, n)
        if callable(getattr(joint, "factor", None)):
            _check_factor(clauses, joint, rows)


def _check_sample(clauses: Clauses, joint: Any, n: int) -> dict[str, Tensor]:
    clause = "sample(n) gives n rows of every variable"
    with clauses.within(clause):
        rows: dict[str, Tensor] = joint.sample(n)
        names = set(joint.variables)
        clauses.require(set(rows) == names, clause, f"{sorted(rows)} for {sorted(names)}")
        for name, column in rows.items():
            shape = tuple(column.shape)
            clauses.require(shape[:1] == (n,), clause, f"'{name}' has shape {shape}")
    return rows


def _check_log_probability(clauses: Clauses, joint: Any, rows: dict[str, Tensor], n: int) -> None:
    clause = "one finite log probability per sampled row"
    with clauses.within(clause):
        log = joint.log_probability(rows)
        clauses.require(tuple(log.shape) == (n,), clause, f"shape {tuple(log.shape)}")
        clauses.require(bool(log.isfinite().all()), clause, "not finite")
        first = {name: column[:1] for name, column in rows.items()}
        clauses.close(clause, joint.log_probability(first), log[:1])


def _check_factor(clauses: Clauses, joint: Any, rows: dict[str, Tensor]) -> None:
    clause = "the factor is the whole distribution"
    try:
        table = joint.factor()
    except (TypeError, ValueError):  # a support is not finite, or the table is too large
        return
    with clauses.within(clause):
        clauses.require(table.variables == joint.variables, clause, f"over {table.variables}")
        total = float(table.normalise().values.sum())
        clauses.require(math.isclose(total, 1.0, rel_tol=1e-4), clause, f"it sums to {total}")
    clause = "the factor agrees with log_probability"
    with clauses.within(clause):
        clauses.close(clause, joint.log_probability(rows), table.log_probability(rows))
    _check_frequencies(clauses, table, rows)
    _check_given(clauses, joint, rows)
    clause = "log p(values | given) is the factor's"
    for name in joint.variables if len(joint.variables) > 1 else ():
        with clauses.within(clause):
            rest = {other: column for other, column in rows.items() if other != name}
            given = {name: rows[name]}
            expected = table.log_probability(rows) - table.log_probability(given)
            clauses.close(clause, joint.log_probability(rest, given), expected)


def _check_frequencies(clauses: Clauses, table: Any, rows: dict[str, Tensor]) -> None:
    clause = "samples are as frequent as the factor says"
    with clauses.within(clause):
        for name in table.variables:
            states = rows[name].long()
            n = len(states)
            wanted = table.marginal(name).normalise().values.double()
            found = torch.bincount(states, minlength=len(wanted)).double() / n
            far = (found - wanted).abs() > 5 * (wanted * (1 - wanted) / n).sqrt() + 2 / n
            state = int(far.long().argmax())
            detail = (
                f"'{name}' = {state} in {found[state]:.3g} of {n} rows, not {wanted[state]:.3g}"
            )
            clauses.require(not bool(far.any()), clause, detail)


def _check_given(clauses: Clauses, joint: Any, rows: dict[str, Tensor]) -> None:
    clause = "sample(n, given) keeps what is given"
    for name, column in rows.items():
        value = column.mode().values
        with clauses.within(clause):
            kept = joint.sample(4, given={name: value})[name]
            clauses.require(bool((kept == value).all()), clause, f"'{name}' is {kept.tolist()}")
