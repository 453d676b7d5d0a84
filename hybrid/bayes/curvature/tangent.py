"""A Layer that is linear in its weights (floor 0)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

__all__ = ["Tangent"]


class Tangent(nn.Module):
    r"""A Layer's linearisation in its weights w, around those it has now.

    .. math:: f(x; w_0) + J_{w_0}(x)\,(w - w_0)

    Args:
        body: A Layer, of which forward derivatives exist; in evaluation mode.

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

    def forward(self, inputs: Tensor) -> Any:
        """The layer at its origin, and its derivative along the weights' difference from there."""
        now = dict(self.body.named_parameters())
        origins = {name: self.get_buffer(key) for name, key in self._origins.items()}
        along = {name: now[name] - origins[name] for name in origins}

        def run(weights: dict[str, Tensor]) -> Any:
            return functional_call(self.body, weights, (inputs,))

        there, change = jvp(run, (origins,), (along,))[:2]
        return torch.add(there, change)
