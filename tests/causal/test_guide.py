"""Draws of hidden causes from the guide: shapes, law, and which draws are the same."""

import pytest
import torch
import torch.distributions as td
from torch.distributions import constraints

from causal.draws import fixed
from causal.graph import Graph
from causal.guide import posterior
from causal.hidden import Hidden
from causal.scm import SCM

GRAPH = Graph.parse("X -> Y; X <-> Y; Y <-> Z")


@pytest.fixture
def scm(laws):
    parts = {"X": laws.Linear(1), "Y": laws.Linear(4), "Z": laws.Linear(2)}
    guide = laws.Gaussian(3, 3)
    return SCM(GRAPH, parts, hidden={("Y", "Z"): Hidden(2)}, guide=guide)


def draw(scm, rows, draws=None, samples=None):
    model = scm._mechanisms()
    with fixed(scm, draws):
        shared = {name: row if draws is None else row.unsqueeze(0) for name, row in rows.items()}
        return posterior(model, shared, len(rows["X"]), draws, samples)


@pytest.mark.parametrize("draws", [None, 3])
@pytest.mark.parametrize("samples", [None, 2])
@pytest.mark.parametrize("n", [1, 16, 17])
def test_axes(scm, draws, samples, n):
    drawn = draw(scm, scm.sample(n), draws, samples)
    lead = tuple(size for size in (draws, samples) if size is not None)
    assert drawn.values["X<->Y"].shape == (*lead, n)
    assert drawn.values["Y<->Z"].shape == (*lead, n, 2)
    assert drawn.log_density.shape == (*lead, n)


def test_the_draws_have_the_guides_law(scm):
    rows = scm.sample(3)
    drawn = draw(scm, rows, draws=100, samples=100)
    context = torch.stack([rows[name] for name in "XYZ"], -1)
    law = scm.guide.law(context)
    columns = torch.cat([drawn.values["X<->Y"].unsqueeze(-1), drawn.values["Y<->Z"]], -1)
    torch.testing.assert_close(columns.mean((0, 1)), law.mean, atol=0.04, rtol=0)
    torch.testing.assert_close(columns.var((0, 1)), law.variance, atol=0.04, rtol=0)
    torch.testing.assert_close(drawn.log_density, law.log_prob(columns))


@pytest.mark.parametrize("draws", [None, 4])
@pytest.mark.parametrize("samples", [None, 3])
def test_a_rows_draws_do_not_depend_on_the_rows_beside_it(scm, draws, samples):
    rows = scm.sample(70)
    model = scm._mechanisms()

    def some(n):
        shared = {k: (v[:n] if draws is None else v[:n].unsqueeze(0)) for k, v in rows.items()}
        return posterior(model, shared, n, draws, samples).values["Y<->Z"]

    with fixed(scm, draws):
        whole = some(70)
        for n in (1, 5, 16, 33):
            part = whole.movedim(-2, 0)[:n].movedim(0, -2)
            torch.testing.assert_close(some(n), part, rtol=0, atol=1e-14)


def test_draws_are_held_inside_fixed_and_new_outside(scm):
    rows = scm.sample(5)
    with fixed(scm, 2):
        assert torch.equal(scm.log_probability(rows), scm.log_probability(rows))
    assert not torch.equal(scm.log_probability(rows), scm.log_probability(rows))


def test_a_generator_leaves_the_global_state_alone(scm):
    rows = scm.sample(5)
    before = torch.get_rng_state()
    seeds = [torch.Generator().manual_seed(seed) for seed in (3, 3, 4)]
    first, again, other = (scm.log_probability(rows, generator=seed) for seed in seeds)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_distribution_that_cannot_be_expanded(laws):
    class Stubborn(td.Normal):
        def expand(self, batch_shape, _instance=None):
            raise NotImplementedError

    class Law(laws.Gaussian):
        def forward(self, context):
            return td.Independent(Stubborn(context @ self.weight.mT, 1.0), 1)

    parts = {"X": laws.Linear(1), "Y": laws.Linear(2)}
    scm = SCM(Graph.parse("X -> Y; X <-> Y"), parts, guide=Law(2))
    assert scm.log_probability(scm.sample(4), draws=3, samples=2).shape == (3, 4)


def test_gradients_are_reparameterised(scm):
    rows = scm.sample(4)
    drawn = draw(scm, rows, samples=5)
    drawn.values["X<->Y"].sum().backward()
    assert torch.allclose(
        scm.guide.law.weight.grad[0], 5 * torch.stack([rows[name].sum() for name in "XYZ"])
    )


def test_without_a_guide_the_mend_is_named(laws):
    parts = {"X": laws.Classes(1), "Y": laws.Linear(4)}
    scm = SCM(Graph.parse("X -> Y; X <-> Y"), parts)
    rows = scm.sample(4)
    mend = r"\['X<->Y'\].*no guide.*guide=law.*\['X\[0\]', 'X\[1\]', 'X\[2\]', 'Y'\].*\(1,\)"
    for ask in (
        lambda: scm.log_probability(rows),
        lambda: scm.counterfactual(rows, do={"X": 0}),
        lambda: scm.effect("Y", do={"X": 1}, against={"X": 0}, evidence=rows),
        lambda: scm.pyro_guide(rows),
    ):
        with pytest.raises(ValueError, match=mend):
            ask()
    assert Hidden().support is constraints.real
