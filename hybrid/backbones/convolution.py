"""Convolutional networks: plain and residual (floor 0)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import nn

from hybrid.backbones.activation import activation_of
from hybrid.backbones.folded import Folded, Residual, sizes

__all__ = ["ConvNet", "ResNet"]

Norm = Literal["group", "batch"] | None
_CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_BATCH_NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_POOL = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
_MEAN = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}


class ConvNet(Folded):
    """Convolutions with norm, activation and pooling between them, and a linear readout.

    Inputs are ``(*batch, in_channels, *size)``; each stage halves the size while it can, the last
    one is averaged over, so that any size works.

    Args:
        in_channels: Channels of the input.
        channels: Channels of each stage.
        out_features: Width of the result.
        activation: A module class, another callable that makes a module, or a module to copy.
        kernel: Odd width of the kernels.
        norm: "group" for group norm (rows do not mix, so that it works under draws of weights),
            "batch" for batch norm, None for none.
        pool: Factor by which each stage shrinks the size; 1 for none.
        dims: 1 for signals, 2 for images, 3 for volumes.
        dropout: Probability with which a channel is dropped in training mode.
        device: Where the parameters live.
        dtype: Their type.

    Raises:
        ValueError: A number is out of range.

    Example:
        >>> net = ConvNet(1, [8, 16], 10)
        >>> net(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        out_features: int,
        activation: Callable[..., Any] = nn.GELU,
        *,
        kernel: int = 3,
        norm: Norm = "group",
        pool: int = 2,
        dims: Literal[1, 2, 3] = 2,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        widths = sizes("channels", channels)
        _check(dims, kernel, norm, dropout)
        sizes("in_channels, out_features and pool", [in_channels, out_features, pool])
        body = nn.Sequential()
        for before, after in zip((in_channels, *widths[:-1]), widths, strict=True):
            body.append(_convolution(dims, before, after, kernel, bias=norm is None))
            _append(body, _norm(dims, norm, after), activation_of(activation))
            if dropout:
                body.append((nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)[dims - 1](dropout))
            if pool > 1:
                body.append(_POOL[dims](pool, ceil_mode=True))
        _append(body, _MEAN[dims](1), nn.Flatten(), nn.Linear(widths[-1], out_features))
        super().__init__(body.to(device=device, dtype=dtype), dims + 1)
        self.in_channels, self.out_features = in_channels, out_features


class ResNet(Folded):
    r"""Residual convolutional network with activations before the convolutions.

    Inputs are ``(*batch, in_channels, *size)``. A stem, then stages of blocks :math:`x + F(x)`, F
    twice norm, activation, convolution; each stage after the first halves the size.

    Args:
        in_channels: Channels of the input.
        channels: Channels of each stage.
        out_features: Width of the result.
        activation: A module class, another callable that makes a module, or a module to copy.
        blocks: Blocks per stage.
        kernel: Odd width of the kernels.
        norm: "group" (works under draws of weights), "batch" or None.
        dims: 1 for signals, 2 for images, 3 for volumes.
        dropout: Probability with which a channel is dropped in training mode.
        device: Where the parameters live.
        dtype: Their type.

    Raises:
        ValueError: A number is out of range.

    Source: He et al. (2016), *Identity mappings in deep residual networks*, figure 4e.

    Example:
        >>> net = ResNet(3, [8, 16], 10, blocks=1)
        >>> net(torch.zeros(2, 5, 3, 8, 8)).shape
        torch.Size([2, 5, 10])
    """

    def __init__(
        self,
        in_channels: int,
        channels: Sequence[int],
        out_features: int,
        activation: Callable[..., Any] = nn.GELU,
        *,
        blocks: int = 2,
        kernel: int = 3,
        norm: Norm = "group",
        dims: Literal[1, 2, 3] = 2,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        widths = sizes("channels", channels)
        _check(dims, kernel, norm, dropout)
        sizes("in_channels, out_features and blocks", [in_channels, out_features, blocks])

        def path(before: int, after: int, stride: int) -> nn.Sequential:
            body = nn.Sequential()
            for width, step in ((before, stride), (after, 1)):
                _append(body, _norm(dims, norm, width), activation_of(activation))
                if dropout and step == 1:
                    body.append((nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)[dims - 1](dropout))
                body.append(_convolution(dims, width, after, kernel, stride=step))
            return body

        body = nn.Sequential(_convolution(dims, in_channels, widths[0], kernel))
        before = widths[0]
        for stage, after in enumerate(widths):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                same = before == after and stride == 1
                around = None if same else _convolution(dims, before, after, 1, stride=stride)
                body.append(Residual(path(before, after, stride), around))
                before = after
        _append(body, _norm(dims, norm, before), activation_of(activation))
        _append(body, _MEAN[dims](1), nn.Flatten(), nn.Linear(before, out_features))
        super().__init__(body.to(device=device, dtype=dtype), dims + 1)
        self.in_channels, self.out_features = in_channels, out_features


def _append(body: nn.Sequential, *parts: nn.Module | None) -> None:
    for part in parts:
        if part is not None:
            body.append(part)


def _convolution(
    dims: int, before: int, after: int, kernel: int, *, stride: int = 1, bias: bool = True
) -> nn.Module:
    return _CONVOLUTION[dims](before, after, kernel, stride=stride, padding=kernel // 2, bias=bias)


def _norm(dims: int, norm: Norm, channels: int) -> nn.Module | None:
    if norm == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    return _BATCH_NORM[dims](channels) if norm == "batch" else None


def _check(dims: int, kernel: int, norm: Norm, dropout: float) -> None:
    if dims not in _CONVOLUTION:
        raise ValueError(f"dims is 1, 2 or 3, got {dims!r}")
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"kernel must be an odd number from 1, got {kernel}")
    if norm not in ("group", "batch", None):
        raise ValueError(f"norm is 'group', 'batch' or None, got {norm!r}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout is a probability below 1: {dropout}")
