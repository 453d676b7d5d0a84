"""One draw of everything that a formula sums over, from the conditionals in it."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from causal.draws import fixed
from causal.expression import At, Expression, Probability, Product, Ratio, Sum
from causal.joint import Joint
from causal.render import text

__all__ = ["Rows", "Simulation", "constants"]

Rows = dict[str, Tensor]
Experiments = Mapping[Any, Any] | Any
OBSERVED: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Draw:
    """One simulated value of a sum's body for each row, and what was drawn for it.

    value: the factors that are densities. score: log probability of the draws, through which the
    gradient of their distribution flows. rows: the draws that the caller asked for.
    """

    value: Tensor
    score: Tensor
    rows: Rows


class Simulation:
    """Expressions at rows; a sum is the mean over draws of its names from the factors in it.

    As a context it holds one draw of the weights of every source for all that is asked inside.

    Args:
        joint: The observational distribution.
        experiments: A mapping or a function from intervened names to a Joint.
        samples: Draws for each sum.
        generator: Source of randomness; None advances torch's global generator.

    Raises:
        ValueError: Nothing is supplied, or the number of samples is none.

    Example:
        >>> from causal.factor import Factor
        >>> joint = Factor(("X", "Y"), torch.ones(2, 2))
        >>> Simulation(joint, None, 10, None).value(Probability("Y"), {"Y": torch.tensor([1])}, 1)
        tensor([0.5000])
    """

    def __init__(
        self, joint: Any, experiments: Experiments, samples: int, generator: torch.Generator | None
    ) -> None:
        if not isinstance(samples, int) or samples < 1:
            raise ValueError(f"samples is a number of draws of at least 1, got {samples!r}")
        if joint is None and experiments is None:
            raise ValueError("nothing to evaluate on: give joint, or experiments, or both")
        self.samples = samples
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(2**62, ())))
        self.generator = generator
        self._joint, self._experiments = joint, experiments
        self._sources: dict[frozenset[str], Any] = {}
        self._held = ExitStack()

    def __enter__(self) -> "Simulation":  # noqa: PYI034 - the run-time checks know no Self
        return self

    def __exit__(self, *error: object) -> None:
        self._held.close()
        self._sources.clear()

    def _source(self, do: frozenset[str]) -> Any:
        if do not in self._sources:
            source = self._sources[do] = self._found(do)
            if isinstance(source, nn.Module):
                self._held.enter_context(fixed(source, None, self.generator))
        return self._sources[do]

    def _found(self, do: frozenset[str]) -> Any:
        source = self._joint if not do else None
        if source is None and callable(self._experiments):
            source = self._experiments(do)
        elif source is None:
            table = {
                frozenset((key,) if isinstance(key, str) else key): value
                for key, value in dict(self._experiments or {}).items()
            }
            source = table.get(do)
        if not isinstance(source, Joint):
            what = f"the experiment that sets {sorted(do)}" if do else "the joint"
            raise TypeError(
                f"{what} is to be a Joint with sample and log_probability, got "
                f"{type(source).__name__}"
            )
        return source

    def _score(self, of: frozenset[str], given: frozenset[str], node: Probability, rows: Rows) -> (
        Tensor
    ):  # fmt: skip
        """Log density of some of a term's names given others."""
        known = given | node.do
        table = {name: rows[name] for name in sorted(of | known)}
        try:
            found: Tensor = self._source(node.do).log_probability(table, given=sorted(known))
        except ValueError as error:
            raise ValueError(
                f"the formula reads {text(node)}, for which this joint has no density: {error}"
            ) from error
        return found

    def sampled(self, node: Probability, rows: Rows, count: int) -> Rows:
        """Draws from a term's distribution, conditioned on rows."""
        given = {name: rows[name] for name in sorted(node.given | node.do)}
        try:
            drawn: Rows = self._source(node.do).sample(
                count, given=given or None, generator=self.generator
            )
        except ValueError as error:
            raise ValueError(
                f"the formula draws from {text(node)}, which this joint cannot: {error}"
            ) from error
        return drawn

    def value(self, node: Expression, rows: Rows, count: int) -> Tensor:
        """An estimate for each row, (count,)."""
        if isinstance(node, Probability):
            return self._score(node.outcomes, node.given, node, rows).exp()
        if isinstance(node, Product):
            result = torch.ones(())
            for factor in node.factors:
                result = result * self.value(factor, rows, count)
            return result
        if isinstance(node, Sum):
            return self.mean(node.over, node.of, rows, count)
        if isinstance(node, Ratio):
            state = self.generator.get_state()  # the same draws above and below the line
            above = self.value(node.above, rows, count)
            self.generator.set_state(state)
            return above / self.value(node.below, rows, count)
        if isinstance(node, At):
            return self.value(node.of, rows | constants(dict(node.values), count), count)
        raise TypeError(f"not an expression: {node!r}")

    def mean(
        self, over: frozenset[str], body: Expression, rows: Rows, count: int, of: str | None = None
    ) -> Tensor:
        r"""The sum over names of a body, times the value of one of them if asked, (count,).

        The draws' own distribution gets its gradient from
        :math:`w = p(draw) / \mathrm{stop}(p(draw))`, which is 1; dividing by the mean of w makes
        the mean the baseline of that gradient.
        """
        wide = {name: row.repeat_interleave(self.samples, 0) for name, row in rows.items()}
        names = frozenset((of,)) if of else OBSERVED
        draw = self.draw(over, _factors(body), wide, count * self.samples, names)
        value = draw.value if of is None else draw.value * draw.rows[of]
        weight, value = (
            part.expand(count * self.samples).reshape(count, self.samples)
            for part in ((draw.score - draw.score.detach()).exp(), value)
        )
        return (weight * value).mean(-1) / weight.mean(-1)

    def draw(
        self,
        over: frozenset[str],
        factors: Iterable[Expression],
        rows: Rows,
        count: int,
        wanted: frozenset[str] = OBSERVED,
    ) -> _Draw:
        """One draw of the summed names for each row, and the product of the other factors there."""
        left, pending = list(factors), set(over)
        rows = {name: row for name, row in rows.items() if name not in over}
        value, score = torch.ones(()), torch.zeros(())
        while pending:
            term = _ready(left, pending)
            if term is not None:
                left.remove(term)
                density, log = self._shared(term, pending, rows, count)
                value, score = value * density, score + log
                pending -= term.outcomes
                continue
            inner = next((f for f in left if isinstance(f, Sum) and f.arguments & pending), None)
            if inner is not None:  # its draws may serve as ours
                left.remove(inner)
                new = inner.arguments & pending
                found = self.draw(inner.over | new, _factors(inner.of), rows, count, new)
                value, score = value * found.value, score + found.score
                rows |= found.rows
                pending -= new
                continue
            value = value * self._proposed(frozenset(pending), rows, count)
            pending.clear()
        for factor in left:
            if isinstance(factor, Sum):
                found = self.draw(factor.over, _factors(factor.of), rows, count)
                value, score = value * found.value, score + found.score
            else:
                value = value * self.value(factor, rows, count)
        return _Draw(value, score, {name: rows[name] for name in wanted})

    def _shared(
        self, term: Probability, pending: set[str], rows: Rows, count: int
    ) -> tuple[Tensor, Tensor]:
        """Draw a term's summed names; the density of its other names, and the draws' log one.

        Its names are taken one by one, in an order in which the joint can: an SCM conditions on
        ancestors.
        """
        value, score = torch.ones(()), torch.zeros(())
        left, known = sorted(term.outcomes, key=lambda name: (name in pending, name)), term.given
        while left and term.outcomes - pending:
            for name in left:
                one = frozenset((name,))
                try:
                    drawn = (
                        self.sampled(_given(term, known), rows, count) if name in pending else {}
                    )
                    log = self._score(one, known, term, rows | drawn)
                except ValueError:
                    continue
                break
            else:
                break
            left.remove(name)
            known = known | one
            if name in pending:
                rows[name], score = drawn[name], score + log
            else:
                value = value * log.exp()
        if left:
            new = frozenset(left) & pending
            drawn = self.sampled(_given(term, known), rows, count)
            rows |= {name: drawn[name] for name in new}
            if new:
                score = score + self._score(new, known, term, rows)
            if rest := frozenset(left) - new:
                value = value * self._score(rest, known | new, term, rows).exp()
        return value, score

    def _proposed(self, names: frozenset[str], rows: Rows, count: int) -> Tensor:
        """Draws from the joint's own distribution, put into ``rows``; one over their density."""
        term = Probability(names)
        drawn = self.sampled(term, {}, count)
        rows |= {name: drawn[name] for name in names}
        return (-self._score(names, OBSERVED, term, rows)).exp().detach()

    def outcome_mean(
        self, node: Expression, outcomes: frozenset[str], of: str, rows: Rows, count: int
    ) -> Tensor:
        """The mean of an outcome under a formula for the outcomes' distribution."""
        if isinstance(node, Ratio) and not outcomes & node.below.arguments:
            state = self.generator.get_state()
            above = self.outcome_mean(node.above, outcomes, of, rows, count)
            self.generator.set_state(state)
            return above / self.value(node.below, rows, count)
        if isinstance(node, Product):
            apart = [f for f in node.factors if not f.arguments & outcomes]
            rest = Product([f for f in node.factors if f.arguments & outcomes])
            if apart and rest.factors:
                return self.value(Product(apart), rows, count) * self.outcome_mean(
                    rest if len(rest.factors) > 1 else rest.factors[0], outcomes, of, rows, count
                )
        if isinstance(node, Sum):
            return self.mean(node.over | outcomes, node.of, rows, count, of)
        return self.mean(outcomes, node, rows, count, of)


def _factors(body: Expression) -> tuple[Expression, ...]:
    if not isinstance(body, Product):
        return (body,)
    return tuple(part for factor in body.factors for part in _factors(factor))


def _given(term: Probability, known: frozenset[str]) -> Probability:
    """The term with the names conditioned on that are known by now."""
    return Probability(term.outcomes - known, known, term.do)


def _ready(factors: Iterable[Expression], pending: set[str]) -> Probability | None:
    """A factor that summed names can be drawn from: its condition is known; wholly drawn first."""
    found = [
        f
        for f in factors
        if isinstance(f, Probability)
        and f.outcomes & pending
        and not (f.given | f.do) & pending
    ]  # fmt: skip
    return min(found, key=lambda f: len(f.outcomes - pending), default=None)


def constants(values: Mapping[str, Any], count: int) -> Rows:
    """Rows of one value each.

    Example:
        >>> constants({"X": 2.0}, 2)
        {'X': tensor([2., 2.])}
    """
    for name, value in values.items():
        if isinstance(value, str):
            raise ValueError(f"{name!r} takes a number here, got the state {value!r}")
    return {name: torch.as_tensor(value).expand(count) for name, value in values.items()}
