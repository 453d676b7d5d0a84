"""The façades: what is loaded when, and that every public name resolves whatever came before."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ("causal", "quantum", "hybrid")
ROOT = Path(importlib.import_module("causal").__file__).parents[1]


def loaded_after(code: str) -> set[str]:
    """Top-level and dotted names in sys.modules of a new process that ran ``code``."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


def modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return [module.name for module in pkgutil.walk_packages(path, f"{package}.")]


@pytest.mark.parametrize("package", PACKAGES)
def test_import_alone_loads_nothing_heavy(package: str) -> None:
    loaded = loaded_after(f"import {package}")
    heavy = {"torch", "pyro", "pennylane", "pgmpy", "zuko", "lightning_fabric", "pandas", "numpy"}
    assert not loaded & heavy


def test_graphs_need_no_torch() -> None:
    loaded = loaded_after("import causal\ncausal.Graph.parse('X -> Y')")
    assert not loaded & {"torch", "pyro", "numpy"}


def test_causal_stands_alone() -> None:
    loaded = loaded_after("import causal\nfor name in causal.__all__: getattr(causal, name)")
    assert not loaded & {"pennylane", "lightning_fabric", "quantum", "hybrid", "zuko"}
    assert not any(name.startswith("pgmpy.models") for name in loaded)


def test_quantum_stands_alone() -> None:
    loaded = loaded_after("import quantum\nfor name in quantum.__all__: getattr(quantum, name)")
    assert not loaded & {"pyro", "pgmpy", "lightning_fabric", "causal", "hybrid", "zuko"}


def test_fabric_only_when_asked() -> None:
    loaded = loaded_after("import hybrid\nfor name in hybrid.__all__: getattr(hybrid, name)")
    assert not loaded & {"lightning_fabric", "matplotlib", "pgmpy"}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_resolves_after_every_submodule_was_imported(package: str) -> None:
    facade = importlib.import_module(package)
    for name in modules(package):
        importlib.import_module(name)
    for name in facade.__all__:
        value = getattr(facade, name)
        if isinstance(value, ModuleType):
            assert value.__name__ == f"{package}.{name}"
        else:
            assert value.__module__.startswith(package)
    assert set(facade.__all__) <= set(dir(facade))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = facade.no_such_name


@pytest.mark.parametrize("package", PACKAGES)
def test_stub_and_table_agree(package: str) -> None:
    facade = importlib.import_module(package)
    stub = ast.parse(Path(facade.__file__).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: node.module for node in imports for alias in node.names}
    assert set(homes) == set(facade.__all__)
    for name, home in homes.items():
        value = getattr(facade, name)
        if not isinstance(value, ModuleType):
            assert value is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_function_is_named_like_a_file_beside_it(package: str) -> None:
    for name in [package, *modules(package)]:
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):
            beside = {info.name for info in pkgutil.iter_modules(module.__path__)}
            public = set(getattr(module, "__all__", ()))
            clashes = {n for n in beside & public if not isinstance(getattr(module, n), ModuleType)}
            assert not clashes


def public_objects() -> list[tuple[str, object]]:
    """Every public class and function of every module, by its own ``__all__``."""
    found: dict[str, object] = {}
    for package in PACKAGES:
        for name in modules(package):
            module = importlib.import_module(name)
            for public in getattr(module, "__all__", ()):
                value = getattr(module, public)
                if inspect.isclass(value) or inspect.isfunction(value):
                    found[f"{value.__module__}.{value.__qualname__}"] = value
    return sorted(found.items())


def test_every_module_states_its_public_names() -> None:
    silent = [
        name
        for package in PACKAGES
        for name in modules(package)
        if not hasattr(importlib.import_module(name), "__all__") and not is_page(name)
    ]
    assert not silent


def is_page(name: str) -> bool:
    """Whether a module is nothing but its docstring."""
    source = Path(str(importlib.import_module(name).__file__)).read_text()
    return len(ast.parse(source).body) == 1


def test_every_public_name_has_an_executed_example() -> None:
    bare = [name for name, value in public_objects() if ">>> " not in (inspect.getdoc(value) or "")]
    assert not bare


def test_every_public_method_is_documented() -> None:
    bare = [
        f"{name}.{attribute}"
        for name, value in public_objects()
        if inspect.isclass(value)
        for attribute, method in vars(value).items()
        if not attribute.startswith("_")
        and (inspect.isfunction(method) or isinstance(method, property | classmethod))
        and not inspect.getdoc(getattr(value, attribute))
    ]
    assert not bare
