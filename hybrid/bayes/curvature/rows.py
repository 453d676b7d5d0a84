"""Gradients row by row, and what goes in and comes back at linear layers (floor 0)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap
from torch.nn import functional as F

from hybrid.layers import Readout

__all__ = ["Call", "is_linear", "recorded", "row_gradients"]


def row_gradients(
    layer: nn.Module,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    directions: Float[Tensor, "directions rows outputs"],
) -> Float[Tensor, "directions rows weights"]:
    r"""Gradients :math:`J_n^\top a_{rn}` in the parameters, one for each row and direction.

    By ``torch.func.vmap``; row after row for layers that it cannot run.

    Args:
        layer: A Layer, in evaluation mode.
        parameters: Which of its parameters, by name.
        inputs: ``(rows, *in)``.
        directions: Vectors in the space of its outputs.

    Example:
        >>> layer = nn.Linear(2, 1, bias=False)
        >>> inputs = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> row_gradients(layer, {"weight": layer.weight}, inputs, torch.ones(1, 2, 1))
        tensor([[[1., 2.],
                 [3., 4.]]])
    """
    held = {name: value.detach() for name, value in parameters.items()}

    def one(x: Tensor, along: Tensor) -> Tensor:
        def run(given: dict[str, Tensor]) -> Tensor:
            outputs: Tensor = functional_call(layer, given, (x.unsqueeze(0),))
            return outputs.flatten()

        back = vjp(run, held)[1]
        found = vmap(lambda a: back(a)[0])(along)
        return torch.cat([value.flatten(1) for value in found.values()], 1)

    along = directions.transpose(0, 1)
    try:
        rows = vmap(one)(inputs, along)
    except (RuntimeError, NotImplementedError):
        rows = torch.stack([_alone(layer, held, x, a) for x, a in zip(inputs, along, strict=True)])
    return rows.transpose(0, 1)


def _alone(layer: nn.Module, held: Mapping[str, Tensor], x: Tensor, along: Tensor) -> Tensor:
    given = {name: value.clone().requires_grad_() for name, value in held.items()}
    with torch.enable_grad():
        outputs = functional_call(layer, given, (x.unsqueeze(0),)).flatten()
        found = [
            torch.autograd.grad(outputs @ a, list(given.values()), retain_graph=True,
                                allow_unused=True)
            for a in along
        ]  # fmt: skip
    zeros = [torch.zeros_like(value) for value in held.values()]
    return torch.stack([
        torch.cat([(z if g is None else g).flatten() for g, z in zip(one, zeros, strict=True)])
        for one in found
    ])  # fmt: skip


class Call(NamedTuple):
    """One run of a linear or convolutional layer.

    Attributes:
        inputs: ``(rows, places, in)``: rows of the data, places in time or image.
        output: What the layer returned, part of the graph.
        places: ``(rows, places, out)`` from a gradient of ``output``.

    Example:
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
def recorded(layer: nn.Module, names: Mapping[str, Any]) -> Iterator[dict[str, list[Call]]]:
    """Inside, every run of the named linear and convolutional parts of ``layer`` is kept.

    The layer must not be used by others meanwhile: take a copy.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with recorded(net, {"0": None}) as calls:
        ...     _ = net(torch.zeros(5, 2))
        >>> [call.output.shape for call in calls["0"]]
        [torch.Size([5, 3])]
    """
    calls: dict[str, list[Call]] = {name: [] for name in names}
    handles = []
    for name in names:
        part = layer.get_submodule(name)

        def keep(module: Any, given: Any, output: Tensor, name: str = name) -> None:
            calls[name].append(_call(module, given[0].detach(), output))

        handles.append(part.register_forward_hook(keep))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


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
