"""A third opinion on networks: variables are summed or maximised out one by one, in long doubles.

No trees, no messages, no normalisation between steps: 64 bits of mantissa and 15 of exponent make
that unnecessary. Slow, and written without a look at how the library does it.
"""

import math
from collections.abc import Mapping

import numpy as np

from hybrid.pgm.formats.description import Description

Scope = tuple[int, ...]


class Elimination:
    """The order in which the variables of a network go, found once, smallest product first."""

    def __init__(self, network: Description) -> None:
        self.names = list(network.states)
        number = {name: i for i, name in enumerate(self.names)}
        self.cards = [len(states) for states in network.states.values()]
        self.factors: list[tuple[Scope, np.ndarray]] = [
            (tuple(number[other] for other in (*network.parents[name], name)), table)
            for name, table in network.tables.items()
        ]
        near: dict[int, set[int]] = {i: set() for i in number.values()}
        for scope, _ in self.factors:
            for variable in scope:
                near[variable] |= set(scope) - {variable}
        self.order: list[int] = []
        while near:
            first = min(near, key=lambda v: (self._size(near[v] | {v}), v))
            self.order.append(first)
            around = near.pop(first)
            for variable in around:
                near[variable] |= around
                near[variable] -= {first, variable}

    def _size(self, variables: set[int]) -> int:
        return math.prod(self.cards[variable] for variable in variables)

    def log_sum(self, row: Mapping[int, int]) -> float:
        """The log of the probability of what was observed."""
        return self._reduced(row, np.add)

    def log_maximum(self, row: Mapping[int, int]) -> float:
        """The log of the probability of the most probable states that agree with it."""
        return self._reduced(row, np.maximum)

    def _reduced(self, row: Mapping[int, int], how: np.ufunc) -> float:
        factors = [_observed(scope, table, row) for scope, table in self.factors]
        for variable in self.order:
            if variable in row:
                continue
            inside = [factor for factor in factors if variable in factor[0]]
            factors = [factor for factor in factors if variable not in factor[0]]
            scope = tuple(sorted({other for own, _ in inside for other in own}))
            product = np.ones((1,) * len(scope), np.longdouble)
            for own, table in inside:
                product = product * _spread(own, table, scope)
            axis = scope.index(variable)
            rest = scope[:axis] + scope[axis + 1 :]
            factors.append((rest, how.reduce(product, axis=axis)))
        return float(sum(np.log(table) for _, table in factors))


def _observed(scope: Scope, table: np.ndarray, row: Mapping[int, int]) -> tuple[Scope, np.ndarray]:
    cut = table.astype(np.longdouble)[tuple(row.get(v, slice(None)) for v in scope)]
    return tuple(v for v in scope if v not in row), cut


def _spread(own: Scope, table: np.ndarray, scope: Scope) -> np.ndarray:
    ordered = np.transpose(table, np.argsort(own))
    sizes = dict(zip(sorted(own), ordered.shape, strict=True))
    return ordered.reshape([sizes.get(v, 1) for v in scope])


def log_joint(network: Description, states: np.ndarray) -> np.ndarray:
    """The log probability of full assignments (rows, variables), in long doubles."""
    number = {name: i for i, name in enumerate(network.states)}
    total = np.zeros(len(states), np.longdouble)
    for name, table in network.tables.items():
        columns = tuple(states[:, number[other]] for other in (*network.parents[name], name))
        total = total + np.log(table.astype(np.longdouble)[columns])
    return total
