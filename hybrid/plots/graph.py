"""Pictures of causal graphs (floor 1)."""

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from causal.graph import Graph
from hybrid.plots.canvas import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["causal_graph", "positions"]

_PAPER, _INK, _TREATED, _ASKED = "white", "black", "#cfe8cf", "#cfdcf2"
_RADIUS = 0.24


def positions(graph: Graph) -> dict[str, tuple[float, float]]:
    """Where each node is drawn: causes to the left of their effects, layer by layer.

    A node's layer is the length of the longest directed path to it; in a layer, nodes stand at the
    mean height of their parents, then a distance of 1 apart.

    Example:
        >>> positions(Graph.parse("X -> M -> Y"))
        {'X': (0.0, 0.0), 'M': (1.0, 0.0), 'Y': (2.0, 0.0)}
    """
    layer: dict[str, int] = {}
    for name in graph.order:
        layer[name] = max((layer[parent] + 1 for parent in graph.parents(name)), default=0)
    members: dict[int, list[str]] = defaultdict(list)
    for name in graph.order:
        members[layer[name]].append(name)
    found: dict[str, tuple[float, float]] = {}
    for place, names in sorted(members.items()):

        def height(name: str) -> float:
            above = [found[parent][1] for parent in graph.parents(name)]
            return sum(above) / len(above) if above else 0.0

        ordered = sorted(names, key=lambda name: (-height(name), name))
        middle = (len(names) - 1) / 2
        centre = sum(map(height, names)) / len(names)
        for k, name in enumerate(ordered):
            found[name] = (float(place), centre + middle - k)
    return {name: found[name] for name in graph.order}


def causal_graph(
    graph: Graph,
    *,
    treatments: str | Iterable[str] = (),
    outcomes: str | Iterable[str] = (),
    axes: "Axes | None" = None,
) -> "Axes":
    """Draw a causal graph: arrows for causes, dashed arcs for hidden common causes.

    Args:
        graph: The graph.
        treatments: Nodes shaded as what is set.
        outcomes: Nodes shaded as what is asked for.
        axes: Where to draw; None makes a figure of its own (``axes.figure``).

    Raises:
        ValueError: A name is not a node, or there is nothing to draw.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> front_door = Graph.parse("X -> M -> Y; X <-> Y")
        >>> axes = causal_graph(front_door, treatments="X", outcomes="Y")
        >>> sorted(text.get_text() for text in axes.texts if text.get_text())
        ['M', 'X', 'Y']
    """
    treated, asked = graph.names(treatments), graph.names(outcomes)
    if not graph.nodes:
        raise ValueError("the graph has no nodes: there is nothing to draw")
    axes = canvas(axes)
    from matplotlib.patches import Circle  # of the extra `plot`, which is here by now

    places = positions(graph)
    circles = {}
    for name, place in places.items():
        shade = _TREATED if name in treated else _ASKED if name in asked else _PAPER
        circles[name] = Circle(place, _RADIUS, facecolor=shade, edgecolor=_INK, zorder=2)
        axes.add_patch(circles[name])
        axes.text(*place, name, ha="center", va="center", zorder=3)
    for cause, effect in sorted(graph.directed):
        _edge(axes, circles, cause, effect, arrowstyle="-|>", bend=0.0, dashes="solid")
    for first, second in sorted(graph.bidirected):
        _edge(axes, circles, first, second, arrowstyle="<|-|>", bend=-0.4, dashes="dashed")
    across, up = zip(*places.values(), strict=True)
    axes.set_xlim(min(across) - 0.6, max(across) + 0.6)
    axes.set_ylim(min(up) - 0.8, max(up) + 0.8)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


def _edge(
    axes: Any,
    circles: dict[str, Any],
    first: str,
    second: str,
    *,
    arrowstyle: str,
    bend: float,
    dashes: str,
) -> None:
    """An arrow between the rims of two nodes; bent where other nodes lie on the straight line."""
    start, end = circles[first].center, circles[second].center
    between = (circle.center for name, circle in circles.items() if name not in (first, second))
    if not bend and any(_near(start, end, place) for place in between):
        bend = 0.4
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": arrowstyle,
            "connectionstyle": f"arc3,rad={bend}",
            "linestyle": dashes,
            "color": _INK,
            "patchA": circles[first],
            "patchB": circles[second],
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 12,
        },
        zorder=2.5,
    )


def _near(start: tuple[float, float], end: tuple[float, float], place: tuple[float, float]) -> bool:
    """Whether a node lies on the straight line between two others."""
    (a, b), (c, d), (x, y) = start, end, place
    along = ((x - a) * (c - a) + (y - b) * (d - b)) / ((c - a) ** 2 + (d - b) ** 2)
    if not 0 < along < 1:
        return False
    away = ((x - a - along * (c - a)) ** 2 + (y - b - along * (d - b)) ** 2) ** 0.5
    return away < _RADIUS
