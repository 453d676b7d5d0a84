"""The metric of circuits, for their own weights (floor 3)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hybrid.watching import undisturbed, watched

if TYPE_CHECKING:
    from quantum.layer import CircuitLayer

__all__ = ["CircuitMetric"]


class CircuitMetric:
    r"""The Fubini–Study metric of circuits at the inputs that they get, as a mean over the rows.

    Every parameter of its group must be a weight of a `quantum.CircuitLayer` on pure states; what
    different circuits have to do with each other is neglected. The metric does not know what is
    done with the measurements: scale by ``lr``.

    Args:
        approximation: None for the full metric, "block-diag" or "diag" as in
            `quantum.metric_tensor`.

    Raises:
        ValueError: When called: a parameter belongs to no circuit, a circuit did not run, or ran
            under vmap.

    Source: Stokes, Izaac, Killoran & Carleo (2020), *Quantum natural gradient*, eq. 5 and 12.

    Example:
        >>> import pennylane as qml
        >>> from quantum.layer import CircuitLayer
        >>> def circuit(x, weights):
        ...     qml.RX(weights[0], wires=0)
        ...     qml.RY(weights[1], wires=0)
        ...     return qml.expval(qml.Z(0))
        >>> layer = CircuitLayer(circuit, {"weights": 2}, in_features=1, init=nn.init.zeros_)
        >>> CircuitMetric()(layer, torch.zeros(3, 1), list(layer.parameters()))
        tensor([[0.2500, 0.0000],
                [0.0000, 0.2500]])
    """

    def __init__(self, approximation: Literal["block-diag", "diag"] | None = None) -> None:
        if approximation not in (None, "block-diag", "diag"):
            raise ValueError(
                f"approximation must be None, 'block-diag' or 'diag', got {approximation!r}"
            )
        self.approximation: Literal["block-diag", "diag"] | None = approximation

    @torch.no_grad()
    def __call__(
        self, objective: nn.Module, batch: Any, parameters: Sequence[nn.Parameter]
    ) -> Float[Tensor, "parameters parameters"]:
        """The metric of the parameters' circuits on one batch."""
        from quantum.layer import CircuitLayer  # PennyLane is loaded where there is a circuit

        wanted = {id(p) for p in parameters}
        layers = [
            part
            for part in objective.modules()
            if isinstance(part, CircuitLayer) and any(id(p) in wanted for p in part.parameters())
        ]
        self._check(objective, layers, parameters)
        with undisturbed(objective), watched(objective, lambda part: part in layers) as calls:
            objective(batch)
        starts, size = {}, 0
        for parameter in parameters:
            starts[id(parameter)] = size
            size += parameter.numel()
        metric = parameters[0].new_zeros(size, size)
        for layer in layers:
            inputs = [call.inputs for call in calls if call.part is layer]
            places, chosen = _places(layer, starts)
            own = self._metric(layer, inputs)[chosen][:, chosen].to(metric)
            metric[places[:, None], places] += own
        return metric

    def __repr__(self) -> str:
        return f"CircuitMetric({'' if self.approximation is None else repr(self.approximation)})"

    def _metric(self, layer: "CircuitLayer", inputs: Sequence[Tensor]) -> Tensor:
        """The mean metric over all rows of all calls."""
        from quantum.metric import metric_tensor

        if not inputs:
            raise ValueError(
                "CircuitMetric: a circuit of the group did not run on the batch, so that it has no "
                "inputs: leave its weights to another group"
            )
        if any(torch._C._functorch.is_functorch_wrapped_tensor(each) for each in inputs):
            raise ValueError(
                "CircuitMetric: a circuit ran under torch.func.vmap, where its inputs cannot be "
                "seen: put it in a torch.nn.Sequential or hybrid.layers.Skip, which need no vmap"
            )
        rows = torch.cat([each.detach().reshape(-1, each.shape[-1]) for each in inputs])
        found = metric_tensor(layer, rows, approximation=self.approximation)
        return found if found.dim() == 2 else found.flatten(0, -3).mean(0)

    def _check(
        self,
        objective: nn.Module,
        layers: Sequence[nn.Module],
        parameters: Sequence[nn.Parameter],
    ) -> None:
        known = {id(p) for layer in layers for p in layer.parameters()}
        names = {id(p): name for name, p in objective.named_parameters()}
        wrong = [f"'{names.get(id(p), '?')}'" for p in parameters if id(p) not in known]
        if wrong:
            raise ValueError(
                f"CircuitMetric is for the weights of circuits, and {', '.join(wrong)} is none: "
                "put it in a group of its own, by hybrid.optim.groups"
            )


def _places(layer: nn.Module, starts: dict[int, int]) -> tuple[Tensor, Tensor]:
    """Where the wanted weights of a layer are in the metric of all, and in the layer's own."""
    places: list[int] = []
    chosen: list[int] = []
    position = 0
    for parameter in layer.parameters():
        size = parameter.numel()
        start = starts.get(id(parameter))
        if start is not None:
            places.extend(range(start, start + size))
            chosen.extend(range(position, position + size))
        position += size
    device = next(layer.parameters()).device
    return torch.tensor(places, device=device), torch.tensor(chosen, device=device)
