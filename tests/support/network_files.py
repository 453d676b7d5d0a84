"""Networks that pgmpy ships, and descriptions made up at random."""

import gzip
from pathlib import Path

import numpy as np
import pgmpy

from hybrid.pgm.formats.bif import parse_bif
from hybrid.pgm.formats.description import Description


def shipped_text(name: str) -> str:
    """The BIF text of a network in the pgmpy package."""
    folder = Path(pgmpy.__file__).parent / "utils" / "example_models"
    return gzip.decompress((folder / f"{name}.bif.gz").read_bytes()).decode()


def shipped(name: str) -> Description:
    """A network in the pgmpy package."""
    return parse_bif(shipped_text(name))


def made_up(seed: int, labels: list[str]) -> Description:
    """Five variables named by ``labels``, as are their states; parents in no special order."""
    random = np.random.default_rng(seed)
    names = labels[:5]
    states = {name: tuple(labels[i : i + 1 + (i + 2) % 4]) for i, name in enumerate(names)}
    parents = {
        name: tuple(random.permutation(names[:i])[: random.integers(0, i + 1)].tolist())
        for i, name in enumerate(names)
    }
    tables = {}
    for name in names:
        shape = [len(states[other]) for other in (*parents[name], name)]
        table = random.random(shape) ** random.integers(1, 60)
        tables[name] = table / table.sum(-1, keepdims=True)
    return Description(states, parents, tables, "made up", {names[0]: ("position = (1, 2)",)})


def equal(a: Description, b: Description) -> bool:
    """Whether two descriptions are the same in names, order and bits."""
    return (
        list(a.states.items()) == list(b.states.items())
        and a.parents == b.parents
        and a.properties == b.properties
        and a.name == b.name
        and all(a.tables[name].tobytes() == b.tables[name].tobytes() for name in a.states)
    )
