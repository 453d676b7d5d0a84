"""bayesian-torch: reparameterised linear layers, one pass for each draw.

Its divergence is the mean over a layer's weights, not the sum, so its loss is another number.
"""

import itertools
from functools import partial

import torch
from bayesian_torch.layers import LinearReparameterization
from peers.torch_by_hand import stepping
from peers.uncertain import ROWS, SCALE, SIZES, Step, regression, serve
from torch import Tensor, nn


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        raw = float(torch.tensor(SCALE).expm1().log())
        pairs = itertools.pairwise(SIZES)
        self.layers = nn.ModuleList(
            LinearReparameterization(a, b, posterior_rho_init=raw) for a, b in pairs
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(())
        for k, layer in enumerate(self.layers):
            x, divergence = layer(x)
            total = total + divergence
            x = x.relu() if k < len(self.layers) - 1 else x
        return x, total


def variational(draws: int) -> Step:
    """A loop over the draws, as in its examples."""
    body = _Network()
    x, y = (torch.from_numpy(part) for part in regression())

    def loss() -> Tensor:
        outputs, divergences = zip(*(body(x) for _ in range(draws)), strict=True)
        misfit = 0.5 * (torch.stack(outputs).squeeze(-1) - y).square().mean()
        return misfit + torch.stack(divergences).mean() / ROWS

    return Step(stepping(list(body.parameters()), loss), None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {f"variational-{draws}": partial(variational, draws) for draws in (1, 8, 16, 32)}
    serve(cases, ("bayesian-torch", "torch"))
