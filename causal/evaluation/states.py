"""Given states carried down to the probabilities, so that no sum is made for others."""

from causal.expression import At, Expression, Probability, Product, Ratio, Sum, Value, at

__all__ = ["settled"]

States = tuple[tuple[str, Value], ...]


def _inner(node: Expression, states: States) -> list[tuple[Expression, States]]:
    """The operands of a node, each with the states that reach it."""
    known = dict(states)
    if isinstance(node, At):
        known |= dict(node.values)
    if isinstance(node, Sum):
        known = {name: value for name, value in known.items() if name not in node.over}
    return [
        (part, tuple(sorted((n, v) for n, v in known.items() if n in part.arguments)))
        for part in node.operands
    ]


def settled(expression: Expression) -> Expression:
    """An expression of the same value in which only probabilities stand at given states.

    Example:
        >>> body = Product((Probability("Y", {"X"}), Probability("X")))
        >>> settled(At(body, (("X", 1),)))
        Product((At(Probability(['Y'], ['X'], []), (('X', 1),)), At(Probability(['X'], ...)))
    """
    made: dict[tuple[Expression, States], Expression] = {}
    pending: list[tuple[Expression, States]] = [(expression, ())]
    while pending:
        node, states = pending[-1]
        parts = _inner(node, states)
        waiting = [part for part in parts if part not in made]
        if waiting:
            pending.extend(waiting)
            continue
        pending.pop()
        done = [made[part] for part in parts]
        made[node, states] = _rebuilt(node, states, done)
    return made[expression, ()]


def _rebuilt(node: Expression, states: States, parts: list[Expression]) -> Expression:
    if isinstance(node, Probability):
        return at(node, states)
    if isinstance(node, Product):
        return Product(parts)
    if isinstance(node, Sum):
        return Sum(node.over, parts[0])
    if isinstance(node, Ratio):
        return Ratio(parts[0], parts[1])
    return parts[0]
