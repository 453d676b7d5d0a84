"""What the variables of a network can be, besides plain tables and Laws (floor 1)."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from causal.factor import Factor
from hybrid.pgm.networks.remembered import Remembered
from hybrid.pgm.networks.simplex import check_rows, normalised

__all__ = ["Contextual", "Deterministic", "NoisyOr", "Table"]

MOST_CAUSES = 15  # a plain table of 2^16 cells


def _trained(values: Any) -> bool:
    return isinstance(values, nn.Parameter)


def _numbers(values: Any) -> Tensor:
    """A tensor; Python's numbers keep their double precision."""
    known = isinstance(values, Tensor) or hasattr(values, "__array__")
    return torch.as_tensor(values, dtype=None if known else torch.float64)


class Table(nn.Module):
    r"""A conditional table :math:`p(x \mid z_1, …, z_k)`, fixed or trained.

    A trained table holds logits; its zeros stay zero:
    :math:`p(x \mid z) = \mathrm{softmax}_x(\theta_{z, x})` over the states with positive values.

    Args:
        values: Probabilities, one axis for each parent, sorted by name, then the variable's own; or
            a `causal.Factor`, which names its axes. Sums that are off by rounding (up to 1e-6) are
            kept as they are and divided out wherever the table is used.
        trainable: Whether the table is a parameter that starts from ``values``.

    Raises:
        ValueError: Values that are no probabilities, or rows that do not sum to one.
        TypeError: A Parameter, which an optimiser would move off the simplex.

    Example:
        >>> table = Table(torch.tensor([[0.5, 0.5], [0.0, 1.0]]), trainable=True)
        >>> [name for name, _ in table.named_parameters()], table.states
        (['logits'], 2)
        >>> table.probabilities().detach()
        tensor([[0.5000, 0.5000],
                [0.0000, 1.0000]], dtype=torch.float64)
    """

    def __init__(self, values: Any, *, trainable: bool = False) -> None:
        super().__init__()
        self.axes: tuple[str, ...] | None = values.names if isinstance(values, Factor) else None
        self.labels = values.states if isinstance(values, Factor) else {}
        values = values.values if isinstance(values, Factor) else values
        if _trained(values):
            raise TypeError(
                "a Parameter as a table would leave the simplex: use Table(values, trainable=True)"
                ", which trains logits"
            )
        values = _numbers(values)
        if values.dim() < 1 or values.shape[-1] < 1 or values.is_complex():
            raise ValueError(
                f"a table has one axis for each parent and one for the variable's states, got "
                f"{values.dtype} of shape {tuple(values.shape)}"
            )
        real = values.detach() if values.is_floating_point() else values.detach().double()
        self._unchecked = self.axes is not None  # which axis is the variable's own is not known yet
        if not self._unchecked:
            check_rows("this Table", real, [f"axis {k}" for k in range(values.dim() - 1)])
        self.trainable = trainable
        if trainable:
            positive = real > 0
            self.logits = nn.Parameter(torch.where(positive, real.double(), 1.0).log())
            self.register_buffer("positive", positive)
        else:
            # What carries a gradient stays connected to it; all else is the network's own copy.
            kept = values.double() if values.requires_grad else real.double().clone()
            self.register_buffer("values", kept)
        self._name: str = "this Table"
        self._kept = Remembered()

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of states: of each parent, then of the variable."""
        return tuple(self._held().shape)

    @property
    def states(self) -> int:
        """The variable's number of states."""
        return self.shape[-1]

    def _held(self) -> Tensor:
        return self.logits if self.trainable else self.get_buffer("values")

    def arrange(self, name: str, parents: Sequence[str]) -> None:
        """Bring named axes into the order (parents…, name), in place.

        Raises:
            ValueError: The axes have other names.
        """
        wanted = (*parents, name)
        self._name = name
        if self.axes is None or (self.axes == wanted and not self._unchecked):
            return
        if sorted(self.axes) != sorted(wanted):
            raise ValueError(
                f"the table of {name!r} is over {sorted(self.axes)}: expected {name!r} and its "
                f"parents {list(parents)}"
            )
        order = [self.axes.index(axis) for axis in wanted]
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.requires_grad and not _trained(tensor):
                self.register_buffer("values", tensor.permute(order))
            else:
                tensor.data = tensor.data.permute(order).contiguous()
        self.axes, self._unchecked = wanted, False
        check_rows(name, self._start().detach(), parents)

    def _start(self) -> Tensor:
        """The values that the table was given."""
        if not self.trainable:
            return self.get_buffer("values")
        return self.logits.exp() * self.get_buffer("positive")

    def stored(self) -> Tensor:
        """The table as it was given, its rounding not divided out."""
        return self.probabilities() if self.trainable else self.get_buffer("values")

    def probabilities(self) -> Tensor:
        """The table, (*parents' states, states).

        Raises:
            ValueError: Numbers were brought into the table that are no probabilities.
        """
        if self.trainable:
            floor = self.logits.masked_fill(~self.get_buffer("positive"), -torch.inf)
            return floor.softmax(-1)
        return self._kept(cast(Tensor, self._buffers["values"]), self._checked)

    def log_probabilities(self) -> Tensor:
        """Logarithms of the table, whose gradient at zeros is zero: what is impossible stays so."""
        if self.trainable:
            never = ~self.get_buffer("positive")
            logs = self.logits.masked_fill(never, -torch.inf).log_softmax(-1)
            return logs.masked_fill(never, -torch.inf)
        values = self.probabilities()
        never = values <= 0
        return torch.where(never, 1.0, values).log().masked_fill(never, -torch.inf)

    def _checked(self, values: Tensor) -> Tensor:
        """The table with rounding divided out."""
        wrapped = torch._C._functorch.maybe_current_level() is not None
        if values.requires_grad or wrapped:  # a function of numbers that may leave the simplex
            return values / values.sum(-1, keepdim=True)
        check_rows(self._name, values)
        return normalised(values)

    def extra_repr(self) -> str:
        """Shape, and whether it is trained."""
        return f"{self.shape}{', trainable=True' if self.trainable else ''}"


class NoisyOr(nn.Module):
    r"""A binary effect of binary causes, each of which may fail to act: the noisy or.

    .. math:: p(y = 0 \mid x) = (1 - \ell) \prod_i (1 - p_i)^{x_i}

    Args:
        probabilities: :math:`p_i`, with which cause i alone brings about the effect: by name
            ``{parent: p}``, or in the order of the parents sorted by name.
        leak: :math:`\ell`, the probability of the effect without any cause.
        trainable: Whether probabilities and leak are parameters (as logits).

    Raises:
        ValueError: Numbers outside of [0, 1] (or, for training, on its border), more than 15
            causes.

    Source: Pearl, "Probabilistic Reasoning in Intelligent Systems" (1988), section 4.3.2.

    Example:
        >>> NoisyOr([0.8, 0.5], leak=0.1).probabilities()[..., 1]
        tensor([[0.1000, 0.5500],
                [0.8200, 0.9100]], dtype=torch.float64)
    """

    def __init__(
        self,
        probabilities: Mapping[str, float] | Sequence[float] | Tensor,
        leak: float = 0.0,
        *,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        self.names: tuple[str, ...] | None = None
        if isinstance(probabilities, Mapping):
            self.names = tuple(sorted(probabilities))
            probabilities = [float(probabilities[name]) for name in self.names]
        values = _numbers(probabilities).detach().double()
        numbers = torch.cat([values.reshape(-1), _numbers(leak).double().reshape(1)])
        if values.dim() != 1 or not bool(((numbers >= 0) & (numbers <= 1)).all()):
            raise ValueError(
                "NoisyOr takes one probability for each cause, and a leak, from 0 to 1: got "
                f"{numbers[:-1].tolist()} and leak={float(numbers[-1]):g}"
            )
        if len(values) > MOST_CAUSES:
            raise ValueError(
                f"a NoisyOr of {len(values)} causes would be a table of 2^{len(values) + 1} cells; "
                f"at most {MOST_CAUSES} are allowed: join causes by further NoisyOr nodes, which is"
                " the same distribution"
            )
        self.trainable, self._kept = trainable, Remembered()
        if trainable:
            if not bool(((numbers > 0) & (numbers < 1)).all()):
                raise ValueError(
                    "a NoisyOr is trained from numbers between 0 and 1, got some on the border: "
                    "start from, for example, leak=0.01"
                )
            self.logits = nn.Parameter(numbers.logit())
        else:
            self.register_buffer("numbers", numbers)

    states = 2

    @property
    def shape(self) -> tuple[int, ...]:
        """Two states for each cause, and two of the effect."""
        numbers = self.logits if self.trainable else self.get_buffer("numbers")
        return (2,) * len(numbers)

    def arrange(self, name: str, parents: Sequence[str]) -> None:
        """See that the causes are the parents.

        Raises:
            ValueError: They are not.
        """
        if self.names is not None and self.names != tuple(sorted(parents)):
            raise ValueError(
                f"the NoisyOr of {name!r} has the causes {list(self.names)}, the graph gives it "
                f"the parents {list(parents)}"
            )

    def probabilities(self) -> Float[Tensor, "*causes 2"]:
        """The table, (*causes, 2)."""
        if self.trainable:
            return _noisy(self.logits.sigmoid())
        return self._kept(cast(Tensor, self._buffers["numbers"]), _noisy)

    def stored(self) -> Tensor:
        """The table."""
        return self.probabilities()

    def extra_repr(self) -> str:
        """The number of causes, and whether it is trained."""
        causes = len(self.shape) - 1
        return f"{causes} causes{', trainable=True' if self.trainable else ''}"


def _noisy(numbers: Tensor) -> Tensor:
    """The table of probabilities and, last, the leak."""
    failing, causes = 1 - numbers, len(numbers) - 1
    absent = failing[-1]
    for k in range(causes):
        shape = [1] * k + [2] + [1] * (causes - 1 - k)
        absent = absent * torch.stack([torch.ones_like(failing[k]), failing[k]]).reshape(shape)
    return torch.stack([absent, 1 - absent], -1)


@dataclass(frozen=True)
class Deterministic:
    """A variable that its parents decide: a function of their states, or an array of its states.

    Args:
        rule: A function of the parents' state numbers, in the order of their sorted names, that
            returns a state's number or name; or an array of state numbers (*parents' states,).
        states: The number of states, or their names.

    Example:
        >>> parity = Deterministic(lambda a, b: a ^ b, states=2)
        >>> parity.table("P", (2, 2))[0]
        tensor([[1., 0.],
                [0., 1.]], dtype=torch.float64)
    """

    rule: Callable[..., Any] | Any
    states: int | Sequence[str]

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the states, where they have names."""
        return None if isinstance(self.states, int) else tuple(self.states)

    def table(self, name: str, sizes: Sequence[int]) -> Float[Tensor, "*parents states"]:
        """The table of zeros and ones for parents with these numbers of states.

        Raises:
            ValueError: The array has another shape, or a value is no state.
        """
        count = self.states if isinstance(self.states, int) else len(self.states)
        if callable(self.rule):
            cells = itertools.product(*(range(size) for size in sizes))
            found = [self._number(name, self.rule(*cell), cell) for cell in cells]
            numbers = torch.tensor(found).reshape(tuple(sizes))
        else:
            numbers = torch.as_tensor(self.rule)
            if tuple(numbers.shape) != tuple(sizes):
                raise ValueError(
                    f"the array of {name!r} has shape {tuple(numbers.shape)}, its parents have "
                    f"{tuple(sizes)} states"
                )
            if numbers.is_floating_point() and not bool((numbers == numbers.round()).all()):
                raise ValueError(f"the array of {name!r} holds state numbers, got fractions or NaN")
        if not bool(((numbers >= 0) & (numbers < count)).all()):
            raise ValueError(
                f"{name!r} has states 0 … {count - 1}, its rule gives "
                f"{int(numbers.min())} to {int(numbers.max())}"
            )
        return nn.functional.one_hot(numbers.long(), count).double()

    def _number(self, name: str, value: Any, cell: tuple[int, ...]) -> int:
        if isinstance(value, str):
            if value not in (self.labels or ()):
                raise ValueError(
                    f"the rule of {name!r} gives {value!r} at {cell}: its states are {self.labels}"
                )
            return (self.labels or ()).index(value)
        number = float(value)
        if not math.isfinite(number) or number != round(number):
            raise ValueError(f"the rule of {name!r} gives {value!r} at {cell}: expected a state")
        return int(number)


class Contextual(nn.Module):
    """A Law that reads its parents' columns and then the row's ``context``.

    Args:
        law: A Law whose context is (*batch, parents' columns + width of the row's context).

    Raises:
        TypeError: It is no Law.

    Example:
        >>> from hybrid.heads.classes import Categorical
        >>> node = Contextual(Categorical(torch.nn.Linear(5, 8), states=3))
        >>> node.law.states
        3
    """

    def __init__(self, law: nn.Module) -> None:
        super().__init__()
        if not isinstance(law, nn.Module) or not hasattr(law, "support"):
            raise TypeError(f"Contextual takes a Law, an nn.Module with a support, got {law!r}")
        self.law = law
