"""Trees that are cut down stay junction trees."""

import random

import pytest
from factor_problems import random_problem
from random_graphs import assert_sound

from hybrid.pgm.trees.restriction import restricted


@pytest.mark.parametrize("seed", range(20))
def test_a_part_of_a_tree(seed: int) -> None:
    tree = random_problem(seed, most=12).tree
    choose = random.Random(seed)
    variables = [v for v in range(len(tree.cardinalities)) if choose.random() < 0.6] or [0]
    choose.shuffle(variables)
    factors = [n for n in range(len(tree.scopes)) if choose.random() < 0.7]
    part = restricted(tree, variables, factors)
    assert_sound(part)
    assert part.cardinalities == tuple(tree.cardinalities[v] for v in variables)
    assert part.cells <= tree.cells
    for factor, scope in zip(factors, part.scopes, strict=True):
        kept = tuple(v for v in tree.scopes[factor] if v in variables)
        assert tuple(variables[place] for place in scope) == kept
