"""The supplied distributions: observations and experiments, checked, and their marginals."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from causal.evaluation.contraction import Table, contract, divided
from causal.factor import Factor

__all__ = ["Sources", "holds"]

OBSERVED: frozenset[str] = frozenset()
Experiments = Mapping[Any, Any] | Callable[[frozenset[str]], Any]


def holds(flag: Tensor) -> bool | None:
    """Whether a boolean tensor is true; None where ``torch.func.vmap`` does not let one look.

    Example:
        >>> holds(torch.tensor(True))
        True
    """
    try:
        return bool(flag)
    except RuntimeError as error:
        if "vmap" not in str(error) and "data-dependent" not in str(error):
            raise
        return None


def _tables(source: Any, what: str) -> tuple[Factor, ...]:
    """A distribution as the Factors whose product it is."""
    if isinstance(source, Factor):
        return (source,)
    if callable(getattr(source, "factor", None)):
        try:
            return (source.factor(),)
        except ValueError as error:
            raise ValueError(
                f"{what} has no table ({error}): with continuous variables use simulated_density "
                "or simulated_mean"
            ) from error
    if isinstance(source, Sequence) and source and all(isinstance(f, Factor) for f in source):
        return tuple(source)
    raise TypeError(
        f"{what} is a Factor, a Joint with factor(), or a list of Factors whose product it is, got "
        f"{type(source).__name__}; simulated_density and simulated_mean need no table"
    )


def _named(names: Iterable[str]) -> str:
    return f"the experiment that sets {sorted(names)}" if names else "the joint"


class Sources:
    """Observational and interventional tables, of which formulas read marginals.

    Tables need not be normalised. Each may be a list of Factors whose product it is: then only
    what a formula reads is ever built.

    Args:
        joint: P(V): a Factor, a Joint with ``factor()``, or a list of Factors.
        experiments: A mapping or a function from a frozenset of intervened names to such a source.

    Raises:
        ValueError: Nothing is supplied, or tables do not fit each other.
        TypeError: A source is none of these.

    Example:
        >>> sources = Sources(Factor(("X", "Y"), torch.tensor([[1.0, 3.0], [2.0, 4.0]])))
        >>> sources.marginal(frozenset(), frozenset("Y")).values
        tensor([3., 7.], dtype=torch.float64)
    """

    def __init__(self, joint: Any = None, experiments: Experiments | None = None) -> None:
        if joint is None and experiments is None:
            raise ValueError("nothing to evaluate on: give joint, or experiments, or both")
        self.sizes: dict[str, int] = {}
        self.states: dict[str, tuple[str, ...]] = {}
        self.dtype: torch.dtype | None = None
        self.batch: tuple[int, ...] = ()
        self._factors: dict[frozenset[str], tuple[Factor, ...]] = {}
        self._known: dict[frozenset[str], dict[frozenset[str], Table]] = {}
        self._experiments: Experiments = {}
        if isinstance(experiments, Mapping):
            self._experiments = {
                frozenset((key,) if isinstance(key, str) else key): table
                for key, table in experiments.items()
            }
        elif experiments is not None:
            if not callable(experiments):
                raise TypeError(
                    "experiments is a mapping or a function from a set of names to a Factor, got "
                    f"{type(experiments).__name__}"
                )
            self._experiments = experiments
        if joint is not None:
            self._add(OBSERVED, joint)

    @property
    def observed(self) -> bool:
        """Whether P(V) was supplied."""
        return OBSERVED in self._factors

    def read(self, do: frozenset[str]) -> None:
        """Look the distribution under ``do`` up.

        Raises:
            ValueError: It was not supplied.
        """
        if do in self._factors:
            return
        if isinstance(self._experiments, Mapping):
            if do not in self._experiments:
                known = sorted(sorted(names) for names in self._experiments)
                raise ValueError(
                    f"the formula reads {_named(do)}, which was not supplied: give "
                    + ("joint=" if not do else f"experiments with the key {sorted(do)}")
                    + (f"; there are experiments on {known}" if known else "")
                )
            self._add(do, self._experiments[do])
        else:
            self._add(do, self._experiments(do))

    def _add(self, do: frozenset[str], source: Any) -> None:
        factors = _tables(source, _named(do))
        for factor in factors:
            for name, size in factor.cardinalities.items():
                if self.sizes.setdefault(name, size) != size:
                    raise ValueError(
                        f"cardinality mismatch: {name!r} has {size} states in {_named(do)} and "
                        f"{self.sizes[name]} elsewhere"
                    )
            for name, labels in factor.labels:
                if self.states.setdefault(name, labels) != labels:
                    raise ValueError(
                        f"{name!r} has states {labels} in {_named(do)} and {self.states[name]} "
                        "elsewhere"
                    )
            if holds((factor.values >= 0).all() & factor.values.isfinite().all()) is False:
                raise ValueError(
                    f"{_named(do)} has negative, infinite or NaN values: probabilities are needed"
                )
            dtype = factor.values.dtype
            self.dtype = dtype if self.dtype is None else torch.promote_types(self.dtype, dtype)
            try:
                self.batch = tuple(torch.broadcast_shapes(self.batch, factor.batch_shape))
            except RuntimeError as error:
                raise ValueError(
                    f"batch shapes {self.batch} and {tuple(factor.batch_shape)} of the supplied "
                    "tables do not go together: give all the same, or axes of 1"
                ) from error
        self._factors[do] = factors
        self._known[do] = {}
        if len(factors) == 1:
            values = _precise(factors[0].values)
            self._known[do][frozenset(factors[0].names)] = Table(factors[0].names, values)

    def names(self, do: frozenset[str]) -> frozenset[str]:
        """The variables of the distribution under ``do``."""
        self.read(do)
        return frozenset().union(*(factor.names for factor in self._factors[do]))

    def marginal(self, do: frozenset[str], names: frozenset[str]) -> Table:
        """The (unnormalised) table under ``do`` over ``names``, the others summed out.

        Raises:
            ValueError: The distribution is missing or lacks a name.
        """
        missing = sorted(names - self.names(do))
        if missing:
            raise ValueError(
                f"{_named(do)} lacks variable(s) {missing}, which the formula needs: it has "
                f"{sorted(self.names(do))}"
            )
        known = self._known[do]
        if names not in known:
            larger = [table for kept, table in known.items() if names < kept]
            if larger:
                known[names] = _summed(min(larger, key=lambda t: t.values.numel()), names)
            else:
                terms = [(f.names, _precise(f.values)) for f in self._factors[do]]
                output = tuple(sorted(names))
                values, exponent = contract(terms, output)
                known[names] = Table(output, values, None, exponent)
        return known[names]

    def conditional(
        self, outcomes: frozenset[str], given: frozenset[str], do: frozenset[str]
    ) -> Table:
        r""":math:`P_{do}(outcomes \mid given)`, undefined where the condition has probability 0."""
        above = self.marginal(do, outcomes | given | do)
        below = self.marginal(do, given | do)
        table, empty = divided(above, below, sorted(above.names))
        if holds(empty.any()) is False:
            return table
        return table._replace(undefined=empty.expand(table.values.shape))


def _summed(table: Table, names: frozenset[str]) -> Table:
    """The table with all but ``names`` summed out."""
    lead = table.values.dim() - len(table.names)
    gone = [lead + axis for axis, name in enumerate(table.names) if name not in names]
    kept = tuple(name for name in table.names if name in names)
    return Table(kept, table.values.sum(gone), None, table.exponent)


def _precise(values: Tensor) -> Tensor:
    """Values in double precision, where the device has it: conditions may be rare."""
    return values if values.device.type == "mps" else values.double()
