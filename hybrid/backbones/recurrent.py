"""Recurrent network: GRU or LSTM over a sequence, with a linear readout (floor 0)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.backbones.attention import Pool
from hybrid.backbones.folded import Folded, sizes

__all__ = ["RNN", "Recurrent", "recurrence"]

_CELLS = {"gru": nn.GRU, "lstm": nn.LSTM}


def _gru(
    gates: Tensor, state: tuple[Tensor, ...], recur: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    (hidden,) = state
    reset, update, new = gates.chunk(3, -1)
    past_reset, past_update, past_new = recur(hidden).chunk(3, -1)
    keep = torch.sigmoid(update + past_update)
    fresh = torch.tanh(new + torch.sigmoid(reset + past_reset) * past_new)
    return (fresh + keep * (hidden - fresh),)


def _lstm(
    gates: Tensor, state: tuple[Tensor, ...], recur: Callable[[Tensor], Tensor]
) -> tuple[Tensor, ...]:
    hidden, cell = state
    enter, forget, new, leave = (gates + recur(hidden)).chunk(4, -1)
    cell = torch.sigmoid(forget) * cell + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(cell), cell


def recurrence(
    cells: nn.GRU | nn.LSTM,
    weights: Mapping[str, Tensor],
    inputs: Float[Tensor, "*batch time width"],
) -> Float[Tensor, "*rows time out"]:
    r"""Outputs of torch's GRU or LSTM at every time, as a loop over the times in plain operations.

    The same numbers as ``cells(inputs)``, but it works under ``torch.func.vmap`` and forward-mode
    differentiation, which the fused kernels do not, and weights may have leading dimensions: all
    sets of weights go through each time step together.

    Args:
        cells: Says how many layers and directions there are, and of which kind.
        weights: All its parameters by name, ``(*lead, *shape)``; ``lead`` broadcasts against the
            inputs' batch less its last axis.
        inputs: Sequences with at least one batch axis.

    Source: Cho et al. (2014), *Learning phrase representations using RNN encoder–decoder*, in the
    form of torch's documentation; Hochreiter & Schmidhuber (1997), *Long short-term memory*.

    Example:
        >>> cells = nn.GRU(3, 4, batch_first=True)
        >>> x = torch.randn(2, 5, 3)
        >>> torch.allclose(
        ...     recurrence(cells, dict(cells.named_parameters()), x), cells(x)[0], atol=1e-6
        ... )
        True
    """
    directions = ("", "_reverse") if cells.bidirectional else ("",)
    for layer in range(cells.num_layers):
        sides = [_direction(cells, weights, f"_l{layer}{end}", inputs) for end in directions]
        inputs = torch.cat(sides, -1)
        drops = cells.training and layer + 1 < cells.num_layers
        inputs = nn.functional.dropout(inputs, cells.dropout, drops)
    return inputs


def _direction(
    cells: nn.GRU | nn.LSTM, weights: Mapping[str, Tensor], name: str, inputs: Tensor
) -> Tensor:
    """One layer in one direction."""
    backwards = name.endswith("_reverse")
    recur = partial(_linear, weights, name, "hh")
    rows = inputs.flip(-2) if backwards else inputs
    # The inputs' part of all times is one product.
    gates = _linear(weights, name, "ih", rows.flatten(-3, -2)).unflatten(-2, rows.shape[-3:-1])
    start = gates.new_zeros(*gates.shape[:-2], cells.hidden_size)
    gru = isinstance(cells, nn.GRU)
    state: tuple[Tensor, ...] = (start,) if gru else (start, start)
    outputs = []
    for now in gates.unbind(-2):
        state = _gru(now, state, recur) if gru else _lstm(now, state, recur)
        outputs.append(state[0])
    side = torch.stack(outputs, -2)
    return side.flip(-2) if backwards else side


def _linear(weights: Mapping[str, Tensor], name: str, kind: str, rows: Tensor) -> Tensor:
    weight, bias = weights.get(f"weight_{kind}{name}"), weights.get(f"bias_{kind}{name}")
    if weight is None:
        raise ValueError(f"recurrence needs every weight of the cells, weight_{kind}{name} too")
    result = rows @ weight.mT
    return result if bias is None else result + bias.unsqueeze(-2)


class Recurrent(nn.Module):
    """The cells of torch's GRU or LSTM on ``(batch, time, width)``, without their last states.

    The fused kernel runs wherever it can; under ``torch.func`` transforms `recurrence` does.

    Args:
        cells: A GRU or LSTM with ``batch_first=True``.

    Example:
        >>> Recurrent(nn.GRU(3, 4, batch_first=True))(torch.zeros(2, 5, 3)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(self, cells: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.cells = cells

    def forward(self, inputs: Float[Tensor, "batch time width"]) -> Tensor:
        """Outputs at every time."""
        if torch._C._functorch.maybe_current_level():
            return recurrence(self.cells, dict(self.cells.named_parameters()), inputs)
        outputs: Tensor = self.cells(inputs)[0]
        return outputs


class RNN(Folded):
    """GRU or LSTM on ``(*batch, time, in_features)`` with a linear readout.

    Args:
        in_features: Width of the input at each time.
        hidden: Width of the state.
        out_features: Width of the result.
        cell: "gru" or "lstm".
        layers: Layers on one another.
        bidirectional: Also read the sequence backwards; both states are read out.
        pooling: "last" (of each direction), "mean" or "first" for a result
            ``(*batch, out_features)``; None for ``(*batch, time, out_features)``.
        dropout: Probability with which an entry between two layers is dropped in training mode.
        device: Where the parameters live.
        dtype: Their type.

    Raises:
        ValueError: A number is out of range, or ``cell`` is something else.

    Example:
        >>> net = RNN(3, 16, 2, cell="lstm")
        >>> net(torch.zeros(5, 7, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        hidden: int,
        out_features: int,
        *,
        cell: Literal["gru", "lstm"] = "gru",
        layers: int = 1,
        bidirectional: bool = False,
        pooling: Literal["mean", "first", "last"] | None = "last",
        dropout: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        sizes(
            "in_features, hidden, out_features, layers", [in_features, hidden, out_features, layers]
        )
        if cell not in _CELLS:
            raise ValueError(f"cell is 'gru' or 'lstm', got {cell!r}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout is a probability below 1: {dropout}")
        cells = _CELLS[cell](
            in_features,
            hidden,
            layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        body = nn.Sequential(Recurrent(cells))
        if pooling is not None:
            body.append(Pool("ends" if bidirectional and pooling == "last" else pooling))
        body.append(nn.Linear(hidden * (1 + bidirectional), out_features))
        super().__init__(body.to(device=device, dtype=dtype), 2)
        self.out_features = out_features
