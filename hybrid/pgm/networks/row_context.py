"""The rows' context that contextual laws read, checked and flattened (floor 1)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["apart", "contexts", "flattened"]


def contexts(
    context: Any, contextual: Sequence[str]
) -> tuple[dict[str, Tensor], tuple[int, ...] | None]:
    r"""The context of each contextual variable, and the shape of its rows.

    Args:
        context: One tensor (\*batch, width) for all of them, ``{name: tensor}``, or None.
        contextual: The variables whose laws read it.

    Raises:
        ValueError: Nobody reads the context, or batch shapes differ.
        TypeError: It is no tensor.

    Example:
        >>> found, batch = contexts(torch.zeros(5, 3), ["X", "Y"])
        >>> sorted(found), batch
        (['X', 'Y'], (5,))
    """
    if context is None:
        return {}, None
    if not isinstance(context, Mapping):
        if not contextual:
            raise ValueError(
                "a context was given, but no law of this network reads one: wrap the law in "
                "Contextual"
            )
        context = dict.fromkeys(contextual, context)
    unknown = sorted(set(context) - set(contextual))
    if unknown:
        raise ValueError(
            f"context is given for {unknown}, whose laws do not read one: contextual are "
            f"{list(contextual)}"
        )
    for name, rows in context.items():
        if not isinstance(rows, Tensor) or rows.is_complex():
            raise TypeError(
                f"the context of {name!r} is a tensor (*batch, width) of real numbers, got "
                f"{type(rows).__name__}"
            )
        if not rows.dim():
            raise ValueError(f"the context of {name!r} is (*batch, width), got a single number")
    batches = {name: tuple(rows.shape[:-1]) for name, rows in context.items()}
    if len(set(batches.values())) > 1:
        raise ValueError(f"contexts have different batch shapes: {batches}")
    return dict(context), next(iter(batches.values()), None)


def flattened(found: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """Each context as (rows, width), on a device.

    Example:
        >>> flattened({"X": torch.zeros(2, 5, 3)}, torch.device("cpu"))["X"].shape
        torch.Size([10, 3])
    """
    flat: dict[str, Tensor] = {}
    for name, rows in found.items():
        count = 1
        for size in rows.shape[:-1]:
            count *= size
        flat[name] = rows.reshape(count, rows.shape[-1]).to(device)
    return flat


def apart(evidence: Any, context: Any, variables: Sequence[str]) -> tuple[Any, Any]:
    """Evidence and context, where the context may be a column ``"context"`` of the evidence.

    Training loops give a model one table of columns.

    Raises:
        ValueError: The context is given twice.
        TypeError: The evidence is no table of columns.

    Example:
        >>> apart({"X": 1, "context": 2}, None, ["X"])
        ({'X': 1}, 2)
    """
    if isinstance(evidence, Tensor | str) or not hasattr(evidence, "__getitem__"):
        if evidence is None:
            return None, context
        raise TypeError(
            f"evidence is columns by name, {{name: (batch,) tensor}}, got {type(evidence).__name__}"
        )
    if "context" not in evidence or "context" in variables:
        return evidence, context
    if context is not None:
        raise ValueError("context is given as a column of the rows and as context: give it once")
    return {name: evidence[name] for name in evidence if name != "context"}, evidence["context"]
