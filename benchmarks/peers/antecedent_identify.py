"""antecedent: the verdict of its general ID; it prints no formula."""

from typing import Any

import antecedent
from peers.queries import serve


def prepare(query: dict[str, Any]) -> Any:
    """The graph and the effect as the peer has them."""
    graph = antecedent.Admg.from_edges(
        query["nodes"],
        [tuple(edge) for edge in query["directed"]],
        [tuple(edge) for edge in query["bidirected"]],
    )
    return graph, antecedent.AverageEffect(query["treatment"], query["outcome"])


def answer(prepared: Any) -> Any:
    """What is timed."""
    graph, effect = prepared
    try:
        return antecedent.identify(graph=graph, query=effect, identifier="general.id")
    except antecedent.errors.EffectNotIdentified:
        return None


def read(found: Any) -> tuple[bool, int | None]:
    """The verdict, and the number of probabilities."""
    return found is not None, None


if __name__ == "__main__":
    serve(prepare, answer, read)
