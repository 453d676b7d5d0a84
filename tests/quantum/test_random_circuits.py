"""A fixed sample of random circuits against PennyLane: values and all gradients, both precisions.

`python tests/support/random_circuits.py --count 1000` checks as many more as wanted.
"""

import pytest
import random_circuits
import torch
from circuit_draw import INPUTS, WEIGHTS
from random_circuits import TOLERANCES, outcome

pytestmark = [
    pytest.mark.filterwarnings("ignore:The decomposition operator .* is not:UserWarning"),
    # PennyLane multiplies complex matrices that are real by real numbers.
    pytest.mark.filterwarnings("ignore:Casting complex values to real:UserWarning"),
    # PennyLane scales eigenvalues of observables in a way that NumPy calls deprecated.
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"),
]


def check(found):
    for dtype, tolerance in TOLERANCES.items():
        assert max(found[dtype]) <= tolerance, f"{dtype}: value and gradients off by {found[dtype]}"


@pytest.mark.parametrize("seed", range(50))
def test_values_and_gradients_agree_with_default_qubit(seed):
    check(random_circuits.differences(seed))


@pytest.mark.parametrize("seed", range(18))
def test_values_and_gradients_agree_with_default_mixed(seed):
    check(random_circuits.differences(seed, mixed=True))


@pytest.mark.parametrize("seed", range(50, 62))
def test_the_gradient_methods_agree(seed):
    """Both against the same oracle, where the circuit lets both be asked for."""
    check(random_circuits.differences(seed, gradient="backprop"))


@pytest.mark.parametrize("seed", range(200, 206))
def test_batched_weights_agree_with_a_loop_over_draws(seed):
    _, layer = random_circuits.drawn(seed)
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(3, INPUTS, generator=generator, dtype=torch.float64)
    w = torch.rand(2, 1, WEIGHTS, generator=generator, dtype=torch.float64)

    def together(x, w):
        return torch.func.functional_call(layer, {"w": w}, (x,))

    def looped(x, w):
        draws = [[together(row, weights) for row in x] for weights in w.squeeze(1)]
        return torch.stack([torch.stack(rows) for rows in draws])

    def real(function):
        def rows(x, w):
            value = function(x, w)
            value = torch.view_as_real(value) if value.is_complex() else value
            return value.reshape(6, -1)

        return rows

    for one, other in zip(outcome(real(together), x, w), outcome(real(looped), x, w), strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0)
