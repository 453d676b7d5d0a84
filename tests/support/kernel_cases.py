"""Small random products of tables, with evidence, and their answers by enumeration."""

import random
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.trees.tree import JunctionTree, junction_tree


@dataclass(frozen=True)
class Case:
    tree: JunctionTree
    tables: tuple[Tensor, ...]
    evidence: Evidence
    sets: tuple[tuple[int, ...], ...]


def case(seed: int, rows: int) -> Case:
    """Up to seven variables, tables shared or per row, zeros in half of them."""
    draw, generator = random.Random(seed), torch.Generator().manual_seed(seed)

    def numbers(*shape: int) -> Tensor:
        return torch.rand(shape, dtype=torch.float64, generator=generator)

    count = draw.randint(1, 7)
    cards = tuple(draw.choice([1, 2, 2, 3, 4]) for _ in range(count))
    scopes = tuple(
        tuple(draw.sample(range(count), draw.randint(1, min(3, count))))
        for _ in range(draw.randint(1, count + 2))
    )
    tree, tables = junction_tree(cards, scopes), []
    for scope in scopes:
        shape = [cards[v] for v in scope]
        if draw.random() < 0.3:
            shape = [rows, *shape]
        table = numbers(*shape)
        tables.append(table * (numbers(*shape) > 0.3) if draw.random() < 0.5 else table)
    hard = {
        v: torch.randint(-1, cards[v], (rows,), generator=generator)
        for v in range(count)
        if draw.random() < 0.5
    }
    soft = {v: numbers(rows, cards[v]) for v in range(count) if draw.random() < 0.2}
    sets = [(v,) for v in range(count)]
    sets += [
        tuple(draw.sample(scope, draw.randint(1, len(scope))))
        for scope in (*tree.cliques, *scopes)
        if draw.random() < 0.6
    ]
    return Case(tree, tuple(tables), Evidence(rows, hard, soft), tuple(sets))


def enumerated(given: Case) -> Tensor:
    """The product of everything in every row, (rows, cardinalities)."""
    tree, evidence = given.tree, given.evidence
    count, rows = len(tree.cardinalities), evidence.rows

    def spread(table: Tensor, scope: tuple[int, ...]) -> Tensor:
        table = table if table.dim() > len(scope) else table[None]
        order = sorted(range(len(scope)), key=lambda k: scope[k])
        shape = [tree.cardinalities[v] if v in scope else 1 for v in range(count)]
        return table.permute(0, *(k + 1 for k in order)).reshape(-1, *shape)

    full = torch.ones(rows, *tree.cardinalities, dtype=torch.float64)
    for scope, table in zip(tree.scopes, given.tables, strict=True):
        full = full * spread(table, scope)
    for v, states in evidence.hard.items():
        cells = torch.arange(tree.cardinalities[v])
        seen = (states[:, None] == cells) | (states[:, None] < 0)
        full = full * spread(seen.double(), (v,))
    for v, likelihoods in evidence.soft.items():
        full = full * spread(likelihoods, (v,))
    return full


def marginal(full: Tensor, variables: tuple[int, ...]) -> Tensor:
    """Normalised marginals of a product (rows, cardinalities); zero where the product is."""
    axes = [k for k in range(1, full.dim()) if k - 1 not in variables]
    kept = full.sum(axes) if axes else full
    order = sorted(variables)
    kept = kept.permute(0, *(order.index(v) + 1 for v in variables))
    total = kept.reshape(kept.shape[0], prod(kept.shape[1:])).sum(1)
    total = torch.where(total > 0, total, 1.0)
    return kept / total.reshape(-1, *[1] * len(variables))
