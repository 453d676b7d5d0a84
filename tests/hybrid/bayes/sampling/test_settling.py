"""First positions fall to where the mass is, and no farther than that."""

import torch
from torch import Tensor

from hybrid.bayes.sampling.settling import settled, settled_together

SCALES = torch.logspace(-4, 0, 5, dtype=torch.float64)


def ridge(q: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 * (q / SCALES).square().sum(-1), q / SCALES.square()


def test_far_chains_arrive_on_narrow_ridges() -> None:
    start = 2 * torch.ones(8, 5, dtype=torch.float64)
    assert (ridge(settled(ridge, start))[0] < 10).all()


def test_one_position_arrives_too() -> None:
    start = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = torch.stack([settled(ridge, row) for row in start])
    assert (ridge(rows)[0] < 10).all()


def test_a_density_without_a_mode_is_not_followed_far() -> None:
    def funnel(q: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = q.clone().requires_grad_()
            scale, rest = leaf[..., 0], leaf[..., 1:]
            energy = scale.square() / 18 + 0.5 * (
                rest * torch.exp(-scale[..., None] / 2)
            ).square().sum(-1)
            energy = energy + 2 * scale
            (gradient,) = torch.autograd.grad(energy.sum(), leaf)
        return energy.detach(), gradient

    start = torch.randn(16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    moved = settled(funnel, start)
    assert (moved[:, 0] > start[:, 0] - 5).all()


def test_positions_without_density_on_the_way_are_passed_over() -> None:
    def walled(q: Tensor) -> tuple[Tensor, Tensor]:
        energy, gradient = ridge(q)
        outside = (q < -0.01).any(-1)
        return torch.where(outside, torch.inf, energy), torch.where(
            outside[..., None], torch.nan, gradient
        )

    found = settled(walled, torch.ones(4, 5, dtype=torch.float64))
    assert walled(found)[0].isfinite().all()


def test_chains_caught_far_above_the_others_begin_again() -> None:
    def wells(q: Tensor) -> tuple[Tensor, Tensor]:
        """Two wells, at -3 and 3; the bottom of the first is 500 higher."""
        left = (q < 0).all(-1)
        centre = torch.where(left, -3.0, 3.0).unsqueeze(-1)
        return 0.5 * (q - centre).square().sum(-1) + 500.0 * left, q - centre

    generator = torch.Generator().manual_seed(0)
    found = settled_together(wells, lambda: torch.randn(32, 1, generator=generator))
    assert (found < 0).float().mean() < 0.1
