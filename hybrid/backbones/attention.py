"""Transformer encoder from linear layers: attention, positions (floor 0)."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.backbones.activation import activation_of
from hybrid.backbones.folded import Folded, Residual, sizes

__all__ = ["Pool", "Positions", "SelfAttention", "Transformer", "attend", "sinusoids"]


def attend(
    projected: Float[Tensor, "*batch time triple"], heads: int, causal: bool = False
) -> Float[Tensor, "*batch time width"]:
    r"""Scaled dot-product attention :math:`\mathrm{softmax}(Q K^\top / \sqrt{d}) V` of all heads.

    In matrix products and a softmax, because the fused kernels of torch have neither forward-mode
    nor second derivatives, and no rule for ``torch.func.vmap``.

    Args:
        projected: Queries, keys and values side by side.
        heads: The number of heads.
        causal: Look only at the same and at earlier times.

    Source: Vaswani et al. (2017), *Attention is all you need*, eq. 1.

    Example:
        >>> attend(torch.zeros(2, 5, 3 * 8), heads=2).shape
        torch.Size([2, 5, 8])
    """
    parts = projected.unflatten(-1, (3, heads, -1)).movedim(-3, 0).transpose(-3, -2)
    query, key, value = parts.unbind(0)
    scores = (query * key.shape[-1] ** -0.5) @ key.mT
    if causal:
        size = scores.shape[-1]
        later = torch.ones(size, size, dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(later, -torch.inf)
    return (scores.softmax(-1) @ value).transpose(-3, -2).flatten(-2)


class SelfAttention(nn.Module):
    """Multi-head self-attention on ``(*batch, time, width)``.

    Args:
        width: Width of inputs and outputs.
        heads: The number of heads; divides the width.
        causal: Look only at the same and at earlier times.

    Raises:
        ValueError: The number of heads does not divide the width.

    Example:
        >>> SelfAttention(8, heads=2)(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        sizes("width and heads", [width, heads])
        if width % heads:
            raise ValueError(f"the number of heads must divide the width: {heads}, {width}")
        self.project = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.heads, self.causal = heads, causal

    def forward(self, inputs: Float[Tensor, "*batch time width"]) -> Tensor:
        """Attend from every time to every time."""
        return self.output(attend(self.project(inputs), self.heads, self.causal))


def sinusoids(length: int, width: int) -> Float[Tensor, "length width"]:
    r"""Sinusoidal positions: :math:`\sin(t / 10000^{2i/d})` and cosines, interleaved.

    Source: Vaswani et al. (2017), section 3.5.

    Example:
        >>> sinusoids(2, 4)
        tensor([[0.0000, 1.0000, 0.0000, 1.0000],
                [0.8415, 0.5403, 0.0100, 0.9999]])
    """
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(0, width, 2) / width)
    angle = torch.arange(length).unsqueeze(-1) * frequency
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)[:, :width]


class Positions(nn.Module):
    """Adds to ``(*batch, time, width)`` what tells the times apart.

    Args:
        width: Width of inputs and outputs.
        length: The longest sequence.
        learned: Parameters that start small, or (False) fixed sinusoids.

    Raises:
        ValueError: At the call, a sequence is longer.

    Example:
        >>> Positions(4, length=10)(torch.zeros(1, 2, 4))[0, 0]
        tensor([0., 1., 0., 1.])
    """

    table: Tensor

    def __init__(self, width: int, length: int, learned: bool = False) -> None:
        super().__init__()
        sizes("width and length", [width, length])
        if learned:
            self.table = nn.Parameter(torch.empty(length, width))
            self.reset_parameters()
        else:
            self.register_buffer("table", sinusoids(length, width), persistent=False)

    def reset_parameters(self) -> None:
        """Draw a learned table anew."""
        if isinstance(self.table, nn.Parameter):
            nn.init.normal_(self.table, std=0.02)

    def forward(self, inputs: Float[Tensor, "*batch time width"]) -> Tensor:
        """Add the first rows of the table."""
        return self.shift(inputs, self.table)

    def shift(self, inputs: Tensor, table: Tensor) -> Tensor:
        """Add rows of a table ``(*lead, length, width)``."""
        time = inputs.shape[-2]
        if time > table.shape[-2]:
            raise ValueError(
                f"a sequence of length {time}, positions were made for {table.shape[-2]}: give a "
                "larger max_length"
            )
        return inputs + table[..., :time, :]


class Pool(nn.Module):
    """One row from the times of a sequence: their mean, the first or the last.

    Args:
        how: "mean", "first" or "last"; "ends" for the last of the first half of the width and the
            first of its second half, where the two directions of a recurrent network end.

    Raises:
        ValueError: ``how`` is something else.

    Example:
        >>> Pool("last")(torch.tensor([[[1.0], [3.0]]]))
        tensor([[3.]])
    """

    def __init__(self, how: Literal["mean", "first", "last", "ends"]) -> None:
        super().__init__()
        if how not in ("mean", "first", "last", "ends"):
            raise ValueError(f"pooling is 'mean', 'first', 'last' or None, got {how!r}")
        self.how = how

    def forward(self, inputs: Float[Tensor, "*batch time width"]) -> Float[Tensor, "*batch width"]:
        """Take it."""
        if self.how == "mean":
            return inputs.mean(-2)
        if self.how == "ends":
            forward, backward = inputs.chunk(2, -1)
            return torch.cat([forward[..., -1, :], backward[..., 0, :]], -1)
        return inputs[..., 0 if self.how == "first" else -1, :]


class Transformer(Folded):
    r"""Transformer encoder on ``(*batch, time, in_features)``, norms before attention.

    Each layer is :math:`x + \mathrm{attention}(\mathrm{norm}(x))`, then :math:`x +
    \mathrm{mlp}(\mathrm{norm}(x))`. All sequences of a batch have one length.

    Args:
        in_features: Width of the input at each time; with ``tokens`` it is not needed (None).
        out_features: Width of the result.
        width: Inner width.
        heads: Heads of attention; divides the width.
        layers: Encoder layers.
        hidden: Inner width of the perceptrons; None for 4 × width.
        activation: A module class, another callable that makes a module, or a module to copy.
        tokens: The number of tokens where inputs are token numbers ``(*batch, time)``, to embed.
        positions: "sinusoidal", "learned", or None for inputs without an order.
        max_length: The longest sequence.
        pooling: "mean", "first" or "last" for a result ``(*batch, out_features)``; None for
            ``(*batch, time, out_features)``.
        causal: Each time looks only at itself and at earlier ones.
        dropout: Probability with which an entry of either path is dropped in training mode.
        device: Where the parameters live.
        dtype: Their type.

    Raises:
        ValueError: A number is out of range, or none or both of in_features and tokens are given.

    Source: Vaswani et al. (2017), *Attention is all you need*; Xiong et al. (2020), *On layer
    normalization in the transformer architecture*, for the norms' place.

    Example:
        >>> net = Transformer(3, 2, width=16, heads=2, layers=1)
        >>> net(torch.zeros(5, 7, 3)).shape
        torch.Size([5, 2])
        >>> Transformer(None, 2, tokens=100)(torch.zeros(5, 7, dtype=torch.long)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int | None,
        out_features: int,
        *,
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        hidden: int | None = None,
        activation: Callable[..., Any] = nn.GELU,
        tokens: int | None = None,
        positions: Literal["sinusoidal", "learned"] | None = "sinusoidal",
        max_length: int = 512,
        pooling: Literal["mean", "first", "last"] | None = "mean",
        causal: bool = False,
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if (in_features is None) == (tokens is None):
            raise ValueError("give either in_features (numbers) or tokens (token numbers)")
        if positions not in ("sinusoidal", "learned", None):
            raise ValueError(f"positions is 'sinusoidal', 'learned' or None, got {positions!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a probability below 1: {dropout}")
        inner = hidden or 4 * width
        sizes("layers, hidden and out_features", [layers, inner, out_features])
        start = nn.Embedding(tokens, width) if tokens else nn.Linear(in_features or 0, width)
        body = nn.Sequential(start)
        if positions is not None:
            body.append(Positions(width, max_length, positions == "learned"))
        for _ in range(layers):
            looking: list[nn.Module] = [nn.LayerNorm(width), SelfAttention(width, heads, causal)]
            thinking = [
                nn.LayerNorm(width),
                nn.Linear(width, inner),
                activation_of(activation),
                nn.Linear(inner, width),
            ]
            for path in (looking, thinking):
                end = [nn.Dropout(dropout)] if dropout else []
                body.append(Residual(nn.Sequential(*path, *end)))
        body.append(nn.LayerNorm(width))
        if pooling is not None:
            body.append(Pool(pooling))
        body.append(nn.Linear(width, out_features))
        super().__init__(body.to(device=device, dtype=dtype), 1 if tokens else 2)
        self.out_features, self.tokens = out_features, tokens
