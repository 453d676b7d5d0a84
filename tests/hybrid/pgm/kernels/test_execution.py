"""The compiled kernel against enumeration, over rows, lanes, threads and instruction sets."""

import ctypes
import math

import pytest
import torch
from kernel_cases import Case, case, enumerated, marginal

from hybrid.pgm.evidence import Evidence
from hybrid.pgm.kernels import execution, library
from hybrid.pgm.kernels.plan import Mode, Plan
from hybrid.pgm.trees.tree import junction_tree
from quantum.kernels import loading

pytestmark = pytest.mark.skipif(
    not library.available(), reason="no compiled kernel in this installation"
)
ROWS = (1, 3, 8, 17, 257)


def close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-13)


def run(given: Case):
    found = execution.run(given.tree, given.tables, given.evidence, given.sets)
    assert found is not None
    return found


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("seed", range(16))
def test_equals_enumeration(seed, rows):
    given = case(seed, rows)
    full = enumerated(given)
    log, parts = run(given)
    close(log, full.flatten(1).sum(1).log())
    for variables, part in zip(given.sets, parts, strict=True):
        close(part, marginal(full, variables))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("seed", range(6))
def test_most_probable_equals_enumeration(seed, rows):
    given = case(seed, rows)
    full = enumerated(given)
    states, log = execution.best(given.tree, given.tables, given.evidence)
    close(log, full.flatten(1).amax(1).log())
    possible = log > -math.inf
    assert (states[~possible] == -1).all()
    where = (torch.arange(rows)[possible], *states[possible].unbind(1))
    close(full[where].log(), log[possible])


@pytest.mark.parametrize("rows", [1, 9])
@pytest.mark.parametrize("seed", range(6))
def test_draws_are_possible_and_follow_the_generator(seed, rows):
    given = case(seed, rows)
    full = enumerated(given)
    first, second = (
        execution.draw(
            given.tree, given.tables, given.evidence, 4, torch.Generator().manual_seed(1)
        )
        for _ in range(2)
    )
    assert torch.equal(first, second)
    possible = full.flatten(1).sum(1) > 0
    assert (first[~possible] == -1).all()
    for row in range(rows):
        if possible[row]:
            assert (full[row][tuple(first[row].T)] > 0).all()


def test_draws_have_the_posterior_frequencies():
    given = case(8, 2)
    full = enumerated(given)
    n = 20_000
    drawn = execution.draw(
        given.tree, given.tables, given.evidence, n, torch.Generator().manual_seed(0)
    )
    for variable, cells in enumerate(given.tree.cardinalities):
        expected = marginal(full, (variable,))
        counts = torch.stack([(drawn[..., variable] == c).sum(1) for c in range(cells)], -1)
        deviation = (counts / n - expected).abs()
        assert (deviation <= 5 * (expected * (1 - expected) / n).sqrt()).all()


@pytest.mark.parametrize("rows", [*ROWS, 1000])
def test_sums_over_rows(rows):
    given = case(3, rows)
    weights = torch.randn(rows, dtype=torch.float64)
    log, parts = run(given)
    also, totals = execution.sums(given.tree, given.tables, given.evidence, given.sets, weights)
    assert torch.equal(log, also)
    for part, total in zip(parts, totals, strict=True):
        torch.testing.assert_close(total, torch.tensordot(weights, part, 1), rtol=0, atol=1e-11)


@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
def test_lanes_agree(lanes):
    given = case(11, 21)
    plan = Plan(
        library.load(),
        given.tree,
        tuple(t.dim() > len(s) for t, s in zip(given.tables, given.tree.scopes, strict=True)),
        given.sets,
    )
    plan.fill(given.tables, passing=False)
    log = torch.empty(21, dtype=torch.float64)
    marginals = torch.empty(21, plan.width, dtype=torch.float64)
    plan.run(Mode.MARGINALS, given.tables, given.evidence, log, marginals.data_ptr(), lanes=lanes)
    expected = run(given)
    close(log, expected[0])
    close(marginals, torch.cat([part.flatten(1) for part in expected[1]], 1))


@pytest.mark.parametrize("name", loading.SETS)
def test_instruction_sets_agree(name, monkeypatch):
    path = library._path(name)
    if path is None or not library._runs(name):
        assert name != "portable"
        return
    given = case(5, 19)
    expected = run(given)
    execution._kept.clear()
    execution._recent.clear()
    loaded = library._declared(ctypes.CDLL(str(path)))
    monkeypatch.setattr(execution, "load", lambda: loaded)
    found = run(given)
    execution._kept.clear()
    execution._recent.clear()
    close(found[0], expected[0])
    for a, b in zip(found[1], expected[1], strict=True):
        close(a, b)


def large() -> Case:
    """Enough work for several threads."""
    cards = (4,) * 9
    scopes = tuple((k, k + 1, k + 2) for k in range(7))
    generator = torch.Generator().manual_seed(0)
    tables = tuple(torch.rand(4, 4, 4, dtype=torch.float64, generator=generator) for _ in scopes)
    hard = {k: torch.randint(-1, 4, (3001,), generator=generator) for k in range(9)}
    return Case(junction_tree(cards, scopes), tables, Evidence(3001, hard), scopes)


def test_threads_give_the_same_bits():
    given, found, before = large(), [], torch.get_num_threads()
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            log, parts = run(given)
            _, sums = execution.sums(given.tree, given.tables, given.evidence, given.sets)
            found.append([log, *parts, *sums])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def chain(length: int, table: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
    scopes = tuple((k, k + 1) for k in range(length))
    tree = junction_tree((2,) * (length + 1), scopes)
    found = execution.run(tree, (table,) * length, Evidence(2), ((0,), (length // 2,)))
    assert found is not None
    return found


def test_tiny_tables_neither_vanish_nor_lose_digits():
    table = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=torch.float64)
    log, parts = chain(400, table)
    small, same = chain(400, table * 2.0**-900)
    close(small, log - 400 * 900 * math.log(2))
    for a, b in zip(parts, same, strict=True):
        close(a, b)


def test_subnormal_entries():
    table = torch.tensor([[2.0**-1060, 2.0**-1061], [2.0**-1062, 2.0**-1060]], dtype=torch.float64)
    log, parts = chain(3, table)
    expected, same = chain(3, table * 2.0**1000)
    close(log, expected - 3000 * math.log(2))
    for a, b in zip(parts, same, strict=True):
        close(a, b)


def test_likelihoods_far_from_one():
    tree = junction_tree((2, 2), ((0, 1),))
    table = torch.tensor([[0.1, 0.2], [0.3, 0.4]], dtype=torch.float64)
    soft = torch.tensor([[1.0, 2.0], [3.0, 1.0]], dtype=torch.float64)
    plain, parts = execution.run(tree, (table,), Evidence(2, {}, {0: soft, 1: soft}), ((0,),))
    scale = torch.tensor([[2.0**-1000], [2.0**1000]], dtype=torch.float64)
    log, same = execution.run(
        tree, (table,), Evidence(2, {}, {0: soft * scale, 1: soft * scale}), ((0,),)
    )
    close(log, plain + 2 * scale[:, 0].log2() * math.log(2))
    close(same[0], parts[0])


def test_impossible_rows_are_zero_and_leave_others_alone():
    tree = junction_tree((2, 2), ((0,), (0, 1)))
    tables = (
        torch.tensor([0.5, 0.5], dtype=torch.float64),
        torch.tensor([[1.0, 0.0], [0.5, 0.5]], dtype=torch.float64),
    )
    evidence = Evidence(3, {0: torch.tensor([0, 0, -1]), 1: torch.tensor([1, 0, 1])})
    log, (first, pair) = execution.run(tree, tables, evidence, ((0,), (0, 1)))
    close(log.exp(), torch.tensor([0.0, 0.5, 0.25], dtype=torch.float64))
    assert (first[0] == 0).all()
    assert (pair[0] == 0).all()
    close(first[1:], torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64))
    states, best = execution.best(tree, tables, evidence)
    assert states.tolist() == [[-1, -1], [0, 0], [1, 1]]
    assert best[0] == -math.inf


def test_tables_changed_in_place_are_read_again():
    tree = junction_tree((2,), ((0,),))
    table = torch.tensor([0.25, 0.75], dtype=torch.float64)
    tables = (table,)
    for _ in range(2):
        _, (part,) = execution.run(tree, tables, Evidence(1), ((0,),))
    close(part, torch.tensor([[0.25, 0.75]], dtype=torch.float64))
    table.copy_(torch.tensor([1.0, 0.0]))
    _, (part,) = execution.run(tree, tables, Evidence(1), ((0,),))
    close(part, torch.tensor([[1.0, 0.0]], dtype=torch.float64))


def test_new_tables_in_every_call():
    tree = junction_tree((3, 2), ((0,), (0, 1)))
    for k in range(12):
        tables = tuple(
            (torch.rand(shape) * (torch.rand(shape) > 0.3 * (k % 2)) + 1e-3 * (k % 3)).double()
            for shape in ((3,), (3, 2))
        )
        given = Case(tree, tables, Evidence(2), ((0,), (1,), (0, 1)))
        full = enumerated(given)
        for variables, part in zip(given.sets, run(given)[1], strict=True):
            close(part, marginal(full, variables))


def test_stacked_observations_of_any_strides():
    given = case(14, 6)
    variables = tuple(range(len(given.tree.cardinalities)))
    states = torch.stack([given.evidence.hard.get(v, torch.full((6,), -1)) for v in variables], 1).T
    stacked = Evidence(6, given.evidence.hard, given.evidence.soft, variables, states)
    found = execution.run(given.tree, given.tables, stacked, given.sets)
    for a, b in zip(run(given)[1], found[1], strict=True):
        assert torch.equal(a, b)


def test_a_hub_with_many_children():
    count = 300
    scopes = ((0,), *((0, k) for k in range(1, count + 1)))
    tree = junction_tree((2,) * (count + 1), scopes)
    table = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    prior = torch.tensor([0.5, 0.5], dtype=torch.float64)
    hard = {k: torch.tensor([k % 2]) for k in range(1, count + 1)}
    log, (part,) = execution.run(tree, (prior, *[table] * count), Evidence(1, hard), ((0,),))
    weights = torch.tensor(
        [150 * math.log(0.9 * 0.1), 150 * math.log(0.2 * 0.8)], dtype=torch.float64
    )
    close(log[0], torch.logsumexp(weights, 0) + math.log(0.5))
    close(part[0], weights.softmax(0))


def test_a_clique_with_hundreds_of_separators():
    core = 9
    subsets = [tuple(v for v in range(core) if number >> v & 1) for number in range(3, 2**core, 1)]
    subsets = [subset for subset in subsets if len(subset) < 8][:300]
    scopes = (tuple(range(core)), *((*s, core + k) for k, s in enumerate(subsets)))
    tree = junction_tree((2,) * core + (3,) * len(subsets), scopes)
    tables = tuple(
        torch.rand([2] * core if k == 0 else [2] * (len(s) - 1) + [3], dtype=torch.float64) + 0.1
        for k, s in enumerate(scopes)
    )
    full = tables[0].log()
    for subset, table in zip(subsets, tables[1:], strict=True):
        shape = [2 if v in subset else 1 for v in range(core)]
        full = full + table.sum(-1).reshape(shape).log()
    log, (part,) = execution.run(tree, tables, Evidence(1), (tuple(range(core)),))
    torch.testing.assert_close(log[0], full.flatten().logsumexp(0), rtol=1e-12, atol=0)
    close(part[0].flatten(), full.flatten().softmax(0))


def test_plans_that_were_not_used_for_long_go(monkeypatch):
    monkeypatch.setattr(execution, "_STRUCTURES", 2)
    table = torch.tensor([0.25, 0.75], dtype=torch.float64)
    for count in (1, 2, 3, 1):
        scopes = tuple((k,) for k in range(count))
        tree = junction_tree((2,) * count, scopes)
        _, (part,) = execution.run(tree, (table,) * count, Evidence(1), ((0,),))
        assert part.tolist() == [[0.25, 0.75]]
        assert len(execution._kept) <= 2


def test_what_the_kernel_does_not_serve():
    tree = junction_tree((2,), ((0,),))
    single = torch.tensor([0.5, 0.5])
    assert execution.run(tree, (single,), Evidence(1), ()) is None
    assert execution.run(tree, (single.double(),), Evidence(0), ()) is None
    assert execution.best(tree, (single.double().to("meta"),), Evidence(1)) is None


def test_a_set_outside_every_clique_is_named():
    tree = junction_tree((3, 3, 3), ((0, 1), (1, 2)))
    tables = (torch.ones(3, 3, dtype=torch.float64),) * 2
    with pytest.raises(ValueError, match=r"the variables \(0, 2\) are in no clique together"):
        execution.run(tree, tables, Evidence(1), ((0, 2),))
