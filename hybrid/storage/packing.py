"""Nested Python values with tensors in them, as JSON plus a flat table of tensors (floor 0).

Only plain data goes in and only plain data comes out: nothing that is read is ever executed.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["pack", "unpack"]

_TAGS = ("tensor", "tuple", "pairs")


def pack(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """``value`` as JSON data; each tensor in it goes to ``tensors`` under its path.

    Args:
        value: None, bool, int, float, str, Tensor, or lists, tuples and dicts of these; the keys of
            a dict are strings or whole numbers.
        path: What the errors call it, and the start of the tensors' names.
        tensors: Is filled.

    Raises:
        TypeError: Something else is inside; the message says where.

    Example:
        >>> import torch
        >>> tensors = {}
        >>> pack({"step": torch.tensor(1.0), "betas": (0.9, 0.99)}, "adam", tensors)
        {'step': {'!': 'tensor', 'of': 'adam.step'}, 'betas': {'!': 'tuple', 'of': [0.9, 0.99]}}
        >>> tensors
        {'adam.step': tensor(1.)}
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        tensors[path] = value.detach()
        return {"!": "tensor", "of": path}
    if type(value) in (list, tuple):
        parts = [pack(part, f"{path}.{k}", tensors) for k, part in enumerate(value)]
        return parts if type(value) is list else {"!": "tuple", "of": parts}
    if isinstance(value, Mapping):
        keys = {type(key) for key in value}
        if not keys <= {str, int}:
            raise TypeError(f"{path} has keys that are neither strings nor whole numbers")
        entries = {key: pack(part, f"{path}.{key}", tensors) for key, part in value.items()}
        if keys <= {str} and "!" not in entries:
            return entries
        return {"!": "pairs", "of": [[key, part] for key, part in entries.items()]}
    raise TypeError(
        f"{path} is a {type(value).__name__}: a checkpoint holds tensors, numbers, strings, None, "
        "and lists, tuples and dicts of these"
    )


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `pack`.

    Raises:
        ValueError: ``packed`` is nothing that `pack` writes.
        KeyError: A tensor is missing.

    Example:
        >>> import torch
        >>> unpack({"!": "tuple", "of": [1, {"!": "tensor", "of": "a"}]}, {"a": torch.tensor(2)})
        (1, tensor(2))
    """
    if isinstance(packed, list):
        return [unpack(part, tensors) for part in packed]
    if not isinstance(packed, dict):
        return packed
    if "!" not in packed:
        return {key: unpack(part, tensors) for key, part in packed.items()}
    tag: Any = packed["!"]
    of: Any = packed.get("of")
    if tag == "tensor":
        return tensors[of]
    if tag not in _TAGS or not isinstance(of, list):
        raise ValueError(f"unknown entry {packed!r}: expected one of {_TAGS}")
    if tag == "tuple":
        return tuple(unpack(part, tensors) for part in of)
    return {key: unpack(part, tensors) for key, part in of}


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors have the same dtype, shape and bytes (NaNs included)."""
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    one, two = (t.detach().cpu().contiguous().reshape(-1) for t in (first, second))
    return torch.equal(one.view(torch.uint8), two.view(torch.uint8))
