"""The conformance check of laws (floor 4)."""

import inspect
from typing import Any

import pyro
import torch
import torch.distributions as td
from torch import Tensor, nn

from causal.draws import divergence, fixed
from causal.law import as_pyro, draw_from, is_integer, law_at, log_probability_of, states_of
from hybrid.bayes.priors.prior import PriorDensity
from hybrid.storage.packing import same_bits
from hybrid.testing.contract import Clauses, fresh, own_randomness, trainable
from hybrid.training.runtime import dtype_of

__all__ = ["check_law"]


def check_law(
    law: nn.Module,
    context_features: int | None = None,
    *,
    context: Tensor | None = None,
    seed: int = 0,
) -> None:
    r"""Check that ``law`` is a Law: a module from contexts (\*batch, width) to distributions.

    Checked are: static ``event_shape`` and ``support``; batch shapes; samples inside the support
    with finite log probability; rows that do not depend on each other; classes that sum to one;
    that ``pyro.sample`` takes the distribution; the draws axis inside ``fixed`` and one set of
    weights for all of it; finite gradients to every parameter (to what a prior learns, of the
    divergence); that values of a wrong shape are refused; that a given generator leaves torch's
    global random state alone. The law itself is left as it was.

    Args:
        law: The law.
        context_features: Width of its contexts, which are then drawn from N(0, 1).
        context: Contexts (batch, width) instead, for laws with limits or with width 0.
        seed: Of contexts and samples.

    Raises:
        ContractError: A clause is broken; it says which.
        ValueError: Not exactly one of ``context_features`` and ``context`` is given.

    Example:
        >>> import torch, hybrid
        >>> check_law(hybrid.heads.Normal(torch.nn.Linear(3, 4), features=4), 3)
        >>> check_law(torch.nn.Linear(3, 1), 3)
        Traceback (most recent call last):
        hybrid.testing.contract.ContractError: Linear breaks the clause "static event_shape ...
    """
    if (context_features is None) == (context is None):
        raise ValueError("give either context_features or a batch of contexts")
    clauses = Clauses(law)
    clauses.module()
    own = fresh(law)
    with own_randomness(seed) as generator:
        if context is None:
            context = torch.randn(6, context_features or 0, generator=generator)
        if not len(context):
            raise ValueError("context has no rows: give at least one")
        context = context.to(dtype_of(own))
        _check_statics(clauses, own)
        _check_shapes(clauses, own, context)
        _check_samples(clauses, own, context)
        _check_classes(clauses, own, context)
        _check_draws(clauses, own, context, generator)
        _check_rows(clauses, own, context)
        _check_gradients(clauses, own, context)
        _check_refusal(clauses, own, context)


def _check_statics(clauses: Clauses, law: Any) -> None:
    clause = "static event_shape and support"
    with clauses.within(clause):
        clauses.require(isinstance(law.event_shape, torch.Size), clause, "event_shape: torch.Size")
        known = isinstance(law.support, td.constraints.Constraint)
        clauses.require(known, clause, f"support is {law.support!r}")


def _check_shapes(clauses: Clauses, law: Any, context: Tensor) -> None:
    clause = "batch and event shapes"
    pairs = context[: len(context) // 2 * 2].unflatten(0, (2, -1)) if len(context) > 1 else context
    for given in (context, context.unsqueeze(0), context[:1], pairs):
        rows = given.shape[:-1]
        with clauses.within(clause):
            distribution = law(given)
            is_law = isinstance(distribution, td.Distribution)
            clauses.require(is_law, clause, f"it returns a {type(distribution).__name__}")
            batch, event = distribution.batch_shape, distribution.event_shape
            clauses.require(event == law.event_shape, clause, f"event {event}, {law.event_shape}")
            fits = torch.broadcast_shapes(batch, rows) == rows
            clauses.require(fits, clause, f"context {tuple(given.shape)}, batch {tuple(batch)}")


def _check_samples(clauses: Clauses, law: Any, context: Tensor) -> None:
    clause = "samples in the support with finite log probability"
    shape = context.shape[:-1] + law.event_shape
    with clauses.within(clause), torch.no_grad():
        distribution = _at(law, context)
        value = draw_from(distribution)
        clauses.require(value.shape == shape, clause, f"shape {tuple(value.shape)}, not {shape}")
        inside = law.support.check(value)
        clauses.require(bool(inside.all()), clause, f"outside of {law.support}")
        log = log_probability_of(distribution, value)
        clauses.require(
            log.shape == context.shape[:-1], clause, f"log_prob has shape {tuple(log.shape)}"
        )
        clauses.require(bool(log.isfinite().all()), clause, "log_prob is not finite")
    clause = "pyro.sample takes the distribution"
    with clauses.within(clause), torch.no_grad():
        taken: Any = as_pyro(_at(law, context))
        got = pyro.sample("value", taken)
        clauses.require(got.shape == shape, clause, f"it gave the shape {tuple(got.shape)}")


def _check_rows(clauses: Clauses, law: Any, context: Tensor) -> None:
    clause = "a row's distribution does not depend on the other rows"
    with clauses.within(clause), torch.no_grad(), fixed(law):
        whole = _at(law, context)
        value = draw_from(whole)
        pairs = zip(context.split(1), value.split(1), strict=True)
        alone = torch.cat([_at(law, row).log_prob(own) for row, own in pairs])
        clauses.close(clause, alone, whole.log_prob(value))


def _check_classes(clauses: Clauses, law: Any, context: Tensor) -> None:
    clause = "the classes' probabilities sum to one"
    with clauses.within(clause), torch.no_grad():
        states = states_of(law)
        if states is None:
            return
        dtype = torch.long if is_integer(law) else context.dtype
        with fixed(law):
            distribution = _at(law, context)
            rows = [torch.full(context.shape[:-1], k, dtype=dtype) for k in range(states)]
            total = sum(distribution.log_prob(row).exp() for row in rows)
        clauses.close(clause, torch.as_tensor(total), torch.ones(context.shape[:-1]).to(context))


def _check_draws(clauses: Clauses, law: Any, context: Tensor, generator: torch.Generator) -> None:
    clause = "the draws axis inside fixed"
    rows, before = context.shape[:-1], torch.get_rng_state()
    with clauses.within(clause), torch.no_grad(), fixed(law, 3, generator):
        first, second = (law_at(law, context.unsqueeze(0)) for _ in range(2))
        untouched = torch.equal(before, torch.get_rng_state())
        for distribution in (first, second):
            batch = distribution.batch_shape
            allowed = batch in ((3, *rows), (1, *rows))
            clauses.require(allowed, clause, f"batch shape {tuple(batch)} for context {rows} x 3")
        value = _example(first)
        same = same_bits(first.log_prob(value), second.log_prob(value))
        clauses.require(same, clause, "two calls inside used two sets of weights")
    clause = "a generator leaves the global random state alone"
    clauses.require(untouched, clause, "fixing the weights moved it")
    clause = "draws= is fixed with a leading axis"
    if "draws" in inspect.signature(law.forward).parameters:
        with clauses.within(clause), torch.no_grad():
            batch = law(context, draws=3).batch_shape
            clauses.require(batch == (3, *rows), clause, f"batch shape {tuple(batch)}")


def _check_gradients(clauses: Clauses, law: Any, context: Tensor) -> None:
    clause = "finite gradients to every parameter"
    priors: list[nn.Module] = [part for part in law.modules() if _is_prior(part)]
    learnt = {id(parameter) for part in priors for parameter in part.parameters()}
    named = trainable(law)
    beliefs = {name: named.pop(name) for name in list(named) if id(named[name]) in learnt}
    with clauses.within(clause):
        if named:
            distribution = law(context)
            value = _example(distribution)
            log = distribution.log_prob(value)
            clauses.gradients(clause, named, (log * torch.randn_like(log)).sum())
        if beliefs:
            clauses.gradients(clause, beliefs, divergence(law))


def _is_prior(part: object) -> bool:
    return isinstance(part, PriorDensity)


def _check_refusal(clauses: Clauses, law: Any, context: Tensor) -> None:
    clause = "values of a wrong shape are refused"
    with torch.no_grad():
        distribution = _at(law, context)
        value = draw_from(distribution)
        for wrong in (value.unsqueeze(-1), value[:-1]):
            try:
                log_probability_of(distribution, wrong)
            except ValueError:
                continue
            clauses.require(False, clause, f"{tuple(wrong.shape)} for {tuple(value.shape)} passed")


def _at(law: Any, context: Tensor) -> Any:
    """The distribution with the whole batch shape."""
    distribution = law(context)
    rows = context.shape[:-1]
    return distribution if distribution.batch_shape == rows else distribution.expand(rows)


def _example(distribution: Any) -> Tensor:
    """A value of the distribution, without gradient."""
    with torch.no_grad():
        return draw_from(distribution).detach()
