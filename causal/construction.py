"""What a model checks when it is put together (floor 2)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from causal.columns import Mechanism, Mechanisms
from causal.draws import fixed, seeded
from causal.graph import Graph
from causal.law import draw_from, states_of, width_of

__all__ = ["arranged", "safe_key", "try_laws"]


def safe_key(name: str) -> str:
    """A variable's name as a submodule's: different for different names, without a dot.

    The prefix keeps it apart from the attributes of ``nn.ModuleDict`` (a variable may be called
    ``keys``); dots, and the sign that escapes them, are written as in addresses.

    Example:
        >>> safe_key("keys"), safe_key("a.b")
        ('of_keys', 'of_a%2Eb')
    """
    return "of_" + name.replace("%", "%25").replace(".", "%2E")


def arranged(
    graph: Graph, laws: Mapping[str, Any]
) -> tuple[dict[str, nn.Module], dict[str, tuple[str, ...]]]:
    """Laws and orders of parents by variable, checked against the graph.

    Raises:
        ValueError: Bidirected edges, missing or superfluous laws, an order that is not of the
            parents.
        TypeError: Something that is no Law.

    Example:
        >>> import torch
        >>> law = torch.nn.Identity()
        >>> law.event_shape, law.support = torch.Size(), torch.distributions.constraints.real
        >>> laws = {"W": law, "T": law, "Y": Mechanism(law, parents=("W", "T"))}
        >>> arranged(Graph.parse("W -> Y <- T"), laws)[1]["Y"]
        ('W', 'T')
    """
    if not isinstance(graph, Graph):
        raise TypeError(f"expected a causal.Graph, got {graph!r}: use Graph.parse for arrow text")
    if not isinstance(laws, Mapping):
        raise TypeError(f"laws are given by variable, {{name: law}}, got {type(laws).__name__}")
    if graph.bidirected:
        edges = ", ".join(f"{a} <-> {b}" for a, b in sorted(graph.bidirected))
        raise ValueError(
            f"the graph has hidden common causes ({edges}), for which an SCM has no laws: put each "
            "hidden cause in the graph as a node, or leave the edges out"
        )
    missing, extra = sorted(set(graph.nodes) - set(laws)), sorted(set(laws) - set(graph.nodes))
    if missing:
        raise ValueError(f"no law for {missing}: give one for each of {list(graph.nodes)}")
    if extra:
        raise ValueError(f"laws for {extra}, which the graph lacks: it has {list(graph.nodes)}")
    modules: dict[str, nn.Module] = {}
    parents: dict[str, tuple[str, ...]] = {}
    for name in graph.nodes:
        law, order = laws[name], graph.parents(name)
        if isinstance(law, Mechanism):
            if tuple(sorted(law.parents)) != order:
                raise ValueError(
                    f"the Mechanism of {name!r} states the parents {list(law.parents)}: expected "
                    f"each of {list(order)} once"
                )
            law, order = law.law, law.parents
        lacking = [a for a in ("event_shape", "support") if not hasattr(law, a)]
        if not isinstance(law, nn.Module) or lacking:
            raise TypeError(
                f"the law of {name!r} is no Law: {type(law).__name__} "
                + (f"lacks {lacking}" if isinstance(law, nn.Module) else "is no nn.Module")
            )
        states_of(law)
        modules[name], parents[name] = law, order
    return modules, parents


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, so that a trial changes no running statistics."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def try_laws(module: nn.Module, model: Mechanisms) -> None:
    """Bind columns, then sample two rows through all laws without touching the random state.

    Args:
        module: What holds the laws and their random parts.
        model: The laws and their graph.

    Raises:
        ValueError: A law does not fit; the variable, its columns and its own error are named.

    Example:
        >>> import torch
        >>> try_laws(torch.nn.Identity(), Mechanisms(Graph.parse(""), {}, {}, torch.zeros(())))
    """
    for name in model.graph.order:
        bind = getattr(model.laws[name], "bind_columns", None)
        if callable(bind):
            try:
                bind(model.columns(name))
            except (ValueError, KeyError, IndexError) as error:
                raise ValueError(_misfit(model, name, error)) from error
    values: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad(), _evaluating(module), seeded(generator), fixed(module):
        for name in model.graph.order:
            law = model.laws[name]
            try:
                distribution = model.at(name, values, (2,), (2,))
                values[name] = draw_from(distribution)
            except Exception as error:
                raise ValueError(_misfit(model, name, error)) from error
            if tuple(distribution.event_shape) != tuple(law.event_shape):
                raise ValueError(
                    f"the law of {name!r} states event_shape {tuple(law.event_shape)} but returns "
                    f"a distribution with {tuple(distribution.event_shape)}"
                )


def _misfit(model: Mechanisms, name: str, error: Exception) -> str:
    columns = model.columns(name)
    width = sum(width_of(model.laws[parent]) for parent in model.parents[name])
    return (
        f"the law of {name!r} does not take its context of width {width}, columns "
        f"{list(columns)}: {type(error).__name__}: {error}"
    )
