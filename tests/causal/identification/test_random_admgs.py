"""A sample of the large random run; `tests/support/random_admgs.py` is the run itself."""

import json

import pytest
import random_admgs
from random_admgs import KINDS, checked, main, summary
from verdicts import separated, stratum

from causal.graph import Graph


@pytest.mark.parametrize("kind", KINDS)
def test_interventional_queries(kind):
    """Every formula is exact, every refusal has its two models."""
    records = [checked((seed, False, 20)) for seed in range(KINDS.index(kind), 75, 3)]
    assert {record["kind"] for record in records} == {kind}
    assert {record["status"] for record in records} <= {"exact", "witnessed"}, summary(records)
    assert len({record["stratum"] for record in records}) > 2


def test_counterfactual_queries():
    records = [checked((seed, True, 20)) for seed in range(30)]
    found = {record["status"] for record in records}
    assert found <= {"exact", "witnessed", "undefined"}, summary(records)
    assert {"exact", "witnessed"} <= found


STRATA = [
    ("X -> Y <- Z -> X", "Y", "X", "", [""], "adjustment"),
    ("X -> M -> Y; X <-> Y", "Y", "X", "", [""], "front-door-like"),
    ("W -> Z -> X -> Y; W <-> X; W <-> Y", "Y", "X", "", [""], "napkin-like"),
    ("X -> A -> B -> C -> Y; X <-> B; A <-> Y", "Y", "X", "", [""], "several districts"),
    ("X -> Y; X <-> Y", "Y", "X", "", [""], "not identified"),
    ("X -> Y; X <-> Y", "Y", "X", "", ["X"], "front-door-like"),
    ("X -> Y; X <-> M; M <-> Y", "Y", "X", "M", [""], "not identified"),
    ("X -> Y -> M; X <-> M", "Y", "X", "", [""], "adjustment"),
]


@pytest.mark.parametrize(("text", "outcomes", "treatments", "given", "supplied", "kind"), STRATA)
def test_the_second_opinion(text, outcomes, treatments, given, supplied, kind):
    found = stratum(Graph.parse(text), outcomes, treatments, given, [e.split() for e in supplied])
    assert found == kind


def test_separation_of_the_second_opinion():
    graph = Graph.parse("X -> M -> Y; A <-> X; A <-> Y")
    assert not separated(graph, {"X"}, {"Y"}, {"M", "A"})
    assert separated(graph, {"X"}, {"Y"}, {"M"})


def test_the_run_goes_on_where_its_log_ends(tmp_path, monkeypatch, capsys):
    log = tmp_path / "log.jsonl"
    monkeypatch.setattr("sys.argv", ["random_admgs", "--count", "2", "--log", str(log)])
    monkeypatch.setattr(random_admgs, "workers", lambda jobs: _Here())
    main()
    first = log.read_text()
    assert [json.loads(line)["seed"] for line in first.splitlines()] == [0, 1]
    main()
    assert log.read_text() == first
    shown = capsys.readouterr().out
    assert shown.count("2 queries") == 2


class _Here:
    """Workers in this process."""

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def imap_unordered(self, function, tasks, chunksize):
        return map(function, tasks)


def test_crashes_are_records(monkeypatch):
    monkeypatch.setattr(random_admgs, "stratum", None)
    record = checked((4, False, 1))
    assert record["status"] == "crash"
    assert "NoneType" in record["error"]
    assert "1 crashes, the first at seed 4" in summary([record])
