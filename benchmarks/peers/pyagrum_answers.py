"""What pyAgrum says about rows of evidence; `tests/support/pgm_references.py` runs it elsewhere.

    python pyagrum_answers.py CASE.npz ANSWERS.npz [EXPLAINED]

The case holds ``parents`` (JSON), a table ``t0``, ``t1``, … for each variable, its parents first,
and ``evidence`` (rows, variables), −1 for what was not observed. The answers hold the marginals
``m0``, ``m1``, …, the ``log_probability`` of each row and its most probable ``states``, −1 where
pyAgrum gives none. Tables go through the API, which keeps them to the last bit; pyAgrum's reader of
BIF files rounds to single precision.
"""

import json
import math
import sys

import numpy as np
import pyagrum

EXPLAINED = 10  # rows whose most probable states are asked for: often in vain, and that takes long


def bayes_net(parents: dict[str, list[str]], tables: dict[str, np.ndarray]) -> pyagrum.BayesNet:
    """The network in pyAgrum."""
    made = pyagrum.BayesNet()
    for name, table in tables.items():
        made.add(pyagrum.RangeVariable(name, name, 0, table.shape[-1] - 1))
    for name, above in parents.items():
        for parent in above:
            made.addArc(parent, name)
    for name, above in parents.items():
        own = [*above, name]
        axes = [own.index(other) for other in reversed(made.cpt(name).names)]
        table = np.ascontiguousarray(np.transpose(tables[name], axes))
        made.cpt(name)[:] = table
        assert np.array_equal(made.cpt(name).toarray(), table)
    return made


def most_probable(
    engine: pyagrum.LazyPropagation, seen: dict[str, int], names: list[str]
) -> list[int]:
    """The most probable states, or −1 throughout: ``mpe`` fails ("Empty tensor") on many rows."""
    engine.setEvidence(seen)
    try:
        found = engine.mpe().todict() | seen
    except pyagrum.FatalError:
        return [-1] * len(names)
    return [int(found[name]) for name in names]


def main() -> None:
    """Answer a case."""
    with np.load(sys.argv[1]) as held:
        parents = json.loads(str(held["parents"]))
        tables = {name: held[f"t{i}"] for i, name in enumerate(parents)}
        evidence = held["evidence"]
    names = list(parents)
    made = bayes_net(parents, tables)
    engine = pyagrum.LazyPropagation(made)
    explainer = pyagrum.LazyPropagation(made)
    explained = int(sys.argv[3]) if len(sys.argv) > 3 else EXPLAINED
    marginals: list[list[np.ndarray]] = [[] for _ in names]
    logs, best = [], []
    for row in evidence:
        seen = {names[i]: int(row[i]) for i in np.flatnonzero(row >= 0)}
        engine.setEvidence(seen)
        engine.makeInference()
        for values, name in zip(marginals, names, strict=True):
            values.append(engine.posterior(name).toarray())
        logs.append(math.log(engine.evidenceProbability()))
        told = len(best) < explained
        best.append(most_probable(explainer, seen, names) if told else [-1] * len(names))
    answers = {f"m{i}": np.stack(values) for i, values in enumerate(marginals)}
    np.savez_compressed(sys.argv[2], log_probability=logs, states=best, **answers)


if __name__ == "__main__":
    main()
