"""Sampling weights with gradients of batches: an optimiser that does not settle (floor 1)."""

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

from hybrid.bayes.naming import named_in
from hybrid.bayes.sampling.stored import with_draws
from hybrid.bayes.weight_average import needs_statistics, with_statistics
from hybrid.loss import whole

__all__ = ["SGHMC", "Collect", "friction_step"]


def friction_step(
    position: Float[Tensor, "..."],
    velocity: Float[Tensor, "..."],
    gradient: Float[Tensor, "..."],
    noise: Float[Tensor, "..."],
    step: float,
    friction: float,
    temperature: float = 1.0,
) -> tuple[Tensor, Tensor]:
    r"""One step of Langevin dynamics with friction: the next position and velocity.

    .. math:: d\theta = v\,dt, \qquad dv = -\nabla U\,dt - C v\,dt + \sqrt{2 C T}\,dW

    A kick by the gradient, half a drift, the exact solution of friction and noise, half a drift. On
    a quadratic U the positions then have the exact variance T / U'' for every stable step.

    Args:
        position: θ.
        velocity: v.
        gradient: :math:`\nabla U(\theta)`.
        noise: Standard normal.
        step: The length of the step, below :math:`2 / \sqrt{U''}`.
        friction: C.
        temperature: T.

    Source: Chen, Fox & Guestrin (2014), *Stochastic gradient Hamiltonian Monte Carlo*, eq. 13;
    Leimkuhler & Matthews (2013), *Rational construction of stochastic numerical methods for
    molecular sampling*, the scheme BAOAB, with both half kicks at a position taken at once.

    Example:
        >>> still = torch.zeros(1)
        >>> friction_step(still, still + 1, still, still, step=0.1, friction=0.0)
        (tensor([0.1000]), tensor([1.]))
    """
    keep = math.exp(-friction * step)
    kicked = velocity - step * gradient
    middle = position + 0.5 * step * kicked
    velocity = keep * kicked + math.sqrt(temperature * (1 - keep**2)) * noise
    return middle + 0.5 * step * velocity, velocity


class SGHMC(Optimizer):
    r"""Stochastic gradient Hamiltonian Monte Carlo, as an optimiser of ``hybrid.fit``.

    With an objective L per unit of data, the parameters sample, after a while, from

    .. math:: p(\theta \mid D) \propto \exp(-U(\theta) / T), \qquad
        U(\theta) = N L(\theta) + \sum_i \frac{\theta_i^2}{2 s^2}.

    The noise of batches is not estimated: it adds to the temperature in proportion to the step's
    length, against which small steps, large batches and more friction help. `Collect` keeps draws.

    Args:
        parameters: Parameters, or groups of them with their own ``lr``, ``prior_scale``, … .
        lr: The length ε of a step, in units of time: :math:`\varepsilon = \sqrt{\eta}` of the
            paper's learning rate η. It must stay below 2 / √(largest curvature of U).
        data_size: N, the number of rows of the whole training data.
        friction: C; 1 / C is the time after which a velocity is forgotten.
        prior_scale: The standard deviation s of the prior N(0, s²).
        temperature: T; below 1 the posterior is sharper than the right one.

    Raises:
        ValueError: A number is not positive (temperature and friction may be 0).

    Source: Chen, Fox & Guestrin (2014), *Stochastic gradient Hamiltonian Monte Carlo*, eq. 13.

    Example:
        >>> weight = nn.Parameter(torch.ones(3))
        >>> sampler = SGHMC([weight], lr=0.1, data_size=100)
        >>> weight.square().mean().backward()
        >>> sampler.step()
        >>> bool((weight != 1).all())
        True
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        lr: float = 1e-3,
        *,
        data_size: SupportsIndex,
        friction: float = 1.0,
        prior_scale: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        defaults = {
            "lr": lr,
            "data_size": whole("data_size", data_size),
            "friction": friction,
            "prior_scale": prior_scale,
            "temperature": temperature,
        }
        super().__init__(parameters, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Take one more group of parameters, which may have settings of its own."""
        group = {**self.defaults, **param_group}
        whole("data_size", group["data_size"])
        for name in ("lr", "prior_scale"):
            if not 0 < group[name] < math.inf:
                raise ValueError(f"{name} must be a positive number: {group[name]}")
        for name in ("friction", "temperature"):
            if not 0 <= group[name] < math.inf:
                raise ValueError(f"{name} must not be negative: {group[name]}")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Move all parameters that have a gradient; noise comes from torch's global generator."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)
        return loss

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            start = torch.randn_like(parameter) * math.sqrt(group["temperature"])
            state["velocity"] = start
        prior = parameter / group["prior_scale"] ** 2
        gradient = prior + group["data_size"] * torch.as_tensor(parameter.grad)
        noise = torch.randn_like(parameter)
        position, state["velocity"] = friction_step(
            parameter,
            state["velocity"],
            gradient,
            noise,
            group["lr"],
            group["friction"],
            group["temperature"],
        )
        parameter.copy_(position)


class Collect:
    """Callback of ``hybrid.fit`` that keeps weights; `apply` makes them a posterior.

    Args:
        after: Epochs that are left out at the start.
        every: Steps from one kept weight set to the next.
        limit: How many are kept at most, the last ones.

    Raises:
        ValueError: ``after`` is negative, or one of the others below 1.

    Example:
        >>> import hybrid
        >>> law = hybrid.heads.Normal(nn.Linear(1, 4))
        >>> x = torch.linspace(-1, 1, 64).unsqueeze(-1)
        >>> objective = hybrid.objectives.ELBO(law, data_size=64)
        >>> kept = Collect(after=2, every=4)
        >>> sampler = lambda p: SGHMC(p, lr=0.01, data_size=64)
        >>> data = (x, torch.sin(9 * x.squeeze(-1)))
        >>> _ = hybrid.fit(objective, data, optimizer=sampler, batch_size=8, callbacks=[kept])
        >>> kept.count
        16
        >>> hybrid.predict(kept.apply(law), x, draws=16).mean.shape
        torch.Size([64])
    """

    def __init__(
        self, after: SupportsIndex = 0, every: SupportsIndex = 1, limit: SupportsIndex = 1000
    ) -> None:
        self.after = whole("after", after, least=0)
        self.every = whole("every", every)
        self.limit = whole("limit", limit)
        self._live: dict[str, nn.Parameter] = {}
        self._kept: list[list[Tensor]] = []

    @property
    def count(self) -> int:
        """The number of weight sets kept."""
        return len(self._kept)

    @property
    def draws(self) -> dict[str, Tensor]:
        """What was kept, ``(count, *shape)`` by the parameters' names in the objective."""
        columns = zip(*self._kept, strict=True)
        return {name: torch.stack(one) for name, one in zip(self._live, columns, strict=False)}

    def on_start(self, state: Any) -> None:
        """Forget an earlier training."""
        named = state.objective.named_parameters()
        self._live = {name: value for name, value in named if value.requires_grad}
        self._kept = []

    def on_step_end(self, state: Any) -> None:
        """Keep the weights, where it is their turn."""
        if state.epoch > self.after and state.step % self.every == 0:
            now = [value.detach().clone() for value in self._live.values()]
            self._kept = [*self._kept, now][-self.limit :]

    def on_epoch_end(self, state: Any) -> None:
        """Do nothing between epochs."""

    def state_dict(self) -> dict[str, Any]:
        """What is needed to resume."""
        return {"kept": [list(one) for one in self._kept]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        live = self._live.values()
        self._kept = [
            [value.to(own, copy=True) for value, own in zip(one, live, strict=True)]
            for one in state["kept"]
        ]

    def apply(self, law: nn.Module, data: Any = None) -> nn.Module:
        """The law with these weights: a Law like it, of random weights with divergence 0.

        Draws of it are taken from those kept, at random, without repetition where there are enough.
        Where the law has batch norms, their statistics are computed anew for each of the kept, and
        the result is an ensemble of them.

        Args:
            law: The Law (or Layer, or model of laws) that was trained. It is not changed.
            data: Inputs, pairs (x, y) or columns for batch norms, at once or in batches.

        Raises:
            ValueError: Nothing has been kept, ``law`` has none of the parameters, or it has batch
                norms and there is no data.
        """
        if not self._kept:
            raise ValueError(
                "Collect has kept no weights: pass it to hybrid.fit as a callback, for more than "
                f"{self.after} epochs (after={self.after}, every={self.every} steps)"
            )
        shapes = {name: value.shape for name, value in self._live.items()}
        names = named_in(law, self._live, "the kept parameter", shapes)
        plain = copy.deepcopy(law)
        weights = {names[name]: values for name, values in self.draws.items()}
        for own in names.values():
            plain.get_parameter(own).requires_grad_(True)
        if needs_statistics(law, data):
            return with_statistics(plain, weights, data)
        result = with_draws(plain, weights)
        for own in names.values():
            plain.get_parameter(own).requires_grad_(False)
        return result
