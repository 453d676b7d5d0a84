"""torch-uncertainty: BayesLinear and ELBOLoss.

Its package imports lightning and torchvision at once; the layers and the loss need neither, and are
imported here without the packages' own ``__init__``.
"""

import importlib.util
import itertools
import sys
import types
from functools import partial

import torch
from peers.torch_by_hand import stepping
from peers.uncertain import ROWS, SCALE, SIZES, Step, regression, serve
from torch import Tensor, nn


def _bare(places: list[str], name: str) -> None:
    """A package of this name whose ``__init__`` is not run."""
    module = types.ModuleType(name)
    module.__path__ = ["/".join([place, *name.split(".")[1:]]) for place in places]
    sys.modules[name] = module


_found = importlib.util.find_spec("torch_uncertainty")
if _found is None or _found.submodule_search_locations is None:
    raise ModuleNotFoundError("torch_uncertainty is not installed")
for _part in ("", ".layers", ".utils", ".losses"):
    _bare(list(_found.submodule_search_locations), f"torch_uncertainty{_part}")

from torch_uncertainty.layers.bayesian import BayesLinear  # noqa: E402
from torch_uncertainty.losses.bayesian import ELBOLoss  # noqa: E402


def variational(draws: int) -> Step:
    """Its loss loops over the draws."""
    raw = float(torch.tensor(SCALE).expm1().log())
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(SIZES):
        parts += [BayesLinear(a, b, prior_sigma_1=1.0, sigma_init=raw), nn.ReLU()]
    body = nn.Sequential(*parts[:-1])
    bound = ELBOLoss(body, nn.MSELoss(), kl_weight=1 / ROWS, num_samples=draws)
    x, y = (torch.from_numpy(part) for part in regression())

    def loss() -> Tensor:
        found: Tensor = bound(x, y[:, None])
        return found

    parameters = [p for p in dict(body.named_parameters()).values() if p.requires_grad]
    return Step(stepping(parameters, loss), None)


if __name__ == "__main__":
    torch.set_num_threads(1)
    cases = {f"variational-{draws}": partial(variational, draws) for draws in (1, 8, 16, 32)}
    serve(cases, ("torch-uncertainty", "torch"))
