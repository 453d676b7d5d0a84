"""Networks under the transforms of `torch.func`."""

import pytest
import torch

import causal
from hybrid.pgm import BayesianNetwork, Table


@pytest.fixture
def network() -> BayesianNetwork:
    tables = {
        "X": Table([0.3, 0.7], trainable=True),
        "Y": Table([[0.5, 0.5], [1.0, 0.0]], trainable=True),
    }
    return BayesianNetwork(causal.Graph.parse("X -> Y"), tables)


def test_gradients_by_parameters(network) -> None:
    rows = {"Y": torch.tensor([0, 1, -1])}

    def total(parameters: dict[str, torch.Tensor]) -> torch.Tensor:
        found = torch.func.functional_call(network, parameters, (rows,))
        return found["X"][:, 0].square().sum()

    parameters = {name: value.detach() for name, value in network.named_parameters()}
    found = torch.func.grad(total)(parameters)
    total(dict(network.named_parameters())).backward()
    for name, value in network.named_parameters():
        torch.testing.assert_close(found[name], value.grad)


def test_vmap_is_refused_with_what_to_do_instead(network) -> None:
    with pytest.raises(TypeError, match=r"they take rows themselves, as evidence \(\*batch,\)"):
        torch.func.vmap(lambda y: network.log_probability({"Y": y}))(torch.tensor([0, 1]))
    tables = torch.tensor([[0.5, 0.5], [0.1, 0.9]]).double()
    with pytest.raises(TypeError, match="draws of weights as draws=S"):
        torch.func.vmap(lambda x: network.log_probability({"X": 0}, tables={"X": x}))(tables)
