"""Factor algebra against enumeration, its laws, and the Joint it is."""

import copy
import itertools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from causal.factor import Factor
from causal.joint import Joint

CARDS = {"A": 2, "B": 3, "C": 2, "D": 4}


def table(names, batch=(), seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (*batch, *(CARDS[n] for n in names))
    return Factor(tuple(names), torch.rand(shape, generator=generator, dtype=torch.float64) + 0.05)


def value(factor, event):
    return factor.values[(..., *(event[name] for name in factor.names))]


def events(names):
    for cell in itertools.product(*(range(CARDS[n]) for n in names)):
        yield dict(zip(names, cell, strict=True))


def same(first, second):
    assert sorted(first.names) == sorted(second.names)
    torch.testing.assert_close(first.values, second.permute(first.names).values)


SUBSETS = st.lists(st.sampled_from("ABCD"), unique=True, max_size=3)
BATCH = st.sampled_from([(), (2,), (5, 1)])


@given(SUBSETS, SUBSETS, SUBSETS, BATCH)
@settings(max_examples=40, deadline=None)
def test_algebra(first, second, third, batch):
    f, g, h = table(first, batch, 1), table(second, (2,), 2), table(third, (), 3)
    for event in events(sorted({*first, *second})):
        torch.testing.assert_close(value(f * g, event), value(f, event) * value(g, event))
        torch.testing.assert_close(value(f / g, event), value(f, event) / value(g, event))
    same(f * g, g * f)
    same((f * g) * h, f * (g * h))
    alone = set(first) - set(second)
    same((f * g).sum(alone), f.sum(alone) * g)  # what only f knows can be summed early
    same(f.sum(first[:1]).sum(first[1:]), f.sum(first))
    conditional = f.condition(first[:1])
    same(conditional * f.marginal(first[:1]), f)
    torch.testing.assert_close(f.normalise().marginal(()).values, torch.ones(batch).double())


def test_zero_over_zero_is_zero_without_gradient():
    values = torch.tensor([[0.0, 0.0], [0.2, 0.8]], dtype=torch.float64, requires_grad=True)
    conditional = Factor(("X", "Y"), values).condition("X")
    assert conditional.values[0].tolist() == [0, 0]
    conditional.values.pow(2).sum().backward()
    assert values.grad.isfinite().all()
    assert values.grad[0].tolist() == [0, 0]


def test_joint_against_enumeration():
    joint = table("ABC", (3,))
    total = joint.values.sum((1, 2, 3))
    rows = {"A": torch.tensor([0, 1, 1]), "C": torch.tensor([1, 0, 1])}
    expected = joint.values.sum(2)[:, rows["A"], rows["C"]] / total[:, None]
    torch.testing.assert_close(joint.log_probability(rows).exp(), expected)
    given_c = expected / (joint.values.sum((1, 2))[:, rows["C"]] / total[:, None])
    torch.testing.assert_close(joint.log_probability(rows, given="C").exp(), given_c)
    torch.testing.assert_close(joint.log_probability(rows, given={"C"}).exp(), given_c)
    torch.testing.assert_close(
        joint.log_probability({"A": rows["A"]}, given={"C": rows["C"]}).exp(), given_c
    )
    assert joint.log_probability({"A": 1}).shape == (3,)
    assert joint.variables == ("A", "B", "C")
    assert isinstance(joint, Joint)
    assert joint.factor() is joint


def test_state_names():
    joint = Factor(("W", "R"), torch.tensor([[0.1, 0.2], [0.3, 0.4]]), {"W": ("dry", "wet")})
    assert joint.select({"W": "wet"}).values.tolist() == pytest.approx([0.3, 0.4])
    assert joint.log_probability({"W": ["dry", "wet"]}).exp().tolist() == pytest.approx([0.3, 0.7])
    assert joint.log_probability({"W": "wet"}).exp().item() == pytest.approx(0.7)
    assert joint.permute(("R", "W")).states == {"W": ("dry", "wet")}
    assert (joint * Factor(("R",), torch.ones(2))).states == {"W": ("dry", "wet")}


def test_conditions_without_probability():
    joint = Factor(("X", "Y"), torch.tensor([[0.0, 0.0], [0.5, 0.5]]))
    assert joint.log_probability({"Y": 0}, given={"X": 0}) == -torch.inf
    with pytest.raises(ValueError, match=r"no \(finite\) probability"):
        joint.sample(3, given={"X": 0})


def test_samples_have_the_tables_frequencies():
    joint = table("AB", (2,)).normalise()
    rows = joint.sample(40_000, generator=torch.Generator().manual_seed(0))
    assert rows["A"].shape == (2, 40_000)
    for k in range(2):
        cells = torch.bincount(rows["A"][k] * 3 + rows["B"][k], minlength=6) / 40_000
        torch.testing.assert_close(cells.double(), joint.values[k].flatten(), atol=0.01, rtol=0)
    given_b = torch.arange(3).repeat(10_000)
    rows = joint.sample(30_000, given={"B": given_b})
    assert torch.equal(rows["B"], given_b.expand(2, -1))
    share = torch.stack([rows["A"][:, given_b == b].double().mean(1) for b in range(3)], 1)
    torch.testing.assert_close(share, joint.condition("B").values[:, 1], atol=0.02, rtol=0)
    everything = joint.sample(4, given={"A": 1, "B": 2})
    assert everything["B"].tolist() == [[2] * 4] * 2


def test_sampling_uses_the_generator_alone():
    before = torch.get_rng_state()
    draws = [table("AB").sample(50, generator=torch.Generator().manual_seed(4)) for _ in range(2)]
    assert all(torch.equal(draws[0][k], draws[1][k]) for k in "AB")
    assert torch.equal(torch.get_rng_state(), before)


def test_never_samples_an_empty_cell():
    rows = Factor(("X",), torch.tensor([0.0, 1e-30, 0.0, 1.0, 0.0])).sample(10_000)["X"]
    assert set(rows.tolist()) <= {1, 3}


def test_gradients_and_vmap():
    values = table("AB").values.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: Factor(("A", "B"), v).condition("A").marginal("B").values, (values,)
    )
    batched = table("AB", (5,))
    mapped = torch.func.vmap(lambda f: f.condition("B").sum("A"))(batched)
    assert isinstance(mapped, Factor)
    torch.testing.assert_close(mapped.values, batched.condition("B").sum("A").values)
    out = torch.func.vmap(lambda f, g: f * g, in_dims=(0, None))(batched, table("BC"))
    same(out, batched * table("BC"))


def test_pickle_and_copy():
    factor = Factor(("W",), torch.tensor([0.5, 0.5]), {"W": ("dry", "wet")})
    for other in (pickle.loads(pickle.dumps(factor)), copy.deepcopy(factor)):
        assert other.names == factor.names
        assert other.states == factor.states
        assert torch.equal(other.values, factor.values)
    with pytest.raises(AttributeError):
        factor.names = ()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Factor(("A", "B"), torch.ones(2)), "1 dimension.*fewer than the names"),
        (lambda: Factor(("A", "A"), torch.ones(2, 2)), "must differ"),
        (lambda: Factor(("A",), torch.ones(2), {"A": ("x",)}), "'A' has 2 states"),
        (lambda: Factor(("A",), torch.ones(2), {"Q": ("x", "y")}), "'Q'"),
        (lambda: table("AB").sum("Q"), r"unknown name.*\['Q'\].*\['A', 'B'\]"),
        (lambda: table("AB").condition({"Q"}), r"\['Q'\]"),
        (lambda: table("AB").select({"A": 2}), "index out of range: 'A' has states 0 … 1"),
        (lambda: table("AB").select({"A": "x"}), "'A' has no state 'x'"),
        (lambda: table("AB").permute(("A",)), "permute needs each"),
        (lambda: table("A") * Factor(("A",), torch.ones(3)), "cardinality mismatch: 'A' has 2"),
        (lambda: table("AB").log_probability({"Q": 1}), r"\['Q'\]"),
        (lambda: table("AB").log_probability({"A": 1}, given="B"), r"\['B'\]"),
        (lambda: table("AB").log_probability({"A": torch.tensor([0, 5])}), "out of range"),
        (lambda: table("AB").log_probability({"A": torch.tensor([0.5])}), "fractions"),
        (
            lambda: table("AB").log_probability({"A": torch.zeros(2).long(), "B": [1]}),
            r"different lengths: \{'A': \(2,\), 'B': \(1,\)\}",
        ),
        (lambda: table("AB").sample(3, given={"A": torch.zeros(2).long()}), r"expected \(3,\)"),
        (
            lambda: (
                Factor(("A",), torch.ones(2), {"A": ("x", "y")})
                * Factor(("A",), torch.ones(2), {"A": ("y", "x")})
            ),
            "'A' has states",
        ),
    ],
)
def test_errors_name_the_thing(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_condition_on_states():
    joint = table("AB")
    assert torch.equal(joint.condition({"A": 1}).values, joint.condition("A").values[1])
    labelled = Factor(("A",), torch.ones(2), {"A": ("x", "y")})
    with pytest.raises(ValueError, match="no state 'z'"):
        labelled.condition({"A": "z"})
    with pytest.raises(ValueError, match=r"takes one state, got shape \(2,\)"):
        joint.select({"A": torch.tensor([0, 1])})


def test_batches_that_do_not_go_together():
    with pytest.raises(ValueError, match=r"batch shapes \(4,\) and \(5,\)"):
        Factor(("A",), torch.ones(4, 2)) * Factor(("A",), torch.ones(5, 2))


def test_wrong_types():
    with pytest.raises(TypeError, match="floating point"):
        Factor(("A",), torch.ones(2).long())
    with pytest.raises(TypeError, match="the string 'AB'"):
        Factor("AB", torch.ones(2, 2))
