"""Rows drawn from a network: forwards where all above is observed, else by the tree (floor 6)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from causal.draws import uniform
from hybrid.pgm.networks.configurations import simulated
from hybrid.pgm.networks.model import Model
from hybrid.pgm.networks.observation import Observed
from hybrid.pgm.networks.questions import drawn, log_evidence, refuse_impossible

__all__ = ["sampled_rows"]


def sampled_rows(
    model: Model, observed: Observed, n: int, generator: torch.Generator | None
) -> dict[str, Tensor]:
    r"""``n`` exact draws of all variables given each row's evidence.

    What is observed keeps its value. Where the observed variables hold all their ancestors, the
    others are drawn from their tables, causes before effects; else from the junction tree.

    Args:
        model: The network at work.
        observed: The evidence.
        n: How many per row.
        generator: Source of randomness; None advances torch's global generator.

    Returns:
        ``{name: (draws or 1, n, rows, \*event)}``, sorted by name.

    Raises:
        ImpossibleEvidence: A row's evidence has probability 0.

    Example:
        >>> from hybrid.pgm.networks.nodes import Table
        >>> from hybrid.pgm.networks.observation import observe
        >>> from hybrid.pgm.networks.structure import Structure
        >>> coin = Structure(("X",), (2,), ((),))
        >>> model = Model(coin, {}, {0: Table([0.0, 1.0])}, {}, torch.zeros(()).double())
        >>> sampled_rows(model, observe(coin, {}, {}, {}), 3, None)["X"].shape
        torch.Size([1, 3, 1])
    """
    structure = model.structure
    closed = structure.ancestors(observed.known) == observed.known
    plain = observed.some == observed.known and not observed.soft and not observed.leaves
    states = (_forwards if closed and plain else _by_tree)(model, observed, n, generator)
    found = {structure.names[number]: column for number, column in states.items()}
    lead = model.draws or 1
    for place, name in enumerate(structure.leaves):
        if observed.leaves >> place & 1:
            value = observed.values[name]
            found[name] = value.expand(lead, n, *value.shape).clone()
        else:
            found[name] = _leaf(model, place, states, (lead, n, observed.rows), generator)
    return dict(sorted(found.items()))


def _forwards(
    model: Model, observed: Observed, n: int, generator: torch.Generator | None
) -> dict[int, Tensor]:
    """States (lead, n, rows), causes first."""
    rows, lead = observed.rows, model.draws or 1
    if observed.known:
        refuse_impossible(model, observed, log_evidence(model, observed).reshape(-1))
    known = dict(zip(observed.numbers, observed.states, strict=True))
    device = model.like.device
    draw = torch.arange(lead, device=device)[:, None, None]
    row = torch.arange(rows, device=device)
    states: dict[int, Tensor] = {}
    for number in model.structure.order:
        if observed.known >> number & 1:
            states[number] = known[number].expand(lead, n, rows).clone()
            continue
        table = model.table(number).detach()
        above = [states[parent] for parent in model.structure.parents[number]]
        place = (draw if table.shape[0] > 1 else 0, row if table.shape[1] > 1 else 0, *above)
        cells = table[place].expand(lead, n, rows, table.shape[-1])
        states[number] = _picked(cells, generator)
    return {number: states[number] for number in sorted(states)}


def _picked(cells: Tensor, generator: torch.Generator | None) -> Tensor:
    """A state for each distribution along the last axis, by its cumulative sums."""
    edges = cells.cumsum(-1)
    total = edges[..., -1:]
    noise = uniform((*cells.shape[:-1], 1), edges, generator) * total
    # Never past the last state that has a probability.
    noise = torch.minimum(noise, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(edges.contiguous(), noise, right=True).squeeze(-1)


def _by_tree(
    model: Model, observed: Observed, n: int, generator: torch.Generator | None
) -> dict[int, Tensor]:
    """States (lead, n, rows), from the junction tree."""
    states = drawn(model, observed, n, generator).movedim(1, 2)
    return {number: states[..., number] for number in range(states.shape[-1])}


def _leaf(
    model: Model,
    place: int,
    states: Mapping[int, Tensor],
    shape: tuple[int, int, int],
    generator: torch.Generator | None,
) -> Tensor:
    """Values of a leaf that was not observed, (lead, n, rows, *event)."""
    lead, n, rows = shape
    node = model.mechanisms[len(model.structure.names) + place]
    index = model.structure.index
    above = [states[index[parent]].reshape(lead, n * rows) for parent in node.parents]
    context = model.context_of(place)
    if context is not None:
        context = context.repeat(n, 1)
    value = simulated(node, above, context, (lead, n * rows), model.draws, generator)
    return value.reshape(lead, n, rows, *value.shape[2:])
