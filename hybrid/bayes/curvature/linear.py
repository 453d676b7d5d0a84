"""What goes into linear layers and comes back at them (floor 0)."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from hybrid.layers import Readout
from hybrid.watching import watched

__all__ = ["Call", "is_linear", "recorded"]


class Call(NamedTuple):
    """One run of a linear or convolutional layer.

    Attributes:
        inputs: ``(rows, places, in)``: rows of the data, places in time or image.
        output: What the layer returned, part of the graph.
        places: ``(rows, places, out)`` from a gradient of ``output``.

    Example:
        >>> import torch
        >>> Call(torch.zeros(2, 1, 3), torch.zeros(2, 4), lambda g: g.unsqueeze(1)).inputs.shape
        torch.Size([2, 1, 3])
    """

    inputs: Tensor
    output: Tensor
    places: Callable[[Tensor], Tensor]


def is_linear(module: nn.Module) -> bool:
    """Whether `recorded` knows what this layer's weights are multiplied with.

    Example:
        >>> is_linear(nn.Linear(2, 1)), is_linear(nn.PReLU())
        (True, False)
    """
    if module._forward_hooks or module._forward_pre_hooks or "parametrizations" in module._modules:
        return False
    if isinstance(module, nn.Conv2d):
        plain = type(module).forward is nn.Conv2d.forward
        return plain and module.groups == 1 and not isinstance(module.padding, str)
    return type(module) in (nn.Linear, Readout)


@contextmanager
def recorded(layer: nn.Module, names: Collection[str]) -> Iterator[dict[str, list[Call]]]:
    """Every run of the named linear and convolutional parts of ``layer``, known at the end.

    Example:
        >>> import torch
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with recorded(net, ["0"]) as calls:
        ...     _ = net(torch.zeros(5, 2))
        >>> [call.output.shape for call in calls["0"]]
        [torch.Size([5, 3])]
    """
    calls: dict[str, list[Call]] = {name: [] for name in names}
    known = {id(layer.get_submodule(name)): name for name in names}
    with watched(layer, lambda part: id(part) in known) as seen:
        yield calls
    for part, inputs, output in seen:
        calls[known[id(part)]].append(_call(part, inputs.detach(), output))


def _call(module: Any, inputs: Tensor, output: Tensor) -> Call:
    if isinstance(module, nn.Conv2d):
        pad: Any = module.padding
        if module.padding_mode != "zeros":
            inputs = F.pad(inputs, (pad[1], pad[1], pad[0], pad[0]), mode=module.padding_mode)
            pad = (0, 0)
        patches = F.unfold(inputs, module.kernel_size, module.dilation, pad, module.stride)
        return Call(patches.mT, output, lambda g: g.flatten(2).mT)
    rows = len(inputs)
    return Call(
        inputs.reshape(rows, -1, inputs.shape[-1]),
        output,
        lambda g: g.reshape(rows, -1, g.shape[-1]),
    )
