"""Coverage of intervals: its law is known exactly, whatever the model and the data."""

import pytest
import torch
from scipy.stats import betabinom, kstest

from hybrid.conformal import CQR, Split
from hybrid.heads import Normal, Student
from hybrid.prediction import predict

HELD, NEW, LEVEL, REPETITIONS = 99, 200, 0.9, 500


def data(n, generator):
    x = torch.rand(n, generator=generator, dtype=torch.float64)
    noise = torch.randn(n, generator=generator, dtype=torch.float64)
    return x, torch.sin(6 * x) + (0.2 + x) * noise.abs() * noise


# Models that are wrong on purpose: coverage must not need them to be right.
MODELS = {
    "split": (Split(LEVEL), lambda x: 0.5 * x),
    "split with a scale": (Split(LEVEL), lambda x: (torch.zeros_like(x), 0.1 + x.square())),
    "cqr": (CQR(LEVEL), lambda x: (-1.0 - x, 0.5 + 2 * x)),
}


@pytest.mark.parametrize("name", MODELS)
def test_coverage_is_beta_binomial(name):
    method, model = MODELS[name]
    generator = torch.Generator().manual_seed(0)
    hits = []
    for _ in range(REPETITIONS):
        x, y = data(HELD + NEW, generator)
        done = method.calibrate(model(x[:HELD]), y[:HELD])
        lower, upper = done.predict(model(x[HELD:]))
        hits.append(((lower <= y[HELD:]) & (y[HELD:] <= upper)).sum().item())
    rank = 90  # (99 + 1) · 0.9
    law = betabinom(NEW, rank, HELD + 1 - rank)
    low, high = law.ppf(0.025), law.ppf(0.975)
    inside = sum(low <= hit <= high for hit in hits) / REPETITIONS
    assert 0.93 < inside <= 1.0
    mean = sum(hits) / REPETITIONS
    assert abs(mean - law.mean()) < 4 * law.std() / REPETITIONS**0.5
    jitter = torch.rand(REPETITIONS, generator=generator, dtype=torch.float64).numpy()
    ranks = [law.cdf(h - 1) + u * law.pmf(h) for h, u in zip(hits, jitter, strict=True)]
    assert kstest(ranks, "uniform").pvalue > 1e-3


def test_predictions_of_laws():
    x, y = torch.randn(60, 2), torch.randn(60)
    for law, method in ((Normal(torch.nn.Linear(2, 4)), Split()), (Student(None), CQR(0.8))):
        context = x if law.body is not None and isinstance(law, Normal) else x[:, :0]
        prediction = predict(law, context)
        lower, upper = method.calibrate(prediction, y).predict(prediction)
        share = ((lower <= y) & (y <= upper)).float().mean()
        assert share >= method.level
    centre, scale = prediction.mean, prediction.variance.sqrt()
    torch.testing.assert_close(
        Split().scores(prediction, y), Split().scores((centre, scale), y), atol=1e-6, rtol=0
    )


def test_intervals_of_cqr_keep_the_models_widths():
    lower, upper = torch.zeros(50), torch.linspace(1, 2, 50)
    low, high = CQR(0.8).calibrate((lower, upper), torch.randn(50)).predict((lower, upper))
    torch.testing.assert_close((high - low).diff(), upper.diff(), atol=1e-5, rtol=0)


def test_few_rows_give_the_whole_line():
    lower, upper = Split(0.9).calibrate(torch.zeros(5), torch.ones(5)).predict(torch.zeros(2))
    assert (lower == -torch.inf).all()
    assert (upper == torch.inf).all()


def test_refusals():
    with pytest.raises(ValueError, match="got shapes"):
        Split().calibrate(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(ValueError, match="scales must be positive"):
        Split().calibrate((torch.zeros(3), torch.zeros(3)), torch.zeros(3))
    with pytest.raises(TypeError, match="pair of tensors"):
        CQR().calibrate(torch.zeros(3), torch.zeros(3))
