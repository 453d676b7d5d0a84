"""Likelihood weighting: right within the errors that it reports."""

import pytest
import torch
from network_files import shipped

import causal
import hybrid
from hybrid.heads import Categorical, Normal
from hybrid.pgm import BayesianNetwork, Contextual, likelihood_weighting
from hybrid.pgm.approximate import weighting
from hybrid.pgm.networks.conversion import parts_of_description


def asia() -> BayesianNetwork:
    graph, tables, states = parts_of_description(shipped("asia"))
    return BayesianNetwork(graph, tables, states=states)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def evidence(n: int) -> dict[str, torch.Tensor]:
    rows = asia().sample(n, generator=source())
    holes = {k: v.where(torch.rand(n, generator=source(7)) < 0.3, -1) for k, v in rows.items()}
    holes["dysp"] = torch.rand(n, 2, generator=source(8)) + 0.1
    return holes


@pytest.mark.parametrize("guided", [False, True])
def test_within_the_standard_errors(guided: bool) -> None:
    network, rows = asia(), evidence(30)
    exact, logs = network.marginals(rows), network.log_probability(rows)
    found = likelihood_weighting(network, rows, samples=4000, guided=guided, generator=source())
    assert float(found.effective_sample_size.min()) > 200
    scores = []
    for name in exact:
        error = found.standard_errors[name]
        some = error > 2e-3
        scores.append(((found[name] - exact[name])[some] / error[some]).square())
    assert 0.6 < float(torch.cat(scores).mean()) < 1.5
    off = (found.log_probability - logs).abs()
    assert bool((off < 5 * found.log_probability_error + 1e-12).all())


def test_a_guide_is_worth_samples_where_evidence_is_unlikely() -> None:
    graph = causal.Graph.parse("A -> B -> C -> D")
    rare = [[0.99, 0.01], [0.01, 0.99]]
    nodes = {"A": [0.999, 0.001], "B": rare, "C": rare, "D": rare}
    network = BayesianNetwork(graph, nodes)
    exact = network.marginals({"D": 1})["A"]
    plain = likelihood_weighting(network, {"D": 1}, samples=2000, generator=source())
    guided = likelihood_weighting(network, {"D": 1}, samples=2000, guided=True, generator=source())
    assert float(plain.effective_sample_size) < 200 < 1900 < float(guided.effective_sample_size)
    assert abs(float(guided["A"][1] - exact[1])) < 5 * float(guided.standard_errors["A"][1]) + 1e-9


def test_blocks_are_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    network, rows = asia(), evidence(5)
    monkeypatch.setattr(weighting, "CELLS", 8 * 256 * 2)  # 2 rows and 256 samples at once
    found = likelihood_weighting(network, rows, samples=3000, generator=source())
    exact = network.marginals(rows)
    assert found.samples == 3000
    assert found["tub"].shape == (5, 2)
    for name in exact:
        error = 6 * found.standard_errors[name] + 5e-3
        assert bool(((found[name] - exact[name]).abs() < error).all())
        torch.testing.assert_close(found[name].sum(-1), torch.ones(5).double())


def test_context_leaves_and_draws() -> None:
    torch.manual_seed(0)
    law = hybrid.bayes.variational(Categorical(torch.nn.Linear(1 + 2, 6), states=3))
    network = BayesianNetwork(
        causal.Graph.parse("A -> C; C -> Y"),
        {
            "A": Contextual(Categorical(torch.nn.Linear(2, 6), states=2)),
            "C": Contextual(law),
            "Y": Normal(torch.nn.Linear(3, 4)),
        },
    )
    x, rows = torch.randn(5, 2), {"Y": torch.randn(5)}
    with hybrid.bayes.fixed(network, draws=3):
        found = likelihood_weighting(network, rows, x, samples=2000, generator=source())
        exact, logs = network.marginals(rows, x), network.log_probability(rows, context=x)
    assert found["C"].shape == (3, 5, 3)
    for name in exact:
        off = (found[name] - exact[name]).abs()
        assert bool((off < 5 * found.standard_errors[name] + 1e-6).all())
    assert bool(((found.log_probability - logs).abs() < 5 * found.log_probability_error).all())


def test_a_generator_repeats_and_leaves_the_global_state() -> None:
    network, before = asia(), torch.get_rng_state()
    one, two = (
        likelihood_weighting(network, {"dysp": 0}, samples=50, generator=source(3)) for _ in "ab"
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(before, torch.get_rng_state())


def test_a_row_without_weight_is_named() -> None:
    graph = causal.Graph.parse("A -> B")
    network = BayesianNetwork(graph, {"A": [1.0, 0.0], "B": [[1.0, 0.0], [0.0, 1.0]]})
    with pytest.raises(ValueError, match=r"none of 100 samples agrees .* row 1.*guided=True"):
        likelihood_weighting(network, {"B": torch.tensor([0, 1])}, samples=100)
    with pytest.raises(ValueError, match="ask belief_propagation"):
        likelihood_weighting(network, {"B": torch.tensor([0, 1])}, samples=100, guided=True)
    with pytest.raises(ValueError, match="samples is a number from 2"):
        likelihood_weighting(network, samples=1)
