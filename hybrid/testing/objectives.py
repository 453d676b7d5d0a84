"""The conformance check of objectives (floor 4)."""

from typing import Any

import torch
from torch import nn

from hybrid.testing.contract import Clauses, own_randomness, trainable
from hybrid.training.evaluation import evaluate

__all__ = ["check_objective"]


def check_objective(objective: nn.Module, batch: Any, *, seed: int = 0) -> None:
    """Check that ``objective`` is an Objective: a module whose call on a batch can be minimised.

    Checked are: a module with trainable parameters; a real scalar, or `Loss` with a real scalar per
    named part; all of it finite; a finite gradient to every trainable parameter; the same parts in
    every call; the same bits from the same random state; and parameters left as they were.

    Args:
        objective: The objective; it is called in the mode it is in.
        batch: A batch that it takes.
        seed: Of the random numbers it may draw; torch's random state is left as it was.

    Raises:
        ContractError: A clause is broken; it says which.

    Example:
        >>> import torch
        >>> class Distance(torch.nn.Linear):
        ...     def forward(self, batch):
        ...         x, y = batch
        ...         return (super().forward(x) - y).square().mean()
        >>> check_objective(Distance(2, 1), (torch.zeros(5, 2), torch.ones(5, 1)))
    """
    clauses = Clauses(objective)
    clause = "a module with trainable parameters"
    clauses.require(isinstance(objective, nn.Module), clause, f"it is a {type(objective)}")
    named = trainable(objective)
    clauses.require(bool(named), clause, "there is none")
    before = {name: parameter.detach().clone() for name, parameter in named.items()}
    clause = "a finite real scalar with named scalar parts"
    with clauses.within(clause), own_randomness(seed):
        loss = evaluate(objective, batch)
        for name, number in {"the total": loss.total, **loss.parts}.items():
            clauses.require(isinstance(name, str), clause, f"{name!r} is no name")
            clauses.require(bool(number.isfinite()), clause, f"{name} is {number.item()}")
    clause = "a finite gradient to every trainable parameter"
    with clauses.within(clause):
        clauses.gradients(clause, named, loss.total)
    clause = "the same bits from the same random state"
    with clauses.within(clause), own_randomness(seed):
        again = evaluate(objective, batch)
        parts = tuple(again.parts) == tuple(loss.parts)
        clauses.require(parts, clause, f"parts {tuple(loss.parts)}, then {tuple(again.parts)}")
        same = torch.equal(again.total, loss.total)
        clauses.require(same, clause, f"{loss.total.item()}, then {again.total.item()}")
    clause = "parameters are left as they were"
    for name, parameter in named.items():
        clauses.require(torch.equal(parameter, before[name]), clause, f"{name} changed")
