"""The bound against the exact density of linear-Gaussian models with hidden causes."""

import copy

import pytest
import torch

from causal.graph import Graph
from causal.hidden import Hidden
from causal.scm import SCM

GRAPH = Graph.parse("W -> X -> M -> Y; W -> Y; X <-> Y; M <-> W")
WIDTHS = {"W": 1, "X": 3, "M": 2, "Y": 4}  # X<->Y has two columns


def near(laws):
    """The exact posterior, moved a little and wider: weights of finite variance."""

    class Near(laws.Exact):
        def forward(self, context):
            law = super().forward(context)
            if not self.of:
                return law
            return torch.distributions.MultivariateNormal(law.loc + 0.2, 2 * law.covariance_matrix)

    return Near


def parts(laws):
    return {name: laws.Linear(width) for name, width in WIDTHS.items()}


def build(laws, guide):
    return SCM(GRAPH, parts(laws), hidden={("X", "Y"): Hidden(2)}, guide=guide)


@pytest.fixture
def exact_scm(laws):
    return laws.Exact.of_scm(lambda guide: build(laws, guide))


@pytest.fixture
def scm(laws):
    return build(laws, laws.Gaussian(4, 3))


@pytest.mark.parametrize("draws", [None, 3])
@pytest.mark.parametrize("samples", [1, 4])
def test_the_exact_posterior_gives_the_exact_density(exact_scm, laws, draws, samples):
    rows = exact_scm.sample(20)
    expected = laws.exact(exact_scm, rows)
    found = exact_scm.log_probability(rows, draws=draws, samples=samples)
    expected = expected if draws is None else expected.expand(draws, -1)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_any_other_guide_gives_less_and_samples_bring_it_nearer(laws):
    scm = near(laws).of_scm(lambda guide: build(laws, guide))
    rows = scm.sample(10)
    exact = laws.exact(scm, rows)
    with torch.no_grad():
        means = [
            scm.log_probability(rows, draws=1000, samples=samples).mean(0) for samples in (1, 4, 16)
        ]
    for mean in means:
        assert (mean < exact + 0.02).all()
    gaps = torch.stack([(exact - mean).mean() for mean in means])
    assert gaps[0] > 0.1
    assert (gaps.diff() < 0).all()
    # The weights themselves are unbiased for the density.
    weights = scm.log_probability(rows, samples=20_000)
    torch.testing.assert_close(weights, exact, rtol=0, atol=0.1)


def test_the_bound_is_the_divergence_below(scm, laws):
    """log p(x) − ELBO = KL(q ‖ p(u | x)), in closed form."""
    rows = scm.sample(6)
    twin = laws.Exact.of_scm(lambda guide: build(laws, guide))
    context = torch.stack([rows[name] for name in sorted(WIDTHS)], -1)
    q, p = scm.guide.law(context), twin.guide.law(context)
    q = torch.distributions.MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    gap = torch.distributions.kl_divergence(q, p)
    with torch.no_grad():
        draws = scm.log_probability(rows, draws=20_000)
    error = draws.std(0) / 20_000**0.5
    assert ((laws.exact(scm, rows) - gap - draws.mean(0)).abs() < 5 * error).all()


def test_gradients_with_the_exact_posterior_are_the_likelihoods(laws):
    """The path of the draws adds a term of mean zero, none to the laws' own gradient."""
    scm = build(laws, laws.Gaussian(4, 3))
    rows = scm.sample(16)
    scm.log_probability(rows, draws=2).mean().backward()
    silent = [n for n, p in scm.named_parameters() if p.grad is None or not p.grad.any()]
    assert not silent


def test_interventions(exact_scm, laws):
    """With X cut off from its causes; the exact posterior is then that of the cut model."""
    rows = {**exact_scm.sample(12), "X": torch.full((12,), 0.4, dtype=torch.float64)}
    cut = copy.deepcopy(exact_scm)
    with torch.no_grad():
        cut.law("X").weight.zero_()
    expected = laws.exact(cut, rows) - cut.law("X")(torch.zeros(12, 3).double()).log_prob(rows["X"])
    observed = {name: rows[name] for name in "WMY"}
    for action in (0.4, rows["X"], lambda values: 0.4 + 0 * values["W"]):
        with torch.no_grad():
            below = exact_scm.log_probability(observed, do={"X": action}, draws=1000).mean(0)
        assert (below < expected + 0.02).all()
    exact_scm.guide.law.of[0] = cut
    for action in (0.4, rows["X"], lambda values: 0.4 + 0 * values["W"]):
        for given in (observed, {**rows, "X": rows["X"] + 1}):  # what is set is overridden
            found = exact_scm.log_probability(given, do={"X": action}, draws=2, samples=3)
            torch.testing.assert_close(found, expected.expand(2, -1), rtol=0, atol=1e-10)


def test_what_no_hidden_cause_reaches_stays_exact(laws):
    graph = Graph.parse("V -> X -> Y; X <-> Y")
    law = {"V": laws.Linear(0), "X": laws.Linear(2), "Y": laws.Linear(2)}
    scm = SCM(graph, law)
    rows = scm.sample(5)
    v = {"V": rows["V"]}
    expected = law["V"](torch.zeros(5, 0).double()).log_prob(rows["V"])
    torch.testing.assert_close(scm.log_probability(v), expected)
    both = scm.log_probability(rows, do={"X": 0.0, "Y": 0.0})
    torch.testing.assert_close(both, expected)
    guided = laws.Exact.of_scm(lambda guide: SCM(graph, law, guide=guide))
    given = guided.log_probability(rows, given="V")
    torch.testing.assert_close(given, laws.exact(guided, rows) - expected, rtol=0, atol=1e-10)


def test_refusals(scm):
    rows = scm.sample(5)
    with pytest.raises(ValueError, match=r"missing column\(s\) \['M', 'W'\].*is a bound"):
        scm.log_probability({name: rows[name] for name in "XY"})
    with pytest.raises(ValueError, match=r"condition on \['X'\].*has no bound"):
        scm.log_probability(rows, given="X")
    with pytest.raises(ValueError, match="samples must be a whole number"):
        scm.log_probability(rows, samples=0)
    with pytest.raises(ValueError, match=r"hidden causes \['M<->W', 'X<->Y'\].*no closed form"):
        scm.factor()
    with pytest.raises(ValueError, match=r"given \['Y'\].*\['M<->W', 'X<->Y'\] are hidden"):
        scm.sample(5, given={"Y": 0.0})


def test_finite_variables_have_no_table_either(laws):
    graph = Graph.parse("X -> Y; X <-> Y")
    scm = SCM(graph, {"X": laws.Binary(1), "Y": laws.Binary(2)}, guide=laws.Gaussian(2))
    with pytest.raises(ValueError, match=r"hidden causes \['X<->Y'\]"):
        scm.factor()
    rows = scm.sample(2000, given={"Y": 1})
    assert (rows["Y"] == 1).all()
    # Bayes: what is seen of X given Y = 1 in a large sample.
    many = scm.sample(100_000)
    expected = many["X"][many["Y"] == 1].mean()
    assert abs(rows["X"].mean() - expected) < 0.04
    # Importance weights estimate the probabilities of the cells, which sum to one.
    cells = {"X": torch.tensor([0.0, 0, 1, 1]), "Y": torch.tensor([0.0, 1, 0, 1])}
    total = scm.log_probability(cells, samples=100_000).exp()
    assert abs(total.sum() - 1) < 0.02
    found = torch.stack(
        [((many["X"] == x) & (many["Y"] == y)).double().mean() for x in (0, 1) for y in (0, 1)]
    )
    torch.testing.assert_close(total.detach(), found, rtol=0, atol=0.02)
