"""y0: verdict and formula."""

from typing import Any

from peers.queries import serve
from y0.algorithm.identify import Unidentifiable, identify_outcomes
from y0.dsl import Variable
from y0.graph import NxMixedGraph


def prepare(query: dict[str, Any]) -> Any:
    """The graph and the effect as the peer has them."""
    graph = NxMixedGraph.from_str_edges(
        nodes=query["nodes"], directed=query["directed"], undirected=query["bidirected"]
    )
    return graph, Variable(query["outcome"]), Variable(query["treatment"])


def answer(prepared: Any) -> Any:
    """What is timed."""
    graph, outcome, treatment = prepared
    try:
        return identify_outcomes(graph, outcomes={outcome}, treatments={treatment})
    except Unidentifiable:
        return None


def read(found: Any) -> tuple[bool, int | None]:
    """The verdict, and the number of probabilities."""
    return found is not None, None if found is None else str(found).count("P(")


if __name__ == "__main__":
    serve(prepare, answer, read)
