import pytest
import torch
from torch import nn

from hybrid.training.coverage import needs_closure, optimizers_for


def network():
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1)


def test_the_default_is_adam():
    (made,) = optimizers_for(network())
    assert isinstance(made, torch.optim.Adam)
    assert made.param_groups[0]["lr"] == 1e-3


def test_frozen_parameters_need_no_optimizer_and_may_be_in_one():
    module = network()
    module[0].requires_grad_(False)
    (made,) = optimizers_for(module, sgd)
    assert len(made.param_groups[0]["params"]) == 2
    optimizers_for(module, torch.optim.SGD(module.parameters(), 0.1))


def test_shared_parameters_are_covered_once():
    module = network()
    module.append(module[0])
    optimizers_for(module, sgd)


def test_patterns_mix_callables_and_instances():
    module = network()
    made = optimizers_for(module, {"0.*": torch.optim.SGD(module[0].parameters(), 1), "1.*": sgd})
    assert [len(o.param_groups[0]["params"]) for o in made] == [2, 2]


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        (lambda m: torch.optim.SGD(m[0].parameters(), 1), ValueError, r"trains '1.weight', '1.b"),
        (lambda m: {"0.*": sgd}, ValueError, r"no optimizer trains '1\.weight'"),
        (lambda m: {"*": sgd, "0.bias": sgd}, ValueError, "'0.bias' is matched by .* '\\*' and"),
        (lambda m: {"*": sgd, "other": sgd}, ValueError, "'other' matches no trainable"),
        (
            lambda m: {"0.*": torch.optim.SGD(m.parameters(), 1), "1.*": sgd},
            ValueError,
            "'1.weight' is in two optimizers",
        ),
        (
            lambda m: torch.optim.SGD([*m.parameters(), nn.Parameter(torch.ones(3, 4))], 1),
            ValueError,
            r"SGD \(group 0, entry 4\) has a tensor of shape \(3, 4\) that is no parameter",
        ),
        (lambda m: "adam", TypeError, "got 'adam'"),
        (lambda m: 3, TypeError, "got 3"),
        (lambda m: lambda p: (sgd(p), None), TypeError, "got tuple: for a learning-rate schedule"),
        (lambda m: {"*": None}, TypeError, r"optimizer\['\*'\] must be"),
    ],
)
def test_what_is_wrong_is_named(spec, kind, message):
    module = network()
    with pytest.raises(kind, match=message):
        optimizers_for(module, spec(module))


def test_a_copy_of_the_model_is_foreign():
    with pytest.raises(ValueError, match=r"make the optimizer from objective\.parameters"):
        optimizers_for(network(), torch.optim.SGD(network().parameters(), 0.1))


def test_who_needs_a_closure():
    parameters = [nn.Parameter(torch.zeros(1))]
    assert needs_closure(torch.optim.LBFGS(parameters))
    assert not any(needs_closure(kind(parameters)) for kind in (torch.optim.Adam, torch.optim.SGD))
