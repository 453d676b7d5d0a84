"""What a network can be asked, whatever it was made from (floor 7)."""

import abc
import operator
from collections.abc import Iterable, Mapping
from typing import Any, SupportsIndex

import torch
from torch import Tensor, nn

from causal.draws import fixed
from causal.factor import Factor
from hybrid.pgm.networks.ancestral import sampled_rows
from hybrid.pgm.networks.assignment import Explanation
from hybrid.pgm.networks.expectation import expected_counts
from hybrid.pgm.networks.information import entropy_of, mutual
from hybrid.pgm.networks.model import Model
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.questions import best_states, restored, set_marginals
from hybrid.pgm.networks.reading import (
    condition_names,
    joint_table,
    log_ratio,
    posterior_entropy,
    table_factors,
)
from hybrid.pgm.networks.structure import Structure

__all__ = ["Answering"]

Names = str | Iterable[str]
Tables = Mapping[str, Tensor] | None
Source = torch.Generator | None


class Answering(nn.Module, abc.ABC):
    r"""A module over named finite variables that answers questions exactly, by a junction tree.

    Every question takes the same things:

    - ``evidence``: columns by name. State numbers (\*batch,), −1 where a row does not observe the
      variable; or state names, None where it does not; or likelihoods (\*batch, states) in floating
      point; values (\*batch, \*event) of leaves. One state or value alone holds in every row.
    - ``context``: what contextual laws read, (\*batch, width), or one for each by name.
    - ``draws=S``: a leading axis of S draws of random weights, as in `causal.SCM`; ``generator`` is
      the source of randomness, None advances torch's global one.

    Wrong evidence raises a ValueError that names variable and row, evidence of probability 0
    `ImpossibleEvidence` (but in `log_probability`, which is −inf there), and a network whose
    junction tree does not fit in memory `TooLarge`, before anything is allocated.

    An implementation says what the network is on the rows at hand, and which of its submodules may
    be random.

    Example:
        >>> from causal.graph import Graph
        >>> from hybrid.pgm.networks.network import BayesianNetwork
        >>> issubclass(BayesianNetwork, Answering)
        True
    """

    @property
    @abc.abstractmethod
    def structure(self) -> Structure:
        """Variables by number."""

    @property
    @abc.abstractmethod
    def random_part(self) -> nn.Module:
        """What holds every submodule with random weights."""

    @abc.abstractmethod
    def at_work(
        self, evidence: Any, context: Any, draws: int | None, tables: Tables = None
    ) -> tuple[Model, Observed]:
        """The network on checked rows, inside ``fixed``."""

    def forward(self, evidence: Any = None, context: Any = None) -> dict[str, Tensor]:
        """All marginals; see `marginals`."""
        return self.marginals(evidence, context)

    def marginals(
        self,
        evidence: Any = None,
        context: Any = None,
        *,
        names: Names | None = None,
        draws: int | None = None,
        generator: Source = None,
    ) -> dict[str, Tensor]:
        r"""The distribution of each variable given each row's evidence, (\*draws, \*batch, states).

        Args:
            evidence: What was observed.
            context: The rows' context.
            names: The variables wanted; None for all finite ones. With names, evidence that cannot
                tell anything about them is not read, impossible or not.
            draws: Number of weight draws.
            generator: Source of the weight draws.
        """
        wanted, sets = self.structure.names, None
        if names is not None:
            wanted = self._finite(names)
            sets = tuple((self.structure.index[name],) for name in wanted)
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(evidence, context, draws)
            lead, found = set_marginals(model, seen, sets)
        if draws is not None or len(seen.batch) != 1:
            found = [restored(table, lead, draws, seen.batch) for table in found]
        return dict(zip(wanted, found, strict=True))

    def joint_marginals(
        self,
        sets: Iterable[Names],
        evidence: Any = None,
        context: Any = None,
        *,
        draws: int | None = None,
        generator: Source = None,
    ) -> list[Factor]:
        r"""The distribution of each set of variables, which need not be neighbours.

        Evidence that cannot tell anything about them is not read, impossible or not.

        Returns:
            A Factor (\*draws, \*batch, \*states) for each set, its names in the order given.
        """
        chosen = [self._finite(names) for names in sets]
        numbers = tuple(tuple(self.structure.index[n] for n in names) for names in chosen)
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(evidence, context, draws)
            lead, found = set_marginals(model, seen, numbers) if numbers else (1, [])
        tables = [restored(table, lead, draws, seen.batch) for table in found]
        return [_named(model, *pair) for pair in zip(chosen, tables, strict=True)]

    def log_probability(
        self,
        values: Any,
        given: Any = None,
        context: Any = None,
        *,
        tables: Tables = None,
        draws: int | None = None,
        generator: Source = None,
    ) -> Tensor:
        r"""Log probability of rows, :math:`\log p(values \mid given)`, (\*draws, \*batch).

        What is not named, or −1 in a row, is summed out. Impossible rows give −inf.

        Args:
            values: Evidence; where no variable is called so, a column ``"context"`` is the context.
            given: Evidence on further variables, or names among ``values``.
            context: The rows' context.
            tables: Tables (\*parents' states, states), or with the batch in front, that stand in
                for the network's own in this call.
            draws: Number of weight draws.
            generator: Source of the weight draws.
        """
        rows, names = condition_names(values, given)
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(rows, context, draws, tables)
            logs = log_ratio(model, seen, names)
        return restored(logs.reshape(-1), logs.shape[0], draws, seen.batch)

    def most_probable(
        self,
        evidence: Any = None,
        context: Any = None,
        *,
        count: SupportsIndex | None = None,
        draws: int | None = None,
        generator: Source = None,
    ) -> Explanation:
        r"""The states of all finite variables that are most probable together, in each row.

        Args:
            evidence: What was observed.
            context: The rows' context.
            count: How many per row, best first, as an axis in front of the batch; None for the best
                one without an axis. Where fewer are possible, states of −1 follow, of log −inf.
            draws: Number of weight draws.
            generator: Source of the weight draws.
        """
        number = 1 if count is None else _whole("count", count, 1)
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(evidence, context, draws)
            lead, states, logs = best_states(model, seen, number)

        def shaped(table: Tensor) -> Tensor:
            found = restored(table, lead, draws, seen.batch)
            return found[..., 0] if count is None else found.movedim(-1, 0 if draws is None else 1)

        columns = {name: shaped(states[..., k]) for k, name in enumerate(self.structure.names)}
        return Explanation(columns, shaped(logs))

    @torch.no_grad()
    def sample(
        self,
        n: SupportsIndex,
        given: Any = None,
        *,
        evidence: Any = None,
        context: Any = None,
        tables: Tables = None,
        draws: int | None = None,
        generator: Source = None,
    ) -> dict[str, Tensor]:
        r"""Draw ``n`` rows of all variables, exactly; (\*draws, n, \*batch, \*event) each.

        Args:
            n: Number of rows; with ``evidence`` or a context, of draws for each of its rows.
            given: States on which the rows are conditioned, one or (n,) for each name.
            evidence: Observed rows, instead of ``given``.
            context: The rows' context.
            tables: Tables that stand in for the network's own, as in `log_probability`.
            draws: Number of weight draws.
            generator: Source of randomness.
        """
        number = _whole("n", n, 0)
        if given is not None and evidence is not None:
            raise ValueError("give rows as evidence, or states of all n rows as given: not both")
        rows = given if evidence is None else evidence
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(rows, context, draws, tables)
            paired = evidence is None and not model.context and seen.batch != ()
            if paired and seen.batch != (number,):
                raise ValueError(
                    f"given has rows of shape {seen.batch}, expected one or ({number},)"
                )
            found = sampled_rows(model, seen, 1 if paired else number, generator)
        shape = (
            *(() if draws is None else (draws,)),
            *((number,) if paired else (number, *seen.batch)),
        )
        return {name: value.reshape(*shape, *value.shape[3:]) for name, value in found.items()}

    def expected_statistics(
        self,
        evidence: Any = None,
        context: Any = None,
        *,
        weights: Tensor | None = None,
        draws: int | None = None,
        generator: Source = None,
    ) -> dict[str, Factor]:
        r"""How often each cell of each table occurs, summed over the rows: the E step of EM.

        Args:
            evidence: What was observed.
            context: The rows' context.
            weights: A weight for each row, (\*batch,); None for 1.
            draws: Number of weight draws.
            generator: Source of the weight draws.

        Returns:
            A Factor (\*draws, \*states) over the parents and the variable, for each finite one.
        """
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(evidence, context, draws)
            found = expected_counts(model, seen, _weights(weights, seen.batch))
        names = self.structure.names
        shaped = [t[0] if draws is None else t.expand(draws, *t.shape[1:]) for t in found]
        pairs = [(self.structure.family(name), t) for name, t in zip(names, shaped, strict=True)]
        return {family[-1]: _named(model, family, table) for family, table in pairs}

    def entropy(
        self, names: Names | None = None, evidence: Any = None, context: Any = None
    ) -> Tensor:
        r"""Entropy in nats of variables together given each row's evidence, (\*batch,).

        Args:
            names: A variable, or several; None for all finite ones.
            evidence: What was observed.
            context: The rows' context.
        """
        if names is not None:
            (table,) = self.joint_marginals([names], evidence, context)
            return entropy_of(table.values, len(table.names))
        with fixed(self.random_part) as draws:
            model, seen = self.at_work(evidence, context, draws)
            lead, found = posterior_entropy(model, seen)
        return restored(found, lead, draws, seen.batch)

    def mutual_information(
        self, first: Names, second: Names, evidence: Any = None, context: Any = None
    ) -> Tensor:
        r"""Mutual information in nats of two sets of variables given each row, (\*batch,).

        Raises:
            ValueError: The sets share a variable.
        """
        one, two = self._finite(first), self._finite(second)
        if set(one) & set(two):
            raise ValueError(f"{sorted(set(one) & set(two))} are in both sets: choose one")
        (table,) = self.joint_marginals([(*one, *two)], evidence, context)
        return mutual(table.values, len(one), len(two))

    def factors(
        self, context: Any = None, *, draws: int | None = None, generator: Source = None
    ) -> list[Factor]:
        """The tables of the finite variables, whose product is their joint distribution.

        A query evaluates on them without the joint table: ``q.evaluate(network.factors())``.
        """
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(None, context, draws)
            return table_factors(model, self.structure.names, seen.batch)

    def factor(
        self, context: Any = None, *, draws: int | None = None, generator: Source = None
    ) -> Factor:
        r"""The joint table over the sorted variables, (\*draws, \*batch, \*states).

        Raises:
            ValueError: A variable is continuous, or the table is too large.
        """
        with fixed(self.random_part, draws, generator) as draws:
            model, seen = self.at_work(None, context, draws)
            return joint_table(model, seen.batch)

    def _finite(self, names: Names) -> tuple[str, ...]:
        """Names of finite variables, sorted where they come without an order."""
        if isinstance(names, str):
            names = (names,)
        chosen = tuple(sorted(names) if isinstance(names, set | frozenset) else names)
        known = self.structure.index
        unknown = [name for name in chosen if name not in known]
        if unknown or len(set(chosen)) < len(chosen) or not chosen:
            continuous = [name for name in unknown if name in self.structure.leaf_index]
            problem = f"{continuous} are continuous" if continuous else f"got {list(chosen)}"
            raise ValueError(
                f"expected different finite variables, {problem}: there are {list(known)}"
            )
        return chosen


def _whole(name: str, value: Any, least: int) -> int:
    """A number of things, from ``least``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise ValueError(f"{name} is a whole number from {least}, got {value!r}")
    return operator.index(value)


def _weights(weights: Tensor | None, batch: tuple[int, ...]) -> Tensor | None:
    """A finite weight for each row, flattened."""
    if weights is None:
        return None
    if not isinstance(weights, Tensor) or tuple(weights.shape) != batch:
        got = tuple(weights.shape) if isinstance(weights, Tensor) else repr(weights)
        raise ValueError(f"weights are a tensor with one for each row, {batch}, got {got}")
    if not bool(weights.detach().isfinite().all()):
        raise ValueError("weights are finite numbers, got infinite or NaN ones: use 0 for no row")
    return weights.reshape(-1)


def _named(model: Model, names: tuple[str, ...], values: Tensor) -> Factor:
    labels = {name: model.labels[name] for name in names if name in model.labels}
    return Factor(names, values, labels)
