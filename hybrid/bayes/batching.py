"""Run a deterministic Layer under many weight sets at once (floor 1).

Everything here is tensor → tensor: weights are drawn elsewhere. `batched` dispatches on the layer's
type; a new rule is registered, not added to this file::

    @batching_rule(MyLayer)
    def _my_layer(module, weights, inputs): ...

Where there is no rule, or it returns ``NotImplemented``: layers that say ``broadcasts_parameters =
True`` (circuits) take the weights with their leading axis; then ``torch.func.vmap``; last, for what
vmap cannot do (torch's own GRU, LSTM and attention, active dropout, data-dependent control flow), a
loop over the draws. Each draw has a dropout mask of its own. Batch norm in training mode raises for
more than one draw: its running statistics would be updated once per draw.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.utils._pytree import tree_map

from hybrid.bayes.exchange import shadow
from hybrid.layers import Aside, Constant, Interaction, Readout, Skip, Standardize, split_columns

__all__ = [
    "Layer",
    "Weights",
    "batched",
    "batching_rule",
    "check_norms",
    "first_real",
    "in_dtype_of",
    "is_random",
    "under",
]

Weights = Mapping[str, Tensor]


@runtime_checkable
class Layer(Protocol):
    r"""A ``torch.nn.Module`` from ``(*batch, in)`` to ``(*batch, out)`` that works under vmap.

    Images and sequences have their own event dimensions in place of ``in``. A layer whose
    parameters may have leading dimensions that broadcast against those of its inputs says so by an
    attribute ``broadcasts_parameters = True``.

    Example:
        >>> layer: Layer = torch.nn.Linear(3, 2)
        >>> layer(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __call__(self, inputs: Tensor, /) -> Tensor:
        """The layer's outputs."""
        ...


def is_random(module: nn.Module) -> bool:
    """Whether some part of ``module`` has a distribution over its weights.

    Example:
        >>> is_random(torch.nn.Linear(2, 1))
        False
    """
    return any(_is_random_itself(part) for part in module.modules())


def _is_random_itself(module: nn.Module) -> bool:
    # On the class: a miss on a module instance is slow. What has no divergence holds noise, as the
    # guide of hidden causes does, and no weights.
    kind = type(module)
    return callable(getattr(kind, "fixed", None)) and callable(getattr(kind, "divergence", None))


def in_dtype_of(law: nn.Module, context: Tensor) -> Tensor:
    """``context`` in the dtype of the law's parameters.

    Whole numbers stay as they are where the law has an embedding, which looks rows up by them.

    Raises:
        TypeError: ``context`` is not a tensor, or complex.

    Example:
        >>> in_dtype_of(torch.nn.Linear(2, 1), torch.tensor([[True, False]]))
        tensor([[1., 0.]])
    """
    if not isinstance(context, Tensor) or context.is_complex():
        kind = context.dtype if isinstance(context, Tensor) else type(context).__name__
        raise TypeError(f"a law's context is a tensor (*batch, width) of real numbers, got {kind}")
    parameter = first_real(law)
    if parameter is None or parameter.dtype == context.dtype:
        return context
    numbers = context.is_floating_point() or context.dtype == torch.bool
    if not numbers and any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in law.modules()):
        return context
    return context.to(parameter.dtype)


def first_real(module: nn.Module) -> Tensor | None:
    """The first real parameter: a short way to what ``module.parameters()`` would walk to.

    Example:
        >>> first_real(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(2, 1))).shape
        torch.Size([1, 2])
    """
    for parameter in module._parameters.values():
        if parameter is not None and parameter.is_floating_point():
            return parameter
    for part in module._modules.values():
        found = None if part is None else first_real(part)
        if found is not None:
            return found
    return None


Rule = Callable[[Any, Weights, Tensor], Any]
_RULES: dict[type[nn.Module], Rule] = {}


def batching_rule(*kinds: type[nn.Module]) -> Callable[[Rule], Rule]:
    """Decorator: use this function in `batched` for layers of these types.

    The function takes (layer, weights by name inside the layer, inputs) with the axes of `batched`.
    Subclasses share the rule as long as they share ``forward``. It may return ``NotImplemented``
    for what it does not cover.

    Example:
        >>> class Shift(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.by = torch.nn.Parameter(torch.zeros(3))
        ...
        ...     def forward(self, inputs):
        ...         return inputs + self.by
        >>> @batching_rule(Shift)
        ... def shift(layer, weights, inputs):
        ...     by = weights.get("by", layer.by.unsqueeze(0))
        ...     return inputs + by.reshape(len(by), *[1] * (inputs.dim() - 2), 3)
        >>> batched(Shift(), {"by": torch.ones(2, 3)}, torch.zeros(1, 5, 3)).shape
        torch.Size([2, 5, 3])
    """

    def keep(rule: Rule) -> Rule:
        _RULES.update(dict.fromkeys(kinds, rule))
        return rule

    return keep


def _rule_of(module: nn.Module) -> Rule | None:
    """The rule for the module's type, unless its ``forward`` is not that type's (or has hooks)."""
    if module._forward_hooks or module._forward_pre_hooks or "parametrizations" in module._modules:
        return None
    for kind in type(module).__mro__:
        if kind in _RULES:
            return _RULES[kind] if type(module).forward is kind.forward else None
    return None


def batched(module: nn.Module, weights: Weights, inputs: Tensor) -> Any:
    r"""Outputs of a Layer under S weight sets: ``(S or 1, *batch, in) → (S or 1, *batch, out)``.

    Args:
        module: The Layer.
        weights: Parameter name → weights ``(S, *shape)``; parameters not named keep their own
            value. A parameter known under two names (tied) must be given under both.
        inputs: Inputs with a leading axis of S, or of 1 where all draws share them.

    Raises:
        ValueError: A batch norm layer is in training mode and there are several draws.

    Example:
        >>> weights = {"weight": torch.ones(5, 2, 3)}
        >>> batched(torch.nn.Linear(3, 2), weights, torch.zeros(1, 7, 3)).shape
        torch.Size([5, 7, 2])
    """
    if _is_random_itself(module):
        return module(inputs)
    rule = _rule_of(module)
    result = NotImplemented if rule is None else rule(module, weights, inputs)
    if result is not NotImplemented:
        return result
    if is_random(module):
        return functional_call(module, dict(weights), (inputs,), tie_weights=False)
    weights = unaliased(module, weights)
    draws = max([inputs.shape[0], *(len(weight) for weight in weights.values())])
    if draws == 1:
        return _squeezed(module, weights, inputs)
    check_norms(module)
    if getattr(module, "broadcasts_parameters", False):
        return _broadcast(module, weights, inputs)
    if _needs_loop(module):
        return _looped(module, weights, inputs, draws)
    try:
        return _mapped(module, weights, inputs)
    except RuntimeError:
        return _looped(module, weights, inputs, draws)


def unaliased(module: nn.Module, weights: Weights) -> Weights:
    """The weights without second names of one place (a submodule that is used twice).

    ``functional_call`` would put the place's first stand-in back instead of its parameter.

    Example:
        >>> shared = torch.nn.PReLU()
        >>> slope = torch.zeros(1)
        >>> net = torch.nn.Sequential(shared, shared)
        >>> list(unaliased(net, {"0.weight": slope, "1.weight": slope}))
        ['0.weight']
    """
    if len({id(weight) for weight in weights.values()}) == len(weights):
        return weights
    places: dict[tuple[int, str], str] = {}
    for name in weights:
        path, _, leaf = name.rpartition(".")
        places.setdefault((id(module.get_submodule(path)), leaf), name)
    return {name: weights[name] for name in places.values()}


def _squeezed(module: nn.Module, weights: Weights, inputs: Tensor) -> Any:
    first = {name: weight[0] for name, weight in weights.items()}
    outputs = functional_call(shadow(module), first, (inputs[0],), tie_weights=False)
    return tree_map(lambda part: part.unsqueeze(0), outputs)


def _broadcast(module: nn.Module, weights: Weights, inputs: Tensor) -> Tensor:
    between = (1,) * (inputs.dim() - 2)
    lifted = {k: w.reshape(len(w), *between, *w.shape[1:]) for k, w in weights.items()}
    return cast("Tensor", functional_call(shadow(module), lifted, (inputs,), tie_weights=False))


def _mapped(module: nn.Module, weights: Weights, inputs: Tensor) -> Any:
    shared = len(inputs) == 1

    own = shadow(module)

    def run(one: dict[str, Tensor], x: Tensor) -> Any:
        return functional_call(own, one, (x,), tie_weights=False)

    # Axes of size 1 beside S are taken off: a weight set or an input shared by all draws.
    axes = (0, None if shared else 0)
    return vmap(run, in_dims=axes)(dict(weights), inputs[0] if shared else inputs)


def _looped(module: nn.Module, weights: Weights, inputs: Tensor, draws: int) -> Any:
    outputs = []
    own = shadow(module)
    for draw in range(draws):
        one = {name: weight[draw if len(weight) > 1 else 0] for name, weight in weights.items()}
        x = inputs[draw if len(inputs) > 1 else 0]
        outputs.append(functional_call(own, one, (x,), tie_weights=False))
    return tree_map(lambda *parts: torch.stack(parts), *outputs)


def _needs_loop(module: nn.Module) -> bool:
    # Attention has fused paths, one of them without a gradient and chosen where no weight seems to
    # ask for one, as under vmap; bilinear layers and weight norm have no rule for vmap.
    return any(
        isinstance(part, nn.RNNBase | nn.Bilinear | nn.MultiheadAttention)
        or "parametrizations" in part._modules
        or (isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p > 0)
        for part in module.modules()
    )


def check_norms(module: nn.Module) -> None:
    """Raise where a batch norm layer would update its running statistics once per draw.

    Example:
        >>> check_norms(nn.BatchNorm1d(3).eval())
        >>> check_norms(nn.BatchNorm1d(3))
        Traceback (most recent call last):
        ValueError: BatchNorm1d '' is in training mode under several draws, ...
    """
    for name, part in module.named_modules():
        if (
            isinstance(part, nn.modules.batchnorm._NormBase)
            and part.training
            and part.track_running_stats
        ):
            raise ValueError(
                f"{type(part).__name__} {name!r} is in training mode under several draws, which "
                "would update its running statistics once per draw: use one draw, .eval() on it, "
                "or a LayerNorm or GroupNorm in its place"
            )


def under(name: str, weights: Weights) -> dict[str, Tensor]:
    """The weights of submodule ``name``, by their names inside it. For authors of rules.

    Example:
        >>> list(under("body", {"body.weight": torch.zeros(2, 1), "scale": torch.zeros(2)}))
        ['weight']
    """
    prefix = f"{name}."
    return {key[len(prefix) :]: w for key, w in weights.items() if key.startswith(prefix)}


@batching_rule(nn.Linear, Readout)
def _linear(module: Any, weights: Weights, inputs: Tensor) -> Tensor:
    if isinstance(module, Readout):
        module.check(inputs)
    own = module._parameters  # not by attribute, which is slow on modules
    if not weights:
        return F.linear(inputs, own["weight"], own["bias"])
    weight, bias = weights.get("weight"), weights.get("bias")
    weight = own["weight"] if weight is None else weight
    bias = own["bias"] if bias is None else bias
    draws = inputs.shape[0]  # len() of a tensor is slow
    for value in weights.values():
        draws = max(draws, value.shape[0])
    if draws == 1:
        bias = bias if bias is None or bias.dim() == 1 else bias.squeeze(0)
        return F.linear(inputs, weight if weight.dim() == 2 else weight.squeeze(0), bias)
    rows = inputs if inputs.dim() == 3 else inputs.reshape(len(inputs), -1, inputs.shape[-1])
    rows = rows if rows.shape[0] == draws else rows.expand(draws, -1, -1)
    matrix = weight.mT if weight.dim() == 3 else weight.mT.unsqueeze(0)
    matrix = matrix if matrix.shape[0] == draws else matrix.expand(draws, -1, -1)
    if bias is None:
        outputs = torch.bmm(rows, matrix)
    else:
        outputs = torch.baddbmm(bias.unsqueeze(-2), rows, matrix)
    if inputs.dim() == 3:
        return outputs
    return outputs.reshape(draws, *inputs.shape[1:-1], outputs.shape[-1])


@batching_rule(nn.Sequential)
def _sequential(module: nn.Sequential, weights: Weights, inputs: Tensor) -> Any:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        head, _, rest = name.partition(".")
        parts.setdefault(head, {})[rest] = weight
    for name, part in module._modules.items():
        inputs = batched(part, parts.get(name, {}), inputs)
    return inputs


@batching_rule(
    nn.CELU,
    nn.Dropout,
    nn.ELU,
    nn.GELU,
    nn.Hardswish,
    nn.Hardtanh,
    nn.Identity,
    nn.LeakyReLU,
    nn.LogSigmoid,
    nn.Mish,
    nn.ReLU,
    nn.ReLU6,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Softsign,
    nn.Tanh,
    Standardize,
)
def _elementwise(module: nn.Module, weights: Weights, inputs: Tensor) -> Tensor:  # noqa: ARG001
    return cast("Tensor", module(inputs))


@batching_rule(Constant)
def _constant(module: Constant, weights: Weights, inputs: Tensor) -> Tensor:
    values = weights.get("values", module.values.unsqueeze(0))
    between = (1,) * (inputs.dim() - 2)
    values = values.reshape(len(values), *between, values.shape[-1])
    return values.expand(max(len(values), len(inputs)), *inputs.shape[1:-1], values.shape[-1])


@batching_rule(Skip)
def _skip(module: Skip, weights: Weights, inputs: Tensor) -> Tensor:
    return module.join(batched(module.body, under("body", weights), inputs), inputs)


@batching_rule(Interaction, Aside)
def _split(module: Interaction | Aside, weights: Weights, inputs: Tensor) -> Tensor:
    chosen, rest = split_columns(inputs, module.positions, type(module).__name__)
    if module.body is not None:
        rest = batched(module.body, under("body", weights), rest)
    return module.join(rest, chosen)
