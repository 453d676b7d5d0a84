"""Values of expressions by plain numpy: what rewriting must preserve. Axes are all names."""

import numpy as np

from causal.expression import At, Expression, Probability, Product, Ratio, Sum, subexpressions


def value(expression: Expression, names, tables) -> np.ndarray:
    """The expression over the axes ``names``; axes on which it does not depend have length 1.

    tables: for each set of intervened names the table over all names, normalised over the others
    for each setting. At the states given by `At` an axis is cut to length 1.
    """
    names = list(names)
    sizes = dict(zip(names, next(iter(tables.values())).shape, strict=True))
    made: dict[Expression, np.ndarray] = {}

    def marginal(table, kept):
        return table.sum(
            tuple(k for k, name in enumerate(names) if name not in kept), keepdims=True
        )

    for node in subexpressions(expression):
        if isinstance(node, Probability):
            table = tables[node.do]
            below = marginal(table, node.given | node.do)
            made[node] = marginal(table, node.arguments) / below
        elif isinstance(node, Product):
            made[node] = np.ones((1,) * len(names))
            for factor in node.factors:
                made[node] = made[node] * made[factor]
        elif isinstance(node, Sum):
            result = made[node.of]
            for name in node.over:
                axis = names.index(name)
                result = result.sum(axis, keepdims=True) * (
                    sizes[name] / result.shape[axis] if result.shape[axis] == 1 else 1
                )
            made[node] = result
        elif isinstance(node, Ratio):
            made[node] = made[node.above] / made[node.below]
        elif isinstance(node, At):
            result = made[node.of]
            for name, state in node.values:
                axis = names.index(name)
                if result.shape[axis] > 1:
                    result = np.take(result, [state], axis)
            made[node] = result
        else:
            raise TypeError(type(node))
    return made[expression]
