"""What a model checks when it is put together (floor 2)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from causal.columns import Mechanism, Mechanisms
from causal.draws import fixed, seeded
from causal.graph import Edge, Graph
from causal.guide import guided
from causal.law import draw_from, states_of

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
    graph: Graph, laws: Mapping[str, Any], causes: Mapping[str, Edge] | None = None
) -> tuple[dict[str, nn.Module], dict[str, tuple[str, ...]]]:
    """Laws and orders of parents by variable, checked against the graph.

    Args:
        graph: The graph.
        laws: A Law, or a Mechanism, for each variable.
        causes: The ends of the edge of each hidden cause, which follows the parents of both.

    Raises:
        ValueError: Missing or superfluous laws, an order that is not of the
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
        hidden = (cause for cause, ends in (causes or {}).items() if name in ends)
        modules[name], parents[name] = law, (*order, *hidden)
    parents.update(dict.fromkeys(causes or {}, ()))
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
    for name in model.variables:
        _bind(model.laws[name], f"law of {name!r}", model.columns(name))
    values: dict[str, Tensor] = {}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad(), _evaluating(module), seeded(generator), fixed(module):
        for name in model.graph.order:
            law = model.laws[name]
            try:
                distribution = model.at(name, values, (2,), (2,))
                values[name] = draw_from(distribution)
            except Exception as error:
                message = _misfit(f"law of {name!r}", model.columns(name), error)
                raise ValueError(message) from error
            if tuple(distribution.event_shape) != tuple(law.event_shape):
                raise ValueError(
                    f"the law of {name!r} states event_shape {tuple(law.event_shape)} but returns "
                    f"a distribution with {tuple(distribution.event_shape)}"
                )

        if model.guide is not None:
            _try_guide(model, values)


def _try_guide(model: Mechanisms, values: dict[str, Tensor]) -> None:
    """Bind columns, then run the guide on two rows.

    Raises:
        ValueError: It does not fit.
    """
    columns = [column for name in model.variables for column in model.columns_of(name)]
    _bind(model.guide.law, "guide", columns)
    try:
        distribution = guided(model, values, (2,))
    except Exception as error:
        raise ValueError(_misfit("guide", columns, error)) from error
    if tuple(distribution.event_shape) != tuple(model.guide.law.event_shape):
        raise ValueError(
            f"the guide states event_shape {tuple(model.guide.law.event_shape)} but returns a "
            f"distribution with {tuple(distribution.event_shape)}"
        )
    if not distribution.has_rsample:
        raise ValueError(
            f"the guide returns a {type(distribution).__name__}, whose draws carry no gradient: "
            "use a distribution with rsample"
        )


def _bind(law: Any, what: str, columns: Sequence[str]) -> None:
    """Tell a law the names of its context's columns, if it wants to know."""
    bind = getattr(law, "bind_columns", None)
    if callable(bind):
        try:
            bind(tuple(columns))
        except (ValueError, KeyError, IndexError) as error:
            raise ValueError(_misfit(what, columns, error)) from error


def _misfit(what: str, columns: Sequence[str], error: Exception) -> str:
    return (
        f"the {what} does not take its context of width {len(columns)}, columns {list(columns)}: "
        f"{type(error).__name__}: {error}"
    )
