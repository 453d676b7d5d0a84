"""Random graphs and queries: every formula against enumeration, every refusal with a witness.

python tests/support/random_admgs.py --count 20000 --seed 0 [--counterfactual] [--jobs 2] [--log F]

Each seed is a graph of 3 to 8 nodes (counterfactuals: 3 to 6) and a query. A formula is evaluated
on the exact tables of a random model and compared with the true answer (1e-9), at the average and
at each value of its free names. A refusal needs two models that agree to 1e-12 on what is supplied
and differ by 1e-3 on the query, by enumeration; where none was found in time it is listed. Verdicts
on interventional queries are compared with a second opinion. The log is JSON lines; seeds that are
in it are not run again.
"""

import argparse
import itertools
import json
import multiprocessing
import random
import time
import traceback
from collections import Counter
from pathlib import Path

import torch
from enumerated import drawn, experiments, joint, truth
from verdicts import stratum
from witnessed import check_counterfactual, check_interventional, triple

from causal.graph import Graph
from causal.identification.counterfactual_events import identify_counterfactual
from causal.identification.events import Event
from causal.identification.observational import identify
from causal.identification.refusal import Unidentifiable
from causal.witness import WitnessNotFound, disagreement

TOLERANCE = 1e-9
KINDS = ("ID", "IDC", "gID")


def random_graph(rng, least=3, most=8):
    """An ADMG whose names say nothing about its order."""
    names = list("ABCDEFGH"[: rng.randint(least, most)])
    rng.shuffle(names)
    pairs = list(itertools.combinations(names, 2))
    arrows, arcs = rng.choice([0.25, 0.4, 0.6]), rng.choice([0.1, 0.25, 0.4])
    return Graph(
        [pair for pair in pairs if rng.random() < arrows],
        [pair for pair in pairs if rng.random() < arcs],
        names,
    )


def random_query(rng, graph, kind):
    """Keywords of `identify`: outcomes mostly among the effects of the treatments."""
    names = list(graph.nodes)
    treatments = rng.sample(names, min(rng.choice([1, 1, 1, 2]), len(names) - 2))
    below = sorted(graph.descendants(treatments) - set(treatments))
    first = below if below and rng.random() < 0.85 else sorted(set(names) - set(treatments))
    outcomes = {rng.choice(first)}
    rest = sorted(set(names) - set(treatments) - outcomes)
    if len(rest) > 1 and rng.random() < 0.3:
        outcomes.add(rest.pop(rng.randrange(len(rest))))
    given = []
    if kind == "IDC" or (kind == "gID" and rng.random() < 0.25):
        given = rng.sample(rest, min(rng.choice([1, 1, 2]), len(rest)))
    query = {"outcomes": sorted(outcomes), "treatments": sorted(treatments), "given": sorted(given)}
    if kind == "gID":
        sets = [sorted(rng.sample(names, rng.choice([1, 1, 2]))) for _ in range(rng.randint(1, 3))]
        query["experiments"] = sets + ([[]] if rng.random() < 0.6 else [])
    return query


def random_events(rng, graph, count, worlds):
    """Events in worlds of one or two settings, mostly on what these affect; some are nested."""
    settings = {name for world in worlds for name in world}
    below = sorted(graph.descendants(settings) - settings)
    names = below if below and rng.random() < 0.6 else list(graph.nodes)
    events = []
    for name in rng.choices(names, k=count):
        do = {
            other: Event(other, do={rng.choice(graph.nodes): rng.randrange(2)})
            if rng.random() < 0.12
            else value
            for other, value in rng.choice(worlds).items()
        }
        events.append(Event(name, rng.randrange(2), do=do))
    return events


def random_counterfactual(rng, graph):
    """Keywords of `identify_counterfactual`."""
    worlds = [{}]
    for _ in range(rng.randint(1, 2)):
        chosen = rng.sample(graph.nodes, rng.choice([1, 1, 2]))
        worlds.append({name: rng.randrange(2) for name in chosen})
    events = random_events(rng, graph, rng.choice([1, 1, 2, 3]), worlds)
    given = random_events(rng, graph, rng.choice([0, 0, 1, 2]), worlds)
    available = rng.choice(["experiments", "experiments", "observations"])
    return {"events": events, "given": given, "available": available}


def random_cards(rng, graph):
    """Numbers of states: some threes where the tables stay small."""
    return {name: rng.choice([2, 2, 3]) if len(graph.nodes) < 6 else 2 for name in graph.nodes}


def compare(estimand, model, expected):
    """The largest error of a formula on exact tables, at the average and all free values."""
    choices = ["average"]
    if estimand.free:
        choices += [dict.fromkeys(estimand.free, value) for value in (0, 1)]
    errors = []
    for free in choices:
        got = estimand.evaluate(joint(model), experiments=experiments(model), free=free)
        if hasattr(expected, "names"):
            errors.append((got.permute(expected.names).values - expected.values).abs().max())
        else:
            errors.append(torch.as_tensor(got - expected).abs())
    return float(max(errors))


def check_query(seed, seconds=20.0):
    """One interventional query: a record of what was found."""
    rng = random.Random(f"query {seed}")
    kind = KINDS[seed % 3]
    graph = random_graph(rng)
    query = random_query(rng, graph, kind)
    record = {"seed": seed, "kind": kind, "graph": str(graph), "query": query}
    supplied = query.get("experiments", ((),))
    sets = {name: query[name] for name in ("outcomes", "treatments", "given")}
    record["stratum"] = stratum(graph, experiments=supplied, **sets)
    try:
        estimand = identify(graph, **query)
    except Unidentifiable:
        if record["stratum"] != "not identified":
            return record | {"status": "wrong refusal"}
        sets["experiments"] = supplied
        return record | _witnessed(graph, query, seconds, check_interventional, sets)
    if record["stratum"] == "not identified":
        record["status"] = "wrong formula: the second opinion refuses"
    model = drawn(graph, seed, cards=random_cards(rng, graph))
    error = compare(estimand, model, truth(model, **sets))
    status = "exact" if error <= TOLERANCE else "wrong formula"
    return {"status": status} | record | {"error": error, "formula": str(estimand)[:400]}


def check_counterfactual_query(seed, seconds=20.0):
    """One counterfactual query: a record of what was found."""
    rng = random.Random(f"counterfactual {seed}")
    graph = random_graph(rng, 3, 6)
    query = random_counterfactual(rng, graph)
    texts = {name: [str(e) for e in query[name]] for name in ("events", "given")}
    record = {"seed": seed, "kind": "counterfactual", "graph": str(graph)}
    record |= {"query": texts | {"available": query["available"]}, "stratum": query["available"]}
    asked, known = ([triple(e) for e in query[part]] for part in ("events", "given"))
    cards = random_cards(rng, graph) if len(graph.nodes) < 5 else 2
    try:
        estimand = identify_counterfactual(graph, **query)
    except Unidentifiable:
        return record | _witnessed(graph, query, seconds, check_counterfactual, query)
    except ValueError as error:
        if "undefined" not in str(error):
            raise
        value = drawn(graph, seed, cards=cards, noise=2).counterfactual(known)
        return record | {"status": "undefined" if value == 0 else "wrong: condition is possible"}
    # A condition may be impossible in a model with few responses: another model then.
    models = (drawn(graph, 1000 * seed + k, cards=cards, noise=2) for k in range(20))
    model = next(m for m in models if not known or m.counterfactual(known) > 1e-6)
    error = compare(estimand, model, model.counterfactual(asked, known))
    status = "exact" if error <= TOLERANCE else "wrong formula"
    return record | {"status": status, "error": error, "formula": str(estimand)[:400]}


def _witnessed(graph, query, seconds, check, sets):
    """What a refusal's two models are, by enumeration."""
    try:
        found = disagreement(graph, **query, seconds=seconds)
    except WitnessNotFound as failure:
        best = None if failure.best is None else failure.best.difference
        return {"status": "no witness", "best": best}
    agreement, apart = check(found, **sets)
    return {"status": "witnessed", "agreement": agreement, "difference": apart}


def checked(task):
    """The record of a seed, with its time; a crash is recorded too."""
    seed, counterfactual, seconds = task
    start = time.perf_counter()
    try:
        record = (check_counterfactual_query if counterfactual else check_query)(seed, seconds)
    except Exception as error:
        kind = "counterfactual" if counterfactual else KINDS[seed % 3]
        record = {"seed": seed, "kind": kind, "stratum": "crash", "status": "crash"}
        record |= {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    return record | {"seconds": round(time.perf_counter() - start, 4)}


def summary(records):
    """A table of kinds and strata, then everything that is not as it should be."""
    counts = Counter((r["kind"], r["stratum"], r["status"]) for r in records)
    lines = [f"{'kind':<16}{'stratum':<20}{'outcome':<44}{'count':>7}"]
    lines += [f"{k:<16}{s:<20}{o:<44}{n:>7}" for (k, s, o), n in sorted(counts.items())]
    errors = [r["error"] for r in records if r["status"] == "exact"]
    pairs = [r for r in records if r["status"] == "witnessed"]
    if errors:
        lines.append(f"largest error of a formula: {max(errors):.1e}")
    if pairs:
        lines.append(
            f"largest difference in what is supplied: {max(r['agreement'] for r in pairs):.1e}"
        )
        lines.append(f"least difference on a query: {min(r['difference'] for r in pairs):.1e}")
    lines.append(f"{len(records)} queries, {sum(r['seconds'] for r in records):.0f} s of work")
    crashes = Counter(r["error"] for r in records if r["status"] == "crash")
    for error, n in crashes.most_common():
        first = next(r["seed"] for r in records if r.get("error") == error)
        lines.append(f"{n} crashes, the first at seed {first}: {error}")
    for r in records:
        if r["status"] not in ("exact", "witnessed", "undefined", "crash"):
            lines.append(json.dumps(r))
    return "\n".join(lines)


def workers(jobs):
    """Processes of their own, with one thread each."""
    context = multiprocessing.get_context("spawn")
    return context.Pool(jobs, initializer=torch.set_num_threads, initargs=(1,))


def main():
    """Run the seeds that the log lacks, and print the summary of all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--counterfactual", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20, help="for the search of a witness")
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + options.count)
    old = options.log.read_text().splitlines() if options.log and options.log.exists() else []
    mine = [
        r for r in map(json.loads, old) if (r["kind"] == "counterfactual") == options.counterfactual
    ]
    records = {r["seed"]: r for r in mine if r["seed"] in seeds}
    tasks = [(s, options.counterfactual, options.seconds) for s in seeds if s not in records]
    with workers(options.jobs) as pool:
        for record in pool.imap_unordered(checked, tasks, chunksize=4):
            records[record["seed"]] = record
            if options.log:
                with options.log.open("a") as log:
                    log.write(json.dumps(record) + "\n")
    print(summary([records[seed] for seed in sorted(records)]))


if __name__ == "__main__":
    main()
