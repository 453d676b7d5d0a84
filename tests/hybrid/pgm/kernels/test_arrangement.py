"""Junction trees as the kernel walks them are still junction trees."""

import pytest
from kernel_cases import case

from hybrid.pgm.kernels.arrangement import Arrangement, arrange


def made(seed: int) -> tuple[Arrangement, tuple[tuple[int, ...], ...], tuple[int, ...]]:
    given = case(seed, 1)
    tree = given.tree
    apart = [k for k in range(len(tree.scopes)) if k % 2]
    return (
        arrange(
            tree.cardinalities,
            tree.cliques,
            tree.parents,
            tree.separators,
            tree.scopes,
            tree.homes,
            apart,
            given.sets,
        ),
        tree.scopes,
        given.sets,
    )


@pytest.mark.parametrize("seed", range(40))
def test_running_intersection(seed):
    nodes = made(seed)[0].nodes
    for variable in {v for node in nodes for v in node.axes}:
        holding = {k for k, node in enumerate(nodes) if variable in node.axes}
        tops = [k for k in holding if nodes[k].parent not in holding]
        assert len(tops) == 1


@pytest.mark.parametrize("seed", range(40))
def test_parents_come_first_and_separators_are_leading_axes(seed):
    nodes = made(seed)[0].nodes
    assert nodes[0].axes == ()
    assert nodes[0].parent == -1
    for k, node in enumerate(nodes[1:], 1):
        parent = nodes[node.parent]
        assert node.parent < k
        if node.clique >= 0:
            assert parent.clique < 0
            assert node.axes[: len(parent.axes)] == parent.axes
        else:
            assert set(node.axes) <= set(parent.axes)


@pytest.mark.parametrize("seed", range(40))
def test_everything_lies_where_its_variables_are(seed):
    arrangement, scopes, sets = made(seed)
    wanted = [(arrangement.factors, scopes), (arrangement.outputs, sets)]
    wanted.append((arrangement.evidence, [(v,) for v in range(len(arrangement.evidence))]))
    for places, variables in wanted:
        for place, scope in zip(places, variables, strict=True):
            assert set(scope) <= set(arrangement.nodes[place].axes)


def test_a_shared_separator_is_one_table():
    cliques = ((0, 1), *((0, k) for k in range(2, 6)))
    found = arrange((2,) * 6, cliques, (-1, 0, 0, 0, 0), ((), *[(0,)] * 4), (), (), (), ())
    assert [node.axes for node in found.nodes].count((0,)) == 1


def test_separators_hang_on_the_smallest_table():
    cliques = ((0, 1, 2, 3), (0, 1, 4), (0, 5))
    found = arrange((4,) * 6, cliques, (-1, 0, 0), ((), (0, 1), (0,)), (), (), (), ())
    hung = next(node for node in found.nodes if node.axes == (0,))
    assert set(found.nodes[hung.parent].axes) == {0, 1}


def test_small_tables_at_a_large_clique_are_united():
    cliques = (tuple(range(8)), (0, 8), (1, 9))
    found = arrange((3,) * 10, cliques, (-1, 0, 0), ((), (0,), (1,)), (), (), (), ())
    at_clique = [node for node in found.nodes[1:] if found.nodes[node.parent].clique == 0]
    assert len(at_clique) < 4
    assert all(len(node.axes) < 8 for node in at_clique)
