"""The compiled recursions against those in torch's products and in logs."""

import pytest
import torch
from chain_paths import random_chain

from hybrid.pgm.chains import Chain, log_partition, marginals, pair_marginals, scaled
from hybrid.pgm.chains.compiled import MOST_STATES, compiled_backward, compiled_forward
from hybrid.pgm.chains.log_space import backward_in_logs, forward_in_logs
from hybrid.pgm.kernels.library import available

KINDS = [
    {},
    {"ragged": True, "zeros": True},
    {"between": 29, "lead": (2, 1)},
    {"between": 29, "lead": (2, 3), "ragged": True},
]


@pytest.fixture(params=["kernel", "torch"])
def engine(request, monkeypatch):
    if request.param == "torch":
        monkeypatch.setattr(scaled, "compiled_forward", lambda *parts: None)
    elif not available():
        pytest.skip("the compiled kernel was not built")


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("states", [1, 2, 5, 16, 32, 40])
def test_both_engines_are_the_recursion_in_logs(kind, states):
    kind = {name: value for name, value in kind.items() if states > 2 or name != "zeros"}
    chain = random_chain((2, 3), 30, states, **kind)
    grouped = chain.grouped
    total, alpha = forward_in_logs(grouped)
    how = scaled.plan(grouped)
    found, forward = scaled.forward_scaled(grouped, how)
    assert torch.allclose(found, total, rtol=1e-13)
    weight = torch.rand(total.shape, dtype=torch.float64)
    for one, other in zip(
        scaled.backward_scaled(grouped, forward, weight),
        backward_in_logs(grouped, total, alpha, weight),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("states", [8, 40])
def test_single_precision_is_near_double(states):
    chain = random_chain((4,), 200, states, between=199)
    single = Chain(chain.unary.float(), chain.pairwise.float())
    assert torch.allclose(log_partition(single).double(), log_partition(chain), rtol=1e-6)
    for ask in (marginals, pair_marginals):
        found = ask(single)
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), ask(chain), rtol=0, atol=1e-5)


def test_what_the_kernel_does_not_serve():
    many = torch.ones(3, 1, 2, MOST_STATES + 1, dtype=torch.float64)
    matrix = torch.ones(1, 1, MOST_STATES + 1, MOST_STATES + 1, dtype=torch.float64)
    assert compiled_forward(many, matrix) is None
    assert compiled_forward(torch.ones(3, 1, 2, 2), torch.ones(1, 1, 2, 2)) is None
    start = torch.ones(1, 2, dtype=torch.float64)
    assert compiled_backward(many, matrix, many, many[..., 0], start, None) is None
