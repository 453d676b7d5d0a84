"""A record of tensor operations, run on NumPy's arrays: for small ones that is several times as
fast, for a call costs less there than a torch operation's dispatch (floor 1).
"""  # noqa: D205

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor, fx, nn

from hybrid.bayes.sampling.recording import Record

__all__ = ["array_function"]

Array = NDArray[Any]
_ADD: Any = np.add.reduce
_MOST: Any = np.maximum.reduce
_LARGEST = 16_384  # numbers in a tensor, beyond which torch's own loops are the faster


def array_function(
    record: Record, example: Tensor, *which: int
) -> Callable[[Array], tuple[Array, ...]] | None:
    """What a record computes, from an array to arrays; None where its tensors are large.

    Operations that NumPy has no counterpart for are done by torch.

    Args:
        record: The record of a function of one tensor.
        example: That tensor, on the CPU.
        which: The places of the outputs that are wanted, all for none.

    Example:
        >>> from hybrid.bayes.sampling.recording import record
        >>> kept = record(lambda x: (x.exp(), x.sum(0)), torch.zeros(2))
        >>> array_function(kept, torch.zeros(2))(np.zeros(2))
        (array([1., 1.], dtype=float32), array(0., dtype=float32))
    """
    if example.device.type != "cpu" or record.largest > _LARGEST:
        return None
    graph, constants = record.parts(*which)
    made = fx.Graph()
    copies: dict[fx.Node, Any] = {}
    values = nn.Module()
    for node in graph.nodes:
        if node.op == "get_attr":
            setattr(values, node.target, _plain(getattr(constants, node.target)))
            copies[node] = made.get_attr(node.target)
        elif node.op in ("call_function", "call_method"):
            args = fx.map_arg(node.args, copies.__getitem__)
            kwargs = fx.map_arg(node.kwargs, copies.__getitem__)
            copies[node] = made.call_function(_counterpart(node, kwargs), args, kwargs)
        else:
            copies[node] = made.node_copy(node, copies.__getitem__)
    forward = fx.GraphModule(values, made).forward
    dtype = np.zeros(0, str(example.dtype).removeprefix("torch.")).dtype

    def function(position: Array) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):  # what overflows is the caller's to judge
            found = forward(position)
        # Copies: a result may be the position itself, or one number shown many times.
        return tuple(np.array(x, dtype) for x in (found if isinstance(found, tuple) else (found,)))

    return function


def _plain(constant: Tensor) -> Any:
    """A constant as an array; a number where it is one, for numbers are the fastest."""
    array = constant.detach().numpy()
    return array[()] if array.ndim == 0 else array


def _counterpart(node: fx.Node, kwargs: dict[str, Any]) -> Callable[..., Any]:
    target: Any = node.target
    if target is operator.getitem:
        return operator.getitem
    schema = getattr(target, "_schema", None)
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    name = schema.name.partition("::")[2] if schema is not None else name
    if name in _SIMPLE and not kwargs and len(node.args) <= _SIMPLE[name][1]:
        return _SIMPLE[name][0]
    if name in _OWN and not kwargs:
        return _OWN[name]
    return _by_torch(getattr(torch.Tensor, target) if isinstance(target, str) else target)


def _by_torch(function: Callable[..., Any]) -> Callable[..., Any]:
    """The operation itself, on tensors that share the arrays' memory."""

    def tensor(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return torch.from_numpy(value if value.flags.writeable else value.copy())
        return torch.from_numpy(np.asarray(value)) if isinstance(value, np.generic) else value

    def array(value: Any) -> Any:
        return _plain(value) if isinstance(value, Tensor) else value

    def through_torch(*args: Any, **kwargs: Any) -> Any:
        made = function(*_each(args, tensor), **kwargs)
        return tuple(map(array, made)) if isinstance(made, tuple | list) else array(made)

    through_torch.__name__ = f"torch_{getattr(function, '__name__', 'operation')}"
    return through_torch


def _each(values: Sequence[Any], change: Callable[[Any], Any]) -> list[Any]:
    return [_each(x, change) if isinstance(x, list | tuple) else change(x) for x in values]


def _axes(dim: Any) -> Any:
    return None if dim is None or dim == [] else tuple(dim) if isinstance(dim, list) else dim


def _sum(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return _ADD(x, _axes(dim), None, None, keepdim)


def _mean(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    total = _sum(x, dim, keepdim)
    return total * (np.size(total) / np.size(x))


def _logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Any:
    axes = _axes(dim)
    highest = _MOST(x, axes, None, None, keepdims=True)
    highest = np.where(np.isfinite(highest), highest, 0.0)
    total = np.log(_ADD(np.exp(x - highest), axes, None, None, keepdims=True)) + highest
    return total if keepdim else total.squeeze(axes)


def _amax(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return _MOST(x, _axes(dim), None, None, keepdim)


def _all(x: Any) -> Any:
    return np.logical_and.reduce(x, axis=None)


def _slice(x: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    chosen = slice(start, end, step)
    return x[chosen] if dim == 0 else x[(slice(None),) * (dim % x.ndim) + (chosen,)]


def _slice_backward(grad: Any, size: Any, dim: int, start: int, end: int, step: int) -> Any:
    out = np.zeros(size, grad.dtype)
    out[(slice(None),) * (dim % out.ndim) + (slice(start, end, step),)] = grad
    return out


def _select(x: Any, dim: int, index: int) -> Any:
    return x[index] if dim == 0 else x[(slice(None),) * (dim % x.ndim) + (index,)]


def _select_backward(grad: Any, size: Any, dim: int, index: int) -> Any:
    out = np.zeros(size, grad.dtype)
    out[(slice(None),) * (dim % out.ndim) + (index,)] = grad
    return out


def _split_with_sizes(x: Any, sizes: Any, dim: int = 0) -> list[Any]:
    found, start = [], 0
    for size in sizes:
        found.append(_slice(x, dim, start, start + size))
        start += size
    return found


def _reshape(x: Any, shape: Any) -> Any:
    return x.reshape(shape)


def _expand(x: Any, shape: Any) -> Any:
    own = (1,) * (len(shape) - np.ndim(x)) + np.shape(x)
    wanted = [a if b == -1 else b for a, b in zip(own, shape, strict=True)]
    return np.broadcast_to(x, wanted)


def _unsqueeze(x: Any, dim: int) -> Any:
    return np.expand_dims(x, dim)


def _squeeze(x: Any, dim: Any = None) -> Any:
    shape = np.shape(x)
    dims = range(len(shape)) if dim is None else [dim] if isinstance(dim, int) else dim
    return x.squeeze(tuple(d for d in dims if shape and shape[d] == 1))


def _swap(x: Any, first: int, second: int) -> Any:
    return x.swapaxes(first, second) if np.ndim(x) else x


def _cat(parts: Any, dim: int = 0) -> Any:
    return np.concatenate(parts, dim)


def _stack(parts: Any, dim: int = 0) -> Any:
    return np.stack(parts, dim)


def _masked_fill(x: Any, mask: Any, value: Any) -> Any:
    return np.where(mask, np.asarray(value, x.dtype), x)


def _clamp(x: Any, low: Any = None, high: Any = None) -> Any:
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:  # noqa: ARG001 (exact here)
    return np.logaddexp(x * beta, 0.0) / beta


def _softplus_backward(grad: Any, x: Any, beta: float, threshold: float) -> Any:  # noqa: ARG001
    return grad * special.expit(x * beta)


def _log_sigmoid_forward(x: Any) -> tuple[Any, Any]:
    return -np.logaddexp(-x, 0.0), x


def _log_sigmoid_backward(grad: Any, x: Any, buffer: Any) -> Any:  # noqa: ARG001 (the operator's)
    return grad * special.expit(-x)


# SciPy's functions have no __module__, which the code that is made asks for.
def _sigmoid(x: Any) -> Any:
    return special.expit(x)


def _digamma(x: Any) -> Any:
    return special.psi(x)


def _erf(x: Any) -> Any:
    return special.erf(x)


def _lgamma(x: Any) -> Any:
    return special.gammaln(x)


def _xlogy(x: Any, y: Any) -> Any:
    return special.xlogy(x, y)


def _sigmoid_backward(grad: Any, value: Any) -> Any:
    return grad * value * (1 - value)


def _tanh_backward(grad: Any, value: Any) -> Any:
    return grad * (1 - value * value)


def _reciprocal(x: Any) -> Any:
    return 1 / x


def _rsqrt(x: Any) -> Any:
    return 1 / np.sqrt(x)


def _rsub(x: Any, other: Any) -> Any:
    return other - x


def _pow(x: Any, power: Any) -> Any:
    return x * x if isinstance(power, int | float) and power == 2 else np.power(x, power)


def _addmm(x: Any, one: Any, other: Any) -> Any:
    return x + one @ other


# Counterparts by name, with the most arguments they take.
_SIMPLE: dict[str, tuple[Callable[..., Any], int]] = {
    "abs": (np.absolute, 1),
    "add": (operator.add, 2),
    "cumsum": (np.cumsum, 2),
    "digamma": (_digamma, 1),
    "div": (operator.truediv, 2),
    "eq": (operator.eq, 2),
    "erf": (_erf, 1),
    "exp": (np.exp, 1),
    "expm1": (np.expm1, 1),
    "ge": (operator.ge, 2),
    "gt": (operator.gt, 2),
    "le": (operator.le, 2),
    "lgamma": (_lgamma, 1),
    "log": (np.log, 1),
    "log1p": (np.log1p, 1),
    "logical_and": (np.logical_and, 2),
    "logical_not": (np.logical_not, 1),
    "logical_or": (np.logical_or, 2),
    "lt": (operator.lt, 2),
    "maximum": (np.maximum, 2),
    "minimum": (np.minimum, 2),
    "mul": (operator.mul, 2),
    "ne": (operator.ne, 2),
    "neg": (operator.neg, 1),
    "permute": (np.transpose, 2),
    "sgn": (np.sign, 1),
    "sigmoid": (_sigmoid, 1),
    "sign": (np.sign, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "sqrt": (np.sqrt, 1),
    "sub": (operator.sub, 2),
    "t": (np.transpose, 1),
    "tanh": (np.tanh, 1),
    "where": (np.where, 3),
    "xlogy": (_xlogy, 2),
    **dict.fromkeys(("bmm", "dot", "mm", "mv"), (operator.matmul, 2)),
}
_OWN: dict[str, Callable[..., Any]] = {
    "addmm": _addmm,
    "addmv": _addmm,
    "all": _all,
    "amax": _amax,
    "cat": _cat,
    "clamp": _clamp,
    "expand": _expand,
    "log_sigmoid_backward": _log_sigmoid_backward,
    "log_sigmoid_forward": _log_sigmoid_forward,
    "logsumexp": _logsumexp,
    "masked_fill": _masked_fill,
    "mean": _mean,
    "pow": _pow,
    "reciprocal": _reciprocal,
    "reshape": _reshape,
    "rsqrt": _rsqrt,
    "rsub": _rsub,
    "select": _select,
    "select_backward": _select_backward,
    "sigmoid_backward": _sigmoid_backward,
    "slice": _slice,
    "slice_backward": _slice_backward,
    "softplus": _softplus,
    "softplus_backward": _softplus_backward,
    "split_with_sizes": _split_with_sizes,
    "squeeze": _squeeze,
    "stack": _stack,
    "sum": _sum,
    "tanh_backward": _tanh_backward,
    "transpose": _swap,
    "unsqueeze": _unsqueeze,
}
