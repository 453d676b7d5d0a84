"""A Layer that is linear in its weights (floor 1)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from causal.draws import ALONE
from hybrid.bayes.batching import Weights, batching_rule, under
from hybrid.bayes.exchange import shadow
from hybrid.layers import in_features_of, out_features_of

__all__ = ["Tangent"]


class Tangent(nn.Module):
    r"""A Layer's linearisation in its weights w, around those it has now.

    .. math:: f(x; w_0) + J_{w_0}(x)\,(w - w_0)

    Args:
        body: A Layer, of which forward derivatives exist; it is run in evaluation mode.

    Source: Immer, Korzepa & Bauer (2021), *Improving predictions of Bayesian neural nets via local
    linearization*, eq. 8.

    Example:
        >>> layer = Tangent(nn.Sequential(nn.Linear(2, 3), nn.Tanh()))
        >>> layer(torch.zeros(5, 2)).shape
        torch.Size([5, 3])
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self._origins: dict[str, str] = {}
        for name, value in body.named_parameters():
            key = f"origin/{name.replace('.', '/')}"
            self._origins[name] = key
            self.register_buffer(key, value.detach().clone())

    @property
    def in_features(self) -> int | None:
        """Width of what the layer inside takes, where it is known."""
        return in_features_of(self.body)

    @property
    def out_features(self) -> int | None:
        """Width of what the layer inside returns, where it is known."""
        return out_features_of(self.body)

    def forward(self, inputs: Tensor) -> Any:
        """The layer at its origin, plus its derivative in the direction of the weights."""
        return _linear(
            shadow(self.body).eval(), self.origins(), dict(self.body.named_parameters()), inputs
        )

    def origins(self) -> dict[str, Tensor]:
        """The weights around which the layer is linearised."""
        return {name: self.get_buffer(key) for name, key in self._origins.items()}


def _linear(
    body: nn.Module, origins: Mapping[str, Tensor], weights: Mapping[str, Tensor], inputs: Tensor
) -> Any:
    """The body at its origin, and its derivative along the weights' difference from there."""
    along = {name: weights[name] - origin for name, origin in origins.items()}

    def run(given: dict[str, Tensor]) -> Any:
        return functional_call(body, given, (inputs,))

    with ALONE:  # the levels of torch's forward mode belong to the process
        there, change = jvp(run, (dict(origins),), (along,))[:2]
    return torch.add(there, change)


@batching_rule(Tangent)
def _tangent(module: Tangent, weights: Weights, inputs: Tensor) -> Any:
    """All draws by vmap: the layer's parameters are never replaced, which threads would see."""
    body, origins = shadow(module.body).eval(), module.origins()
    own = dict(module.body.named_parameters())
    given = under("body", weights)
    if not given:
        return NotImplemented
    axes = (dict.fromkeys(given, 0), None if len(inputs) == 1 else 0)

    def run(one: dict[str, Tensor], x: Tensor) -> Any:
        return _linear(body, origins, {**own, **one}, x)

    with ALONE:
        return vmap(run, in_dims=axes)(given, inputs[0] if len(inputs) == 1 else inputs)
