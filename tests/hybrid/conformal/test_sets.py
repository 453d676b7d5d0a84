"""Coverage of sets of classes, for probabilities that are wrong on purpose."""

import pytest
import torch

from hybrid.conformal import APS, RAPS
from hybrid.heads import Categorical, Normal
from hybrid.prediction import predict

CLASSES, HELD, NEW, REPETITIONS = 6, 199, 200, 200


def data(n, generator):
    logits = 2 * torch.randn(n, CLASSES, generator=generator, dtype=torch.float64)
    y = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)
    return (2.5 * logits + 0.5).softmax(-1), y  # over-confident


def covered(method, seed=0):
    """Share of sets that hold the class, and of sets with more than half of the classes."""
    generator = torch.Generator().manual_seed(seed)
    hits, sizes = [], []
    for _ in range(REPETITIONS):
        p, y = data(HELD + NEW, generator)
        done = method.calibrate(p[:HELD], y[:HELD], generator=generator)
        sets = done.predict(p[HELD:], generator=generator)
        hits.append(sets.gather(-1, y[HELD:, None]).double().mean())
        sizes.append((sets.sum(-1) > CLASSES // 2).double().mean())
    return torch.stack(hits).mean().item(), torch.stack(sizes).mean().item()


@pytest.mark.parametrize("level", [0.8, 0.9])
@pytest.mark.parametrize(
    "make",
    [
        lambda level: APS(level),
        lambda level: APS(level, randomised=False),
        lambda level: RAPS(level, penalty=0.05, free=2),
        lambda level: RAPS(level, randomised=False, penalty=0.05),
    ],
)
def test_coverage(make, level):
    method = make(level)
    share, _ = covered(method)
    # Its standard error is below 0.3 %.
    assert share >= level - 0.01
    if method.randomised:
        assert share <= level + 1 / (HELD + 1) + 0.01


def test_the_penalty_makes_large_sets_rare():
    _, plain = covered(APS(0.9))
    _, regularised = covered(RAPS(0.9, penalty=0.1, free=1))
    assert regularised < 0.5 * plain


def test_scores_by_hand():
    p = torch.tensor([[0.1, 0.6, 0.3]])
    plain = APS(randomised=False)
    found = torch.cat([plain.scores(p, torch.tensor([k])) for k in range(3)])
    torch.testing.assert_close(found, torch.tensor([1.0, 0.6, 0.9]))
    priced = RAPS(randomised=False, penalty=0.5, free=1)
    found = torch.cat([priced.scores(p, torch.tensor([k])) for k in range(3)])
    torch.testing.assert_close(found, torch.tensor([2.0, 0.6, 1.4]))


def test_a_generator_leaves_the_global_state():
    p, y = data(50, torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    first, second = (
        APS().calibrate(p, y, generator=torch.Generator().manual_seed(1)).threshold for _ in "ab"
    )
    assert first == second
    assert torch.equal(state, torch.get_rng_state())


def test_predictions_of_laws():
    x, y = torch.randn(80, 3), torch.arange(80) % 4
    prediction = predict(Categorical(torch.nn.Linear(3, 5), states=4), x)
    sets = RAPS(0.8, randomised=False).calibrate(prediction, y).predict(prediction)
    assert sets.gather(-1, y[:, None]).float().mean() >= 0.8


def test_refusals():
    with pytest.raises(ValueError, match="must not be negative"):
        RAPS(penalty=-1.0)
    with pytest.raises(TypeError, match=r"\(n, classes\)"):
        APS().calibrate(torch.zeros(3), torch.zeros(3))
    with pytest.raises(ValueError, match="sum to 1"):
        APS().calibrate(torch.ones(3, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="class numbers"):
        APS().calibrate(torch.full((3, 2), 0.5), torch.full((3,), 2))
    with pytest.raises(AttributeError, match="classes"):
        APS().calibrate(predict(Normal(None), torch.zeros(3, 0)), torch.zeros(3))
