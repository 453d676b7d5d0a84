"""Parameters of an objective found again in its law, by name (floor 1)."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

__all__ = ["named_in"]


def named_in(
    law: nn.Module,
    names: Iterable[str],
    what: str = "parameter",
    shapes: Mapping[str, torch.Size] | None = None,
) -> dict[str, str]:
    """The law's parameter for each name: the same one, or the longest that the name ends with.

    Args:
        law: A Law, or any module.
        names: Names in the law, or in a module around it.
        what: What has these names, for the error message.
        shapes: The shapes that the parameters should have, by these names; None for any.

    Raises:
        ValueError: A name fits no parameter, two names the same one, or a shape is another one.

    Example:
        >>> named_in(nn.Linear(2, 1), ["model.body.weight"])
        {'model.body.weight': 'weight'}
    """
    known: dict[str, Tensor] = dict(law.named_parameters())
    found: dict[str, str] = {}
    for name in names:
        fits = [own for own in known if name == own or name.endswith(f".{own}")]
        if not fits:
            raise ValueError(
                f"{what} {name!r} belongs to nothing in {type(law).__name__}: {list(known)}"
            )
        found[name] = max(fits, key=len)
    if len(set(found.values())) < len(found):
        twice = [own for own in found.values() if list(found.values()).count(own) > 1]
        fits = [name for name, own in found.items() if own in twice]
        raise ValueError(f"{fits} all fit {sorted(set(twice))}: give the law that was trained")
    for name, shape in ({} if shapes is None else shapes).items():
        if known[found[name]].shape != shape:
            raise ValueError(
                f"{what} {name!r} has shape {tuple(shape)}, the law's parameter "
                f"{tuple(known[found[name]].shape)}"
            )
    return found
