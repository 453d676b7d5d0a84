"""Metrics: whitening undoes colouring; estimates come near the covariance."""

import pytest
import torch

from hybrid.bayes.sampling.metric import Dense, Diagonal, Moments

COVARIANCE = torch.tensor([[2.0, 0.6], [0.6, 0.5]], dtype=torch.float64)


@pytest.mark.parametrize("metric", [Dense(COVARIANCE), Diagonal(COVARIANCE.diagonal())])
def test_laws(metric) -> None:
    noise = torch.randn(20_000, 2, dtype=torch.float64)
    velocity = metric.colour(noise)
    torch.testing.assert_close(metric.whiten(velocity), noise)
    covariance = COVARIANCE if isinstance(metric, Dense) else COVARIANCE.diagonal().diag()
    torch.testing.assert_close(velocity.T.cov(), covariance, atol=0.05, rtol=0.05)
    kicked = metric.kick(velocity, noise, 0.1)
    torch.testing.assert_close(kicked, velocity - 0.1 * noise @ covariance)
    torch.testing.assert_close(metric.kick(velocity[0], noise[0], 0.1), kicked[0])


@pytest.mark.parametrize("dense", [True, False])
def test_moments_of_several_additions(dense) -> None:
    draws = 1e4 + Dense(COVARIANCE).colour(torch.randn(4000, 2, dtype=torch.float64))
    seen = Moments(draws[0], dense=dense)
    for part in draws.split(64):
        seen.add(part)
    metric = seen.metric()
    if dense:
        torch.testing.assert_close(metric.covariance, draws.T.cov(), rtol=0.01, atol=0.01)
    else:
        torch.testing.assert_close(metric.variance, draws.var(0))


def test_coordinates_that_never_moved_count_one() -> None:
    seen = Moments(torch.zeros(2), dense=True)
    seen.add(torch.tensor([[1.0, 3.0], [1.0, 5.0]]))
    assert seen.metric().colour(torch.ones(2)).isfinite().all()
    with pytest.raises(ValueError, match="at least two"):
        Moments(torch.zeros(2), dense=True).metric()
