"""Probabilities of a discrete model with hidden causes as sums of products (floor 0)."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from opt_einsum import contract, get_symbol
from torch import Tensor

from causal.graph import Edge, Graph

__all__ = ["Key", "Network", "Skeleton", "Term"]

Key = str | Edge  # a block of a model: the mechanism of a variable, or the law of a hidden cause
Term = tuple["Key | Tensor", tuple[Hashable, ...]]


@dataclass(frozen=True, eq=False)
class Skeleton:
    r"""The shape of a model: which blocks it has, and over what.

    The block of an edge is the law of its hidden cause. The block of a variable is a table
    :math:`P(v \mid pa(v), u_v)`, axes (variable, parents, hidden causes at it), or where it has a
    function, :math:`P(r \mid u_v)`, axes (response, hidden causes): response :math:`r` says which
    value the variable takes for each value of its parents.

    Attributes:
        graph: The edges that the model uses.
        functions: ``{variable: 0/1 table}``, axes (response, parents, variable).
        states: Number of states of each variable.

    Example:
        >>> shape = Skeleton(Graph.parse("X -> Y; X <-> Y"), {}, {"X": 2, "Y": 2})
        >>> [shape.axes(key) for key in shape.keys]
        [(('X', 'Y'),), ('X', ('X', 'Y')), ('Y', 'X', ('X', 'Y'))]
    """

    graph: Graph
    functions: Mapping[str, Tensor]
    states: Mapping[str, int]

    @property
    def keys(self) -> tuple[Key, ...]:
        """Hidden causes, then variables."""
        return (*sorted(self.graph.bidirected), *self.graph.order)

    def causes(self, name: str) -> tuple[Edge, ...]:
        """The hidden causes of a variable, sorted."""
        return tuple(sorted(edge for edge in self.graph.bidirected if name in edge))

    def axes(self, key: Key) -> tuple[Hashable, ...]:
        """What the axes of a block stand for."""
        if not isinstance(key, str):
            return (key,)
        if key in self.functions:
            return (("response", key), *self.causes(key))
        return (key, *self.graph.parents(key), *self.causes(key))

    def shape(self, key: Key, causes: Mapping[Edge, int]) -> tuple[int, ...]:
        """The sizes of a block's axes, with so many states of each hidden cause."""
        if not isinstance(key, str):
            return (causes[key],)
        hidden = [causes[edge] for edge in self.causes(key)]
        if key in self.functions:
            return (len(self.functions[key]), *hidden)
        return (*(self.states[name] for name in (key, *self.graph.parents(key))), *hidden)

    def mechanism(self, name: str, place: Hashable, parents: Sequence[Hashable]) -> list[Term]:
        """The terms by which a variable takes its place in a sum of products."""
        if name not in self.functions:
            return [(name, (place, *parents, *self.causes(name)))]
        response = ("response", name)
        return [
            (name, (response, *self.causes(name))),
            (self.functions[name], (response, *parents, place)),
        ]


@dataclass(frozen=True, eq=False)
class Network:
    """A sum of products of a model's blocks and of constants, linear in each block.

    Attributes:
        terms: A block's key or a constant table, with the indices of its axes.
        kept: The indices that are not summed: the axes of the value.

    Example:
        >>> network = Network((("X", ("x",)), ("Y", ("y", "x"))), ("y",))
        >>> blocks = {"X": torch.tensor([0.5, 0.5]), "Y": torch.tensor([[0.2, 0.4], [0.8, 0.6]])}
        >>> network.value(blocks)
        tensor([0.3000, 0.7000])
        >>> network.jacobian(blocks, "X").shape
        torch.Size([2, 2])
    """

    terms: tuple[Term, ...]
    kept: tuple[Hashable, ...]

    def value(self, blocks: Mapping[Any, Tensor]) -> Tensor:
        """The value, one axis for each kept index."""
        operands = [_operand(term, blocks) for term, _ in self.terms]
        return _contract(operands, [indices for _, indices in self.terms], self.kept)

    def jacobian(self, blocks: Mapping[Any, Tensor], key: Key) -> Tensor | None:
        """Derivatives by the entries of a block, (value's size, block's size); None if 0."""
        block, found = blocks[key], False
        operands, inputs = [], []
        for term, indices in self.terms:
            here = not isinstance(term, Tensor) and term == key
            found = found or here
            if here:
                basis = torch.eye(block.numel(), dtype=block.dtype)
                operands.append(basis.reshape(block.numel(), *block.shape))
            else:
                operands.append(_operand(term, blocks))
            inputs.append(("entry", *indices) if here else indices)
        if not found:
            return None
        value = _contract(operands, inputs, (*self.kept, "entry"))
        return value.reshape(-1, block.numel())


def _operand(term: Key | Tensor, blocks: Mapping[Any, Tensor]) -> Tensor:
    return term if isinstance(term, Tensor) else blocks[term]


def _contract(
    operands: Sequence[Tensor], inputs: Sequence[Sequence[Hashable]], kept: Sequence[Hashable]
) -> Tensor:
    if not operands:
        return torch.ones((), dtype=torch.float64)
    symbols: dict[Hashable, str] = {}

    def letters(indices: Sequence[Hashable]) -> str:
        return "".join(symbols.setdefault(i, get_symbol(len(symbols))) for i in indices)

    equation = ",".join(map(letters, inputs)) + "->" + letters(kept)
    return torch.as_tensor(contract(equation, *operands, optimize="greedy", backend="torch"))
