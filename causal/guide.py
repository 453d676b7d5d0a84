"""The posterior of hidden causes given rows, and its draws (floor 1)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.distributions as td
from torch import Tensor, nn

from causal.columns import Mechanisms
from causal.draws import Random, held, hold, seeded
from causal.law import draw_from, law_over

__all__ = ["Drawn", "Guide", "guided", "posterior", "split"]

BLOCK = 16  # random numbers of torch come in blocks; whole ones do not depend on what follows


class Guide(nn.Module):
    r"""The approximate posterior :math:`q(u \mid x)` of all hidden causes of a row.

    A Law whose context is all variables' columns, sorted by name, and whose value is all hidden
    columns, in sorted edge order. It owns ``fixed``: inside, a row has the same draws in every
    call. It has no divergence of its own, which is a term of each row and enters the bound there.

    Args:
        law: The Law, with reparameterised draws.
        width: The number of hidden columns.

    Raises:
        TypeError: ``law`` is no Law.
        ValueError: Its values are no vectors of that width, or its weights are random.

    Example:
        >>> law = torch.nn.Identity()
        >>> law.event_shape, law.support = torch.Size([2]), td.constraints.real_vector
        >>> Guide(law, 2).law is law
        True
    """

    def __init__(self, law: Any, width: int) -> None:
        super().__init__()
        lacking = [a for a in ("event_shape", "support") if not hasattr(law, a)]
        if not isinstance(law, nn.Module) or lacking:
            raise TypeError(
                f"the guide is no Law: {type(law).__name__} "
                + (f"lacks {lacking}" if isinstance(law, nn.Module) else "is no nn.Module")
            )
        shape: Any = law.event_shape
        if tuple(shape) != (width,):
            raise ValueError(
                f"the guide has event_shape {tuple(shape)}: expected ({width},), all "
                "hidden columns in one vector"
            )
        if any(isinstance(part, Random) for part in law.modules()):
            raise ValueError(
                "the guide has random weights: give one with ordinary weights, since it is itself "
                "the posterior of what is hidden"
            )
        self.law = law

    @contextmanager
    def fixed(
        self,
        draws: int | None,  # noqa: ARG002 - the seed serves any number
        generator: torch.Generator | None = None,
    ) -> Iterator[None]:
        """Hold the seed of the draws inside."""
        with hold(self, _seed(generator)):
            yield


class Drawn(NamedTuple):
    r"""Draws of hidden causes, and their log density under the guide.

    Attributes:
        values: ``{name: (*draws, *samples, batch, *event)}``.
        log_density: :math:`\log q(u \mid x)`, (\*draws, \*samples, batch).

    Example:
        >>> Drawn({"X<->Y": torch.zeros(5)}, torch.zeros(5)).log_density.shape
        torch.Size([5])
    """

    values: dict[str, Tensor]
    log_density: Tensor


def _seed(generator: torch.Generator | None) -> int:
    device = "cpu" if generator is None else generator.device
    return int(torch.randint(2**62, (), generator=generator, device=device))


def _asked(model: Mechanisms) -> Guide:
    """The model's guide.

    Raises:
        ValueError: It has none.
    """
    guide: Guide | None = model.guide
    if guide is not None:
        return guide
    width = sum(len(model.columns_of(name)) for name in model.hidden)
    columns = [column for name in model.variables for column in model.columns_of(name)]
    raise ValueError(
        f"the hidden causes {list(model.hidden)} of these rows are needed, and the model has no "
        f"guide for them: make it with SCM(…, guide=law), a Law on the columns {columns} with "
        f"event_shape ({width},)"
    )


def split(model: Mechanisms, columns: Tensor) -> dict[str, Tensor]:
    r"""All hidden columns (\*batch, width) as values by name, (\*batch, \*event).

    Example:
        >>> from causal.graph import Graph
        >>> from causal.hidden import Hidden, expanded
        >>> graph = expanded(Graph.parse("X <-> Y; Y <-> Z"))
        >>> laws = {"X<->Y": Hidden(), "Y<->Z": Hidden(2)}
        >>> model = Mechanisms(graph, laws, {}, torch.zeros(()), tuple(laws))
        >>> {name: value.shape for name, value in split(model, torch.zeros(5, 3)).items()}
        {'X<->Y': torch.Size([5]), 'Y<->Z': torch.Size([5, 2])}
    """
    sizes = [len(model.columns_of(name)) for name in model.hidden]
    parts = columns.to(model.like.dtype).split(sizes, -1)
    return {
        name: part.reshape(*part.shape[:-1], *model.event_shape(name))
        for name, part in zip(model.hidden, parts, strict=True)
    }


def guided(model: Mechanisms, values: dict[str, Tensor], rows: tuple[int, ...]) -> td.Distribution:
    r"""The guide's distribution of all hidden columns given all variables' values.

    Args:
        model: Graph, laws and guide.
        values: All variables' values, (\*batch, \*event).
        rows: The least batch shape.

    Raises:
        ValueError: There is no guide, or it does not take its context.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.hidden import Hidden, expanded
        >>> class Wide(torch.nn.Module):
        ...     event_shape, support = torch.Size([1]), td.constraints.real_vector
        ...
        ...     def forward(self, context):
        ...         return td.Independent(td.Normal(context.sum(-1, keepdim=True), 1.0), 1)
        >>> real = torch.nn.Identity()
        >>> real.event_shape, real.support = torch.Size(), td.constraints.real
        >>> laws = {"X": real, "Y": real, "X<->Y": Hidden()}
        >>> graph, guide = expanded(Graph.parse("X <-> Y")), Guide(Wide(), 1)
        >>> model = Mechanisms(graph, laws, {}, torch.zeros(()), ("X<->Y",), guide)
        >>> guided(model, {"X": torch.zeros(5), "Y": torch.zeros(5)}, (5,)).batch_shape
        torch.Size([5])
    """
    law = _asked(model).law
    context = model.encoded(model.variables, values, rows)
    return law_over(law, context, tuple(context.shape[:-1]))


def posterior(
    model: Mechanisms,
    values: dict[str, Tensor],
    n: int,
    draws: int | None = None,
    samples: int | None = None,
) -> Drawn:
    r"""Reparameterised draws of the hidden causes of rows, from the guide.

    A row's draws do not depend on the rows beside it. Where ``fixed`` holds, they are the same in
    each call.

    Args:
        model: Graph, laws and guide, inside ``fixed(…, draws)``.
        values: All variables' values (\*draws, batch, \*event), the draws' axis 1 or S long.
        n: The number of rows.
        draws: The number S of draws, or None for one without an axis.
        samples: The number of samples for each draw, or None for one without an axis.

    Raises:
        ValueError: There is no guide, or it does not take its context.

    Example:
        >>> from causal.graph import Graph
        >>> from causal.hidden import Hidden, expanded
        >>> class Wide(torch.nn.Module):
        ...     event_shape, support = torch.Size([1]), td.constraints.real_vector
        ...
        ...     def forward(self, context):
        ...         return td.Independent(td.Normal(context.sum(-1, keepdim=True), 1.0), 1)
        >>> real = torch.nn.Identity()
        >>> real.event_shape, real.support = torch.Size(), td.constraints.real
        >>> laws = {"X": real, "Y": real, "X<->Y": Hidden()}
        >>> graph, guide = expanded(Graph.parse("X <-> Y")), Guide(Wide(), 1)
        >>> model = Mechanisms(graph, laws, {}, torch.zeros(()), ("X<->Y",), guide)
        >>> seen = {"X": torch.zeros(5), "Y": torch.zeros(5)}
        >>> posterior(model, seen, 5, samples=3).values["X<->Y"].shape
        torch.Size([3, 5])
    """
    guide = _asked(model)
    one = () if draws is None else (1,)
    more = [size for size in (draws, samples) if size is not None]
    context = model.encoded(model.variables, values, (*one, n))
    # Rows come first, so that the numbers of the first rows are the first that are drawn.
    whole = torch.arange(-(-n // BLOCK) * BLOCK, device=context.device).clamp(max=max(n - 1, 0))
    context = context.index_select(-2, whole)
    if draws is not None:
        context = context.movedim(0, 1)
    if samples is not None:
        context = context.unsqueeze(-2)
    if draws is not None:
        context = context.unsqueeze(0)  # laws take a leading axis of draws
    law = law_over(guide.law, context, (*one, len(whole), *more))
    seed = held(guide)
    source = torch.Generator().manual_seed(_seed(None) if seed is None else seed)
    with seeded(source):
        columns = draw_from(law)
    density = law.log_prob(columns)
    if draws is not None:
        columns, density = columns.squeeze(0), density.squeeze(0)
    columns, density = columns[:n].movedim(0, len(more)), density[:n].movedim(0, len(more))
    return Drawn(split(model, columns), density)
