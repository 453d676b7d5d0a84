"""Junction trees hold every factor, keep variables together and refuse nonsense."""

import gzip
from pathlib import Path

import pgmpy
import pytest
from factor_problems import random_problem
from random_graphs import assert_sound

from hybrid.pgm.trees.tree import TooLarge, junction_tree


@pytest.mark.parametrize("seed", range(20))
def test_trees_of_random_problems(seed: int) -> None:
    assert_sound(random_problem(seed, most=12).tree)


def test_sets_that_must_be_together() -> None:
    tree = junction_tree((2,) * 5, tuple((v, v + 1) for v in range(4)), together=((0, 4), (2,)))
    assert_sound(tree)
    home = tree.home((4, 0))
    assert home is not None
    assert {0, 4} <= set(tree.cliques[home])
    assert junction_tree((2,) * 5, tuple((v, v + 1) for v in range(4))).home((0, 4)) is None


def test_variables_without_factors_and_separate_parts() -> None:
    tree = junction_tree((2, 3, 1, 4), ((0, 1),))
    assert_sound(tree)
    assert tree.parents.count(-1) == len(tree.cliques)


def test_the_same_structure_is_planned_once() -> None:
    first = junction_tree((2, 2), ((0, 1),))
    assert junction_tree((2, 2), ((0, 1),)) is first
    assert hash(first) == hash(first)


@pytest.mark.parametrize(
    ("cardinalities", "scopes", "message"),
    [
        ((), (), "at least one variable"),
        ((2, 0), ((0, 1),), "variable 1 has 0 states"),
        ((2, 2), ((0, 0),), "must differ"),
        ((2, 2), ((0, 2),), "numbers from 0 to 1"),
    ],
)
def test_what_is_refused(cardinalities, scopes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        junction_tree(cardinalities, scopes)


def test_a_home_is_asked_for_variables_of_the_tree() -> None:
    with pytest.raises(ValueError, match="numbers from 0 to 0"):
        junction_tree((2,), ((0,),)).home((3,))


def test_a_plan_may_be_larger_than_any_memory() -> None:
    tree = junction_tree((3,) * 200, (tuple(range(200)),))
    assert tree.cells == 3**200
    error = TooLarge(tree.cells, 2**70, 2**34)
    assert "hybrid.pgm.belief_propagation" in str(error)
    assert isinstance(error, ValueError)


# Cells of trees that other programs and the literature find for these networks, or fewer.
KNOWN = {"asia": 40, "alarm": 996, "insurance": 23_880, "win95pts": 2_684, "hailfinder": 9_406}


@pytest.mark.parametrize("name", KNOWN)
def test_trees_of_published_networks_are_small(name: str) -> None:
    cardinalities, scopes = structure(name)
    tree = junction_tree(cardinalities, scopes)
    assert_sound(tree)
    assert tree.cells <= KNOWN[name]


def structure(name: str) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Cardinalities and scopes of a network that comes with pgmpy, read line by line."""
    folder = Path(str(pgmpy.__file__)).parent / "utils" / "example_models"
    cards: dict[str, int] = {}
    scopes: list[tuple[int, ...]] = []
    with gzip.open(folder / f"{name}.bif.gz", "rt") as lines:
        for line in lines:
            words = line.replace("(", " ").replace(")", " ").replace(",", " ").split()
            if words[:1] == ["variable"]:
                variable = words[1]
            elif words[:2] == ["type", "discrete"]:
                cards[variable] = int(line.split("[")[1].split("]")[0])
            elif words[:1] == ["probability"]:
                names = [word for word in words[1:] if word not in ("|", "{")]
                scopes.append(tuple(list(cards).index(each) for each in names))
    return tuple(cards.values()), tuple(scopes)
