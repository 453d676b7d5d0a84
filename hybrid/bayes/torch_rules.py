"""How torch's own layers run under many weight sets at once (floor 1).

Convolutions become one convolution with a group per weight set; norms and PReLU broadcast.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.bayes.batching import Weights, batching_rule

__all__: list[str] = []

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def _named(module: nn.Module, weights: Weights, name: str) -> Tensor | None:
    own = getattr(module, name)
    return weights.get(name, None if own is None else own.unsqueeze(0))


@batching_rule(nn.LayerNorm)
def _layer_norm(module: nn.LayerNorm, weights: Weights, inputs: Tensor) -> Tensor:
    rows = inputs.dim() - 1 - len(module.normalized_shape)
    outputs = F.layer_norm(inputs, module.normalized_shape, None, None, module.eps)
    for name, join in (("weight", torch.mul), ("bias", torch.add)):
        value = _named(module, weights, name)
        if value is not None:
            value = value.reshape(len(value), *[1] * rows, *value.shape[1:])
            outputs = join(outputs, value)
    return outputs


@batching_rule(nn.PReLU)
def _prelu(module: nn.PReLU, weights: Weights, inputs: Tensor) -> Any:
    # torch's own rule for vmap resizes its output, with a warning, where there are several slopes.
    slope, rows = weights.get("weight", module.weight.unsqueeze(0)), inputs.dim() - 1
    if rows < 2 and module.num_parameters > 1:
        return NotImplemented
    channels = [1, module.num_parameters, *[1] * (rows - 2)] if rows > 1 else [1] * rows
    slope = slope.reshape(len(slope), *channels)
    return torch.where(inputs >= 0, inputs, slope * inputs)


@batching_rule(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _convolution(module: Any, weights: Weights, inputs: Tensor) -> Any:
    dims, draws = len(module.kernel_size), max([len(inputs), *map(len, weights.values())])
    if draws == 1 or inputs.dim() != dims + 3 or module.padding_mode != "zeros":
        return NotImplemented
    weight, bias = (
        weights.get("weight", module.weight.unsqueeze(0)),
        _named(module, weights, "bias"),
    )
    shared = len(inputs) == 1 and module.groups == 1
    outputs = _CONVOLVE[dims](
        inputs[0] if shared else _as_channels(inputs.expand(draws, *inputs.shape[1:])),
        weight.expand(draws, *weight.shape[1:]).flatten(0, 1),
        None if bias is None else bias.expand(draws, -1).flatten(),
        module.stride,
        module.padding,
        module.dilation,
        1 if shared else draws * module.groups,
    )
    return outputs.unflatten(1, (draws, -1)).transpose(0, 1)


def _as_channels(inputs: Tensor) -> Tensor:
    """``(S, batch, channels, …)`` as ``(batch, S · channels, …)``."""
    return inputs.transpose(0, 1).flatten(1, 2)
