"""Small layers that bodies are made of (floor 0).

`Standardize`, `Skip` and `Interaction` are for users; `Constant`, `Readout` and `Aside` are what
the heads put around a body. All take any leading dimensions, work under ``torch.func.vmap`` and
hold nothing but parameters, buffers and Python numbers.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "Aside",
    "Constant",
    "Interaction",
    "Readout",
    "Skip",
    "Standardize",
    "in_features_of",
    "out_features_of",
    "split_columns",
]


def out_features_of(module: nn.Module) -> int | None:
    """Width of what ``module`` returns, where it can be known without running it, else None.

    Read from an attribute ``out_features``, or from the last part of a ``Sequential`` that has one.

    Example:
        >>> out_features_of(torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU()))
        5
    """
    return _width(module, "out_features", reverse=True)


def in_features_of(module: nn.Module) -> int | None:
    """Width of what ``module`` takes, where it can be known without running it, else None.

    Example:
        >>> in_features_of(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Linear(3, 5)))
        3
    """
    return _width(module, "in_features", reverse=False)


_KEEP_WIDTH = (
    nn.Dropout,
    nn.ELU,
    nn.GELU,
    nn.Identity,
    nn.LayerNorm,
    nn.LeakyReLU,
    nn.Mish,
    nn.PReLU,
    nn.ReLU,
    nn.SELU,
    nn.SiLU,
    nn.Sigmoid,
    nn.Softplus,
    nn.Tanh,
)


def _width(module: nn.Module, attribute: str, *, reverse: bool) -> int | None:
    own = _stated(module, attribute)
    if isinstance(own, int):
        return own
    if isinstance(module, nn.Sequential):
        parts = [part for part in module._modules.values() if part is not None]
        for part in reversed(parts) if reverse else parts:
            if not (isinstance(part, _KEEP_WIDTH) or _stated(part, "keeps_width")):
                return _width(part, attribute, reverse=reverse)
    return None


def _stated(module: nn.Module, attribute: str) -> Any:
    """What a module or its class says, else None: every call of a law asks, and a miss is slow."""
    if attribute in module.__dict__ or hasattr(type(module), attribute):
        return getattr(module, attribute, None)
    return None


def split_columns(
    inputs: Shaped[Tensor, "*batch width"], columns: Sequence[int], owner: str
) -> tuple[Shaped[Tensor, "*batch columns"], Shaped[Tensor, "*batch rest"]]:
    """Take ``columns`` out of the last axis: (these columns in their order, the rest in order).

    Args:
        inputs: The table.
        columns: Positions on the last axis; negative ones count from the end.
        owner: Who asks, for the error message.

    Raises:
        ValueError: A column is outside the table or named twice.

    Example:
        >>> split_columns(torch.tensor([[1, 2, 3]]), [1], "me")
        (tensor([[2]]), tensor([[1, 3]]))
    """
    width = inputs.shape[-1]
    if any(not -width <= column < width for column in columns):
        raise ValueError(f"{owner}: columns {list(columns)} of an input of width {width}")
    chosen = [column % width for column in columns]
    if len(set(chosen)) != len(chosen):
        raise ValueError(f"{owner}: a column is named twice in {list(columns)}")
    bounds = [-1, *sorted(chosen), width]
    runs = [inputs[..., a + 1 : b] for a, b in itertools.pairwise(bounds)]
    taken = torch.cat([inputs[..., column : column + 1] for column in chosen], -1)
    return taken, torch.cat(runs, -1)


class Standardize(nn.Module):
    r"""Shift and scale each column with stored statistics: :math:`(x - \mu) / \sigma`.

    Args:
        mean: Shift μ of each column, (width,) or a scalar.
        scale: Scale σ of each column, positive, of the same shape.

    Raises:
        ValueError: The shapes differ, a value is not finite or a scale is not positive.

    Example:
        >>> layer = Standardize.from_data(torch.tensor([[1.0, 0.0], [3.0, 1.0]]), columns=[0])
        >>> layer(torch.tensor([[2.0, 1.0]]))
        tensor([[0., 1.]])
        >>> layer.inverse(torch.tensor([[0.0, 1.0]]))
        tensor([[2., 1.]])
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        if mean.shape != scale.shape or mean.dim() > 1:
            raise ValueError(
                f"mean and scale must have one shape, (width,) or (): got {tuple(mean.shape)} "
                f"and {tuple(scale.shape)}"
            )
        if not (mean.isfinite().all() and scale.isfinite().all() and (scale > 0).all()):
            raise ValueError(f"mean must be finite and scale positive: {mean}, {scale}")
        self.register_buffer("mean", mean.detach().clone())
        self.register_buffer("scale", scale.detach().clone())

    @classmethod
    def from_data(
        cls, data: Shaped[Tensor, "rows width"], columns: Sequence[int] | None = None
    ) -> "Standardize":
        """Measure mean and standard deviation (divisor n) of ``data``.

        Args:
            data: The table whose statistics are stored.
            columns: Columns to standardise; the others (0/1 columns, say) pass unchanged.

        Raises:
            ValueError: A chosen column is constant, or holds NaN or infinity; it is named.
        """
        values = data if data.is_floating_point() else data.to(torch.get_default_dtype())
        width = values.shape[-1]
        chosen = range(width) if columns is None else [column % width for column in columns]
        mean, scale = values.new_zeros(width), values.new_ones(width)
        for column in chosen:
            entries = values[:, column]
            if not entries.isfinite().all():
                raise ValueError(f"column {column} holds NaN or infinity: drop or fill those rows")
            mean[column], scale[column] = entries.mean(), entries.std(correction=0)
            if entries.min() == entries.max():
                raise ValueError(
                    f"column {column} is constant ({entries[0].item()}): leave it out, "
                    "or name the columns to standardise with columns="
                )
        return cls(mean, scale)

    def forward(self, inputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Standardise the columns of ``inputs``."""
        return (inputs - self.mean) / self.scale

    def inverse(self, outputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch width"]:
        """Back to the columns' own units."""
        return outputs * self.scale + self.mean


class Skip(nn.Module):
    """A body and a path around it: ``cat([body(x), x], -1)``.

    A circuit's expectation values are bounded; the skip path lets a head extrapolate beyond them.

    Args:
        body: A Layer.

    Example:
        >>> layer = Skip(torch.nn.Linear(3, 2))
        >>> layer(torch.zeros(7, 3)).shape, layer.out_features
        (torch.Size([7, 5]), 5)
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.in_features = in_features_of(body)
        out = out_features_of(body)
        known = out is not None and self.in_features is not None
        self.out_features = (out or 0) + (self.in_features or 0) if known else None

    def forward(self, inputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Run the body and put the inputs beside its result."""
        return self.join(self.body(inputs), inputs)

    def join(self, outputs: Tensor, inputs: Tensor) -> Tensor:
        """Put ``inputs`` beside the body's ``outputs``; leading axes broadcast."""
        return _cat(outputs, inputs)


class Interaction(nn.Module):
    r"""Let some columns act through their products with features of the others.

    With :math:`c` the chosen columns, :math:`h = \mathrm{body}(r)` on the rest :math:`r` (the rest
    itself without a body), the result is :math:`(h, c, c_1 h, \dots, c_m h)`. For a treatment
    column a linear readout of it holds a separate response for the treated.

    Args:
        columns: Positions of the columns on the last axis, as this layer sees it.
        body: A Layer for the other columns, or None.

    Raises:
        ValueError: No column is named; at the call, one is outside the input.

    Example:
        >>> Interaction([0])(torch.tensor([[2.0, 3.0, 5.0]]))
        tensor([[ 3.,  5.,  2.,  6., 10.]])
    """

    def __init__(self, columns: Sequence[int], body: nn.Module | None = None) -> None:
        super().__init__()
        if not columns:
            raise ValueError("Interaction needs at least one column position")
        self.positions = tuple(columns)
        self.body = body
        rest = None if body is None else in_features_of(body)
        self.in_features = None if rest is None else rest + len(self.positions)
        out = None if body is None else out_features_of(body)
        self.out_features = None if out is None else out + len(self.positions) * (1 + out)

    def forward(self, inputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Features, columns, and their products."""
        chosen, rest = split_columns(inputs, self.positions, "Interaction")
        return self.join(rest if self.body is None else self.body(rest), chosen)

    def join(self, outputs: Tensor, chosen: Tensor) -> Tensor:
        """Features, chosen columns and their products; leading axes broadcast."""
        products = [chosen[..., j : j + 1] * outputs for j in range(chosen.shape[-1])]
        return _cat(outputs, chosen, *products)


class Aside(nn.Module):
    """Keep columns from a body and put them behind its result: ``cat([body(rest), columns], -1)``.

    Unlike `Interaction` it computes nothing with the columns, so that infinite limits pass.

    Args:
        body: A Layer for the other columns.
        columns: Columns that it does not see, by position or by a name that `bind` resolves.

    Raises:
        ValueError: At the call, a name was never bound or a position is outside the input.

    Example:
        >>> layer = Aside(torch.nn.Linear(2, 4), ["cap"])
        >>> layer.bind(("age", "cap", "education"))
        >>> layer(torch.tensor([[0.0, float("inf"), 0.0]])).shape, layer.positions
        (torch.Size([1, 5]), (1,))
    """

    def __init__(self, body: nn.Module, columns: Sequence[int | str]) -> None:
        super().__init__()
        self.body = body
        self.columns = tuple(columns)
        self.names: tuple[str, ...] | None = None
        width = in_features_of(body)
        self.in_features = None if width is None else width + len(self.columns)

    def bind(self, names: Sequence[str]) -> None:
        """Tell the names of the input's columns.

        Raises:
            ValueError: A column is not among them, or other names were bound before.
        """
        names = tuple(names)
        if self.names not in (None, names):
            raise ValueError(
                f"columns {list(self.columns)} were bound to a context of {self.names}; it cannot "
                f"be used with {names} too: make another law for that"
            )
        for column in self.columns:
            if isinstance(column, str) and column not in names:
                raise ValueError(
                    f"there is no column {column!r} in the context {names}: make it a parent of "
                    "this variable"
                )
            if isinstance(column, int) and not -len(names) <= column < len(names):
                raise ValueError(f"there is no column {column} in the context {names}")
        self.names = names

    @property
    def positions(self) -> tuple[int, ...]:
        """Positions of the columns on the last axis."""
        if self.names is None:
            unbound = [column for column in self.columns if isinstance(column, str)]
            if unbound:
                raise ValueError(
                    f"the columns {unbound} are named, and nothing has said where they are: use "
                    "the law in a causal.SCM, call bind_columns(names), or give positions"
                )
        names = self.names or ()
        return tuple(names.index(c) if isinstance(c, str) else c for c in self.columns)

    def forward(self, inputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Run the body on the rest and append the columns."""
        chosen, rest = split_columns(inputs, self.positions, "Aside")
        return self.join(self.body(rest), chosen)

    def join(self, outputs: Tensor, chosen: Tensor) -> Tensor:
        """Append the ``chosen`` columns to the body's ``outputs``; leading axes broadcast."""
        return _cat(outputs, chosen)


class Constant(nn.Module):
    """The same learnable numbers for every row, whatever the input: an unconditional body.

    Args:
        values: Their initial values; as many as numbers are returned.

    Example:
        >>> Constant([0.0, 1.0])(torch.zeros(3, 0))
        tensor([[0., 1.],
                [0., 1.],
                [0., 1.]], grad_fn=<ExpandBackward0>)
    """

    def __init__(self, values: Sequence[float]) -> None:
        super().__init__()
        self._start, self.out_features = tuple(float(value) for value in values), len(values)
        self.values = nn.Parameter(torch.tensor(self._start))

    def reset_parameters(self) -> None:
        """Go back to the initial values."""
        self.values.data.copy_(torch.tensor(self._start))

    def forward(self, inputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """The numbers, once for each row of ``inputs``."""
        return self.values.expand(*inputs.shape[:-1], -1)


class Readout(nn.Module):
    r"""The linear last step of a head: :math:`x W^\top + b`, with small W and a chosen b at first.

    Args:
        in_features: Width of the body's result.
        bias: Initial b; its length is the width of what is returned.

    Raises:
        ValueError: At the call, the body returned another width.

    Example:
        >>> readout = Readout(8, bias=[0.0, 0.5])
        >>> readout(torch.zeros(8))
        tensor([0.0000, 0.5000], grad_fn=<ViewBackward0>)
    """

    def __init__(self, in_features: int, bias: Sequence[float]) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, len(bias)
        self._start = tuple(float(value) for value in bias)
        self.weight = nn.Parameter(torch.empty(len(bias), in_features))
        self.bias = nn.Parameter(torch.empty(len(bias)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw small weights anew; the bias goes back to its initial values."""
        bound = 0.1 / math.sqrt(max(self.in_features, 1))
        with torch.no_grad():
            self.weight.uniform_(-bound, bound)
            self.bias.copy_(torch.tensor(self._start))

    def forward(self, inputs: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch out"]:
        """Read the features."""
        self.check(inputs)
        return F.linear(inputs, self.weight, self.bias)

    def check(self, inputs: Tensor) -> None:
        """Raise ValueError unless the last axis has the promised width."""
        if inputs.shape[-1] != self.in_features:
            raise ValueError(
                f"the body returned {inputs.shape[-1]} features (shape {tuple(inputs.shape)}), "
                f"the head was made for features={self.in_features}"
            )


def _cat(*parts: Tensor) -> Tensor:
    lead = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*lead, part.shape[-1]) for part in parts], -1)
