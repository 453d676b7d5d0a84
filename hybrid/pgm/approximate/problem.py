"""A network's tables on the rows at hand, without a junction tree (floor 0)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from causal.bits import each
from hybrid.pgm.networks.model import Model
from hybrid.pgm.networks.observation import Observed

__all__ = ["Problem", "largest", "pose"]


@dataclass(frozen=True, eq=False)
class Problem:
    r"""The factors :math:`\prod_i f_i(x_{scope_i}) \prod_v \lambda_v(x_v)` of each row.

    Variables are numbered by their places here, parents before or after children as they come.

    Args:
        variables: The network's numbers of the variables that matter: what is asked or observed,
            and all above.
        cardinalities: Their numbers of states.
        scopes: The variables of each factor, by place; a table's own variable is the last.
        owners: The variable, by place, whose table a factor is; −1 for an observed leaf.
        tables: The factors, (\*states) or (rows, \*states).
        states: Observed states (variables, rows), −1 where nothing was observed.
        soft: Likelihoods (rows, states) by place.
        lead: 1, or the number of draws of weights; rows count them.
        log_scale: The log (rows,) of a factor that is not in the tables, or None.

    Example:
        >>> states = torch.tensor([[1, -1]])
        >>> coin = Problem((0,), (2,), ((0,),), (0,), [torch.tensor([0.5, 0.5])], states, {})
        >>> coin.rows, coin.likelihoods
        (2, tensor([[[0., 1.],
                 [1., 1.]]]))
    """

    variables: tuple[int, ...]
    cardinalities: tuple[int, ...]
    scopes: tuple[tuple[int, ...], ...]
    owners: tuple[int, ...]
    tables: Sequence[Tensor]
    states: Tensor
    soft: Mapping[int, Tensor]
    lead: int = 1
    log_scale: Tensor | None = None

    @property
    def rows(self) -> int:
        """The number of rows, draws of weights counted."""
        return int(self.states.shape[1])

    def per_row(self, factor: int) -> bool:
        """Whether each row has a table of its own."""
        return self.tables[factor].dim() > len(self.scopes[factor])

    def chosen(self, rows: Tensor) -> "Problem":
        """Some rows, by their numbers."""
        pairs = enumerate(self.tables)
        return replace(
            self,
            tables=[table[rows] if self.per_row(k) else table for k, table in pairs],
            states=self.states[:, rows],
            soft={place: table[rows] for place, table in self.soft.items()},
            log_scale=None if self.log_scale is None else self.log_scale[rows],
        )

    @cached_property
    def likelihoods(self) -> Tensor:
        """What was observed as weights of states (variables, rows, widest), 0 past the last."""
        widest = max(self.cardinalities)
        sizes = torch.tensor(self.cardinalities, device=self.states.device)
        places = torch.arange(widest, device=self.states.device)
        inside = (places < sizes[:, None])[:, None, :]
        seen = self.states.unsqueeze(-1)
        like = self.tables[0]
        found = (inside & ((seen < 0) | (seen == places))).to(like.dtype)
        if not self.soft:
            return found
        parts = list(found.unbind(0))
        for place, table in self.soft.items():
            missing = widest - self.cardinalities[place]
            parts[place] = torch.nn.functional.pad(table.to(like), (0, missing))
        return torch.stack(parts)


def pose(model: Model, observed: Observed, asked: int) -> Problem:
    r"""The problem of what is asked and observed; barren variables are left out.

    Args:
        model: The network at work.
        observed: The evidence.
        asked: Finite variables, as bits.

    Raises:
        ValueError: A law fails, or the context is missing.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.25, 0.75])}, {}, torch.zeros(()).double())
        >>> pose(model, observe(coin, {}, {}, {}), 1).scopes
        ((0,),)
    """
    structure, count = model.structure, len(model.structure.names)
    above = asked | observed.some
    for leaf in each(observed.leaves):
        above |= structure.scope_masks[count + leaf]
    variables = tuple(each(structure.ancestors(above)))
    place = {number: k for k, number in enumerate(variables)}
    leaves = [count + k for k in each(observed.leaves) if structure.scopes[count + k]]
    numbers = (*variables, *leaves)
    supply = model.supply(numbers, observed, density=True)
    rows, device = observed.rows * supply.lead, model.like.device
    states = torch.full((len(variables), rows), -1, dtype=torch.long, device=device)
    kept = [k for k, number in enumerate(observed.numbers) if number in place]
    if kept:
        places = [place[observed.numbers[k]] for k in kept]
        states[places] = observed.states[kept].repeat(1, supply.lead)
    soft = {
        place[number]: table.to(model.like).repeat(supply.lead, 1)
        for number, table in observed.soft.items()
    }
    scale = supply.log_scale
    if scale is not None:
        scale = scale.expand(supply.lead, observed.rows).reshape(-1)
    return Problem(
        variables=variables,
        cardinalities=tuple(structure.cardinalities[number] for number in variables),
        scopes=tuple(tuple(place[k] for k in structure.scopes[number]) for number in numbers),
        owners=tuple(place.get(number, -1) for number in numbers),
        tables=supply.tables,
        states=states,
        soft=soft,
        lead=supply.lead,
        log_scale=scale,
    )


def largest(problem: Problem) -> int:
    """Cells of the largest table.

    Example:
        >>> largest(Problem((0,), (2,), ((0,),), (0,), [torch.ones(2)], torch.zeros(1, 1), {}))
        2
    """
    return max(math.prod(problem.cardinalities[k] for k in scope) for scope in problem.scopes)
