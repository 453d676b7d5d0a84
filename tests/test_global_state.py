"""Calls of the library leave what belongs to the whole process as it was.

One walk over every public name: its examples, and each call that takes a generator or a seed.
"""

import doctest
import inspect
import threading
import warnings
from typing import Any

import numpy as np
import pennylane as qml
import pyro
import pytest
import sympy  # noqa: F401 (it adds a warning filter when it is first imported)
import torch
from public_calls import calls, public, taking

# Deterministic answers, by name: with no random part there is nothing to draw.
UNRANDOM = {
    *("causal.abduct", "causal.replay", "causal.disagreement", "hybrid.bayes.sample"),
    *("causal.simulated_mean", "causal.simulated_density"),
    *(f"hybrid.conformal.{m}.{f}" for m in ("CQR", "Split") for f in ("calibrate", "predict")),
    *(f"hybrid.conformal.{m}.{f}" for m in ("CQR", "Split") for f in ("region", "scores")),
}
# What other libraries do in our examples: Pyro's training, the seed of a PennyLane device.
FOREIGN = {"SVI(": "pyro's store", "qml.device(": "numpy's generator"}
CALLS = calls()
CHECKS = {f"hybrid.testing.check_{kind}" for kind in ("joint", "law", "layer", "objective")}


def settings() -> dict[str, Any]:
    """What is one for the whole process, apart from random states."""
    store = pyro.get_param_store()
    return {
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        "between": torch.get_num_interop_threads(),
        "anomaly": torch.is_anomaly_enabled(),
        "validation": torch.distributions.Distribution._validate_args,
        "pyro's validation": pyro.settings.get(),
        "pyro's store": sorted(store.keys()),
        "pyro's handlers": list(pyro.poutine.runtime._PYRO_STACK),
        "pennylane's queue": qml.QueuingManager.recording(),
        "warnings": list(warnings.filters),
        "numpy's errors": np.geterr(),
        "numpy's generator": randomness()[1:],
        "running threads": {t.name for t in threading.enumerate() if not t.daemon},
    }


def randomness() -> tuple[Any, ...]:
    """The states of the global generators as bytes; not Python's own, which beartype draws from."""
    _, keys, *rest = np.random.get_state()  # noqa: NPY002 (the legacy one is the global one)
    return torch.get_rng_state().numpy().tobytes(), keys.tobytes(), *rest


def flat(value: Any) -> list[torch.Tensor]:
    """All tensors in a result."""
    if isinstance(value, torch.Tensor):
        return [value.detach()]
    if isinstance(value, dict):
        return [tensor for part in value.values() for tensor in flat(part)]
    if isinstance(value, list | tuple):
        return [tensor for part in value for tensor in flat(part)]
    return [torch.as_tensor(value)] if isinstance(value, int | float | np.ndarray) else []


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=False)
    found = []
    for path, value in public():
        module = inspect.getmodule(value)
        found += finder.find(value, path, module=module, globs=dict(vars(module)))
    return [test for test in found if test.examples]


def test_every_public_example_leaves_the_settings_alone():
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    runner = doctest.DocTestRunner(verbose=False, optionflags=options)
    tests = examples()
    assert len(tests) > 150
    for test in tests:
        before = settings()
        assert runner.run(test, out=lambda _: None).attempted, test.name
        after = settings()
        for call, name in FOREIGN.items():
            if call in "".join(example.source for example in test.examples):
                after.pop(name)
                before.pop(name)
                pyro.clear_param_store()
        assert after == before, test.name


def test_every_call_that_takes_a_generator_or_a_seed_is_made_here():
    assert taking("generator", "seed") == set(CALLS) | CHECKS


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_generator_leaves_the_global_one_alone(name):
    call = CALLS[name]
    call(torch.Generator().manual_seed(7))  # what is kept for later calls is made once
    before, kept = settings(), randomness()
    first, second = (flat(call(torch.Generator().manual_seed(7))) for _ in range(2))
    assert randomness() == kept
    assert settings() == before
    assert first
    assert len(first) == len(second)
    for one, two in zip(first, second, strict=True):
        assert torch.equal(one.nan_to_num(), two.nan_to_num())


@pytest.mark.parametrize("name", sorted(set(CALLS) - UNRANDOM))
def test_without_one_the_global_generator_goes_on(name):
    call = CALLS[name]
    torch.manual_seed(3)
    kept = randomness()
    call(None)
    assert randomness()[0] != kept[0]
    assert randomness()[1:] == kept[1:]
