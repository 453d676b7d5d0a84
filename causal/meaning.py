"""What stored weights mean: of which graph, and for which columns (floor 2)."""

from collections.abc import Mapping
from typing import Any

from causal.columns import Mechanisms
from causal.law import states_of

__all__ = ["check_meaning", "meaning"]


def meaning(graph: str, model: Mechanisms) -> dict[str, Any]:
    """The graph, every context's columns and every variable's encoding, as plain values.

    Args:
        graph: The graph in words.
        model: Its laws.

    Example:
        >>> import torch
        >>> from causal.graph import Graph
        >>> meaning("", Mechanisms(Graph.parse(""), {}, {}, torch.zeros(())))["columns"]
        {}
    """
    hidden = {name: list(model.columns_of(name)) for name in model.hidden}
    return {
        "graph": graph,
        "columns": {name: list(model.columns(name)) for name in model.variables},
        "encodings": {name: list(model.columns_of(name)) for name in model.variables},
        "states": {name: states_of(model.laws[name]) for name in model.variables},
        **({"hidden causes": hidden} if hidden else {}),
    }


def check_meaning(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuse weights that were stored for another graph or other columns.

    Args:
        mine: What this model's weights mean.
        theirs: What the stored ones meant.

    Raises:
        ValueError: They differ; the message says where.

    Example:
        >>> check_meaning({"graph": "X -> Y"}, {"graph": "Y -> X"})
        Traceback (most recent call last):
        ValueError: the stored weights are of another model: its graph is 'Y -> X', this one ...
    """
    for part, own in mine.items():
        other = theirs.get(part)
        if other == own:
            continue
        if isinstance(own, dict) and isinstance(other, Mapping):
            name = next(n for n in sorted({*own, *other}) if own.get(n) != other.get(n))
            part, own, other = f"{part} of {name!r}", own.get(name), other.get(name)
        raise ValueError(
            f"the stored weights are of another model: its {part} is {other!r}, this one has "
            f"{own!r}"
        )
