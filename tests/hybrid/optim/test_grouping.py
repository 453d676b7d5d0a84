"""Parameter groups by name."""

import pytest
import torch
from torch import nn

import hybrid
from hybrid.optim import groups


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))


def test_the_first_pattern_that_matches_has_the_parameter() -> None:
    module = net()
    module[0].bias.requires_grad_(False)
    made = groups(module, {"0.*": {"lr": 0.1}, "*.bias": {"weight_decay": 0.0}, "*": {}})
    assert [[id(p) for p in group["params"]] for group in made] == [
        [id(module[0].weight)],
        [id(module[2].bias)],
        [id(module[2].weight)],
    ]
    assert made[0]["lr"] == 0.1


def test_one_optimiser_with_several_rates_trains_and_resumes(tmp_path) -> None:
    objective = hybrid.objectives.Supervised(net(), nn.MSELoss())
    before = [p.detach().clone() for p in objective.parameters()]
    blocks = groups(objective, {"model.0.*": {"lr": 1e-12}, "*": {}})
    x = torch.randn(20, 2)
    runtime = hybrid.Runtime(checkpoint=str(tmp_path))
    hybrid.fit(
        objective,
        (x, x[:, :1]),
        optimizer=torch.optim.Adam(blocks, 0.1),
        epochs=2,
        progress=False,
        runtime=runtime,
    )
    moved = [
        float((p.detach() - b).abs().max())
        for p, b in zip(objective.parameters(), before, strict=True)
    ]
    assert max(moved[:2]) < 1e-6
    assert min(moved[2:]) > 1e-2


@pytest.mark.parametrize(
    ("patterns", "error", "message"),
    [
        ({"0.*": {}}, ValueError, r"no pattern matches '2.weight', '2.bias': add one, or '\*'"),
        ({"*": {}, "0.*": {}}, ValueError, r"pattern '0.\*' gets no trainable parameter"),
        ({"*": {"params": []}}, TypeError, "without 'params'"),
    ],
)
def test_patterns_that_do_not_cover_are_refused(patterns, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        groups(net(), patterns)
