"""A call for every public function and method that takes a generator or a seed."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from public_models import (
    censored,
    chain,
    discrete,
    labelling,
    labels,
    law,
    line,
    network,
    neural,
    normalised,
    posterior,
    query,
    sampled_circuit,
    scm,
    sequence,
    table,
    vae,
    witness,
)
from torch import Tensor, nn

import causal
import hybrid
import quantum

PACKAGES = (causal, quantum, hybrid)
Call = Callable[[torch.Generator | None], Any]


def public() -> Iterator[tuple[str, Any]]:
    """Every public object, functions and classes, under the first name that leads to it."""
    known: set[int] = set()
    stack = [(package.__name__, package) for package in PACKAGES][::-1]
    while stack:
        path, module = stack.pop()
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, ModuleType):
                stack.append((f"{path}.{name}", value))
            elif id(value) not in known:
                known.add(id(value))
                yield f"{path}.{name}", value


def taking(*words: str) -> set[str]:
    """Names of public callables, methods too, that have a parameter of one of these names."""
    found = set()
    for path, value in public():
        members = [(path, value)]
        if inspect.isclass(value):
            if getattr(value, "_is_protocol", False) or inspect.isabstract(value):
                continue
            members = [
                (f"{path}.{name}", method)
                for name, method in inspect.getmembers(value, callable)
                if (name == "__init__" or name[0] != "_")
                and getattr(method, "__module__", "").split(".")[0] in _ROOTS
            ]
        for name, member in members:
            if set(words) & set(_parameters(member)):
                found.add(name)
    return found


_ROOTS = ("causal", "hybrid", "quantum")


def _parameters(member: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(member).parameters)
    except (TypeError, ValueError):
        return ()


# ------------------------------------------------------------------ what is called


def program() -> Any:
    """A small Pyro program."""
    x = pyro.sample("x", dist.Normal(0.0, 1.0))
    pyro.sample("y", dist.Normal(x, 1.0), obs=torch.tensor(1.0))


class Distance(nn.Linear):
    """An objective."""

    def forward(self, batch: Any) -> Tensor:
        x, y = batch
        return (super().forward(x).squeeze(-1) - y).square().mean()


X, Y = torch.linspace(-1, 1, 24).reshape(12, 2), torch.linspace(0, 1, 12)
WORDS = torch.arange(12) % 3


def _draws(method: Any) -> Call:
    def call(generator: torch.Generator | None) -> Any:
        return hybrid.bayes.sample(program, method=method, chains=16, warmup=20, draws=10).draws

    return call


def _run(method: Any) -> Call:
    from hybrid.bayes.sampling.program import latent_sites, program_density

    def call(generator: torch.Generator | None) -> Any:
        if generator is None:
            generator = torch.Generator().manual_seed(int(torch.randint(9999, ())))
        sites, dtype, device, _ = latent_sites(program, (), torch.Generator().manual_seed(0))
        density = program_density(program, (), sites, dtype, device)
        return method.run(density, 16, 20, 10, generator).positions

    return call


def _fit(generator: torch.Generator | None) -> Any:
    torch_state = torch.get_rng_state()
    objective = Distance(2, 1)
    torch.set_rng_state(torch_state)
    with torch.no_grad():
        objective.weight.zero_()
        objective.bias.zero_()
    seed = None if generator is None else 0
    hybrid.fit(objective, (X, Y), epochs=2, batch_size=5, seed=seed, progress=False)
    return objective.weight.detach()


def _fixed(module: Any) -> Call:
    def call(generator: torch.Generator | None) -> Any:
        with hybrid.bayes.fixed(module, 3, generator):
            return module(X.unsqueeze(0))

    return call


def _held(module: Any) -> Call:
    def call(generator: torch.Generator | None) -> Any:
        with module.fixed(3, generator):
            return module(X.unsqueeze(0))

    return call


def _swag(generator: torch.Generator | None) -> Any:
    return _after_training().apply(normalised(), X, draws=3, generator=generator)(X, draws=3).mean


@functools.cache
def _after_training() -> Any:
    swag = hybrid.bayes.SWAG(rank=2)
    objective = hybrid.objectives.ELBO(normalised(), data_size=12)
    sgd = functools.partial(torch.optim.SGD, lr=0.01)
    hybrid.fit(objective, (X, Y), optimizer=sgd, epochs=4, callbacks=[swag], seed=0, progress=False)
    return swag


def _laplace(generator: torch.Generator | None) -> Any:
    return hybrid.bayes.laplace(censored(), (X, Y), samples=4, generator=generator).state_dict()


def _natural(generator: torch.Generator | None) -> Any:
    objective = hybrid.objectives.ELBO(copy.deepcopy(censored()), data_size=12)
    optimizer = hybrid.optim.NaturalGradient(
        objective.parameters(), objective, lr=0.1, damping=1.0, generator=generator
    )
    objective((X, Y)).total.backward()
    optimizer.observe((X, Y))
    optimizer.step()
    return list(objective.parameters())


def _conformal(name: str) -> dict[str, Call]:
    """Calls of one method of conformal prediction: sets of classes draw to break ties."""
    method = getattr(hybrid.conformal, name)(0.8)
    classes = name in ("APS", "RAPS")
    predicted: Any = torch.full((12, 3), 1 / 3) if classes else torch.zeros(12)
    if name == "CQR":
        predicted = (torch.zeros(12), torch.ones(12))
    y = WORDS if classes else Y
    ready = method.calibrate(predicted, y, generator=torch.Generator())
    path = f"hybrid.conformal.{name}"
    return {
        f"{path}.calibrate": lambda g: method.calibrate(predicted, y, generator=g).threshold,
        f"{path}.predict": lambda g: ready.predict(predicted, generator=g),
        f"{path}.region": lambda g: method.region(predicted, 0.5, g),
        f"{path}.scores": lambda g: method.scores(predicted, y, g),
    }


def _grouped() -> dict[str, Call]:
    sets, odds = hybrid.conformal.APS(0.8), torch.full((12, 3), 1 / 3)
    groups = WORDS
    by_group = hybrid.conformal.Mondrian(sets)
    ready = by_group.calibrate(odds, WORDS, groups, generator=torch.Generator())
    adaptive = hybrid.conformal.Adaptive(sets, rate=0.1)
    begun = adaptive.calibrate(odds, WORDS, generator=torch.Generator())
    path = "hybrid.conformal"
    return {
        f"{path}.Mondrian.calibrate": lambda g: sorted(
            by_group.calibrate(odds, WORDS, groups, generator=g).thresholds.items()
        ),
        f"{path}.Mondrian.predict": lambda g: ready.predict(odds, groups, generator=g),
        f"{path}.Adaptive.calibrate": lambda g: adaptive.calibrate(odds, WORDS, generator=g).past,
        f"{path}.Adaptive.predict": lambda g: begun.predict(odds, generator=g),
        f"{path}.Adaptive.observe": lambda g: begun.observe(odds[:1], WORDS[:1], generator=g).past,
    }


def calls() -> dict[str, Call]:
    """By public name, a call with a generator; None stands for the global one."""
    odds, zeros = dist.Categorical(torch.tensor([[0.2, 0.3, 0.5]])), torch.zeros(7, 5)
    evidence = {"X": torch.zeros(4), "Y": torch.ones(4)}
    observed, causes = {"wet": torch.tensor([1, 0])}, {"X": torch.tensor([0, 1])}
    noisy, graph = neural(), causal.Graph.parse("X -> Y; X <-> Y")
    bow = {"outcomes": "Y", "treatments": "X"}
    found: dict[str, Call] = {
        "causal.SCM.sample": lambda g: scm().sample(3, draws=2, generator=g),
        "causal.SCM.log_probability": lambda g: scm().log_probability(
            evidence, draws=2, generator=g
        ),
        "causal.SCM.counterfactual": lambda g: (
            scm().counterfactual(evidence, {"X": 1.0}, draws=2, generator=g).columns
        ),
        "causal.SCM.effect": lambda g: (
            scm()
            .effect("Y", do={"X": 1.0}, against={"X": 0.0}, evidence=evidence, draws=3, generator=g)
            .value
        ),
        "causal.SCM.factor": lambda g: discrete().factor(draws=2, generator=g).values,
        "causal.DiscreteModel.sample": lambda g: witness().sample(5, generator=g),
        "causal.Factor.sample": lambda g: table().sample(5, generator=g),
        "causal.Estimand.mean": lambda g: query().mean(
            scm(), {"X": torch.zeros(2)}, samples=5, generator=g
        ),
        "causal.Estimand.density": lambda g: query().density(
            scm(), {"X": torch.zeros(2), "Y": torch.zeros(2)}, samples=5, generator=g
        ),
        "causal.simulated_mean": lambda g: causal.simulated_mean(
            query(), table(), causes, generator=g
        ),
        "causal.simulated_density": lambda g: causal.simulated_density(
            query(), table(), {**causes, "Y": torch.tensor([0, 1])}, generator=g
        ),
        "causal.abduct": lambda g: causal.abduct(
            odds, torch.tensor([2]), convention="gumbel", generator=g
        ),
        "causal.replay": lambda g: causal.replay(
            odds, torch.zeros(1, 3), convention="gumbel", generator=g
        ),
        "causal.disagreement": lambda g: (
            causal.disagreement(graph, **bow, seed=3, generator=g).models[0].factor().values
        ),
        "causal.fixed": _fixed(posterior()),
        "quantum.CircuitLayer.forward": lambda g: sampled_circuit()(X, generator=g),
        "hybrid.bayes.NUTS.run": _run(hybrid.bayes.NUTS()),
        "hybrid.bayes.ChEES.run": _run(hybrid.bayes.ChEES()),
        "hybrid.bayes.sample": _draws(None),
        "hybrid.bayes.Posterior.fixed": _held(posterior()),
        "hybrid.bayes.Posterior.weights": lambda g: posterior().weights(3, g),
        "hybrid.bayes.SWAG.apply": _swag,
        "hybrid.bayes.ensemble": lambda g: list(
            hybrid.bayes.ensemble(line(), 3, generator=g).parameters()
        ),
        "hybrid.bayes.laplace": _laplace,
        "hybrid.optim.NaturalGradient.__init__": _natural,
        "hybrid.VAE.sample": lambda g: vae().sample(3, generator=g),
        "hybrid.VAE.log_probability": lambda g: vae().log_probability(X, generator=g),
        "hybrid.VAE.reconstruct": lambda g: vae().reconstruct(X, samples=2, generator=g).mean,
        "hybrid.VAE.objective": lambda g: vae().objective(seed=None if g is None else 1)(X)[0],
        "hybrid.fit": _fit,
        "hybrid.losses.crps": lambda g: hybrid.losses.crps(
            dist.Weibull(torch.ones(3), torch.ones(3)), torch.ones(3), generator=g
        ),
        "hybrid.losses.energy_score": lambda g: hybrid.losses.energy_score(
            dist.MultivariateNormal(torch.zeros(2), torch.eye(2)), torch.ones(2), generator=g
        ),
        "hybrid.predict": lambda g: hybrid.predict(law(), X, draws=3, generator=g).mean,
        "hybrid.pgm.HiddenMarkovModel.sample": lambda g: chain().sample(3, 4, generator=g),
        "hybrid.pgm.HiddenMarkovModel.sample_states": lambda g: chain().sample_states(
            zeros, 2, generator=g
        ),
        "hybrid.pgm.ObservedSequence.sample_states": lambda g: sequence().sample_states(
            zeros, 2, g
        ),
        "hybrid.pgm.ObservedSequence.simulate": lambda g: sequence().simulate((3,), g),
        "hybrid.pgm.LabelSequence.sample": lambda g: labels().sample((2,), g),
        "hybrid.pgm.Labelling.sample": lambda g: labelling().sample((2,), g),
        "hybrid.pgm.belief_propagation": lambda g: (
            hybrid.pgm.belief_propagation(noisy, observed, draws=2, generator=g).marginals
        ),
        "hybrid.pgm.likelihood_weighting": lambda g: (
            hybrid.pgm.likelihood_weighting(network(), observed, samples=9, generator=g).marginals
        ),
        "hybrid.objectives.ELBO.__init__": lambda g: hybrid.objectives.ELBO(
            law(), data_size=12, seed=None if g is None else 1
        )((X, Y))[0],
        "hybrid.uncertainty.posterior_predictive_check": lambda g: (
            hybrid.uncertainty.posterior_predictive_check(
                law(), (X, Y), draws=5, generator=g
            ).replicated["mean"]
        ),
        "hybrid.objectives.Supervised.__init__": lambda g: hybrid.objectives.Supervised(
            law(), hybrid.losses.BetaNLL(), data_size=12, seed=None if g is None else 1
        )((X, Y))[0],
    }
    for name in ("factor", "factors", "log_probability", "marginals"):
        found[f"hybrid.pgm.BayesianNetwork.{name}"] = _asked(noisy, name, observed)
    found |= {
        "hybrid.pgm.BayesianNetwork.expected_statistics": lambda g: values_of(
            noisy.expected_statistics(observed, draws=2, generator=g)
        ),
        "hybrid.pgm.BayesianNetwork.joint_marginals": lambda g: values_of(
            noisy.joint_marginals([("rain", "wet")], observed, draws=2, generator=g)
        ),
        "hybrid.pgm.BayesianNetwork.most_probable": lambda g: (
            noisy.most_probable(observed, draws=2, generator=g).log_joint
        ),
        "hybrid.pgm.BayesianNetwork.sample": lambda g: network().sample(4, generator=g),
    }
    for name in ("APS", "RAPS", "CQR", "Split"):
        found |= _conformal(name)
    return found | _grouped()


def _asked(joint: Any, name: str, observed: Any) -> Call:
    ask = getattr(joint, name)
    given = () if name in ("factor", "factors") else (observed,)
    return lambda g: values_of(ask(*given, draws=2, generator=g))


def values_of(result: Any) -> Any:
    """Tensors of factors, and of what holds them."""
    if isinstance(result, causal.Factor):
        return result.values
    if isinstance(result, dict):
        return {name: values_of(value) for name, value in result.items()}
    if isinstance(result, list | tuple):
        return [values_of(value) for value in result]
    return result
