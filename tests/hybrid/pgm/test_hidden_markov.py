"""Hidden Markov models: enumeration, closed forms, Pyro; laws; what a user does wrong."""

import copy
import itertools
import pickle

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import causal
import hybrid
from hybrid.heads import Bernoulli, Categorical, Normal
from hybrid.pgm import HiddenMarkovModel, ImpossibleSequence
from hybrid.pgm.networks.nodes import Table
from hybrid.testing import check_law

INITIAL = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
TRANSITION = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.6, 0.4], [0.3, 0.0, 0.7]], dtype=torch.float64)
EMISSION = torch.tensor(
    [[0.5, 0.5, 0.0, 0.0], [0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.9, 0.1]], dtype=torch.float64
)
SYMBOLS = torch.tensor([[0, 1, 2, 2, 3], [1, 3, -1, 2, 0]])


def symbols():
    return HiddenMarkovModel(INITIAL, TRANSITION, EMISSION)


def enumerated(y, length=None, transition=TRANSITION):
    """p(z, y) for every path, of one row; -1 is not observed."""
    length = len(y) if length is None else length
    found = {}
    for z in itertools.product(range(3), repeat=length):
        p = INITIAL[z[0]]
        for t in range(length):
            p = p * (EMISSION[z[t], y[t]] if y[t] >= 0 else 1)
            p = p * (transition[z[t], z[t + 1]] if t + 1 < length else 1)
        found[z] = p
    return found


def close(one, other, atol=1e-12):
    return torch.allclose(one, other, rtol=0, atol=atol)


# --------------------------------------------------------------------- oracles


def test_every_answer_is_that_of_enumeration():
    model = symbols()
    logs, smoothed, filtered = (
        ask(SYMBOLS) for ask in (model.log_probability, model.marginals, model.filtered)
    )
    pairs, path = model.pair_marginals(SYMBOLS), model.most_probable(SYMBOLS)
    for row, y in enumerate(SYMBOLS.tolist()):
        joint = enumerated(y)
        total = sum(joint.values())
        assert close(logs[row], total.log())
        best = max(joint, key=joint.get)
        assert tuple(path.states[row].tolist()) == best
        assert close(path.log_probability[row], joint[best].log())
        for t, k in itertools.product(range(5), range(3)):
            share = sum(p for z, p in joint.items() if z[t] == k) / total
            assert close(smoothed[row, t, k], share)
            early = enumerated(y[: t + 1])
            share = sum(p for z, p in early.items() if z[t] == k) / sum(early.values())
            assert close(filtered[row, t, k], share)
        share = sum(p for z, p in joint.items() if z[1:3] == (1, 2)) / total
        assert close(pairs[row, 1, 1, 2], share)


def test_lengths_and_masks_are_shorter_rows():
    model, lengths = symbols(), torch.tensor([3, 4])
    mask = torch.arange(5) < lengths.unsqueeze(-1)
    garbage = SYMBOLS.masked_fill(~mask, 99)
    expected = [
        sum(enumerated(y, n).values()) for y, n in zip(SYMBOLS.tolist(), [3, 4], strict=True)
    ]
    for given in ({"lengths": lengths}, {"mask": mask}):
        assert close(model.log_probability(garbage, **given), torch.stack(expected).log())
        assert not model.marginals(garbage, **given)[~mask].any()
        assert (model.most_probable(garbage, **given).states[~mask] == -1).all()
        assert (model.sample_states(garbage, 3, **given)[:, ~mask] == -1).all()


def test_unobserved_steps_at_the_end_change_nothing():
    """A law of hidden Markov models: rows of transitions and emissions sum to one."""
    model, lengths = symbols(), torch.tensor([3, 4])
    over = torch.arange(5) >= lengths.unsqueeze(-1)
    padded = model.log_probability(SYMBOLS.masked_fill(over, -1))
    assert close(padded, model.log_probability(SYMBOLS, lengths=lengths))


def test_transitions_that_change_with_time():
    later = torch.stack([TRANSITION, TRANSITION.flip(0), TRANSITION, TRANSITION.flip(1)])
    model = HiddenMarkovModel(INITIAL, later, EMISSION)
    y = SYMBOLS[:1]
    total = 0.0
    for z in itertools.product(range(3), repeat=5):
        p = INITIAL[z[0]]
        for t in range(5):
            p = p * EMISSION[z[t], y[0, t]] * (later[t, z[t], z[t + 1]] if t < 4 else 1)
        total = total + p
    assert close(model.log_probability(y), total.log().unsqueeze(0))


def test_pyro_agrees():
    means = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    emission = Normal(nn.Linear(3, 4)).double()
    model = HiddenMarkovModel(INITIAL, TRANSITION.clamp_min(0.01).softmax(-1), emission)
    y = torch.randn(6, 20, dtype=torch.float64) + means[0]
    each = emission(torch.eye(3, dtype=torch.float64))
    # Pyro's first transition comes before the first observation.
    transition = model.transition.probabilities()
    start = torch.linalg.solve(transition.mT, INITIAL)
    theirs = dist.DiscreteHMM(start.clamp_min(1e-300).log(), transition.log(), each, duration=20)
    first = (start.unsqueeze(0) @ transition).squeeze(0)
    if (start >= 0).all():
        assert close(first, INITIAL)
        assert close(model.log_probability(y), theirs.log_prob(y), atol=1e-9)
    uniform = torch.full((3,), 1 / 3, dtype=torch.float64)
    mixed = HiddenMarkovModel((uniform @ transition), transition, emission)
    theirs = dist.DiscreteHMM(uniform.log(), transition.log(), each, duration=20)
    assert close(mixed.log_probability(y), theirs.log_prob(y), atol=1e-9)
    assert close(mixed.filtered(y)[:, -1].log(), theirs.filter(y).logits, atol=1e-9)


def test_two_steps_in_closed_form():
    """Two normals, a symmetric chain: log p(y) by hand."""
    emission = Normal(nn.Linear(2, 2), features=2)
    model = HiddenMarkovModel(
        torch.tensor([0.5, 0.5]), torch.tensor([[0.8, 0.2], [0.2, 0.8]]), emission
    )
    y = torch.tensor([[0.3, -0.4]])
    single = emission(torch.eye(2)).log_prob(y.T).exp().double()  # (step, state)
    table = torch.tensor([[0.4, 0.1], [0.1, 0.4]], dtype=torch.float64)
    expected = (single[0].unsqueeze(-1) * table * single[1]).sum().log()
    assert close(model.log_probability(y).double()[0], expected, atol=1e-6)


def test_gradients_are_finite_differences():
    torch.manual_seed(1)
    model = HiddenMarkovModel(
        Table(INITIAL, trainable=True),
        Table(TRANSITION, trainable=True),
        Table(EMISSION, trainable=True),
    )
    names = [name for name, _ in model.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in model.parameters()]

    def log_probability(*own):
        found = torch.func.functional_call(
            model, dict(zip(names, own, strict=True)), (torch.zeros(2, 5, 0),)
        )
        return found.log_prob(SYMBOLS)

    assert len(names) == 3
    assert torch.autograd.gradcheck(log_probability, values, atol=1e-6)


# ------------------------------------------------------------------ simulation


def test_samples_are_as_frequent_as_the_chain_says():
    states, y = symbols().sample(20_000, 3, generator=torch.Generator().manual_seed(0))
    assert states.shape == y.shape == (20_000, 3)
    assert EMISSION[states, y].min() > 0
    counts = torch.bincount((states * torch.tensor([9, 3, 1])).sum(-1), minlength=27).double()
    expected = torch.einsum("i,ij,jk->ijk", INITIAL, TRANSITION, TRANSITION).flatten()
    assert (counts / 20_000 - expected).abs().max() < 0.015
    seen = torch.bincount(y[:, 2], minlength=4).double() / 20_000
    prior = INITIAL @ TRANSITION @ TRANSITION @ EMISSION
    assert (seen - prior).abs().max() < 0.015


def test_sampled_states_have_the_smoothed_marginals():
    model = symbols()
    drawn = model.sample_states(SYMBOLS, 20_000, generator=torch.Generator().manual_seed(0))
    found = nn.functional.one_hot(drawn, 3).double().mean(0)
    assert (found - model.marginals(SYMBOLS)).abs().max() < 0.015


def test_a_generator_leaves_the_global_state():
    model = HiddenMarkovModel(INITIAL, TRANSITION, Normal(nn.Linear(3, 4)))
    before = torch.get_rng_state()
    one, two = (model.sample(4, 6, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.observations, two.observations)
    assert torch.equal(one.states, two.states)
    assert torch.equal(before, torch.get_rng_state())


def test_moments_are_those_of_samples():
    torch.manual_seed(0)
    law = HiddenMarkovModel(INITIAL, TRANSITION, Normal(nn.Linear(3, 4), event=2), steps=4)
    distribution = law(torch.zeros(0))
    drawn = distribution.sample((40_000,))
    assert drawn.shape == (40_000, 4, 2)
    assert close(distribution.mean, drawn.mean(0).to(distribution.mean), atol=0.03)
    assert close(distribution.variance, drawn.var(0).to(distribution.mean), atol=0.05)


def test_moments_of_parts_in_different_dtypes():
    """A table in doubles beside a law in singles."""
    transition = Bernoulli(nn.Linear(3, 4))
    law = HiddenMarkovModel(INITIAL[:2] / 0.8, transition, Normal(nn.Linear(3, 4)), steps=3)
    prediction = hybrid.predict(law, torch.randn(4, 1))
    assert prediction.mean.shape == prediction.variance.shape == (4, 3)
    assert law(torch.randn(4, 1)).state_probabilities().sum(-1).allclose(torch.ones(4, 3).double())


def test_it_is_a_mechanism():
    graph = causal.Graph.parse("X -> Y; Y -> Z")
    law = HiddenMarkovModel(INITIAL, TRANSITION, Normal(nn.Linear(4, 4)), steps=3)
    laws = {"X": Normal(None), "Y": law, "Z": Normal(nn.Linear(3, 4))}
    scm = causal.SCM(graph, laws)
    rows = scm.sample(5)
    assert rows["Y"].shape == (5, 3)
    assert scm.log_probability(rows).isfinite().all()


def test_the_next_observation():
    model, lengths = symbols(), torch.tensor([3, 5])
    ahead = model.predict(SYMBOLS, lengths=lengths)
    last = torch.stack([model.filtered(SYMBOLS)[0, 2], model.filtered(SYMBOLS)[1, 4]])
    expected = last @ TRANSITION @ EMISSION
    for symbol in range(4):
        assert close(ahead.log_prob(torch.full((2,), symbol)).exp(), expected[:, symbol])
    y = torch.tensor([[0, 1, 2, 2, 3, k] for k in range(4)])
    ratio = model.log_probability(y) - model.log_probability(y[:, :5])
    found = torch.stack([model.predict(y[:1, :5]).log_prob(torch.tensor([k]))[0] for k in range(4)])
    assert close(found, ratio)


# ------------------------------------------------------------------------ laws


def neural(width, **options):
    return HiddenMarkovModel(
        Categorical(nn.Linear(width, 4), states=3),
        Categorical(nn.Linear(3 + width, 4), states=3),
        Normal(nn.Linear(3 + width, 4)),
        **options,
    )


@pytest.mark.parametrize("event", [None, 2])
def test_it_is_a_law(event):
    emission = Normal(nn.Linear(5, 4), event=event)
    model = HiddenMarkovModel(
        Categorical(nn.Linear(2, 4), states=3), Table(TRANSITION), emission, steps=4
    )
    check_law(model, 2)
    check_law(neural(2, steps=3), 2)
    check_law(hybrid.bayes.variational(neural(2, steps=3)), 2)


def test_tables_alone_are_a_law():
    trained = (Table(x, trainable=True) for x in (INITIAL, TRANSITION.clamp_min(0.1).softmax(-1)))
    positive = Table(EMISSION.clamp_min(0.1).softmax(-1), trainable=True)
    check_law(HiddenMarkovModel(*trained, positive, steps=3), 0)


def test_contexts_per_step_are_read_at_their_step():
    model = neural(2)
    context, y = torch.randn(5, 4, 2), torch.randn(5, 4)
    whole = model.log_probability(y, context)
    for row in range(5):
        logs = model.initial(context[row, 0]).logits.log_softmax(-1)
        for t in range(4):
            here = torch.cat([torch.eye(3), context[row, t].expand(3, 2)], -1)
            if t:
                logs = (logs.unsqueeze(-1) + model.transition(here).logits).logsumexp(0)
            logs = logs + model.emission(here).log_prob(y[row, t])
        assert close(whole[row], logs.logsumexp(0), atol=1e-5)


def test_one_context_for_all_steps_is_the_same_repeated():
    model = neural(2)
    fixed_steps = neural(2, steps=4)
    fixed_steps.load_state_dict(model.state_dict())
    context, y = torch.randn(5, 2), torch.randn(5, 4)
    repeated = context.unsqueeze(1).expand(5, 4, 2)
    one, other = fixed_steps.log_probability(y, context), model.log_probability(y, repeated)
    assert close(one, other, atol=1e-5)


def test_a_mask_is_a_column_that_no_law_sees():
    model, masked = neural(2), neural(2, mask=1)
    masked.load_state_dict(model.state_dict())
    context, y, lengths = torch.randn(3, 4, 2), torch.randn(3, 4), torch.tensor([2, 4, 1])
    column = (torch.arange(4) < lengths.unsqueeze(-1)).float().unsqueeze(-1)
    joined = torch.cat([context[..., :1], column, context[..., 1:]], -1)
    expected = model.log_probability(y, context, lengths=lengths)
    assert close(masked(joined).log_prob(y), expected, atol=1e-6)


def test_draws_of_random_weights():
    model = hybrid.bayes.variational(neural(2))
    context, y = torch.randn(5, 4, 2), torch.randn(5, 4)
    assert model(context, draws=3).log_prob(y).shape == (3, 5)
    with hybrid.bayes.fixed(model, 3):
        found = model(context.unsqueeze(0))
        assert found.batch_shape == (3, 5)
        assert torch.equal(found.log_prob(y), model(context.unsqueeze(0)).log_prob(y))
    tables = HiddenMarkovModel(INITIAL.float(), TRANSITION.float(), Normal(nn.Linear(3, 4)))
    random = hybrid.bayes.variational(tables)
    assert random(torch.zeros(5, 4, 0), draws=3).log_prob(y).shape == (3, 5)
    assert random(torch.zeros(5, 4, 0), draws=3).batch_shape == (3, 5)


def test_fit_learns_the_chain():
    torch.manual_seed(0)
    truth = HiddenMarkovModel(
        torch.tensor([0.5, 0.5]), torch.tensor([[0.9, 0.1], [0.2, 0.8]]), Normal(nn.Linear(2, 2))
    )
    with torch.no_grad():
        truth.emission.body[0].weight.copy_(torch.eye(2) * 4)
    _, y = truth.sample(200, 15, generator=torch.Generator().manual_seed(0))
    soft = torch.tensor([[0.6, 0.4], [0.4, 0.6]])
    model = HiddenMarkovModel(
        torch.tensor([0.5, 0.5]), Table(soft, trainable=True), copy.deepcopy(truth.emission)
    )
    model.emission.requires_grad_(False)
    objective = hybrid.objectives.ELBO(model, data_size=200)
    hybrid.fit(
        objective,
        (torch.zeros(200, 15, 0), y),
        optimizer=lambda p: torch.optim.Adam([x for x in p if x.requires_grad], 0.1),
        epochs=30,
        batch_size=200,
        seed=0,
        progress=False,
    )
    found = model.transition.probabilities()
    assert (found - torch.tensor([[0.9, 0.1], [0.2, 0.8]])).abs().max() < 0.06


def test_pyro_programs_take_it():
    model = neural(2)
    context, y = torch.randn(5, 4, 2), torch.randn(5, 4)

    def program(context, y=None):
        with pyro.plate("rows", len(context)):
            return pyro.sample("y", model(context), obs=y)

    assert program(context).shape == (5, 4)
    trace = pyro.poutine.trace(program).get_trace(context, y)
    assert close(trace.log_prob_sum(), model.log_probability(y, context).sum(), atol=1e-4)


def test_it_survives_copies_and_other_dtypes():
    model = neural(2)
    context, y = torch.randn(5, 4, 2), torch.randn(5, 4)
    expected = model.log_probability(y, context)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin.log_probability(y, context), expected)
    found = model.double().log_probability(y.double(), context.double())
    assert found.dtype == torch.float64
    assert close(found, expected.double(), atol=1e-4)


# ---------------------------------------------------------- missing, impossible, wrong


def test_unobserved_reals_are_nan():
    model = HiddenMarkovModel(INITIAL, TRANSITION, Normal(nn.Linear(3, 4)))
    y = torch.randn(3, 4)
    y[1, 2] = torch.nan
    whole = model.log_probability(y)
    assert whole.isfinite().all()
    grid = torch.linspace(-60, 60, 60_001)
    filled = y[1].repeat(len(grid), 1)
    filled[:, 2] = grid
    integral = torch.logsumexp(model.log_probability(filled), 0) + (grid[1] - grid[0]).log()
    assert close(integral, whole[1], atol=1e-3)
    vectors = HiddenMarkovModel(INITIAL, TRANSITION, Normal(nn.Linear(3, 4), event=2))
    pairs = torch.randn(2, 3, 2)
    pairs[1, 2, 0] = torch.nan
    with pytest.raises(ValueError, match="row 1, step 2: the observation is NaN in part"):
        vectors.log_probability(pairs)
    pairs[1, 2, 1] = torch.nan
    assert vectors.log_probability(pairs).isfinite().all()


def test_an_impossible_sequence_names_row_and_step():
    model = symbols()
    y = torch.tensor([[0, 1, 3], [0, 2, 2]])  # state 0 emits neither 2 nor 3
    one_way = HiddenMarkovModel(torch.tensor([1.0, 0, 0]).double(), torch.eye(3).double(), EMISSION)
    assert one_way.log_probability(y).tolist() == [-torch.inf, -torch.inf]
    for ask in (one_way.marginals, one_way.filtered, one_way.most_probable, one_way.pair_marginals):
        with pytest.raises(ImpossibleSequence, match=r"row 0 .* up to step 1 can explain step 2"):
            ask(y)
    assert model.log_probability(y).isfinite().all()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((INITIAL, TRANSITION[:2], EMISSION), "differ in their number of states"),
        ((INITIAL[:2] / 0.8, TRANSITION, EMISSION), "differ in their number of states"),
        ((INITIAL, TRANSITION, EMISSION[:2]), "differ in their number of states"),
        ((INITIAL * 2, TRANSITION, EMISSION), "sums to 2"),
        ((INITIAL, TRANSITION - 0.1, EMISSION), "probabilities from 0 to 1"),
        ((TRANSITION, TRANSITION, EMISSION), r"initial has shape \(3, 3\): expected \(K,\)"),
        ((INITIAL, INITIAL, EMISSION), r"expected \(K, K\) or \(T - 1, K, K\)"),
        ((INITIAL, Normal(nn.Linear(3, 4)), EMISSION), "a law without classes"),
        ((INITIAL, Bernoulli(nn.Linear(3, 4)), EMISSION), "differ in their number of states"),
    ],
)
def test_parts_that_do_not_fit(parts, message):
    with pytest.raises(ValueError, match=message):
        HiddenMarkovModel(*parts)


def test_parts_that_are_no_laws():
    with pytest.raises(TypeError, match="emission is a Linear without support"):
        HiddenMarkovModel(INITIAL, TRANSITION, nn.Linear(3, 4))


def test_observations_that_do_not_fit():
    model = symbols()
    with pytest.raises(ValueError, match="row 1, step 0: the symbol is 4, expected"):
        model.log_probability(torch.tensor([[0, 1], [4, 0]]))
    with pytest.raises(ValueError, match="give lengths= or mask=, not both"):
        model.marginals(SYMBOLS, lengths=torch.tensor([1, 1]), mask=SYMBOLS > -5)
    with pytest.raises(ValueError, match="length="):
        model.sample(3)
    with pytest.raises(ValueError, match="has no static event_shape"):
        _ = model.event_shape
    vectors = HiddenMarkovModel(INITIAL, TRANSITION, Normal(nn.Linear(3, 4), event=2), steps=3)
    with pytest.raises(ValueError, match=r"the sequence's \(3, 2\) last"):
        vectors(torch.zeros(5, 0)).log_prob(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="4 or 1, 3, 3"):
        HiddenMarkovModel(INITIAL, TRANSITION.expand(2, 3, 3), EMISSION).marginals(SYMBOLS)
