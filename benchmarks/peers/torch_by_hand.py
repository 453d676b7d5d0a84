"""What an expert writes by hand in torch: the plain network, a VAE, a Gaussian mixture."""

import itertools
import math
from collections.abc import Callable

import torch
from peers.uncertain import (
    COMPONENTS,
    LATENT,
    PIXELS,
    SIZES,
    WIDTH,
    Step,
    centres,
    images,
    points,
    regression,
    serve,
    weights,
)
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["filled", "network", "stepping"]


def filled(layers: nn.Module, sizes: tuple[int, ...], seed: int = 2) -> None:
    """Put the common initial weights into the linear layers of a network."""
    linear = [part for part in layers.modules() if isinstance(part, nn.Linear)]
    with torch.no_grad():
        for part, (weight, bias) in zip(linear, weights(sizes, seed), strict=True):
            part.weight.copy_(torch.from_numpy(weight))
            part.bias.copy_(torch.from_numpy(bias))


def network(sizes: tuple[int, ...] = SIZES, seed: int = 2) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.ReLU()]
    made = nn.Sequential(*parts[:-1])
    filled(made, sizes, seed)
    return made


def stepping(parameters: list[nn.Parameter], loss: Callable[[], Tensor]) -> Callable[[], None]:
    """A step of fused Adam."""
    adam = torch.optim.Adam(parameters, 1e-4, fused=True)

    def step() -> None:
        adam.zero_grad()
        loss().backward()
        adam.step()

    return step


def plain() -> Step:
    """The network, by least squares."""
    body = network()
    x, y = (torch.from_numpy(part) for part in regression())
    constant = 0.5 * math.log(2 * math.pi)

    def loss() -> Tensor:
        return 0.5 * (body(x).squeeze(-1) - y).square().mean() + constant

    return Step(stepping(list(body.parameters()), loss), lambda: loss().item(), random=False)


def vae() -> Step:
    """Closed divergence, cross entropy with logits."""
    encoder, decoder = network((PIXELS, WIDTH, 2 * LATENT)), network((LATENT, WIDTH, PIXELS), 5)
    x = torch.from_numpy(images())

    def loss() -> Tensor:
        mean, raw = encoder(x).chunk(2, -1)
        scale = F.softplus(raw) + 1e-3
        z = mean + scale * torch.randn_like(mean)
        misfit = F.binary_cross_entropy_with_logits(decoder(z), x, reduction="sum")
        rate = 0.5 * (scale * scale + mean * mean - 1).sum() - scale.log().sum()
        return (misfit + rate) / len(x)

    parameters = [*encoder.parameters(), *decoder.parameters()]
    return Step(stepping(parameters, loss), lambda: loss().item())


def gmm() -> Step:
    """Weights, centres and scales of the components."""
    logits = nn.Parameter(torch.zeros(COMPONENTS))
    means = nn.Parameter(torch.from_numpy(centres()))
    raw = nn.Parameter(torch.full((COMPONENTS, 2), math.log(math.expm1(1.0))))
    x = torch.from_numpy(points())

    def loss() -> Tensor:
        scale = F.softplus(raw)
        distance = (x[:, None] - means) / scale
        each = -0.5 * distance.square().sum(-1) - scale.log().sum(-1) - math.log(2 * math.pi)
        return -(each + logits.log_softmax(0)).logsumexp(1).mean()

    return Step(stepping([logits, means, raw], loss), lambda: loss().item(), random=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    serve({"plain": plain, "vae": vae, "gmm": gmm}, ("torch",))
