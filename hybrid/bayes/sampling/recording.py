"""A function of one tensor, run once and kept as a list of tensor operations (floor 0).

What was run is written down below autograd and vmap, so the record of a gradient, or of a batch, is
as plain as that of a value. Operations that the input does not reach are not written: their results
are constants. Equal operations are written once, and those that change nothing are left out.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.func import functionalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map

__all__ = ["Record", "Unrecordable", "record"]

# Operators that torch has as a function of the same arguments, which is called twice as fast.
_FUNCTIONS = {
    *("abs", "add", "addmm", "amax", "bmm", "cat", "clamp", "cos", "cumsum", "digamma", "div"),
    *("eq", "erf", "exp", "expm1", "ge", "gt", "le", "lgamma", "log", "log1p", "logsumexp", "lt"),
    *("masked_fill", "maximum", "mean", "minimum", "mm", "mul", "neg", "pow", "reciprocal"),
    *("rsqrt", "rsub", "select", "sigmoid", "sin", "sqrt", "sub", "sum", "t", "tanh"),
    *("transpose", "unsqueeze", "where"),
}
_METHODS = {"expand", "permute"}
# The values that these make do not depend on their input's values.
_SHAPE_ONLY = {
    *("empty_like", "full_like", "ones_like", "zeros_like"),
    *("new_empty", "new_full", "new_ones", "new_zeros"),
}
_COPIES = {"alias", "clone", "detach", "lift_fresh_copy"}


class Unrecordable(Exception):  # noqa: N818 (it is no error of the user's)
    """The function cannot be kept as a list of operations; the message says why.

    Example:
        >>> record(lambda x: x * x.item(), torch.tensor(2.0))
        Traceback (most recent call last):
        hybrid.bayes.sampling.recording.Unrecordable: a number is read out of a tensor ...
    """


class Record:
    """The operations that lead from one tensor to some others, in the order they were run.

    Attributes:
        largest: Numbers in the largest tensor that an operation made.

    Example:
        >>> kept = record(lambda x: (x.exp() * torch.ones(3).sum(), x + 0.0), torch.zeros(2))
        >>> kept.operations
        2
        >>> kept.function()(torch.zeros(2))
        (tensor([3., 3.]), tensor([0., 0.]))
    """

    def __init__(
        self, graph: fx.Graph, constants: nn.Module, outputs: Sequence[fx.Node], largest: int
    ) -> None:
        self._graph, self._constants, self._outputs = graph, constants, tuple(outputs)
        self.largest = largest

    @property
    def operations(self) -> int:
        """How many operations were written."""
        return sum(node.op in ("call_function", "call_method") for node in self._graph.nodes)

    def parts(self, *which: int) -> tuple[fx.Graph, nn.Module]:
        """A graph of the operations of these outputs, and the constants that it refers to."""
        return self._copy(*which), self._constants

    def function(self, *which: int) -> Callable[[Tensor], Any]:
        """A function that runs what the outputs at these places (all for none) need.

        It returns one tensor for one place, else a tuple.
        """
        module = fx.GraphModule(self._constants, self._copy(*which))
        for name in list(module._buffers):  # found at once as plain attributes of the instance
            module.__dict__[name] = module._buffers.pop(name)
        return module.forward

    def _copy(self, *which: int) -> fx.Graph:
        """A graph of what these outputs need."""
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        for node in self._graph.nodes:
            copies[node] = graph.node_copy(node, copies.__getitem__)
        chosen = [copies[self._outputs[i]] for i in which or range(len(self._outputs))]
        graph.output(chosen[0] if len(chosen) == 1 else tuple(chosen))
        graph.eliminate_dead_code()
        return graph


def record(function: Callable[[Tensor], Any], example: Tensor, *, in_place: bool = True) -> Record:
    """Run ``function`` on ``example`` and keep what it did.

    Args:
        function: From one tensor to a tensor or a tuple of tensors, without random numbers.
        example: A tensor; the record holds for tensors of its shape and dtype.
        in_place: Whether the function may write into its own tensors; it may then not use autograd
            but by ``torch.func``.

    Raises:
        Unrecordable: Numbers leave the tensors (control flow that depends on values), random ones
            are drawn, or a tensor is written into against ``in_place``.

    Example:
        >>> gradient = torch.func.grad(lambda x: (x * x).sum())
        >>> record(gradient, torch.ones(3)).function()(torch.tensor([1.0, 2.0, 3.0]))
        tensor([2., 4., 6.])
    """
    recorder = _Recorder(example)
    with torch.no_grad(), recorder:
        outputs = (functionalize(function) if in_place else function)(example)
    leaves = tree_leaves(outputs)
    nodes = [recorder.node(leaf) for leaf in leaves]
    return Record(recorder.graph, recorder.constants, nodes, recorder.largest)


class _Recorder(TorchDispatchMode):
    """Writes every operation that the input reaches, by the identity of tensors."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        self.graph = fx.Graph()
        self.constants = nn.Module()
        self.largest = 0
        self._nodes: dict[int, fx.Node] = {id(example): self.graph.placeholder("position")}
        self._reached = {id(example)}
        self._written: dict[Any, Any] = {}
        self._alive: list[Tensor] = [example]  # an identity is of no use once its tensor is gone

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: what is run inside is torch's own code, and the compiler takes seconds to load."""
        return False

    def node(self, tensor: Tensor) -> fx.Node:
        """The node of a tensor; one that the input does not reach becomes a constant."""
        found = self._nodes.get(id(tensor))
        if found is None:
            name = f"constant{len(self._nodes)}"
            self.constants.register_buffer(name, tensor.detach())
            found = self._keep(tensor, self.graph.get_attr(name))
        return found

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded in func.tags:
            raise Unrecordable(f"random numbers are drawn by {func}")
        result = func(*args, **kwargs)
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        if not any(id(x) in self._reached for x in given):
            return result
        name = func._schema.name.partition("::")[2]
        if name in _SHAPE_ONLY:
            return result
        made = result if isinstance(result, tuple | list) else (result,)
        if not all(x is None or isinstance(x, Tensor) for x in made) or made == (None,):
            raise Unrecordable(f"a number is read out of a tensor by {func}")
        if any(result is x for x in given):
            raise Unrecordable(f"{func} writes into a tensor that it was given")
        fixed = all(id(x) not in self._reached for x in given[1:])
        same = _unchanged(name, args, kwargs, result) if fixed else None
        if same is not None:
            self._reached.add(id(result))
            self._keep(result, self.node(same))
            return result
        return self._write(func, name, args, kwargs, result)

    def _write(
        self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> Any:
        """Write one operation, or find that it was written already."""
        lifted = tree_map(lambda x: self.node(x) if isinstance(x, Tensor) else x, (args, kwargs))
        leaves, shape = tree_flatten(lifted)
        key = (
            func,
            str(shape),
            tuple((type(x), repr(x) if isinstance(x, float) else x) for x in leaves),
        )
        made = list(result) if isinstance(result, tuple | list) else [result]
        if key not in self._written:
            node = self._call(func, name, *lifted)
            parts = [node]
            if isinstance(result, tuple | list):
                parts = [
                    self.graph.call_function(operator.getitem, (node, i)) for i in range(len(made))
                ]
            self._written[key] = parts
        for tensor, node in zip(made, self._written[key], strict=True):
            if tensor is not None:  # a gradient that nobody asked for
                self._reached.add(id(tensor))
                self._keep(tensor, node)
                self.largest = max(self.largest, tensor.numel())
        return result

    def _call(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> fx.Node:
        if name in ("view", "_unsafe_view"):  # a batch may lie in memory in another order
            return self.graph.call_method("reshape", args, kwargs)
        if name in _METHODS:
            return self.graph.call_method(name, args, kwargs)
        if name in _FUNCTIONS and func.namespace == "aten":
            return self.graph.call_function(getattr(torch, name), args, kwargs)
        return self.graph.call_function(func, args, kwargs)

    def _keep(self, tensor: Tensor, node: fx.Node) -> fx.Node:
        self._alive.append(tensor)
        self._nodes[id(tensor)] = node
        return node


def _unchanged(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
) -> Tensor | None:
    """The argument that the operation returns as it was, if it does."""
    first = args[0] if args and isinstance(args[0], Tensor) else None
    if first is None or not isinstance(result, Tensor):
        return None
    if first.shape != result.shape or first.dtype != result.dtype or first.device != result.device:
        return None
    if name in _COPIES or name in ("view", "expand", "_to_copy", "_unsafe_view"):
        return first
    other = args[1] if len(args) == 2 and not kwargs else None
    neutral = {"add": 0, "sub": 0, "mul": 1, "div": 1, "pow": 1}
    if name in neutral and _is_number(other, neutral[name]):
        return first
    return None


def _is_number(value: Any, number: int) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1 and value.dim() == 0 and float(value) == number
    return isinstance(value, int | float) and value == number
