"""The page of published queries: `python tests/support/published_table.py` writes it."""

from pathlib import Path

from published import EXPERIMENTS, ID, IDC, SURROGATES

from causal.graph import Graph
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable

PAGE = Path(__file__).parents[2] / "docs" / "published-identification.md"
HEAD = """\
# Published identification queries

Queries of the literature and of the documentation of other packages, with the answers that
`causal.identify` gives. Each verdict is the published one, where one was published. Each formula
equals the enumerated truth to 1e-9 on twenty random models that are compatible with the graph, each
step of its derivation is checked, and each refusal carries its hedge:
`tests/causal/identification/test_published.py`. The page is written by
`python tests/support/published_table.py`.

Left out are queries that the method does not answer: distributions over some of the variables
only, transport between domains, selection bias and missing data (most of dosearch's examples), and
surrogate outcomes.
"""
TITLES = [
    ("Effects from observations", ID),
    ("Conditional effects from observations", IDC),
    ("Surrogate experiments", SURROGATES),
    ("Several experiments", EXPERIMENTS),
]


def names(group):
    return "{" + ", ".join(sorted(group)) + "}"


def row(case):
    """One line: source, graph, query, what is supplied, verdict, formula or hedge."""
    graph = Graph.parse(case.graph)
    asked = ", ".join(case.outcomes.split())
    behind = [f"do({', '.join(case.treatments.split())})", *case.given.split()]
    supplied = ", ".join(
        "P" + (f"(· | do({', '.join(e.split())}))" if e else "") for e in case.experiments
    )
    try:
        formula = str(identify(graph, **case.query())).split(" = ", 1)[1]
        verdict = "identified"
    except Unidentifiable as refusal:
        hedge = refusal.hedge
        formula = f"hedge {names(hedge.top)} ⊃ {names(hedge.bottom)}"
        verdict = "not identified"
    cells = [
        case.source,
        f"`{graph}`",
        f"`P({asked} | {', '.join(behind)})`",
        supplied,
        verdict,
        f"`{formula}`",
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def page():
    """The whole page."""
    parts = [HEAD]
    for title, cases in TITLES:
        lines = [
            f"## {title}\n",
            "| source | graph | query | supplied | verdict | formula or hedge |",
            "| --- | --- | --- | --- | --- | --- |",
            *map(row, cases),
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
