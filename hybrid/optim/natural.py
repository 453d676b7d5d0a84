"""The natural gradient by any metric, as a torch optimiser (floor 6)."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from causal.draws import seeded
from hybrid.optim.curvature import Curvature
from hybrid.optim.damping import LevenbergMarquardt
from hybrid.optim.default import Default
from hybrid.optim.measuring import Group, measured
from hybrid.optim.metric import Metric
from hybrid.optim.repeating import Repeated

__all__ = ["NaturalGradient"]

_FORMS = ("full", "diagonal")


class _Block(NamedTuple):
    """The parameters of one group that have gradients, and their metric on the present batch."""

    group: int
    parameters: list[nn.Parameter]
    curvature: Curvature
    plain: Tensor  # marks the entries without a metric, whose step is the gradient itself


class _Step(NamedTuple):
    """The step of one block, the loss's slope along it and its squared length in the metric."""

    parameters: list[nn.Parameter]
    step: Tensor
    along: float
    length: float


class _Seen(NamedTuple):
    """What was observed for one step."""

    blocks: list[_Block]
    loss: Callable[[], float]


class NaturalGradient(Optimizer):
    r"""Steps along the natural gradient of any metric.

    .. math:: \theta \leftarrow \theta - \eta\, (F + \lambda I)^{-1} g

    ``hybrid.fit`` shows it every batch. In a loop of your own, call ``observe(batch)`` between the
    backward pass and ``step()``. Gradients come from the objective as ever, so that accumulation,
    clipping and several optimisers work; parameters that the metric knows nothing of (a whole
    tensor of zeros) take plain steps :math:`\eta g`.

    Each parameter group is a block with its own ``lr``, ``damping``, ``metric`` and ``form``; what
    blocks have to do with each other is neglected. `groups` makes them by name::

        blocks = groups(objective, {"*circuit.weights": {"metric": CircuitMetric()}, "*": {}})
        NaturalGradient(blocks, objective, lr=0.1)

    Args:
        parameters: Parameters or groups of them, as every torch optimiser takes them.
        objective: The objective whose gradients these are; the metric and
            `LevenbergMarquardt` evaluate it on the observed batches.
        lr: η; 1 is a whole step.
        damping: λ, a number that stays as it is, or `LevenbergMarquardt`, which adapts it and takes
            back steps that raise the loss; without either safety a whole step can end anywhere.
        metric: What F is: `GaussNewton` (the information in the outputs), `EmpiricalFisher`,
            `CircuitMetric`, `Variational`, `Euclidean`, or a function of your own as `Metric`
            says. None is Gauss–Newton where the objective has a law or network for it, and the
            empirical Fisher metric where not.
        form: "full" or "diagonal".
        memory: Bytes that a full metric may take.
        generator: Source of random numbers; None takes torch's global one.

    Raises:
        ValueError: A setting is out of range; when it observes: a full metric takes more than
            ``memory``, or a metric has not one entry per parameter.
        TypeError: A parameter is complex, or ``objective`` or a metric of the wrong kind.

    Source: Amari (1998), *Natural gradient works efficiently in learning*, theorem 1; Martens
    (2020), *New insights and perspectives on the natural gradient method*, section 6.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.objectives.bound import ELBO
        >>> objective = ELBO(Normal(torch.nn.Linear(1, 1)), data_size=2)
        >>> optimizer = NaturalGradient(objective.parameters(), objective, lr=0.5)
        >>> batch = (torch.tensor([[0.0], [1.0]]), torch.tensor([3.0, 5.0]))
        >>> first = objective(batch).total
        >>> first.backward()
        >>> optimizer.observe(batch)
        >>> _ = optimizer.step()
        >>> bool(objective(batch).total < first)
        True
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        objective: nn.Module,
        *,
        lr: float = 1.0,
        damping: float | LevenbergMarquardt = LevenbergMarquardt(),  # noqa: B008 (frozen)
        metric: Metric | None = None,
        form: str = "full",
        memory: int = 2**30,
        generator: torch.Generator | None = None,
    ) -> None:
        if not isinstance(objective, nn.Module):
            raise TypeError(
                "objective must be the torch.nn.Module whose gradients are followed, the second "
                f"argument after the parameters: got {type(objective).__name__}"
            )
        if memory <= 0:
            raise ValueError(f"memory must be a positive number of bytes: {memory}")
        self.objective = objective
        self.memory = memory
        self.generator = generator
        self.adaptive = damping if isinstance(damping, LevenbergMarquardt) else None
        start = damping.initial if isinstance(damping, LevenbergMarquardt) else damping
        self._metric: Metric = Default() if metric is None else metric
        self._metrics: list[Metric] = []
        self._seen: _Seen | None = None
        super().__init__(parameters, {"lr": lr, "damping": start, "form": form})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; its metric is kept beside the options, which a checkpoint holds.

        Raises:
            ValueError: An option is out of range.
            TypeError: The metric is not callable, or a parameter complex.
        """
        group = dict(param_group)
        metric = group.pop("metric", None)
        metric = self._metric if metric is None else metric
        if not callable(metric) or isinstance(metric, type):
            raise TypeError(
                "metric must be a metric such as hybrid.optim.GaussNewton() or a function "
                f"(objective, batch, parameters) → tensor, got {metric!r}"
            )
        options = {**self.defaults, **group}
        if not (0 < options["lr"] < math.inf):
            raise ValueError(f"lr must be above 0 and finite: {options['lr']}")
        number = options["damping"]
        if not isinstance(number, int | float) or not 0 <= number < math.inf:
            raise ValueError(
                f"the damping of a group must be a number, 0 or above: got {number!r} "
                "(LevenbergMarquardt is for all groups together)"
            )
        if options["form"] not in _FORMS:
            raise ValueError(f"form must be 'full' or 'diagonal', got {options['form']!r}")
        super().add_param_group(group)
        complex_ones = [p for p in self.param_groups[-1]["params"] if p.is_complex()]
        if complex_ones:
            raise TypeError(
                f"NaturalGradient is for real parameters, and one of shape "
                f"{tuple(complex_ones[0].shape)} is complex: give it to another optimiser"
            )
        self._metrics.append(metric)

    def observe(self, *batches: Any, weights: Sequence[float] | None = None) -> None:
        """Look at the batches that the present gradients come from, and compute the metric there.

        Args:
            batches: One batch, or those whose gradients were accumulated.
            weights: Of each in the average; equal ones if not given.

        Raises:
            ArithmeticError: The metric is not finite.
            ValueError: There is no batch, or a metric is too large or of the wrong size.
        """
        if not batches:
            raise ValueError("observe() needs the batch that the gradients come from")
        shares = [1 / len(batches)] * len(batches) if weights is None else list(weights)
        pairs = list(zip(batches, shares, strict=True))
        with seeded(self.generator):
            same = Repeated()

            def loss() -> float:
                with torch.no_grad(), same:
                    return sum(share * _number(self.objective(batch)) for batch, share in pairs)

            with torch.enable_grad(), same:
                self._seen = _Seen(self._blocks(pairs), loss)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Step along the natural gradient of the batches that were observed last.

        Args:
            closure: Evaluates the loss and its gradients first; what it returns is returned.

        Raises:
            RuntimeError: Nothing was observed since the last step.
        """
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        seen, self._seen = self._seen, None
        if seen is None:
            raise RuntimeError(
                "NaturalGradient.step() needs the batch first: call observe(batch) between the "
                "backward pass and step(), as hybrid.fit does"
            )
        if self.adaptive is None:
            _move(self._steps(seen.blocks), 1.0)
        else:
            self._try(seen, self.adaptive)
        return result

    def __getstate__(self) -> dict[str, Any]:
        own = ("objective", "memory", "generator", "adaptive", "_metric", "_metrics")
        state: dict[str, Any] = super().__getstate__()
        return {**state, **{name: self.__dict__[name] for name in own}, "_seen": None}

    def _blocks(self, batches: Sequence[tuple[Any, float]]) -> list[_Block]:
        """One block per group; groups with the same metric share its evaluations."""
        chosen = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        blocks = []
        for metric in {id(metric): metric for metric in self._metrics}.values():
            members = [k for k, m in enumerate(self._metrics) if m is metric and chosen[k]]
            if not members:
                continue
            groups = [Group(chosen[k], self.param_groups[k]["form"]) for k in members]
            found = measured(metric, self.objective, batches, groups, self.memory)
            for k, curvature in zip(members, found, strict=True):
                blocks.append(_Block(k, chosen[k], curvature, _without(chosen[k], curvature)))
        return blocks

    def _steps(self, blocks: Sequence[_Block]) -> list[_Step]:
        """The step of each block, not yet done."""
        steps = []
        for block in blocks:
            group = self.param_groups[block.group]
            gradient = _flat(block.parameters).to(block.curvature.diagonal())
            direction = block.curvature.solve(gradient, group["damping"])
            direction = torch.where(block.plain, gradient, direction)
            if not bool(direction.isfinite().all()):
                mend = "so has its gradient"
                if bool(gradient.isfinite().all()):
                    mend = f"raise its damping={group['damping']}"
                raise ArithmeticError(
                    f"NaturalGradient: the step of group {block.group} has NaN or infinite "
                    f"entries: {mend}"
                )
            step = -group["lr"] * direction
            along, length = float(gradient @ step), float(block.curvature.length(step))
            steps.append(_Step(block.parameters, step, along, length))
        return steps

    def _try(self, seen: _Seen, adaptive: LevenbergMarquardt) -> None:
        """Step with as much damping as it takes to lower the loss on the same batch."""
        every = [p for block in seen.blocks for p in block.parameters]
        before = [p.clone() for p in every]
        loss = seen.loss()
        precision = max((torch.finfo(p.dtype).eps for p in every), default=0.0)
        slack = 10 * precision * abs(loss)  # changes below it are rounding
        for _ in range(int(adaptive.tries)):
            steps = self._steps(seen.blocks)
            share = adaptive.share(sum(step.length for step in steps))
            promise = _move(steps, share)
            change = _loss_at(seen) - loss
            if change <= slack:
                ratio = change / promise if -promise > slack else 0.5
                for group in self.param_groups:
                    group["damping"] = adaptive.changed(group["damping"], ratio)
                return
            for parameter, saved in zip(every, before, strict=True):
                parameter.copy_(saved)
            for group in self.param_groups:
                group["damping"] = adaptive.raised(group["damping"])


def _move(steps: Sequence[_Step], share: float) -> float:
    """Do a share of the steps; returns the change that the quadratic model promises."""
    for parameters, step, _, _ in steps:
        parts = (share * step).split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.add_(part.view_as(parameter).to(parameter.dtype))
    return sum(share * step.along + share**2 * step.length / 2 for step in steps)


def _flat(parameters: Sequence[nn.Parameter]) -> Tensor:
    """All gradients in one vector."""
    return torch.cat([_dense(p).reshape(-1) for p in parameters])


def _dense(parameter: nn.Parameter) -> Tensor:
    gradient = parameter.grad
    if gradient is None:  # it was taken away after the batch was observed
        return torch.zeros_like(parameter)
    return gradient.to_dense() if gradient.layout is not torch.strided else gradient


def _without(parameters: Sequence[nn.Parameter], curvature: Curvature) -> Tensor:
    """Marks the parameters whose whole metric is zero."""
    diagonal = curvature.diagonal()
    parts = diagonal.split([p.numel() for p in parameters])
    return torch.cat([(part == 0).all().expand(len(part)) for part in parts])


def _loss_at(seen: _Seen) -> float:
    """The loss after a step; infinity where distributions refuse the parameters."""
    try:
        return seen.loss()
    except (ValueError, ArithmeticError, RuntimeError, Warning):
        return math.inf


def _number(loss: Any) -> float:
    """The total of what an objective returned; infinity where it is not finite."""
    total = float(loss if isinstance(loss, Tensor) else loss[0])
    return total if math.isfinite(total) else math.inf
