"""Potentials: recorded or looped, the numbers are those of the density."""

import pytest
import torch
from torch import Tensor

from hybrid.bayes.sampling.density import Density, potential, spread_out

DATA = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))


def smooth(q: Tensor) -> Tensor:
    return torch.nn.functional.softplus(DATA @ q).sum() + 0.5 * q.square().sum()


def branching(q: Tensor) -> Tensor:
    return q.square().sum() if q.sum() > 0 else q.abs().sum()


class Hidden(torch.autograd.Function):
    """Computes where no operation is seen, as foreign kernels do."""

    @staticmethod
    def forward(ctx, q):
        ctx.save_for_backward(q)
        return torch.from_numpy(q.detach().numpy().copy() ** 2).sum()

    @staticmethod
    def backward(ctx, slope):
        return 2 * slope * ctx.saved_tensors[0]


@pytest.mark.parametrize("shape", [(3,), (6, 3)])
def test_recorded_numbers(shape) -> None:
    found = potential(smooth, torch.zeros(shape))
    assert found.route == "recorded"
    q = torch.randn(shape, requires_grad=True)
    rows = q if q.dim() == 2 else q[None]
    energies = torch.stack([smooth(row) for row in rows])
    (gradient,) = torch.autograd.grad(energies.sum(), q)
    value, slope = found.both(q.detach())
    torch.testing.assert_close(value.reshape(-1), energies.detach())
    torch.testing.assert_close(slope, gradient)
    torch.testing.assert_close(found.gradient(q.detach()), gradient)


@pytest.mark.parametrize("energy", [branching, Hidden.apply])
@pytest.mark.parametrize("shape", [(3,), (6, 3)])
def test_what_cannot_be_recorded_is_looped_and_says_so(energy, shape) -> None:
    with pytest.warns(UserWarning, match="cannot be recorded"):
        found = potential(energy, torch.ones(shape))
    assert found.route == "looped"
    assert found.reason
    q = torch.randn(shape)
    rows = q if q.dim() == 2 else q[None]
    expected = torch.stack([energy(row) for row in rows])
    torch.testing.assert_close(found.both(q)[0].reshape(-1), expected)
    assert found.gradient(q).shape == q.shape


def test_starts_are_asked_for_again_until_the_density_is_finite() -> None:
    density = Density(
        energy=lambda q: -(1 - q.square().sum()).log(),
        example=torch.zeros(2),
        starts=lambda chains, g: 2 * torch.randn(chains, 2, generator=g),
        named=lambda q: {"q": q},
    )
    found = potential(density.energy, torch.zeros(16, 2))
    start = spread_out(density, found, 16, torch.Generator().manual_seed(0))
    assert (start.norm(dim=-1) < 1).all()


def test_a_density_that_is_finite_nowhere() -> None:
    density = Density(
        energy=lambda q: q.sum() * torch.nan,
        example=torch.zeros(2),
        starts=lambda chains, g: torch.randn(chains, 2, generator=g),
        named=lambda q: {"q": q},
        complaint=lambda q: "the site 'y' is not a number",
    )
    found = potential(density.energy, torch.zeros(4, 2))
    with pytest.raises(ValueError, match="the site 'y' is not a number"):
        spread_out(density, found, 4, torch.Generator().manual_seed(0))
