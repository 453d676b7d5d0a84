"""Small random problems for junction trees, and their answers by enumeration."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.exact import posterior
from hybrid.pgm.kernels import execution
from hybrid.pgm.trees.tree import JunctionTree, junction_tree

PATHS = ("kernel", "torch")


@dataclass(frozen=True, eq=False)
class Problem:
    """Factors over few variables."""

    cardinalities: tuple[int, ...]
    scopes: tuple[tuple[int, ...], ...]
    tables: tuple[Tensor, ...]
    evidence: Evidence

    @property
    def tree(self) -> JunctionTree:
        return junction_tree(self.cardinalities, self.scopes)

    @property
    def singles(self) -> tuple[tuple[int, ...], ...]:
        return tuple((variable,) for variable in range(len(self.cardinalities)))

    def joint(
        self, tables: Sequence[Tensor] | None = None, soft: Sequence[Tensor] | None = None
    ) -> Tensor:
        """The product of all factors and the evidence, (rows, *cards)."""
        n, cards = len(self.cardinalities), self.cardinalities
        total = torch.ones(self.evidence.rows, *cards, dtype=torch.float64)

        def along(table: Tensor, scope: tuple[int, ...]) -> Tensor:
            table = table if table.dim() > len(scope) else table.unsqueeze(0)
            order = sorted(range(len(scope)), key=lambda axis: scope[axis])
            shape = [cards[v] if v in scope else 1 for v in range(n)]
            return table.permute(0, *(1 + axis for axis in order)).reshape(-1, *shape)

        for table, scope in zip(tables or self.tables, self.scopes, strict=True):
            total = total * along(table, scope)
        for variable, states in self.evidence.hard.items():
            allowed = torch.arange(cards[variable]) == states.unsqueeze(1)
            total = total * along((allowed | (states < 0).unsqueeze(1)).double(), (variable,))
        likelihoods = self.evidence.soft.values() if soft is None else soft
        for variable, values in zip(self.evidence.soft, likelihoods, strict=True):
            total = total * along(values, (variable,))
        return total

    def marginal(self, joint: Tensor, variables: tuple[int, ...]) -> Tensor:
        """(rows, *cards of the variables), zeros where the row is impossible."""
        total = joint.flatten(1).sum(1).reshape(-1, *[1] * len(self.cardinalities))
        joint = joint / torch.where(total > 0, total, 1)
        rest = [1 + v for v in range(len(self.cardinalities)) if v not in variables]
        joint = joint.sum(rest) if rest else joint
        order = sorted(variables)
        return joint.permute(0, *(1 + order.index(variable) for variable in variables))


def random_problem(seed: int, zeros: bool = True, most: int = 6) -> Problem:
    """A few variables, unconnected ones and single states among them, in one to five rows."""
    choose, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    n, rows = choose.randint(1, most), choose.choice((1, 3, 5))
    cards = tuple(choose.choice((1, 2, 2, 3, 4)) for _ in range(n))
    scopes, tables = [], []
    for variable in range(n):
        parents = choose.sample(range(variable), choose.randint(0, min(variable, 3)))
        scope = [*(parents if choose.random() < 0.8 else []), variable]
        choose.shuffle(scope)
        scopes.append(tuple(scope))
        shape = [cards[v] for v in scope]
        shape = [rows, *shape] if choose.random() < 0.3 else shape
        table = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.01
        if zeros and choose.random() < 0.5:
            table = table * (torch.rand(shape, generator=generator) > 0.3)
        tables.append(table)
    hard, soft = {}, {}
    for variable, card in enumerate(cards):
        kind = choose.random()
        if kind < 0.3:
            hard[variable] = torch.randint(-1, card, (rows,), generator=generator)
        elif kind < 0.45:
            values = torch.rand(rows, card, generator=generator, dtype=torch.float64)
            values = values + 0.01
            if zeros and choose.random() < 0.5:
                values = values * (torch.rand(rows, card, generator=generator) > 0.3)
            soft[variable] = values
    return Problem(cards, tuple(scopes), tuple(tables), Evidence(rows, hard, soft))


def use(path: str, patch: pytest.MonkeyPatch) -> None:
    """Answer by the kernel, where it is there, or by torch alone."""
    if path == "torch":
        patch.setattr(posterior, "run", lambda *_: None)
        patch.setattr(execution, "best", lambda *_: None)
        patch.setattr(execution, "draw", lambda *_: None)
        patch.setattr(execution, "sums", lambda *_: None)


def chain(cards: Sequence[int], seed: int = 0) -> Problem:
    """A chain of conditional tables without evidence, in one row."""
    generator = torch.Generator().manual_seed(seed)
    scopes = [(0,), *((v - 1, v) for v in range(1, len(cards)))]
    tables = [
        torch.rand([cards[v] for v in scope], generator=generator, dtype=torch.float64)
        for scope in scopes
    ]
    tables = [table / table.sum(-1, keepdim=True) for table in tables]
    return Problem(tuple(cards), tuple(scopes), tuple(tables), Evidence(1))
