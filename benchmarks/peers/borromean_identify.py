"""Ours: verdict and formula."""

from typing import Any

from peers.queries import serve

from causal.graph import Graph
from causal.identification.experiments import terms
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable


def prepare(query: dict[str, Any]) -> Any:
    """The graph and the effect as the peer has them."""
    graph = Graph(
        [tuple(edge) for edge in query["directed"]],
        [tuple(edge) for edge in query["bidirected"]],
        query["nodes"],
    )
    return graph, query["outcome"], query["treatment"]


def answer(prepared: Any) -> Any:
    """What is timed."""
    graph, outcome, treatment = prepared
    try:
        return identify(graph, outcomes=outcome, treatments=treatment)
    except Unidentifiable:
        return None


def read(found: Any) -> tuple[bool, int | None]:
    """The verdict, and the number of probabilities."""
    return found is not None, None if found is None else terms(found.expression)


if __name__ == "__main__":
    serve(prepare, answer, read)
