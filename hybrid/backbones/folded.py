"""Any leading dimensions for bodies that know a single batch axis (floor 0)."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["Folded", "Residual", "row_dims", "sizes"]


class Folded(nn.Module):
    """Runs a body on one batch axis, whatever leading axes the inputs have.

    Args:
        body: A Layer on ``(batch, *event)``.
        event_dims: How many axes one row has: 3 for images (channels, height, width), 2 for
            sequences (time, features).

    Raises:
        ValueError: At the call, the inputs have fewer axes.

    Example:
        >>> import torch
        >>> layer = Folded(nn.Flatten(), event_dims=3)
        >>> layer(torch.zeros(2, 5, 1, 4, 4)).shape, layer(torch.zeros(1, 4, 4)).shape
        (torch.Size([2, 5, 16]), torch.Size([16]))
    """

    def __init__(self, body: nn.Module, event_dims: int) -> None:
        super().__init__()
        self.body = body
        self.event_dims = event_dims

    def forward(self, inputs: Tensor) -> Tensor:
        """Fold the leading axes into one, run the body, unfold."""
        self.check(inputs)
        lead = inputs.shape[: inputs.dim() - self.event_dims]
        outputs: Tensor = self.body(inputs.reshape(-1, *inputs.shape[len(lead) :]))
        return outputs.reshape(*lead, *outputs.shape[1:])

    def check(self, inputs: Tensor) -> None:
        """Raise ValueError where the inputs have too few axes."""
        if inputs.dim() < self.event_dims:
            raise ValueError(
                f"{type(self).__name__} takes inputs (*batch, *row) with {self.event_dims} axes "
                f"per row, got shape {tuple(inputs.shape)}"
            )


class Residual(nn.Module):
    r"""A body and a path around it, added: :math:`x + \mathrm{body}(x)`.

    Args:
        body: A Layer.
        shortcut: A Layer in place of the plain path where shapes change; None for that path.

    Example:
        >>> import torch
        >>> Residual(nn.Identity())(torch.ones(2))
        tensor([2., 2.])
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut

    def forward(self, inputs: Tensor) -> Tensor:
        """Run both paths and add them."""
        around = inputs if self.shortcut is None else self.shortcut(inputs)
        result: Tensor = around + self.body(inputs)
        return result


def row_dims(module: nn.Module) -> int:
    """How many axes one row of a module's input has: 1 for a table, 3 for images.

    Read from an attribute ``event_dims`` or from torch's convolutions and recurrent cells, of the
    module itself or of the first part of it that says something.

    Example:
        >>> row_dims(nn.Linear(3, 2)), row_dims(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()))
        (1, 3)
    """
    own = getattr(module, "event_dims", None)
    if isinstance(own, int):
        return own
    if isinstance(module, nn.modules.conv._ConvNd):
        return len(module.kernel_size) + 1
    if isinstance(module, nn.RNNBase):
        return 2
    inner: dict[str, nn.Module | None] = module._modules
    if not isinstance(module, nn.Sequential):  # a law's body, what a posterior is around
        inner = {name: inner.get(name) for name in ("body", "mean")}
    for part in inner.values():
        if part is not None:
            dims = row_dims(part)
            if dims > 1 or any(True for _ in part.parameters()):
                return dims
    return 1


def sizes(name: str, values: Sequence[int]) -> tuple[int, ...]:
    """``values`` as a tuple, if they are positive whole numbers, at least one.

    Raises:
        ValueError: They are not.

    Example:
        >>> sizes("channels", [16, 32])
        (16, 32)
    """
    listed = tuple(values) if isinstance(values, Sequence) else ()
    if not listed or not all(isinstance(v, int) and v > 0 for v in listed):
        raise ValueError(f"{name} must be a list of positive whole numbers, got {values!r}")
    return listed
