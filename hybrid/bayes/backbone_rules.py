"""How the backbones' parts run under many weight sets at once (floor 1)."""

from typing import cast

import torch
from torch import Tensor

from hybrid.backbones.attention import Pool, Positions, SelfAttention, attend
from hybrid.backbones.folded import Folded, Residual
from hybrid.backbones.recurrent import Recurrent, recurrence
from hybrid.bayes.batching import Weights, batched, batching_rule, under
from hybrid.bayes.exchange import shadow

__all__: list[str] = []


@batching_rule(Folded)
def _folded(module: Folded, weights: Weights, inputs: Tensor) -> Tensor:
    module.check(inputs[0])
    lead = inputs.shape[1 : inputs.dim() - module.event_dims]
    rows = inputs.reshape(len(inputs), -1, *inputs.shape[1 + len(lead) :])
    outputs: Tensor = batched(module.body, under("body", weights), rows)
    return outputs.reshape(len(outputs), *lead, *outputs.shape[2:])


@batching_rule(Residual)
def _residual(module: Residual, weights: Weights, inputs: Tensor) -> Tensor:
    around = inputs
    if module.shortcut is not None:
        around = batched(module.shortcut, under("shortcut", weights), inputs)
    return cast("Tensor", around + batched(module.body, under("body", weights), inputs))


@batching_rule(SelfAttention)
def _attention(module: SelfAttention, weights: Weights, inputs: Tensor) -> Tensor:
    projected = batched(module.project, under("project", weights), inputs)
    mixed = attend(projected, module.heads, module.causal)
    return cast("Tensor", batched(module.output, under("output", weights), mixed))


@batching_rule(Positions)
def _positions(module: Positions, weights: Weights, inputs: Tensor) -> Tensor:
    table = weights.get("table", module.table.unsqueeze(0))
    return module.shift(
        inputs, table.reshape(len(table), *[1] * (inputs.dim() - 3), *table.shape[1:])
    )


@batching_rule(Pool)
def _pool(module: Pool, weights: Weights, inputs: Tensor) -> Tensor:  # noqa: ARG001
    return cast("Tensor", module(inputs))


@batching_rule(Recurrent)
def _recurrent(module: Recurrent, weights: Weights, inputs: Tensor) -> Tensor:
    own = {name: value.unsqueeze(0) for name, value in module.cells.named_parameters()}
    given = {**own, **under("cells", weights)}
    draws = max([len(inputs), *map(len, given.values())])
    if draws == 1:
        return torch.func.functional_call(
            shadow(module), {name: value[0] for name, value in weights.items()}, (inputs[0],)
        ).unsqueeze(0)
    return recurrence(module.cells, given, inputs)
