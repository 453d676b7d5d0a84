"""Records on NumPy's arrays: the numbers are torch's, whatever the operation."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hybrid.bayes.sampling.arrays import array_function
from hybrid.bayes.sampling.density import potential
from hybrid.bayes.sampling.recording import record

DATA = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
ONES = torch.ones(6, 6, dtype=torch.float64)

FUNCTIONS = {
    "smooth": lambda q: (DATA @ q).exp().sum() + q.tanh().prod() + q.sin().dot(q.cos()),
    "links": lambda q: F.softplus(DATA @ q).sum() + F.logsigmoid(DATA @ q).mean() + q.sigmoid()[0],
    "special": lambda q: q.exp().lgamma().sum() + torch.erf(q).sum() + torch.expm1(q).sum(),
    "shapes": lambda q: torch.stack([q, 2 * q], -1).mT.reshape(-1)[1::2].cumsum(0).square().mean(),
    "reductions": lambda q: torch.logsumexp(DATA * q, (0, 1)) + (DATA * q).amax(-1).sum(),
    "choices": lambda q: torch.where(q > 0, q, 0.1 * q).sum() + q.clamp(-0.2, 0.2).square().sum(),
    "joined": lambda q: torch.cat([q.split([1, 2])[1], q.abs().sqrt()]).rsqrt().nansum(),
    "matrices": lambda q: torch.linalg.cholesky(q.exp().sum() * ONES + 9 * torch.eye(6))[-1].sum(),
    "products": lambda q: torch.addmm(ONES[:6, :3], DATA, q.outer(q)).relu().sum(),
    "one layer": lambda q: F.layer_norm(DATA * q, (3,)).softmax(-1).log().square().sum(),
    "elu and gelu": lambda q: F.elu(DATA @ q).sum() + F.gelu(q).sum() + F.silu(q).norm(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_numbers_are_those_of_the_record(name) -> None:
    function = FUNCTIONS[name]
    found = potential(function, torch.full((3,), 0.3, dtype=torch.float64))
    assert found.route == "recorded"
    assert found.arrays is not None
    for seed in range(3):
        noise = torch.Generator().manual_seed(seed)
        q = torch.rand(3, generator=noise, dtype=torch.float64) + 0.05
        leaf = q.clone().requires_grad_()
        value = function(leaf)
        (slope,) = torch.autograd.grad(value, leaf)
        gradient, ours = found.arrays(q.numpy())
        np.testing.assert_allclose(float(ours), float(value.detach()), rtol=1e-12)
        np.testing.assert_allclose(gradient, slope.numpy(), rtol=1e-9, atol=1e-12)


def test_single_precision_stays_near() -> None:
    def energy(q: Tensor) -> Tensor:
        return (DATA.float() @ q).square().sum() / 3 + 2 * q.exp().sum()

    found = potential(energy, torch.zeros(3))
    assert found.arrays is not None
    q = torch.tensor([0.1, 0.2, 0.3])
    np.testing.assert_allclose(found.arrays(q.numpy())[1], float(energy(q)), rtol=1e-6)


def test_large_tensors_stay_with_torch() -> None:
    data = torch.ones(50_000)
    kept = record(lambda q: (q * data).sum(), torch.ones(()))
    assert array_function(kept, torch.ones(())) is None


def test_many_positions_at_once_in_one_precision() -> None:
    def energy(q: Tensor) -> Tensor:
        return (DATA @ q.double()).square().sum() / 3 + q.exp().sum()

    q = torch.randn(5, 3)
    found = potential(energy, q)
    assert found.arrays is not None
    value, gradient = found.both(q)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(value, torch.stack([energy(row) for row in q]).float())
    torch.testing.assert_close(found.gradient(q), gradient)


def test_gradients_are_no_views_of_positions() -> None:
    found = potential(lambda q: 0.5 * q.square().sum(), torch.zeros(4, 2))
    q = torch.ones(4, 2)
    gradient = found.gradient(q)
    gradient += 1
    assert (q == 1).all()
