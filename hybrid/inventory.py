"""What a model consists of: parts, parameters, posteriors, circuits, bytes (floor 1)."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hybrid.loss import whole

__all__ = ["Part", "Summary", "summary"]


@dataclass(frozen=True)
class Part:
    """One module of a model.

    Attributes:
        path: Its name in the model; "" for the model itself.
        kind: Its class.
        parameters: Numbers in its parameters, those of its parts included, shared ones once.
        trainable: How many of them are trained.
        bytes: Of its parameters and buffers.
        note: Which posterior, which circuit on which engine; else "".

    Example:
        >>> summary(nn.Linear(3, 2)).parts[0]
        Part(path='', kind='Linear', parameters=8, trainable=8, bytes=32, note='')
    """

    path: str
    kind: str
    parameters: int
    trainable: int
    bytes: int
    note: str


@dataclass(frozen=True, repr=False)
class Summary:
    """The parts of a model, as a table when printed.

    Attributes:
        parts: The model itself, then its parts in order, down to the depth that was asked for.

    Example:
        >>> Summary((Part("", "Linear", 8, 8, 32, ""),))
        part     parameters  trainable  bytes
        Linear            8          8     32
    """

    parts: tuple[Part, ...]

    def __repr__(self) -> str:
        rows = [("part", "parameters", "trainable", "bytes", "")]
        for part in self.parts:
            indent = "  " * (part.path.count(".") + 1) if part.path else ""
            name = part.path.rpartition(".")[2]
            title = f"{indent}{name}: {part.kind}" if name else part.kind
            counts = (f"{part.parameters:,}", f"{part.trainable:,}", f"{part.bytes:,}")
            rows.append((title, *counts, part.note))
        widths = [max(len(row[k]) for row in rows) + 2 for k in range(5)]
        lines = []
        for row in rows:
            numbers = "".join(f"{n:>{w}}" for n, w in zip(row[1:4], widths[1:4], strict=True))
            lines.append(f"{row[0]:<{widths[0]}}{numbers}  {row[4]}".rstrip())
        return "\n".join(lines)


def summary(module: nn.Module, *, depth: int = 3) -> Summary:
    """List the parts of a model with their sizes; posteriors and circuits say what they are.

    Args:
        module: Any module.
        depth: Levels below the model that are listed; circuits and posteriors always are.

    Raises:
        TypeError: ``module`` is no module.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1).requires_grad_(False))
        >>> summary(net)
        part           parameters  trainable  bytes
        Sequential             21         16     84
          0: Linear            16         16     64
          1: Tanh               0          0      0
          2: Linear             5          0     20
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected a torch.nn.Module, got {type(module).__name__}")
    depth = whole("depth", depth, least=0)
    return Summary(tuple(_parts(module, depth)))


def _parts(module: nn.Module, depth: int) -> Iterator[Part]:
    for path, part in module.named_modules():
        note = _note(part)
        level = path.count(".") + 1 if path else 0
        if level > depth and not note:
            continue
        parameters = list(part.parameters())
        trained = [p for p in parameters if p.requires_grad]
        held = [*parameters, *part.buffers()]
        yield Part(
            path,
            type(part).__name__,
            sum(map(_numbers, parameters)),
            sum(map(_numbers, trained)),
            sum(_numbers(tensor) * tensor.dtype.itemsize for tensor in held),
            note,
        )


def _numbers(tensor: Tensor) -> int:
    return 0 if is_lazy(tensor) else tensor.numel()


def _note(part: Any) -> str:
    """What a posterior or a circuit says of itself, by the attributes that these have."""
    if hasattr(part, "engine") and hasattr(part, "resources"):
        return f"circuit on the engine {part.engine}" if part.engine else "circuit, not traced yet"
    if callable(getattr(part, "fixed", None)) and callable(getattr(part, "divergence", None)):
        family = getattr(part, "family", None)
        named = f" ({family})" if family else ""
        return f"posterior{named}, {part.extra_repr()}".rstrip(", ")
    return ""
