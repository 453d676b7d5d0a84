"""Writes the table of docs/counterfactual-identification.md: queries, verdicts, formulas."""

from pathlib import Path

from counterfactual_queries import PUBLISHED, answered

from causal.graph import Graph
from causal.identification.events import probability_of

PAGE = Path(__file__).parents[2] / "docs" / "counterfactual-identification.md"
HEAD = """\
| query from | graph | query | by experiments | by observations |
| --- | --- | --- | --- | --- |
"""


def formula(graph, events, given, available):
    query = answered(Graph.parse(graph), events, given, available)
    return "not identified" if query is None else f"`{str(query).split(' = ', 1)[1]}`"


def row(name, graph, events, given, *_):
    asked = f"`{probability_of(events, given)}`"
    found = [formula(graph, events, given, a) for a in ("experiments", "observations")]
    cells = [name, f"`{Graph.parse(graph)}`", asked, *found]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table():
    return HEAD + "".join(f"{row(*case)}\n" for case in PUBLISHED)


def page():
    """The page with its table made anew; the table is the last thing on it."""
    text = PAGE.read_text()
    start = text.index(HEAD.splitlines()[0])
    return text[:start] + table()


if __name__ == "__main__":
    PAGE.write_text(page())
