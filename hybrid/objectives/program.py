"""Any pair of a Pyro model and guide as an objective (floor 0)."""

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pyro
import torch
from pyro.infer import ELBO as PyroELBO  # noqa: N811 (two things of the field share this name)
from pyro.infer import JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceMeanField_ELBO, Trace_ELBO
from pyro.infer.autoguide import AutoGuide
from torch import Tensor, nn

from causal.draws import ALONE
from hybrid.loss import Loss

__all__ = ["Pyro"]


class Pyro(nn.Module):
    """The loss of any Pyro model and guide, as an ordinary module.

    It lives in a parameter store of its own: nothing is read from or left in Pyro's global store,
    and two objectives never share parameters by name. Constrained parameters are trained through
    their unconstrained values. A batch is passed on as Pyro users expect: a tuple as positional
    arguments, a dict or a tensor as one argument. Calls from several threads take turns.

    The loss is Pyro's own, unscaled: use ``pyro.plate(..., subsample_size=)`` or ``poutine.scale``
    in the model for minibatches.

    Args:
        model: A Pyro model; if it is a module (`PyroModule`, SCM) its parameters are included once.
        guide: A Pyro guide, for example an autoguide, on the same arguments.
        example: A batch. Model and guide run once on it, so that every parameter exists before an
            optimiser is made; a parameter that first appears later is an error.
        loss: Any Pyro loss with a ``differentiable_loss``; None is `Trace_ELBO`.

    Raises:
        TypeError: ``model`` or ``guide`` is not callable, or ``loss`` is not such a loss.
        RuntimeError: A batch reaches a parameter that ``example`` did not.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> from pyro.infer.autoguide import AutoNormal
        >>> def model(y):
        ...     mean = pyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     with pyro.plate("rows", len(y)):
        ...         pyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> objective = Pyro(model, AutoNormal(model), example=torch.zeros(4))
        >>> [name for name, _ in objective.named_parameters()]
        ['guide.locs.mean_unconstrained', 'guide.scales.mean_unconstrained']
        >>> len(pyro.get_param_store())
        0
    """

    def __init__(
        self,
        model: Callable[..., Any],
        guide: Callable[..., Any],
        example: Any,
        loss: PyroELBO | None = None,
    ) -> None:
        super().__init__()
        for name, program in (("model", model), ("guide", guide)):
            if not callable(program):
                raise TypeError(f"{name} must be a Pyro program (a callable), got {program!r}")
        loss = Trace_ELBO() if loss is None else loss
        if isinstance(loss, JitTrace_ELBO | JitTraceEnum_ELBO | JitTraceMeanField_ELBO):
            raise TypeError(
                f"{type(loss).__name__} compiles in the parameters of Pyro's global store, but an "
                f"objective has its own store: use {type(loss).__name__[3:]}"
            )
        if not callable(getattr(loss, "differentiable_loss", None)):
            raise TypeError(
                f"{type(loss).__name__} has no differentiable_loss, so its gradient cannot be "
                "followed by a torch optimiser: use Trace_ELBO, TraceEnum_ELBO or "
                "TraceMeanField_ELBO"
            )
        self.model = model
        self.guide = guide
        self.loss = loss
        self.store = nn.Module()
        self._keys: dict[str, str] = {}  # Pyro's name of a parameter of our own -> key in `store`
        self._borrowed: dict[str, str] = {}  # the same for parameters of modules we do not own
        self._constraints: dict[str, Any] = {}
        with self._scope() as state:
            self._value(example)
        self._adopt(state)

    def forward(self, batch: Any) -> Loss:
        """Pyro's loss of one batch; its gradient is the one of the loss's own estimator."""
        with self._scope() as state:
            total = self._value(batch)
        new = sorted(set(state["params"]) - self._known)
        if new:
            raise RuntimeError(
                f"this batch reaches the Pyro parameters {', '.join(map(repr, new))}, which the "
                "example given to Pyro(model, guide, example) did not: no optimiser has them. Give "
                "an example that reaches every parameter"
            )
        return Loss(total, {})

    def _value(self, batch: Any) -> Tensor:
        arguments = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        loss: Any = self.loss
        return torch.as_tensor(loss.differentiable_loss(self.model, self.guide, *arguments))

    @contextmanager
    def _scope(self) -> Iterator[Any]:
        """Pyro's parameter store with our own parameters only; modules register theirs again."""
        params = {name: self.store.get_parameter(key) for name, key in self._keys.items()}
        state: Any = {"params": params, "constraints": dict(self._constraints)}
        with ALONE, pyro.get_param_store().scope(state) as inner:
            yield inner

    def _adopt(self, state: Any) -> None:
        """Register what the first run put into the store and no module of ours has."""
        owned = {id(parameter) for parameter in self.parameters()}
        for name, value in state["params"].items():
            if id(value) in owned:
                continue
            key = _free_key(self.store, name)
            if isinstance(value, nn.Parameter):  # of a module that the model or guide closes over
                self._borrowed[name] = key
                self.store.register_parameter(key, value)
            else:
                self._keys[name] = key
                self._constraints[name] = state["constraints"][name]
                self.store.register_parameter(key, nn.Parameter(value.detach().clone()))
        self._known = set(state["params"])

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pyro":
        if self._borrowed:
            raise TypeError(
                f"cannot copy: the parameters {', '.join(map(repr, self._borrowed))} belong to a "
                "module that the model or guide only refers to. Make it a part of the model "
                "(a PyroModule), or build a second objective and use load_state_dict"
            )
        guides = [part for part in self.modules() if isinstance(part, AutoGuide)]
        links = [(guide, guide._model, guide.master) for guide in guides]
        for guide in guides:  # a trace of structure, never written to: shared by the copy
            memo[id(guide.prototype_trace)] = guide.prototype_trace
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        try:
            twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
            targets = [copy.deepcopy(model, memo) for _, model, _ in links]
        except (TypeError, RuntimeError, AttributeError) as error:
            raise TypeError(
                f"Pyro's {type(self.guide).__name__} or the model cannot be copied ({error}): "
                "build a second objective and use load_state_dict"
            ) from error
        finally:  # an autoguide drops these from the original when it is copied or pickled
            for guide, model, master in links:
                guide._model, guide.master = model, master
        for (guide, _, _), target in zip(links, targets, strict=True):
            memo[id(guide)]._model = target
        return twin


def _free_key(store: nn.Module, name: str) -> str:
    """A readable attribute name for Pyro's ``name`` that is not taken in ``store``."""
    key = re.sub(r"\W+", "_", name).strip("_") or "parameter"
    while hasattr(store, key):
        key += "_"
    return key
