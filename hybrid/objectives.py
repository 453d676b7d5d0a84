"""What is minimised: objectives are modules that turn a batch into one number (floor 3).

`ELBO` trains any Law or Joint, with or without random weights; `Supervised` any Law or network by
a loss; `Pyro` any pair of a Pyro model and guide; `Weighted` is a sum of such. All are ordinary
modules whose parameters exist before an optimiser is made.
"""

import copy
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, SupportsIndex

import pyro
import torch
import torch.distributions as td
from pyro.infer import ELBO as PyroELBO  # noqa: N811 (two things of the field share this name)
from pyro.infer import JitTrace_ELBO, JitTraceEnum_ELBO, JitTraceMeanField_ELBO, Trace_ELBO
from pyro.infer.autoguide import AutoGuide
from torch import Tensor, nn

from causal.draws import divergence, fixed
from causal.law import law_at, log_probability_of
from hybrid.loss import Loss, whole
from hybrid.pairs import data_pair, described
from hybrid.supervised import Supervised
from hybrid.weighted import Ramp, Weighted

__all__ = ["ELBO", "Loss", "Pyro", "Ramp", "Supervised", "Weighted"]

_HANDLERS = threading.RLock()  # Pyro's handler stack and parameter store belong to the process


class ELBO(nn.Module):
    r"""Negative evidence lower bound per unit of data, of a Law or a Joint.

    .. math:: -\frac{1}{SB} \sum_{s=1}^S \sum_{i=1}^B \log p(y_i \mid x_i, w_s)
        + \frac{1}{N} KL(q(w) \,\|\, p(w)), \qquad w_s \sim q

    Its minimum does not depend on the batch size B, and N times it is the negative ELBO of the
    whole data. Without random weights the divergence is 0 and this is maximum likelihood. The
    weights are drawn once per call and serve the whole batch.

    Args:
        model: A Law, for batches ``(x, y)``; or a Joint, for batches ``{name: column}``.
        data_size: N, the number of units (rows) in the whole training data.
        draws: S, the number of weight sets drawn per call.
        seed: None draws new weights in each call, from torch's global generator. A number draws
            the same weights in every call (common random numbers) and leaves the global state
            alone: the objective is then a deterministic function, as line searches want.

    Raises:
        ValueError: ``data_size`` or ``draws`` is below 1, ``y`` does not have the law's shape or is
            none of its classes, or a variable of the Joint has no column.
        TypeError: The batch is neither a pair nor a mapping, or complex; ``model`` is no module.

    Source: Blundell et al., Weight Uncertainty in Neural Networks, ICML 2015, eq. 2 and 8.

    Example:
        >>> import pyro.distributions as dist, torch
        >>> class Line(torch.nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.body = torch.nn.Linear(1, 1)
        ...
        ...     def forward(self, context):
        ...         return dist.Normal(self.body(context).squeeze(-1), 1.0)
        >>> objective = ELBO(Line(), data_size=100)
        >>> loss = objective((torch.zeros(8, 1), torch.zeros(8)))
        >>> sorted(loss.parts)
        ['divergence', 'likelihood']
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        data_size: SupportsIndex,
        draws: SupportsIndex = 1,
        seed: SupportsIndex | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"model must be a Law or Joint, a torch.nn.Module: got {type(model).__name__}"
            )
        self.model = model
        self.data_size = whole("data_size", data_size)
        self.draws = whole("draws", draws)
        self.seed = None if seed is None else whole("seed", seed, least=None)

    def forward(self, batch: Any) -> Loss:
        """The loss of one batch: ``(x, y)`` for a Law, ``{name: column}`` for a Joint."""
        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        with fixed(self.model, self.draws, generator):
            likelihood = -self._log_probability(batch).mean()
            distance = divergence(self.model).to(likelihood.device) / self.data_size
        parts = {"likelihood": likelihood, "divergence": distance}
        return Loss(likelihood + distance, parts)

    def _log_probability(self, batch: Any) -> Tensor:
        if isinstance(batch, Mapping):
            joint: Any = self.model
            if not callable(getattr(joint, "log_probability", None)):
                raise TypeError(
                    f"{type(joint).__name__} has no log_probability, so it is no Joint and cannot "
                    "take a batch of named columns: give the batches as (x, y)"
                )
            missing = [repr(name) for name in joint.variables if name not in batch]
            if missing:
                raise ValueError(
                    f"the data has no column {', '.join(missing)}: the ELBO of a "
                    f"{type(joint).__name__} needs all of {list(joint.variables)}"
                )
            result: Tensor = joint.log_probability(batch)
            return result
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise TypeError(
                "ELBO takes a batch (x, y) for a Law or {name: column} for a Joint, not "
                f"{described(batch)}"
            )
        x, y = data_pair(self.model, *batch)
        context = x.unsqueeze(0)  # rule: the leading axis is the draws
        law: Any = self.model
        distribution = law_at(law, context) if x.dim() == 2 else law(context)
        rows, event = distribution.batch_shape[1:], distribution.event_shape
        if y.shape != rows + event:  # complain without the axis of draws, which y does not have
            plain = td.Normal(torch.zeros(rows + event), 1.0)
            log_probability_of(td.Independent(plain, len(event)), torch.zeros(y.shape), "y")
        return log_probability_of(distribution, y.unsqueeze(0), "y")

    def extra_repr(self) -> str:
        """The numbers the objective was made with."""
        return f"data_size={self.data_size}, draws={self.draws}, seed={self.seed}"


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
        with _HANDLERS, pyro.get_param_store().scope(state) as inner:
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
