"""Bayesian networks against enumeration, as Joints, and in what users do with modules."""

import copy
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

import causal
import hybrid
from hybrid.pgm import BayesianNetwork, ImpossibleEvidence, Table
from hybrid.testing import check_joint

GRAPH = causal.Graph.parse("A -> C <- B; C -> D; B -> E; D -> F <- E; G -> F; H")
SIZES = {"A": 2, "B": 3, "C": 2, "D": 3, "E": 2, "F": 2, "G": 1, "H": 2}


def random_tables(graph=GRAPH, sizes=SIZES, seed=0, zeros=0.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tables = {}
    for name in graph.nodes:
        shape = [sizes[parent] for parent in (*graph.parents(name), name)]
        table = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.05
        table = table * (torch.rand(shape, generator=generator) >= zeros)
        table[..., 0] += 0.01
        tables[name] = table / table.sum(-1, keepdim=True)
    return tables


def product_of(tables, graph=GRAPH) -> causal.Factor:
    """The joint table, by multiplication."""
    joint = causal.Factor((), torch.ones((), dtype=torch.float64))
    for name, table in tables.items():
        joint = joint * causal.Factor((*graph.parents(name), name), table)
    return joint.permute(graph.nodes)


def random_rows(rows, seed=1, share=0.4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    columns = {}
    for name, size in SIZES.items():
        states = torch.randint(size, (rows,), generator=generator)
        seen = torch.rand(rows, generator=generator) < share
        columns[name] = torch.where(seen, states, -1)
    return columns


def posterior(joint: causal.Factor, row: dict[str, int]) -> tuple[Tensor, Tensor]:
    """p(e) and the joint table with everything else set to zero."""
    values = joint.values.clone()
    for axis, name in enumerate(joint.names):
        state = row.get(name, -1)
        if state >= 0:
            mask = torch.zeros(values.shape[axis], dtype=values.dtype)
            mask[state] = 1
            values = values * mask.reshape([-1 if k == axis else 1 for k in range(values.dim())])
    return values.sum(), values


@pytest.fixture(scope="module")
def network() -> BayesianNetwork:
    return BayesianNetwork(GRAPH, random_tables())


@pytest.fixture(scope="module")
def joint() -> causal.Factor:
    return product_of(random_tables())


def row_of(rows, k) -> dict[str, int]:
    return {name: int(column[k]) for name, column in rows.items()}


def test_is_a_joint(network) -> None:
    assert isinstance(network, causal.Joint)
    check_joint(network, n=400)
    check_joint(BayesianNetwork(GRAPH, random_tables(zeros=0.3)), n=400)


def test_factor_is_the_product(network, joint) -> None:
    torch.testing.assert_close(network.factor().values, joint.values, rtol=0, atol=1e-15)
    assert network.factor().names == joint.names
    product = causal.Factor((), torch.ones((), dtype=torch.float64))
    for factor in network.factors():
        product = product * factor
    torch.testing.assert_close(product.permute(GRAPH.nodes).values, joint.values)


@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_answers_equal_enumeration(zeros) -> None:
    tables = random_tables(zeros=zeros)
    network, joint, rows = BayesianNetwork(GRAPH, tables), product_of(tables), random_rows(20)
    found = network.log_probability(rows)
    possible = [k for k in range(20) if found[k] > -torch.inf]
    rows = {name: column[possible] for name, column in rows.items()}
    logs, marginals = network.log_probability(rows), network.marginals(rows)
    pair, far = network.joint_marginals([("C", "F"), {"H", "A"}], rows)
    best = network.most_probable(rows)
    entropy = network.entropy(None, rows)
    for k in range(len(possible)):
        total, values = posterior(joint, row_of(rows, k))
        assert abs(float(logs[k] - total.log())) < 1e-12
        table = causal.Factor(joint.names, values / total)
        for name in GRAPH.nodes:
            wanted = table.marginal(name).values
            torch.testing.assert_close(marginals[name][k], wanted, rtol=0, atol=1e-13)
        wanted = table.marginal({"C", "F"}).permute(("C", "F")).values
        torch.testing.assert_close(pair.values[k], wanted, rtol=0, atol=1e-13)
        wanted = table.marginal({"A", "H"}).permute(("A", "H")).values
        torch.testing.assert_close(far.values[k], wanted, rtol=0, atol=1e-13)
        cell = tuple(int(best[name][k]) for name in joint.names)
        assert float(values[cell]) == pytest.approx(float(values.max()), rel=1e-12)
        assert float(best.log_joint[k]) == pytest.approx(float(values.max().log()), abs=1e-12)
        flat = (values / total).flatten()
        wanted = -(flat[flat > 0] * flat[flat > 0].log()).sum()
        assert float(entropy[k]) == pytest.approx(float(wanted), abs=1e-10)
    assert far.names == ("A", "H")


def test_names_prune_and_give_the_same(network) -> None:
    rows = random_rows(30)
    whole = network.marginals(rows)
    for name in GRAPH.nodes:
        part = network.marginals(rows, names=name)
        assert list(part) == [name]
        torch.testing.assert_close(part[name], whole[name], rtol=0, atol=1e-13)
    shared = {"C": torch.full((30,), 1), "E": rows["E"]}
    whole = network.marginals(shared)
    for names in (["D"], ["A", "B"], ["C"], ["H"], ["F", "A"]):
        part = network.marginals(shared, names=names)
        for name in names:
            torch.testing.assert_close(part[name], whole[name], rtol=0, atol=1e-13)


def test_conditional_probabilities(network, joint) -> None:
    rows = {name: column for name, column in random_rows(20, share=1.1).items() if name in "ADF"}
    expected = joint.log_probability(rows, given="A")
    torch.testing.assert_close(network.log_probability(rows, given="A"), expected)
    given = {"F": rows["F"]}
    values = {"A": rows["A"], "D": rows["D"]}
    expected = joint.log_probability(values, given)
    torch.testing.assert_close(network.log_probability(values, given), expected)
    assert network.log_probability({}).item() == 0.0


def test_k_best_are_the_largest(network, joint) -> None:
    rows = random_rows(6, share=0.3)
    found = network.most_probable(rows, count=4)
    assert found["A"].shape == (4, 6)
    for k in range(6):
        _, values = posterior(joint, row_of(rows, k))
        wanted = values.flatten().sort(descending=True).values[:4]
        torch.testing.assert_close(found.log_joint[:, k].exp(), wanted)
    with pytest.raises(ValueError, match="count is a whole number"):
        network.most_probable(rows, count=0)


def test_soft_evidence_is_weighing(network, joint) -> None:
    weights = torch.tensor([[0.2, 0.7, 0.1], [1.0, 1.0, 1.0]], dtype=torch.float64)
    rows = {"D": weights, "F": torch.tensor([1, -1])}
    found, logs = network.marginals(rows)["A"], network.log_probability(rows)
    for k in range(2):
        _, values = posterior(joint, {"F": int(rows["F"][k])})
        weighed = values * weights[k].reshape(1, 1, 1, 3, 1, 1, 1, 1)
        assert float(logs[k].exp()) == pytest.approx(float(weighed.sum()), rel=1e-12)
        wanted = weighed.sum((1, 2, 3, 4, 5, 6, 7)) / weighed.sum()
        torch.testing.assert_close(found[k], wanted)
    one = network.marginals({"D": weights[0]})["A"]
    assert one.shape == (2,)
    single = network.marginals({"D": weights.float(), "F": rows["F"]})["A"]
    torch.testing.assert_close(single, found, atol=1e-7, rtol=0)


def test_shapes_follow_the_batch(network) -> None:
    rows = {name: column.reshape(2, 3) for name, column in random_rows(6).items()}
    flat = {name: column.reshape(6) for name, column in rows.items()}
    assert network.marginals(rows)["B"].shape == (2, 3, 3)
    torch.testing.assert_close(
        network.marginals(rows)["B"].reshape(6, 3), network.marginals(flat)["B"]
    )
    assert network.log_probability(rows).shape == (2, 3)
    assert network.most_probable(rows)["B"].shape == (2, 3)
    assert network.sample(4, evidence=rows)["B"].shape == (4, 2, 3)
    assert network.entropy({"A", "B"}, rows).shape == (2, 3)
    assert network.marginals()["B"].shape == (3,)
    assert network.marginals({"A": 1})["B"].shape == (3,)
    assert network.marginals({"A": 1, "B": torch.tensor([0, -1])})["C"].shape == (2, 2)
    empty = {"A": torch.zeros(0, dtype=torch.long)}
    assert network.marginals(empty)["B"].shape == (0, 3)
    assert network.log_probability(empty).shape == (0,)
    assert network.most_probable(empty)["B"].shape == (0,)
    assert network.sample(2, evidence=empty)["B"].shape == (2, 0)


@pytest.mark.parametrize("known", [{"A": 1}, {"F": 0}, {"D": 2, "G": 0}])
def test_samples_follow_the_posterior(network, joint, known) -> None:
    n = 6000
    generator = torch.Generator().manual_seed(0)
    rows = network.sample(n, known, generator=generator)
    total, values = posterior(joint, known)
    table = causal.Factor(joint.names, values / total)
    pairs = [("A", "B"), ("C", "D"), ("E", "F")]
    for pair in pairs:
        wanted = table.marginal(set(pair)).permute(pair).values
        found = torch.zeros_like(wanted)
        found.index_put_(
            tuple(rows[name] for name in pair), torch.ones(n, dtype=found.dtype), accumulate=True
        )
        slack = 5 * (wanted * (1 - wanted) / n).sqrt() + 1e-9
        assert bool(((found / n - wanted).abs() <= slack).all())


def test_generator_alone_decides_and_leaves_the_global_state(network) -> None:
    seeded = lambda: torch.Generator().manual_seed(3)  # noqa: E731
    before = torch.get_rng_state()
    for known in (None, {"A": 0}, {"F": 1}):
        first = network.sample(50, known, generator=seeded())
        second = network.sample(50, known, generator=seeded())
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.get_rng_state(), before)


def test_given_rows_are_paired(network) -> None:
    states = torch.tensor([0, 1, 2])
    rows = network.sample(3, {"D": states})
    assert torch.equal(rows["D"], states)
    assert rows["A"].shape == (3,)
    with pytest.raises(ValueError, match="expected one or"):
        network.sample(4, {"D": states})
    with pytest.raises(ValueError, match="not both"):
        network.sample(3, {"D": states}, evidence={"D": states})


def test_expected_statistics_sum_family_posteriors(network, joint) -> None:
    rows, weights = random_rows(7), torch.rand(7)
    found = network.expected_statistics(rows)
    weighed = network.expected_statistics(rows, weights=weights)
    for name in GRAPH.nodes:
        family = (*GRAPH.parents(name), name)
        wanted, heavy = 0.0, 0.0
        for k in range(7):
            total, values = posterior(joint, row_of(rows, k))
            table = causal.Factor(joint.names, values / total).marginal(set(family))
            wanted = wanted + table.permute(family).values
            heavy = heavy + weights[k] * table.permute(family).values
        assert found[name].names == family
        torch.testing.assert_close(found[name].values, wanted)
        torch.testing.assert_close(weighed[name].values, heavy)
    with pytest.raises(ValueError, match="weights are a tensor with one for each row"):
        network.expected_statistics(rows, weights=torch.ones(3))


def test_do_cuts_arrows_and_shares_parameters() -> None:
    tables = random_tables()
    nodes = {**tables, "F": Table(tables["F"], trainable=True)}
    network = BayesianNetwork(GRAPH, nodes)
    acted = network.do({"C": 1, "E": torch.tensor([0.3, 0.7])})
    cut = GRAPH.remove_incoming({"C", "E"})
    points = {"C": torch.tensor([0.0, 1.0]).double(), "E": torch.tensor([0.3, 0.7]).double()}
    wanted = product_of(tables | points, cut)
    torch.testing.assert_close(acted.factor().values, wanted.values, atol=1e-7, rtol=0)
    assert acted.node("F") is network.node("F")
    with pytest.raises(ValueError, match="one of the states"):
        network.do({"C": 2})
    with pytest.raises(ValueError, match="unknown variable"):
        network.do({"Q": 1})


def test_information(network, joint) -> None:
    table = joint.marginal({"A", "B", "F"}).permute(("A", "B", "F")).values
    entropy = lambda p: float(-(p * p.log()).sum())  # noqa: E731
    assert float(network.entropy("A")) == pytest.approx(entropy(table.sum((1, 2))))
    wanted = entropy(table.sum(2)) + entropy(table.sum((0, 1))) - entropy(table)
    assert float(network.mutual_information({"A", "B"}, "F")) == pytest.approx(wanted)
    flat = joint.values[joint.values > 0]
    assert float(network.entropy()) == pytest.approx(entropy(flat))
    assert float(network.mutual_information("A", "H")) == pytest.approx(0, abs=1e-12)
    with pytest.raises(ValueError, match="both sets"):
        network.mutual_information("A", {"A", "B"})


def test_impossible_rows_are_named_and_minus_infinite() -> None:
    graph = causal.Graph.parse("X -> Y -> Z")
    labels = {"Y": ("off", "on")}
    tables = {"X": [0.5, 0.5], "Y": [[1.0, 0.0], [0.0, 1.0]], "Z": [[0.5, 0.5], [0.0, 1.0]]}
    network = BayesianNetwork(graph, tables, states=labels)
    rows = {
        "X": torch.tensor([0, 1, 0]),
        "Y": torch.tensor([0, 1, 1]),
        "Z": torch.tensor([-1, 1, 1]),
    }
    logs = network.log_probability(rows)
    assert logs.isneginf().tolist() == [False, False, True]
    calls = (
        network.marginals,
        network.most_probable,
        network.expected_statistics,
        lambda e: network.sample(2, evidence=e),
        lambda e: network.marginals(e, names=["X", "Y", "Z"]) and network.entropy(None, e),
    )
    for call in calls:
        with pytest.raises(ImpossibleEvidence, match=r"row 2 .* 'Y' = 'on'") as caught:
            call(rows)
        assert (caught.value.node, caught.value.state, caught.value.row) == ("Y", "on", 2)
    assert network.log_probability({"Z": 0}, {"X": 0, "Y": 1}).item() == -torch.inf
    with pytest.raises(ImpossibleEvidence, match="'Z' = 0"):
        network.marginals({"X": 1, "Z": 0})


def test_gradients_of_everything(network) -> None:
    graph = causal.Graph.parse("X -> Y <- W; Y -> Z")
    sizes = {"W": 2, "X": 2, "Y": 3, "Z": 2}
    tables = random_tables(graph, sizes)
    logits = [torch.log(t).requires_grad_() for t in tables.values()]
    rows = {"Z": torch.tensor([1, -1, 0]), "X": torch.tensor([-1, 1, 0])}
    soft = torch.rand(3, 3, dtype=torch.float64).requires_grad_()

    def answers(weights: Tensor, *scores: Tensor) -> tuple[Tensor, ...]:
        nodes = {name: s.softmax(-1) for name, s in zip(tables, scores, strict=True)}
        made = BayesianNetwork(graph, nodes)
        seen = {**rows, "Y": weights}
        found = made.marginals(seen, names=["W", "X"])
        return made.log_probability(seen), found["W"], made.entropy("X", seen), made.factor().values

    assert torch.autograd.gradcheck(answers, (soft, *logits), atol=1e-6)


def test_trained_tables_keep_their_zeros() -> None:
    table = torch.tensor([[0.0, 1.0], [0.25, 0.75]])
    nodes = {"X": Table([0.5, 0.5], trainable=True), "Y": Table(table, trainable=True)}
    network = BayesianNetwork(causal.Graph.parse("X -> Y"), nodes)
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    rows = {"Y": torch.tensor([1, 1, 0, 1])}
    losses = []
    for _ in range(30):
        loss = -network.log_probability(rows).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < losses[0]
    assert network.node("Y").probabilities()[0].tolist() == [0.0, 1.0]
    assert all(bool(p.isfinite().all()) for p in network.parameters())
    assert losses[-1] == pytest.approx(
        -(0.75 * torch.tensor(0.75).log() + 0.25 * torch.tensor(0.25).log()).item(), abs=0.01
    )


def test_trains_in_the_loop_with_the_library() -> None:
    network = BayesianNetwork(
        causal.Graph.parse("X -> Y"),
        {
            "X": Table([0.5, 0.5], trainable=True),
            "Y": Table(torch.full((2, 2), 0.5), trainable=True),
        },
    )
    x = (torch.arange(64) % 4 == 0).long()
    data = {"X": x, "Y": torch.where(torch.arange(64) % 3 == 0, -1, 1 - x)}
    objective = hybrid.objectives.ELBO(network, data_size=64)
    adam = lambda p: torch.optim.Adam(p, 0.1)  # noqa: E731
    hybrid.fit(objective, data, optimizer=adam, epochs=30, batch_size=32, seed=0, progress=False)
    assert float(network.marginals()["X"][1].detach()) == pytest.approx(0.25, abs=0.05)
    assert float(network.marginals({"X": 1})["Y"][0].detach()) > 0.9


def test_copies_pickles_files_and_dtypes(network, tmp_path) -> None:
    rows = random_rows(5)
    wanted = network.marginals(rows)["C"]
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other.marginals(rows)["C"], wanted)
    other = BayesianNetwork(GRAPH, random_tables(seed=5))
    other.marginals(rows)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.marginals(rows)["C"], wanted)
    hybrid.save(network, tmp_path / "network")
    third = BayesianNetwork(GRAPH, random_tables(seed=6))
    hybrid.load(tmp_path / "network", into=third)
    assert torch.equal(third.marginals(rows)["C"], wanted)
    single = copy.deepcopy(network).float()
    assert single.marginals(rows)["C"].dtype == torch.float32
    torch.testing.assert_close(single.marginals(rows)["C"].double(), wanted, atol=1e-5, rtol=0)
    renamed = BayesianNetwork(GRAPH, random_tables(), states={"A": ("no", "yes")})
    with pytest.raises(ValueError, match="another network: its states"):
        renamed.load_state_dict(network.state_dict())


def test_tables_in_place_are_seen() -> None:
    network = BayesianNetwork(causal.Graph.parse("X"), {"X": [0.5, 0.5]})
    network.marginals()
    with torch.no_grad():
        network.node("X").get_buffer("values").copy_(torch.tensor([0.1, 0.9]))
    torch.testing.assert_close(network.marginals()["X"], torch.tensor([0.1, 0.9]).double())
    with torch.no_grad():
        network.node("X").get_buffer("values").copy_(torch.tensor([0.3, 0.9]))
    with pytest.raises(ValueError, match=r"'X' sums to 1\.2"):
        network.marginals()


def test_threads_agree(network) -> None:
    rows = [random_rows(11, seed=k) for k in range(8)]
    wanted = [network.marginals(row)["F"] for row in rows]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda row: network.marginals(row)["F"], rows))
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_functional_call_replaces_tables() -> None:
    nodes = {"X": [0.5, 0.5], "Y": Table([[0.5, 0.5], [0.1, 0.9]], trainable=True)}
    network = BayesianNetwork(causal.Graph.parse("X -> Y"), nodes)
    before = network.marginals()["X"]
    fresh = {"tables.of_X.values": torch.tensor([0.2, 0.8]).double()}
    found = torch.func.functional_call(network, fresh, ())
    torch.testing.assert_close(found["X"], torch.tensor([0.2, 0.8]).double())
    assert torch.equal(network.marginals()["X"], before)


def test_too_large_tables_are_refused_before_they_are_made() -> None:
    names = [f"V{k:02}" for k in range(30)]
    graph = causal.Graph(directed=list(itertools.pairwise(names)))
    tables = {n: [[0.5, 0.5]] * 2 if k else [0.5, 0.5] for k, n in enumerate(names)}
    network = BayesianNetwork(graph, tables)
    with pytest.raises(ValueError, match="1,073,741,824 cells"):
        network.factor()
    assert network.marginals({"V29": 1})["V00"].shape == (2,)
    query = causal.identify(graph, outcomes="V02", treatments="V01")
    assert query.evaluate(network.factors()).variables == ("V01", "V02")


def test_explanations_end_where_no_more_are_possible() -> None:
    coin = BayesianNetwork(causal.Graph.parse("X"), {"X": [0.0, 0.25, 0.75]})
    found = coin.most_probable(count=4)
    assert found["X"].tolist() == [2, 1, -1, -1]
    assert found.log_joint.exp().tolist() == pytest.approx([0.75, 0.25, 0.0, 0.0])
