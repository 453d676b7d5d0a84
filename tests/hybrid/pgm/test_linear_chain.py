"""Conditional random fields: enumeration, supervision in part, laws, learning."""

import copy
import itertools
import pickle

import pyro
import pytest
import torch
from chain_paths import log_partition_by_paths, marginals_by_paths, weights_of_paths
from torch import nn

import hybrid
from hybrid.pgm import Chain, ImpossibleSequence, LabelSequence, LinearChainCRF
from hybrid.testing import check_law


def field(**options):
    """A field on contexts of width 2 whose scores of neighbours are not zero."""
    law = LinearChainCRF(nn.Linear(2, 4), states=3, **options).double()
    with torch.no_grad():
        for name in ("transition", "first", "last"):
            law.body.get_parameter(name).normal_()
    return law


def close(one, other, atol=1e-12):
    return torch.allclose(one, other, rtol=0, atol=atol)


def test_scores_are_summed_as_the_formula_says():
    law, context = field(), torch.randn(2, 3, 2, dtype=torch.float64)
    unary, pairwise, first, last = law.body(context)
    distribution = law(context)
    for row in range(2):
        logs = {}
        for z in itertools.product(range(3), repeat=3):
            score = first[0, z[0]] + last[0, z[2]] + sum(unary[row, t, z[t]] for t in range(3))
            logs[z] = score + sum(pairwise[0, 0, z[t], z[t + 1]] for t in range(2))
        total = torch.stack(list(logs.values())).logsumexp(0)
        for z, score in logs.items():
            labels = torch.tensor(z).expand(2, 3)
            assert close(distribution.log_prob(labels)[row], score - total)


@pytest.mark.parametrize("pairwise", [False, True])
def test_every_answer_is_that_of_enumeration(pairwise):
    law = field(pairwise=pairwise)
    distribution = law(torch.randn(3, 4, 2, dtype=torch.float64))
    chain = distribution.chain
    single, pairs = marginals_by_paths(chain)
    assert close(distribution.log_partition, log_partition_by_paths(chain))
    assert close(distribution.marginals(), single)
    assert close(distribution.pair_marginals(), pairs)
    for row, (paths, logs) in enumerate(weights_of_paths(chain)):
        logs = logs.log_softmax(0)
        best = distribution.most_probable()
        assert best.states[row].tolist() == paths[logs.argmax()].tolist()
        assert close(best.log_probability[row], logs.max())
        assert close(distribution.entropy()[row], -(logs.exp() * logs).sum())
        assert close(distribution.log_prob(paths[7].expand(3, 4))[row], logs[7])


def test_neighbours_scored_by_the_body():
    law = field(pairwise=True)
    context = torch.randn(2, 4, 2, dtype=torch.float64)
    assert law(context).chain.pairwise.shape == (2, 3, 3, 3)
    changed = context.clone()
    changed[:, 0] += 1.0  # the pair of steps 1 and 2 is scored from the context of step 2
    one, other = (law(x).chain.pairwise for x in (context, changed))
    assert torch.equal(one, other)
    changed[:, 2] += 1.0
    assert (law(changed).chain.pairwise != one).flatten(2).any(-1).tolist() == [
        [False, True, False]
    ] * 2


def test_labels_of_minus_one_are_summed_out():
    law = field()
    distribution = law(torch.randn(1, 4, 2, dtype=torch.float64))
    labels = torch.tensor([[0, -1, 2, -1]])
    shares = []
    for a, b in itertools.product(range(3), repeat=2):
        shares.append(distribution.log_prob(torch.tensor([[0, a, 2, b]])))
    assert close(distribution.log_prob(labels), torch.stack(shares).logsumexp(0))
    assert close(distribution.log_prob(torch.full((1, 4), -1)), torch.zeros(1).double())
    given = distribution.given(labels)
    expected = (
        distribution.log_prob(torch.tensor([[0, 1, 2, -1]])) - distribution.log_prob(labels)
    ).exp()
    assert close(given.marginals()[:, 1, 1], expected)
    drawn = given.sample((500,), torch.Generator().manual_seed(0))
    assert (drawn[..., [0, 2]] == torch.tensor([0, 2])).all()
    mixed = distribution.log_prob(labels.double())
    assert close(mixed, distribution.log_prob(labels))


def test_gradients_with_labels_missing_are_finite_differences():
    law = field()
    context = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([[0, -1, 2], [1, 2, 0]])
    assert torch.autograd.gradcheck(lambda x: law(x).log_prob(labels), context, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: law(x).entropy(), context, atol=1e-6)


def test_a_mask_shortens_rows():
    plain, masked = field(), field(mask=-1)
    masked.load_state_dict(plain.state_dict())
    context = torch.randn(3, 5, 2, dtype=torch.float64)
    lengths = [2, 5, 1]
    column = (torch.arange(5) < torch.tensor(lengths).unsqueeze(-1)).double().unsqueeze(-1)
    context[column.squeeze(-1) == 0] = torch.nan
    distribution = masked(torch.cat([context, column], -1))
    labels = torch.randint(3, (3, 5))
    labels[0, 3] = 77
    logs, marginals, path = (
        distribution.log_prob(labels), distribution.marginals(), distribution.most_probable()
    )  # fmt: skip
    entropy = distribution.entropy()
    for row, n in enumerate(lengths):
        alone = plain(context[row : row + 1, :n])
        assert close(logs[row], alone.log_prob(labels[row : row + 1, :n])[0])
        assert close(marginals[row, :n], alone.marginals()[0])
        assert close(entropy[row], alone.entropy()[0])
        assert path.states[row].tolist() == alone.mode[0].tolist() + [-1] * (5 - n)
    assert (distribution.sample((7,))[:, column.squeeze(-1) == 0] == -1).all()
    logs.sum().backward()
    assert all(p.grad.isfinite().all() for p in masked.parameters())


def test_samples_have_the_marginals():
    distribution = field()(torch.randn(2, 4, 2, dtype=torch.float64))
    drawn = distribution.sample((20_000,), torch.Generator().manual_seed(0))
    found = nn.functional.one_hot(drawn, 3).double().mean(0)
    assert (found - distribution.marginals()).abs().max() < 0.015
    assert distribution.sample((2, 3)).shape == (2, 3, 2, 4)
    assert distribution.sample().shape == (2, 4)
    assert distribution.sample((0,)).shape == (0, 2, 4)


# ------------------------------------------------------------------------ laws


@pytest.mark.parametrize("pairwise", [False, True])
def test_it_is_a_law(pairwise):
    law = LinearChainCRF(nn.Linear(2, 4), states=3, steps=5, pairwise=pairwise)
    check_law(law, 2)
    check_law(hybrid.bayes.variational(law), 2)


def test_a_field_without_context_is_a_law():
    check_law(LinearChainCRF(states=3, steps=4), 0)
    assert LinearChainCRF(states=3)(torch.zeros(5, 4, 0)).batch_shape == (5,)


def test_random_weights_reach_every_score():
    law = hybrid.bayes.variational(LinearChainCRF(nn.Linear(2, 4), states=3, pairwise=True))
    context, labels = torch.randn(6, 5, 2), torch.randint(3, (6, 5))
    distribution = law(context, draws=4)
    assert distribution.batch_shape == (4, 6)
    assert distribution.log_prob(labels).shape == (4, 6)
    assert distribution.marginals().mean(0).shape == (6, 5, 3)
    assert (distribution.chain.pairwise[0] != distribution.chain.pairwise[1]).all()
    with hybrid.bayes.fixed(law, 4):
        one, two = (law(context.unsqueeze(0)).log_prob(labels) for _ in range(2))
    assert torch.equal(one, two)
    assert law(context).log_prob(labels).shape == (6,)
    plain = LinearChainCRF(nn.Linear(2, 4), states=3)
    assert plain(context, draws=4).log_prob(labels).shape == (4, 6)


def tagging(rows, seed):
    """Words of a sticky hidden chain: a word alone says little, its neighbours say the rest."""
    generator = torch.Generator().manual_seed(seed)
    move = torch.rand(rows, 12, generator=generator) < 0.15
    jump = torch.randint(1, 3, (rows, 12), generator=generator) * move
    labels = jump.cumsum(-1) % 3
    noise = torch.rand(rows, 12, generator=generator) < 0.4
    words = torch.where(noise, torch.randint(3, (rows, 12), generator=generator), labels)
    return nn.functional.one_hot(words, 3).float(), labels


def test_a_backbone_and_a_field_learn_to_tag():
    torch.manual_seed(0)
    x, y = tagging(300, 0)
    y = y.masked_fill(torch.rand(y.shape) < 0.3, -1)  # 30 % of the labels are missing
    law = LinearChainCRF(nn.Linear(3, 8), states=3)
    objective = hybrid.objectives.ELBO(law, data_size=len(x))
    hybrid.fit(
        objective,
        (x, y),
        optimizer=lambda p: torch.optim.Adam(p, 0.1),
        epochs=8,
        batch_size=100,
        seed=0,
        progress=False,
    )
    x, y = tagging(500, 1)
    distribution = law(x)
    field_accuracy = (distribution.mode == y).float().mean()
    word_accuracy = (x.argmax(-1) == y).float().mean()
    assert field_accuracy > word_accuracy + 0.08
    # Calibration: labels given a probability p are right in a share p of the cases.
    p = distribution.marginals().detach()
    hit = nn.functional.one_hot(y, 3).bool()
    for low in (0.1, 0.3, 0.5, 0.7, 0.9):
        chosen = (p >= low - 0.1) & (p < low + 0.1)
        assert abs(float(p[chosen].mean() - hit[chosen].float().mean())) < 0.06


def test_pyro_programs_take_it():
    law, context = field(), torch.randn(6, 4, 2, dtype=torch.float64)
    labels = torch.randint(3, (6, 4))

    def program(y=None):
        with pyro.plate("rows", 6):
            return pyro.sample("y", law(context), obs=y)

    assert program().shape == (6, 4)
    trace = pyro.poutine.trace(program).get_trace(labels)
    assert close(trace.log_prob_sum(), law(context).log_prob(labels).sum(), atol=1e-9)


def test_it_survives_copies():
    law, context = field(), torch.randn(6, 4, 2, dtype=torch.float64)
    for twin in (copy.deepcopy(law), pickle.loads(pickle.dumps(law))):
        assert torch.equal(twin(context).chain.unary, law(context).chain.unary)


# ----------------------------------------------------------------------- wrong


def test_what_does_not_fit_is_said():
    law, context = field(), torch.randn(2, 4, 2, dtype=torch.float64)
    distribution = law(context)
    with pytest.raises(ValueError, match="row 1, step 2: the state is 3"):
        distribution.log_prob(torch.tensor([[0, 0, 0, 0], [0, 0, 3, 0]]))
    with pytest.raises(ValueError, match="expected the 4 steps"):
        distribution.log_prob(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="whole numbers"):
        distribution.log_prob(torch.full((2, 4), 0.5))
    with pytest.raises(ValueError, match="whole numbers"):
        distribution.log_prob(torch.full((2, 4), torch.nan))
    with pytest.raises(ValueError, match=r"expected \(\*batch, steps, width\)"):
        law(torch.zeros(2))
    with pytest.raises(ValueError, match="has no static event_shape"):
        _ = law.event_shape
    with pytest.raises(ValueError, match="states must be at least 2, got 1"):
        LinearChainCRF(nn.Linear(2, 4), states=1)
    with pytest.raises(ValueError, match="mask= is a column"):
        LinearChainCRF(nn.Linear(2, 4), states=2, steps=3, mask=0)
    with pytest.raises(ValueError, match="mask=5, but the context has 2 columns"):
        field(mask=5)(context)
    with pytest.raises(ValueError, match="expected 1 on a row's steps"):
        field(mask=0)(context)


def test_labels_that_no_path_has():
    unary = torch.zeros(3, 4, 2)
    unary[1, 2] = -torch.inf
    with pytest.raises(ImpossibleSequence, match=r"row 1 .* explain step 2"):
        LabelSequence(Chain(unary, torch.zeros(1, 2, 2))).marginals()
    forbidden = torch.tensor([[[0.0, -torch.inf], [0.0, 0.0]]])
    distribution = LabelSequence(Chain(torch.zeros(1, 3, 2), forbidden))
    assert distribution.log_prob(torch.tensor([[0, 1, 1]])).tolist() == [-torch.inf]
    with pytest.raises(ImpossibleSequence):
        distribution.given(torch.tensor([[0, 1, -1]])).marginals()
