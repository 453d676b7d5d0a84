"""The natural gradient in trainings: randomness, copies, frozen parameters, mistakes."""

import copy
import pickle
from pathlib import Path

import pytest
import torch
from natural_steps import ROWS, data, fit, network, one_step
from torch import Tensor, nn

import hybrid
from hybrid.optim import (
    EmpiricalFisher,
    NaturalGradient,
)


def test_accumulated_batches_are_one_batch() -> None:
    results = []
    for size, accumulate in ((ROWS, 1), (ROWS // 4, 4)):
        objective, batch = network()
        natural = lambda p, o=objective: NaturalGradient(p, o, damping=0.1)  # noqa: E731
        fit(
            objective,
            batch,
            optimizer=natural,
            epochs=1,
            batch_size=size,
            accumulate=accumulate,
            seed=0,
        )
        results.append(torch.cat([p.detach().reshape(-1) for p in objective.parameters()]))
    assert torch.allclose(*results)


def test_random_numbers_are_the_trainings_own() -> None:
    def trained(**options) -> Tensor:
        torch.manual_seed(5)
        law = hybrid.bayes.variational(hybrid.heads.Normal(nn.Linear(3, 2), features=2).double())
        objective = hybrid.objectives.ELBO(law, data_size=ROWS)
        natural = lambda p: NaturalGradient(p, objective, lr=0.1, **options)  # noqa: E731
        fit(objective, data(), optimizer=natural, epochs=3, batch_size=16, seed=0)
        return torch.cat([p.detach().reshape(-1) for p in objective.parameters()])

    torch.manual_seed(3)
    before = torch.get_rng_state()
    objective, batch = network()
    torch.set_rng_state(before)
    fit(objective, batch, optimizer=lambda p: NaturalGradient(p, objective), epochs=2, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(trained(), trained())
    generators = [torch.Generator().manual_seed(7) for _ in range(2)]
    first, second = (trained(generator=g) for g in generators)
    assert torch.equal(first, second)
    generator = torch.Generator().manual_seed(7)
    optimizer = NaturalGradient(objective.parameters(), objective, generator=generator)
    objective(batch).total.backward()
    before = torch.get_rng_state()
    optimizer.observe(batch)
    optimizer.step()
    assert torch.equal(torch.get_rng_state(), before)


def test_killed_and_resumed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    def trained(epochs: int, **options) -> Tensor:
        objective, batch = network()
        natural = lambda p: NaturalGradient(p, objective)  # noqa: E731
        fit(objective, batch, optimizer=natural, epochs=epochs, batch_size=16, seed=0, **options)
        return torch.cat([p.detach().reshape(-1) for p in objective.parameters()])

    runtime = hybrid.Runtime(checkpoint=str(tmp_path), resume=True)
    trained(2, runtime=runtime)
    assert torch.equal(trained(4, runtime=runtime), trained(4))


def test_copies_and_pickles_go_on_alike(tmp_path: Path) -> None:
    objective, batch = network()
    optimizer = one_step(objective, batch)
    twins = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    hybrid.save(objective, tmp_path / "a", optimizer=optimizer)
    other, _ = network()
    loaded = NaturalGradient(other.parameters(), other)
    hybrid.load(tmp_path / "a", into=other, optimizer=loaded)
    ends = []
    for each in (optimizer, *twins, loaded):
        own = each.objective
        each.zero_grad()
        own(batch).total.backward()
        each.observe(batch)
        each.step()
        ends.append(torch.cat([p.detach().reshape(-1) for p in own.parameters()]))
    assert len({each.objective for each in (optimizer, *twins, loaded)}) == 4
    for end in ends[1:]:
        assert torch.equal(end, ends[0])


def test_frozen_and_unused_parameters_stay() -> None:
    objective, batch = network()
    frozen = next(objective.parameters()).requires_grad_(False)
    before = frozen.clone()
    objective.unused = nn.Parameter(torch.ones(2).double())
    optimizer = lambda p: NaturalGradient(p, objective, metric=EmpiricalFisher())  # noqa: E731
    history = fit(objective, batch, optimizer=optimizer, epochs=5)
    assert history.loss[-1] < history.loss[0]
    assert torch.equal(frozen, before)
    assert objective.unused.tolist() == [1.0, 1.0]


def test_a_parameter_that_the_metric_does_not_see_takes_plain_steps() -> None:
    objective, batch = network()
    size = Own(objective)
    one_step(size, batch, lr=0.1, damping=1e-6)
    assert size.extra.item() == pytest.approx(0.8)


class Own(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.extra = inner, nn.Parameter(torch.tensor(1.0).double())

    def forward(self, batch) -> Tensor:
        return self.inner(batch).total + self.extra.square()


def test_half_precision_parameters_are_measured_in_single() -> None:
    net = nn.Linear(3, 1).bfloat16()
    objective = hybrid.objectives.Supervised(net, nn.MSELoss())
    x = torch.randn(16, 3).bfloat16()
    one_step(objective, (x, x[:, :1]), damping=0.1)
    assert all(p.isfinite().all() and p.dtype == torch.bfloat16 for p in net.parameters())


def test_several_optimisers_by_pattern_and_clipping() -> None:
    objective, batch = network()
    split = {
        "*.weight": lambda p: NaturalGradient(p, objective, damping=0.1),
        "*.bias": lambda p: torch.optim.Adam(p, 0.01),
    }
    history = fit(
        objective, batch, optimizer=split, epochs=10, batch_size=ROWS, callbacks=[hybrid.Clip(1.0)]
    )
    assert history.loss[-1] < history.loss[0]


def test_a_metric_that_is_nan_stops_with_its_name_or_is_skipped() -> None:
    objective, batch = network()
    calls = []

    def broken(objective: nn.Module, batch: object, parameters: list) -> Tensor:
        calls.append(1)
        size = sum(p.numel() for p in parameters)
        return torch.full((size,), float("nan") if len(calls) == 2 else 1.0)

    natural = lambda p: NaturalGradient(p, objective, metric=broken, damping=0.1)  # noqa: E731
    with pytest.raises(hybrid.NonFiniteError, match=r"the metric .*broken.* has NaN"):
        fit(objective, batch, optimizer=natural, epochs=3, batch_size=ROWS)
    assert all(bool(p.isfinite().all()) for p in objective.parameters())
    calls.clear()
    history = fit(
        objective, batch, optimizer=natural, epochs=1, batch_size=ROWS // 2, nonfinite="skip"
    )
    assert history.skipped == (1,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": 0.0}, ValueError, "lr must be above 0 and finite: 0.0"),
        ({"damping": -1.0}, ValueError, "damping of a group must be a number, 0 or above: got -1"),
        ({"form": "block"}, ValueError, "form must be 'full' or 'diagonal', got 'block'"),
        ({"memory": 0}, ValueError, "memory must be a positive number of bytes: 0"),
    ],
)
def test_settings_out_of_range_are_refused(options: dict, error: type, message: str) -> None:
    objective, _ = network()
    with pytest.raises(error, match=message):
        NaturalGradient(objective.parameters(), objective, **options)


def test_wrong_uses_say_what_to_do() -> None:
    objective, batch = network()
    optimizer = NaturalGradient(objective.parameters(), objective)
    with pytest.raises(RuntimeError, match=r"call observe\(batch\) between the backward pass"):
        optimizer.step()
    with pytest.raises(ValueError, match="needs the batch that the gradients come from"):
        optimizer.observe()
    with pytest.raises(TypeError, match="is complex: give it to another optimiser"):
        NaturalGradient([nn.Parameter(torch.ones(2, dtype=torch.complex64))], objective)
    with pytest.raises(TypeError, match="metric must be a metric such as"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "metric": "Fisher"})
    del batch


def test_a_gradient_that_is_not_finite_is_told_from_too_little_damping() -> None:
    objective, batch = network()
    optimizer = NaturalGradient(objective.parameters(), objective, damping=0.1)
    objective(batch).total.backward()
    next(objective.parameters()).grad.fill_(torch.inf)
    optimizer.observe(batch)
    with pytest.raises(ArithmeticError, match="infinite entries: so has its gradient"):
        optimizer.step()
