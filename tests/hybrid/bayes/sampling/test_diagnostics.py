"""Diagnostics against ArviZ, and against what is known of autoregressions."""

import pytest
import torch

from hybrid.bayes.sampling import diagnostics


def autoregression(rho: float, chains: int = 8, length: int = 500) -> torch.Tensor:
    x = torch.randn(chains, length, dtype=torch.float64)
    for t in range(1, length):
        x[:, t] = rho * x[:, t - 1] + (1 - rho**2) ** 0.5 * x[:, t]
    return x


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_against_arviz(rho) -> None:
    stats = pytest.importorskip("arviz_stats.base").array_stats
    x = autoregression(rho)
    axes = {"chain_axis": 0, "draw_axis": 1}
    pairs = {
        "bulk_size": stats.ess(x.numpy(), **axes),
        "tail_size": stats.ess(x.numpy(), method="tail", prob=(0.05, 0.95), **axes),
        "effective_size": stats.ess(x.numpy(), method="mean", **axes),
        "mean_error": stats.mcse(x.numpy(), method="mean", **axes),
        "potential_scale_reduction": stats.rhat(x.numpy(), **axes),
    }
    for name, theirs in pairs.items():
        ours = float(getattr(diagnostics, name)(x))
        assert ours == pytest.approx(float(theirs), rel=2e-2 if "size" in name else 1e-2), name


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.8])
def test_effective_size_of_an_autoregression(rho) -> None:
    x = autoregression(rho, chains=32, length=1000)
    known = x.numel() * (1 - rho) / (1 + rho)
    assert float(diagnostics.effective_size(x)) == pytest.approx(known, rel=0.15)


def test_error_of_the_sd() -> None:
    spread = torch.stack([autoregression(0.5, 4, 250).flatten().std() for _ in range(200)]).std()
    ours = torch.stack([diagnostics.sd_error(autoregression(0.5, 4, 250)) for _ in range(20)])
    assert float(ours.mean()) == pytest.approx(float(spread), rel=0.2)


def test_chains_that_disagree_are_seen() -> None:
    x = torch.randn(4, 500)
    x[0] += 1
    assert diagnostics.potential_scale_reduction(x) > 1.05
    x = torch.randn(4, 500)
    x[0] *= 3  # the same means
    assert diagnostics.potential_scale_reduction(x) > 1.05


def test_short_chains_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 draws"):
        diagnostics.bulk_size(torch.randn(4, 3))
