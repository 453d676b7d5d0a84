"""The oracle of the identification tests against closed forms, and against itself."""

import itertools

import numpy as np
import pytest
from enumeration import Model, topological


def model(seed=0, directed=(("X", "M"), ("M", "Y")), bidirected=(("X", "Y"),), **options):
    return Model.random(directed, bidirected, rng=seed, **options)


@pytest.mark.parametrize("seed", range(3))
def test_the_joint_is_the_sum_over_hidden_causes(seed):
    m = model(seed, cards={"M": 3}, hidden=3)
    hidden = m.hidden[("X", "Y")]
    x, mm, y = m.mechanism("X"), m.mechanism("M"), m.mechanism("Y")
    by_hand = np.einsum("h,hx,xm,mhy->mxy", hidden, x, mm, y)
    np.testing.assert_allclose(m.observational(), by_hand, rtol=1e-13)
    assert by_hand.sum() == pytest.approx(1)
    do_x = np.einsum("h,xm,mhy->mxy", hidden, mm, y)
    np.testing.assert_allclose(m.interventional({"X"}), do_x, rtol=1e-13)
    np.testing.assert_allclose(m.query("Y", "X"), do_x.sum(0), rtol=1e-13)
    given = do_x / do_x.sum(2, keepdims=True)
    np.testing.assert_allclose(m.query("Y", "X", "M"), given, rtol=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_known_formulas(seed):
    m = model(seed, hidden=4)
    p = m.observational()  # axes M, X, Y
    m_x = p.sum(2) / p.sum((0, 2))
    y_mx = p / p.sum(2, keepdims=True)
    frontdoor = np.einsum("mx,mzy,z->xy", m_x, y_mx, p.sum((0, 2)))
    np.testing.assert_allclose(m.query("Y", "X"), frontdoor, rtol=1e-12)
    assert abs(m.query("Y", "X") - (p.sum(0) / p.sum((0, 2))[:, None])).max() > 1e-4
    backdoor = model(seed, [("Z", "X"), ("Z", "Y"), ("X", "Y")], ())
    p = backdoor.observational()  # axes X, Y, Z
    adjusted = np.einsum("xyz,z->xy", p / p.sum(1, keepdims=True), p.sum((0, 1)))
    np.testing.assert_allclose(backdoor.query("Y", "X"), adjusted, rtol=1e-12)


@pytest.mark.parametrize("bidirected", [(), (("X", "Y"),), (("X", "M"), ("M", "Y"))])
def test_one_world_of_a_counterfactual_is_an_intervention(bidirected):
    m = model(1, bidirected=bidirected, noise=2)
    np.testing.assert_allclose(
        [
            [[m.counterfactual([("M", i, {}), ("X", j, {}), ("Y", k, {})]) for k in (0, 1)]
             for j in (0, 1)]
            for i in (0, 1)
        ],
        m.observational(),
        rtol=1e-12,
    )  # fmt: skip
    for x, y in itertools.product(range(2), repeat=2):
        single = m.counterfactual([("Y", y, {"X": x})])
        assert single == pytest.approx(m.query("Y", "X")[x, y], rel=1e-12)
        consistent = m.counterfactual([("Y", y, {"X": x})], [("X", x, {})])
        assert consistent == pytest.approx(m.counterfactual([("Y", y, {})], [("X", x, {})]))
        assert m.counterfactual([("X", x, {"X": y})]) == (x == y)


def test_counterfactuals_by_hand():
    # X = e_X, Y = X xor e_Y: Y_{1-x} is the opposite of Y_x for each unit.
    tables = {"X": np.array([0, 1]), "Y": np.array([[0, 1], [1, 0]])}
    noise = {"X": np.array([0.3, 0.7]), "Y": np.array([0.9, 0.1])}
    m = Model(("X", "Y"), {"X": (), "Y": ("X",)}, {"X": 2, "Y": 2}, {}, noise, tables)
    assert m.counterfactual([("Y", 1, {"X": 1})], [("X", 0, {}), ("Y", 0, {})]) == 1
    assert m.counterfactual([("Y", 1, {"X": 0})]) == pytest.approx(0.1)
    nested = ("Y", 1, {"X": ("X", None, {})})
    assert m.counterfactual([nested]) == pytest.approx(m.counterfactual([("Y", 1, {})]))
    with pytest.raises(ZeroDivisionError, match="probability 0"):
        m.counterfactual([("X", 1, {})], [("Y", 0, {"X": 0}), ("Y", 0, {"X": 1})])


@pytest.mark.parametrize("seed", range(3))
def test_mediation_without_hidden_causes(seed):
    m = model(seed, [("X", "M"), ("M", "Y"), ("X", "Y")], (), noise=2)
    p_m, p_y = m.mechanism("M"), m.mechanism("Y")  # axes X, M and M, X, Y
    nested = ("Y", 1, {"X": 1, "M": ("M", None, {"X": 0})})
    assert m.counterfactual([nested]) == pytest.approx(p_m[0] @ p_y[:, 1, 1], rel=1e-12)


def test_models_keep_their_floors():
    for seed in range(5):
        m = model(seed, cards={"X": 3}, floor=0.1)
        assert min(m.mechanism(v).min() for v in m.nodes) >= 0.1 - 1e-12
        assert model(seed, cards={"X": 3}, cell=0.01).observational().min() >= 0.01 - 1e-12
    first, second = model(3), model(3)
    np.testing.assert_array_equal(first.observational(), second.observational())
    with pytest.raises(ValueError, match="cells cannot"):
        model(cell=0.2)


def test_errors():
    assert topological("CBA", [("C", "A")]) == ("B", "C", "A")
    with pytest.raises(ValueError, match="cycle"):
        topological("AB", [("A", "B"), ("B", "A")])
    with pytest.raises(ValueError, match="no value"):
        model().counterfactual([("Y", None, {})])
    with pytest.raises(ValueError, match="None"):
        model().counterfactual([("Y", 1, {"X": ("X", 1, {})})])
