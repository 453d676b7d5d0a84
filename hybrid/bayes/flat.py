"""All random weights of a network as one flat vector (floor 0)."""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

__all__ = ["flattened", "legal_key", "unflattened"]


def flattened(values: Iterable[Tensor], lead: int = 0) -> Shaped[Tensor, "*draws weights"]:
    """The tensors one behind the other, after ``lead`` leading axes that they share.

    Mixed dtypes are promoted to the widest.

    Example:
        >>> flattened([torch.zeros(2, 3), torch.ones(2)])
        tensor([0., 0., 0., 0., 0., 0., 1., 1.])
        >>> flattened([torch.zeros(5, 2, 3), torch.ones(5, 2)], lead=1).shape
        torch.Size([5, 8])
    """
    if not lead:
        return torch.cat([value.reshape(-1) for value in values])
    return torch.cat([value.reshape(*value.shape[:lead], -1) for value in values], -1)


def unflattened(
    flat: Float[Tensor, "*draws weights"], like: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The parts of a flat vector by name, with the shapes and dtypes of ``like``.

    Example:
        >>> parts = unflattened(torch.zeros(5, 8), {"w": torch.zeros(2, 3), "b": torch.zeros(2)})
        >>> parts["w"].shape, parts["b"].shape
        (torch.Size([5, 2, 3]), torch.Size([5, 2]))
    """
    lead = flat.shape[:-1]
    parts = flat.split([value.numel() for value in like.values()], -1)
    shaped = {
        name: part.view(lead + value.shape)
        for (name, value), part in zip(like.items(), parts, strict=True)
    }
    if all(value.dtype == flat.dtype for value in like.values()):
        return shaped
    return {name: part.to(like[name].dtype) for name, part in shaped.items()}


def legal_key(container: nn.Module, name: str) -> str:
    """A legal, unused key for parameter ``name``: no dots, no attribute of the container.

    Example:
        >>> legal_key(nn.ParameterDict(), "0.weight"), legal_key(nn.ParameterDict(), "keys")
        ('0/weight', 'keys_')
    """
    key = name.replace(".", "/")
    while hasattr(container, key):
        key += "_"
    return key
