"""The few edges for which a query is not identified, and its events on them (floor 0)."""

from collections.abc import Callable, Collection, Iterable

import torch

from causal.graph import Edge, Graph
from causal.identification.events import Event, Setting

__all__ = ["essential", "restricted"]


def essential(
    graph: Graph, refused: Callable[[Graph], bool], generator: torch.Generator | None = None
) -> Graph:
    """A graph on the same nodes with as few edges as keep a query refused.

    No edge can be left out alone. A model of a graph with fewer edges is a model of the graph
    itself, in which some parents are ignored, so two models that disagree there disagree here.
    Edges are tried in groups that are halved (Zeller & Hildebrandt 2002, delta debugging).

    Args:
        graph: A graph in which the query is refused.
        refused: Whether the query is refused in a graph.
        generator: Source of the order in which edges are tried; None for that of their names.

    Example:
        >>> graph = Graph.parse("W -> X -> Y <- W; X <-> Y; W <-> Y")
        >>> print(essential(graph, lambda g: {("X", "Y")} <= g.directed & g.bidirected))
        W; X -> Y; X <-> Y
    """
    edges = [(edge, False) for edge in sorted(graph.directed)]
    edges += [(edge, True) for edge in sorted(graph.bidirected)]
    if generator is not None:
        places = torch.randperm(len(edges), generator=generator).tolist()
        edges = [edges[place] for place in places]
    size = max(1, len(edges) // 2)
    while True:
        start = 0
        while start < len(edges):
            fewer = edges[:start] + edges[start + size :]
            if refused(_drawn(fewer, graph.nodes)):
                edges = fewer
            else:
                start += size
        if size == 1:
            return _drawn(edges, graph.nodes)
        size //= 2


def _drawn(edges: Iterable[tuple[Edge, bool]], nodes: Iterable[str]) -> Graph:
    edges = list(edges)
    return Graph((e for e, both in edges if not both), (e for e, both in edges if both), nodes)


def restricted(events: Iterable[Event], names: Collection[str]) -> tuple[Event, ...]:
    """The events on some variables, without the settings of others.

    Example:
        >>> [str(e) for e in restricted([Event("Y", 1, do={"X": 0, "W": 1}), Event("W", 0)], "XY")]
        ['Y_{X=0}=1']
    """

    def part(event: Event) -> Event:
        do: dict[str, Setting] = {
            name: part(to) if isinstance(to, Event) else to
            for name, to in event.do
            if name in names
        }
        return Event(event.variable, event.value, do)

    return tuple(part(event) for event in events if event.variable in names)
