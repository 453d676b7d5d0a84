"""Student's law against SciPy; its noise means the same for every df."""

import pytest
import scipy.stats
import torch

from causal.noise import abduct, replay
from hybrid.heads import Student
from hybrid.heads.student import StudentT
from hybrid.prediction import predict

DF = torch.tensor([0.6, 1.0, 2.5, 30.0, 4e3], dtype=torch.float64)
VALUES = torch.tensor([-300.0, -1.5, -1e-9, 0.0, 1e-3, 2.0, 40.0], dtype=torch.float64)


def test_cdf_and_quantiles():
    law, value = StudentT(DF, 0.5, 2.0), VALUES.unsqueeze(-1)
    oracle = scipy.stats.t(DF.numpy(), 0.5, 2.0)
    torch.testing.assert_close(law.cdf(value), torch.as_tensor(oracle.cdf(value.numpy())))
    p = torch.tensor([1e-12, 0.02, 0.5, 0.9, 1 - 1e-9], dtype=torch.float64).unsqueeze(-1)
    found = torch.as_tensor(oracle.ppf(p.numpy()))
    torch.testing.assert_close(law.icdf(p), found, rtol=1e-6, atol=1e-9)


def test_gradients():
    df = torch.tensor([2.5, 7.0], dtype=torch.float64, requires_grad=True)
    at = torch.tensor([0.8, -1.3], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda df, at: StudentT(df, 0.1, 1.5).cdf(at), (df, at))
    p = torch.tensor([0.8, 0.03], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda df, p: StudentT(df, 0.1, 1.5).icdf(p), (df, p))


def test_noise_is_on_the_normal_scale_for_every_df():
    value = torch.tensor([-50.0, -0.3, 0.0, 4.0, 1e4])
    heavy, light = StudentT(torch.tensor(1.5), 0.0, 1.0), StudentT(torch.tensor(50.0), 1.0, 2.0)
    noise = abduct(heavy, value)
    rank = scipy.stats.t(1.5).cdf(value.numpy())
    expected = torch.as_tensor(scipy.stats.t(50.0, 1.0, 2.0).ppf(rank)).float()
    torch.testing.assert_close(replay(light, noise), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(replay(heavy, noise), value, rtol=1e-4, atol=1e-6)


def test_head():
    law = Student(None)
    distribution = law(torch.zeros(2, 0))
    torch.testing.assert_close(distribution.df, torch.full((2,), 4.0))
    assert Student(None, df=3.0)(torch.zeros(2, 0)).df.tolist() == [3.0, 3.0]
    with pytest.raises(ValueError, match="df must be positive"):
        Student(None, df=0.0)
    low, high = predict(law, torch.zeros(2, 0)).interval(0.9)
    torch.testing.assert_close(-low, high)
    assert high[0].item() == pytest.approx(scipy.stats.t(4.0).ppf(0.95), rel=1e-3)


def test_outliers_pull_less_than_on_the_normal_law():
    y = torch.cat(
        [torch.randn(200, generator=torch.Generator().manual_seed(0)), torch.full((20,), 50.0)]
    )
    law = Student(None)
    optimizer = torch.optim.Adam(law.parameters(), 0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (-law(torch.zeros(220, 0)).log_prob(y).mean()).backward()
        optimizer.step()
    assert abs(law(torch.zeros(1, 0)).loc.item()) < 0.3
