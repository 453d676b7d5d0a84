"""The three forms of a metric solve the same equations."""

import pytest
import torch

from hybrid.optim.curvature import Dense, Diagonal, Rows
from hybrid.optim.measuring import Group, measured


def rows(count: int, size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(count, size, dtype=dtype)


@pytest.mark.parametrize("count", [1, 4, 9, 20])
@pytest.mark.parametrize("damping", [1.0, 1e-3, 1e-7])
def test_rows_and_matrix_solve_the_same_equations(count: int, damping: float) -> None:
    own, gradient = rows(count, 9), rows(1, 9)[0]
    matrix = own.mT @ own
    expected = torch.linalg.solve(matrix + damping * torch.eye(9).double(), gradient)
    for curvature in (Rows(own), Dense(matrix)):
        assert torch.allclose(curvature.solve(gradient, damping), expected, rtol=1e-5)
        assert torch.allclose(curvature.diagonal(), matrix.diagonal())
        assert torch.allclose(curvature.length(gradient), gradient @ matrix @ gradient)


@pytest.mark.parametrize("damping", [1e-2, 1e-5, 1e-8])
def test_single_precision_finds_what_double_finds(damping: float) -> None:
    own = rows(5, 30, torch.float32)
    gradient = own.sum(0) + 0.1 * rows(1, 30, torch.float32)[0]
    matrix = own.double().mT @ own.double() + damping * torch.eye(30).double()
    expected = torch.linalg.solve(matrix, gradient.double())
    found = Rows(own).solve(gradient, damping)
    assert found.dtype == torch.float32
    assert (found - expected).norm() / expected.norm() < 1e-3


def test_without_damping_a_singular_metric_gives_the_shortest_direction() -> None:
    own = rows(3, 7)
    own = torch.cat([own, own[:1]])  # and rows that depend on each other
    gradient = own.sum(0)
    expected = torch.linalg.pinv(own.mT @ own) @ gradient
    for curvature in (Rows(own), Dense(own.mT @ own)):
        assert torch.allclose(curvature.solve(gradient, 0.0), expected, atol=1e-8)


def test_a_diagonal_without_entry_or_damping_does_not_move() -> None:
    found = Diagonal(torch.tensor([2.0, 0.0])).solve(torch.tensor([1.0, 1.0]), 0.0)
    assert found.tolist() == [0.5, 0.0]


def both(batch: torch.Tensor) -> torch.Tensor:
    return batch.mT @ batch / len(batch)


@pytest.mark.parametrize("form", ["full", "diagonal"])
def test_groups_get_their_own_blocks_and_batches_their_weights(form: str) -> None:
    first, second = (torch.nn.Parameter(torch.zeros(n)) for n in (2, 3))
    groups = [Group([first], form), Group([second], form)]
    a, b = rows(40, 5, torch.float32), rows(50, 5, torch.float32)
    matrix = 0.25 * both(a) + 0.75 * both(b)
    for metric in (
        lambda objective, batch, parameters: both(batch),
        lambda objective, batch, parameters: Rows(batch / len(batch) ** 0.5),
    ):
        found = measured(metric, torch.nn.Identity(), [(a, 0.25), (b, 0.75)], groups)
        for curvature, block in zip(found, (matrix[:2, :2], matrix[2:, 2:]), strict=True):
            assert torch.allclose(curvature.diagonal(), block.diagonal())
            gradient = torch.ones(len(block))
            expected = block.diagonal().diag() if form == "diagonal" else block
            solved = torch.linalg.solve(expected + 0.1 * torch.eye(len(block)), gradient)
            assert torch.allclose(curvature.solve(gradient, 0.1), solved, rtol=1e-4)


def test_a_full_metric_that_is_too_large_is_refused_with_its_bytes() -> None:
    group = [Group([torch.nn.Parameter(torch.zeros(1000))], "full")]
    metric = lambda objective, batch, parameters: Rows(torch.ones(2000, 1000))  # noqa: E731
    with pytest.raises(ValueError, match=r"1,000 parameters.* 4,000,000 bytes.*form='diagonal'"):
        measured(metric, torch.nn.Identity(), [(None, 1.0)], group, memory=10**6)
    few = lambda objective, batch, parameters: Rows(torch.ones(20, 1000))  # noqa: E731
    measured(few, torch.nn.Identity(), [(None, 1.0)], group, memory=10**6)
    group = [Group(group[0].parameters, "diagonal")]
    measured(metric, torch.nn.Identity(), [(None, 1.0)], group, memory=10**6)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (torch.ones(3), ValueError, r"shape \(3,\): expected \(2,\) or \(2, 2\)"),
        (Rows(torch.ones(4, 3)), ValueError, r"\(4, 3\): expected \(rows, 2\)"),
        ("metric", TypeError, "got str"),
        (torch.tensor([1.0, float("nan")]), ArithmeticError, "NaN"),
    ],
)
def test_what_is_no_metric_is_refused(result: object, error: type, message: str) -> None:
    group = Group([torch.nn.Parameter(torch.zeros(2))], "full")
    with pytest.raises(error, match=message):
        measured(lambda *_: result, torch.nn.Identity(), [(None, 1.0)], [group])
