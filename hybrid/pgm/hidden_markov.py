"""Hidden Markov models of tables and laws (floor 3 of `hybrid.pgm`)."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int, Shaped
from pyro.distributions import Categorical, MixtureSameFamily
from torch import Tensor, nn
from torch.distributions import Distribution, constraints

from causal.draws import fixed
from causal.law import law_at, states_of
from hybrid.bayes.batching import in_dtype_of
from hybrid.pgm.chains import Path, lengths_of
from hybrid.pgm.chains.layout import joined_shapes
from hybrid.pgm.networks.nodes import Table
from hybrid.pgm.observed_sequence import ObservedSequence, Simulated
from hybrid.pgm.step_mask import split_mask

__all__ = ["HiddenMarkovModel"]

Part = Tensor | nn.Module


class HiddenMarkovModel(nn.Module):
    r"""Law of sequences that a hidden Markov chain of K states emits.

    .. math:: p(y \mid x) = \sum_z p(z_1 \mid x_1) \prod_t p(z_{t+1} \mid z_t, x_{t+1})
        \prod_t p(y_t \mid z_t, x_t)

    Each of the three parts is a table or a Law. A tensor of probabilities is a fixed table;
    ``hybrid.pgm.Table(values, trainable=True)`` one that is trained. A Law of the first state has
    the context :math:`x_1`; one of the next state or of an observation has K columns that say the
    state before (the state), one of them 1 and the others 0, and then the columns of x.

    The distribution is an `ObservedSequence`. The methods here ask it about observations y
    ``(*batch, steps, *event)``; a step that was not observed is NaN, or -1 where observations are
    whole numbers. Contexts are ``(*batch, steps, width)``; with ``steps=T`` they are ``(*batch,
    width)``, the same at each step. No context is needed where no part reads one.

    Args:
        initial: Probabilities ``(K,)``, a `Table`, or a Law with K states.
        transition: Probabilities ``(K, K)``, rows the state before; ``(T - 1, K, K)`` where they
            change with time; a `Table` of these; or a Law with K states.
        emission: A Law; or probabilities ``(K, M)``, or a `Table` of them, of M symbols.
        steps: None for sequences as long as their contexts or observations; T for a Law whose
            contexts have no axis of steps.
        mask: Position of a column of the context that is 1 on a row's steps and 0 after its end; no
            law sees it. None where rows are complete, or ``lengths=`` says where they end.

    Raises:
        ValueError: Probabilities do not sum to one, or numbers of states differ.

    Source: Rabiner, A tutorial on hidden Markov models, Proc. IEEE 77 (1989); Bengio and Frasconi,
    An input output HMM architecture, NIPS 1994, for contexts.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> sticky = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
        >>> law = HiddenMarkovModel(torch.tensor([0.5, 0.5]), sticky, Normal(torch.nn.Linear(2, 4)))
        >>> y = torch.randn(7, 5)
        >>> law.log_probability(y).shape, law.marginals(y).shape
        (torch.Size([7]), torch.Size([7, 5, 2]))
    """

    def __init__(
        self,
        initial: Part,
        transition: Part,
        emission: Part,
        *,
        steps: int | None = None,
        mask: int | None = None,
    ) -> None:
        super().__init__()
        if steps is not None and steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        if mask is not None and steps is not None:
            raise ValueError(
                "mask= is a column of contexts with an axis of steps: leave steps= out"
            )
        self.initial = _part("initial", initial)
        self.transition = _part("transition", transition)
        self.emission = _part("emission", emission)
        self.steps, self.mask = steps, mask
        self.cardinality = _states_of(self.initial, self.transition, self.emission)

    @property
    def event_shape(self) -> torch.Size:
        """``(steps, *event)``."""
        if self.steps is None:
            raise ValueError(
                "a HiddenMarkovModel without steps= has sequences as long as their contexts: it "
                "has no static event_shape. Give steps=, or ask law(context) for what you need"
            )
        return torch.Size((self.steps, *self._event_of_emission()))

    @property
    def support(self) -> constraints.Constraint:
        """The emission's support, at each step."""
        single: Any = getattr(self.emission, "support", None)
        if isinstance(self.emission, Table):
            single = constraints.integer_interval(0, self.emission.states - 1)
        return constraints.independent(single, 1)

    def forward(
        self, context: Shaped[Tensor, "*batch width"], draws: int | None = None
    ) -> ObservedSequence:
        """The distribution of observations given ``context``.

        Args:
            context: ``(*batch, steps, width)``, or ``(*batch, width)`` with ``steps=T``; with a
                leading axis of S or 1 inside ``fixed(law, S)``.
            draws: The number S of weight sets for a context without a draws axis.

        Raises:
            ValueError: The context has too few axes, or a law does not take its width.
        """
        if self.steps is None and context.dim() < 2:
            raise ValueError(
                f"the context has shape {tuple(context.shape)}: expected (*batch, steps, width), "
                "or make the model with steps= for contexts (*batch, width)"
            )
        if draws is not None:
            with fixed(self, draws):
                found: Any = self(context.unsqueeze(0))
                return found.expand((draws, *found.batch_shape[1:]))
        context, mask = split_mask(context, self.mask)
        lengths = None if mask is None else lengths_of(mask)
        rows = context.shape[:-1] if self.steps is not None else context.shape[:-2]
        steps = self.steps if self.steps is not None else context.shape[-2]
        each = context.unsqueeze(-2) if self.steps is not None else context
        if not context.shape[-1]:  # nothing depends on the row: once for all of them
            each = context.new_zeros(*(1,) * len(rows), 1, 0)
        later = each if each.shape[-2] == 1 else each[..., 1:, :]
        with fixed(self):
            first = self._initial(each[..., 0, :])
            return ObservedSequence(
                first, self._transition(later), self._emission(each), steps,
                joined_shapes(rows, first.shape[:-1]), lengths,
            )  # fmt: skip

    def log_probability(
        self,
        y: Shaped[Tensor, "..."],
        context: Shaped[Tensor, "..."] | None = None,
        *,
        lengths: Int[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch steps"] | None = None,
    ) -> Float[Tensor, "..."]:
        """Log density of each row, ``(*batch,)``; -inf where no path of states can emit it.

        Args:
            y: Observations ``(*batch, steps, *event)``.
            context: Contexts; None where no law reads one.
            lengths: The number of steps of each row.
            mask: True on a row's steps, False after them, in place of ``lengths``.
        """
        return self._about(y, context, lengths, mask).log_prob(y)

    def marginals(
        self,
        y: Shaped[Tensor, "..."],
        context: Shaped[Tensor, "..."] | None = None,
        *,
        lengths: Int[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch steps"] | None = None,
    ) -> Float[Tensor, "*batch steps states"]:
        """Smoothed states p(z_t | y); 0 after the end of a row.

        Raises:
            ImpossibleSequence: No path of states can emit some row.
        """
        return self._about(y, context, lengths, mask).marginals(y)

    def pair_marginals(
        self,
        y: Shaped[Tensor, "..."],
        context: Shaped[Tensor, "..."] | None = None,
        *,
        lengths: Int[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch steps"] | None = None,
    ) -> Float[Tensor, "*batch between states states"]:
        """Smoothed pairs of neighbours p(z_t, z_{t+1} | y)."""
        return self._about(y, context, lengths, mask).pair_marginals(y)

    def filtered(
        self,
        y: Shaped[Tensor, "..."],
        context: Shaped[Tensor, "..."] | None = None,
        *,
        lengths: Int[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch steps"] | None = None,
    ) -> Float[Tensor, "*batch steps states"]:
        """States given what came so far, p(z_t | y_1, …, y_t), without gradient."""
        return self._about(y, context, lengths, mask).filtered(y)

    def most_probable(
        self,
        y: Shaped[Tensor, "..."],
        context: Shaped[Tensor, "..."] | None = None,
        *,
        lengths: Int[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch steps"] | None = None,
    ) -> Path:
        """The most probable states of each row and log p(z, y)."""
        return self._about(y, context, lengths, mask).most_probable(y)

    def sample_states(
        self,
        y: Shaped[Tensor, "..."],
        n: int,
        context: Shaped[Tensor, "..."] | None = None,
        *,
        lengths: Int[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch steps"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Int[Tensor, "n *batch steps"]:
        """Independent draws of all states from p(z | y)."""
        return self._about(y, context, lengths, mask).sample_states(y, n, generator)

    def sample(
        self,
        n: int,
        length: int | None = None,
        context: Shaped[Tensor, "..."] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Simulated:
        """Sequences of states and observations, ``(n, *batch, steps)``.

        Args:
            n: How many, for each row of the context.
            length: T, where there is no context and the model has no ``steps=``.
            context: Contexts; None where no law reads one.
            generator: Source of randomness; None advances torch's global generator.

        Raises:
            ValueError: Neither ``length`` nor ``context`` nor ``steps=`` says how long.
        """
        if context is None:
            if self.steps is None and length is None:
                raise ValueError("say how long the sequences are: length=")
            shape = (length, 0) if self.steps is None else (0,)
            context = torch.zeros([int(size or 0) for size in shape])
        law: ObservedSequence = self(context)
        return law.simulate((n,), generator)

    def predict(
        self,
        y: Shaped[Tensor, "..."],
        context: Shaped[Tensor, "..."] | None = None,
        *,
        upcoming: Shaped[Tensor, "*batch width"] | None = None,
        lengths: Int[Tensor, "*batch"] | None = None,
        mask: Bool[Tensor, "*batch steps"] | None = None,
    ) -> Distribution:
        """The distribution of the observation after the last: a mixture over the next state.

        Args:
            y: Observations ``(*batch, steps, *event)``.
            context: Contexts of the observed steps; None where no law reads one.
            upcoming: The context ``(*batch, width)`` of the next step, without a mask.
            lengths: The number of steps of each row.
            mask: True on a row's steps, False after them, in place of ``lengths``.

        Raises:
            ValueError: Transitions are a table with an end, or ``upcoming`` is needed.
        """
        law = self._about(y, context, lengths, mask)
        now = law.filtered(y)
        if law.lengths is None:
            last = now[..., -1, :]
        else:
            place = (law.lengths - 1).expand(now.shape[:-2])[..., None, None]
            last = now.gather(-2, place.expand(*place.shape[:-1], now.shape[-1])).squeeze(-2)
        if isinstance(self.transition, Table) and len(self.transition.shape) == 3:
            raise ValueError("the table of transitions has no step after the last")
        if upcoming is None and context is not None and self.steps is not None:
            upcoming = context
        if upcoming is None:
            upcoming = last.new_zeros(*last.shape[:-1], 0)
        with fixed(self):
            matrix = self._transition(upcoming.unsqueeze(-2))[..., 0, :, :].exp()
            emission = self._emission(upcoming)
        weights = (last.unsqueeze(-2) @ matrix.to(last)).squeeze(-2)
        found: Distribution = MixtureSameFamily(
            Categorical(weights), emission.expand(weights.shape)
        )
        return found

    def _about(
        self, y: Tensor, context: Tensor | None, lengths: Tensor | None, mask: Tensor | None
    ) -> ObservedSequence:
        if lengths is not None and mask is not None:
            raise ValueError("give lengths= or mask=, not both")
        if context is None:
            dims = len(self._event_of_emission())
            rows = (
                y.shape[: y.dim() - dims] if self.steps is None else y.shape[: y.dim() - dims - 1]
            )
            kind = y.dtype if y.is_floating_point() else torch.get_default_dtype()
            context = torch.zeros(*rows, 0, dtype=kind, device=y.device)
        law: ObservedSequence = self(context)
        return law.ending(lengths_of(mask) if mask is not None else lengths)

    def _event_of_emission(self) -> torch.Size:
        emission: Any = self.emission
        return torch.Size(() if isinstance(emission, Table) else emission.event_shape)

    def _initial(self, context: Tensor) -> Tensor:
        """Log probabilities ``(*lead, K)``."""
        if isinstance(self.initial, Table):
            return self.initial.log_probabilities()
        context = in_dtype_of(self.initial, context)
        return _log_states(law_at(self.initial, context), self.initial, self.cardinality)

    def _transition(self, context: Tensor) -> Tensor:
        """Log probabilities ``(*lead, T - 1 or 1, K, K)``."""
        if isinstance(self.transition, Table):
            table = self.transition.log_probabilities()
            return table if table.dim() == 3 else table.unsqueeze(0)
        context = in_dtype_of(self.transition, context)
        law = law_at(self.transition, _with_states(context, self.cardinality))
        return _log_states(law, self.transition, self.cardinality)

    def _emission(self, context: Tensor) -> Any:
        """Distribution of one observation, batch shape ``(*lead, K)`` or one that broadcasts."""
        if isinstance(self.emission, Table):
            # From logs: from probabilities it would put a small number in place of zero.
            return Categorical(logits=self.emission.log_probabilities(), validate_args=False)
        context = in_dtype_of(self.emission, context)
        return law_at(self.emission, _with_states(context, self.cardinality))


def _part(name: str, value: Part) -> nn.Module:
    if isinstance(value, Tensor):
        value = Table(value)
    if not isinstance(value, nn.Module):
        raise TypeError(f"{name} is a tensor of probabilities, a Table or a Law, got {value!r}")
    if not isinstance(value, Table) and not hasattr(value, "support"):
        raise TypeError(
            f"{name} is a {type(value).__name__} without support and event_shape, so it is no Law: "
            "wrap it in a head such as hybrid.heads.Normal(body)"
        )
    if isinstance(value, Table):
        dims = {"initial": (1,), "transition": (2, 3), "emission": (2,)}[name]
        if len(value.shape) not in dims:
            raise ValueError(
                f"{name} has shape {value.shape}: expected "
                + {"initial": "(K,)", "emission": "(K, M)"}.get(name, "(K, K) or (T - 1, K, K)")
            )
    return value


def _states_of(initial: nn.Module, transition: nn.Module, emission: nn.Module) -> int:
    """The number K of states, on which the parts must agree."""
    found = {}
    for name, part in (("initial", initial), ("transition", transition)):
        states = part.states if isinstance(part, Table) else states_of(part)
        if states is None:
            raise ValueError(f"{name} is a law without classes: give one with K states")
        found[name] = int(states)  # type: ignore[arg-type]
    if isinstance(transition, Table):
        found["transition (rows)"] = transition.shape[-2]
    if isinstance(emission, Table):
        found["emission (rows)"] = emission.shape[0]
    if len(set(found.values())) > 1:
        raise ValueError(f"the parts differ in their number of states: {found}")
    return found["initial"]


def _with_states(context: Tensor, states: int) -> Tensor:
    """Contexts ``(*lead, width)`` with each of K states before them, ``(*lead, K, K + width)``."""
    lead = context.shape[:-1]
    one_hot = torch.eye(states, dtype=context.dtype, device=context.device)
    repeated = context.unsqueeze(-2).expand(*lead, states, context.shape[-1])
    return torch.cat([one_hot.expand(*lead, states, states), repeated], -1)


def _log_states(law: Any, part: nn.Module, states: int) -> Tensor:
    """Log probabilities of the states of a finite distribution, last."""
    boolean = getattr(part, "support", None) is constraints.boolean
    values = torch.arange(states, dtype=torch.get_default_dtype() if boolean else torch.long)
    shaped = values.reshape(-1, *(1,) * len(law.batch_shape))
    logs: Tensor = law.log_prob(shaped)
    return logs.movedim(0, -1)
