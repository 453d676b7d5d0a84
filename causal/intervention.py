"""Interventions on any Pyro program, as an effect handler (floor 3)."""

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import pyro.distributions as dist
import torch
import torch.distributions as td
from pyro.poutine.indep_messenger import IndepMessenger
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import _PYRO_STACK
from torch import Tensor

from causal.cases import acted
from causal.draws import ALONE
from causal.law import as_pyro

__all__ = ["do"]

_MARK = "_intervened"


class do(Messenger):  # noqa: N801 - a verb, as in the do-calculus
    """Set sites of the Pyro program that runs inside: ``with do({"X": 1.0}): model()``.

    A site's own term leaves the log density, an observed value is overridden, and the site stays in
    the trace as a deterministic one. Of nested interventions on one site the inner wins. Works as a
    decorator too: ``do(values)(model)``. Pyro has one stack of handlers for all threads, so that an
    intervention in another thread waits until this one is over, and any other program there raises.

    Args:
        values: By site, a number or tensor (one value, or one per row of the plates), a
            distribution to draw from, or a function of the sites so far, which it takes by the
            names of its parameters or as one mapping ``{name: value}``.

    Raises:
        ValueError: A value has the wrong shape, a site is conditioned on outside the intervention,
            or (after the run) a name was no site.
        TypeError: A value is no number.
        RuntimeError: Another thread runs a Pyro program inside the intervention.

    Example:
        >>> import pyro, torch
        >>> import pyro.distributions as dist
        >>> def model():
        ...     x = pyro.sample("X", dist.Normal(0.0, 1.0))
        ...     return pyro.sample("Y", dist.Normal(2 * x, 1.0), obs=torch.tensor(1.0))
        >>> with do({"X": 3.0}):
        ...     trace = pyro.poutine.trace(model).get_trace()
        >>> (
        ...     trace.nodes["X"]["value"],
        ...     trace.log_prob_sum() == dist.Normal(6.0, 1.0).log_prob(torch.tensor(1.0)),
        ... )
        (tensor(3.), tensor(True))
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise TypeError(
                f"do takes values by the names of sites, {{name: value}}, got {values!r}"
            )
        self.values = dict(values)
        self._thread: int | None = None
        self._seen: dict[str, Any] = {}
        self._set: dict[str, Tensor] = {}

    def __enter__(self) -> "do":  # noqa: PYI034 - the run-time checks of the tests know no Self
        ALONE.acquire()
        try:
            super().__enter__()
        except BaseException:
            ALONE.release()
            raise
        self._seen, self._set, self._thread = {}, {}, threading.get_ident()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            ALONE.release()
        missed = sorted(set(self.values) - set(self._seen))
        sites, self._seen, self._set = sorted(self._seen), {}, {}
        if missed and kind is None:
            raise ValueError(f"do: no sample site is called {missed}; the program has {sites}")

    def _pyro_sample(self, msg: Any) -> None:
        name = msg["name"]
        if self._thread != threading.get_ident():
            raise RuntimeError(
                f"the site {name!r} is run by another thread than the intervention on "
                f"{sorted(self.values)} around it: Pyro's handlers are shared by all threads, so "
                "run one program at a time"
            )
        if name not in self.values or msg["infer"].get(_MARK):
            return
        event = tuple(msg["fn"].event_shape)
        batch = _batch_shape(msg)
        value = _value(name, self.values[name], msg, event, batch, self._seen)
        msg["infer"] = {**msg["infer"], "_deterministic": True, _MARK: True}
        msg["fn"] = dist.Delta(value, event_dim=len(event)).mask(False)
        msg["value"], msg["is_observed"], msg["done"] = value, True, True
        self._set[name] = value

    def _pyro_post_sample(self, msg: Any) -> None:
        name = msg["name"]
        if name in self._set and self._set[name] is not msg["value"]:
            raise ValueError(
                f"do: the site {name!r} is set again by a handler outside of the intervention "
                "(condition, replay): put do outermost, do(values)(condition(model, data))"
            )
        self._seen[name] = msg["value"]


def _batch_shape(msg: Any) -> tuple[int, ...]:
    """The batch shape of a site in all plates, those around the intervention included."""
    frames = list(msg["cond_indep_stack"])
    outer = [frame for frame in _PYRO_STACK if isinstance(frame, IndepMessenger)]
    shape = tuple(msg["fn"].batch_shape)
    plates = [(frame.dim, frame.size) for frame in frames]
    plates += [(frame.dim, int(getattr(frame, "subsample_size", frame.size))) for frame in outer]
    for dim, size in plates:
        if dim is not None:
            axis = (size, *(1 for _ in range(-dim - 1)))
            shape = tuple(torch.broadcast_shapes(shape, axis))
    return shape


def _value(
    name: str,
    action: Any,
    msg: Any,
    event: tuple[int, ...],
    batch: tuple[int, ...],
    seen: Mapping[str, Any],
) -> Tensor:
    """The value of an intervention, expanded to the site's shape."""
    if callable(action) and not isinstance(action, Tensor | td.Distribution):
        action = acted(name, action, seen)
    if isinstance(action, td.Distribution):
        if tuple(action.event_shape) != event:
            raise ValueError(
                f"do({name!r}): the distribution has event shape {tuple(action.event_shape)}, the "
                f"site has {event}"
            )
        action = as_pyro(action)
        lead = torch.broadcast_shapes(tuple(action.batch_shape), batch)
        action = action.expand(lead)()
    like = _some_tensor(msg["fn"])
    dtype: torch.dtype | None = None
    if not isinstance(action, Tensor) and not _counts(msg["fn"]):
        dtype = torch.get_default_dtype() if like is None else like.dtype
    try:
        value = torch.as_tensor(action, dtype=dtype, device=None if like is None else like.device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"do({name!r}): the value {action!r} is not numeric") from error
    if bool(value.isnan().any()):
        raise ValueError(f"do({name!r}): the value has NaN: give a number for each row")
    rows = tuple(value.shape[: value.dim() - len(event)])
    if len(value.shape) >= len(event) and tuple(value.shape[len(rows) :]) == event:
        padded = (1,) * (len(batch) - len(rows)) + rows
        if len(padded) == len(batch) and all(
            r in (1, b) for r, b in zip(padded, batch, strict=True)
        ):
            return value.expand((*batch, *event))
    raise ValueError(
        f"do({name!r}): the value has shape {tuple(value.shape)}, but the site has batch shape "
        f"{batch} and event shape {event}"
    )


def _some_tensor(distribution: td.Distribution) -> Tensor | None:
    """A floating point tensor of a distribution, which tells its dtype and device."""
    for field in vars(distribution).values():
        found = _some_tensor(field) if isinstance(field, td.Distribution) else field
        if isinstance(found, Tensor) and found.is_floating_point():
            return found
    return None


def _counts(distribution: Any) -> bool:
    """Whether a site's values are integers."""
    try:
        support = distribution.support
    except NotImplementedError:
        return False
    return bool(support.is_discrete) and support is not dist.constraints.boolean
