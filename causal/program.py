"""A structural causal model as a Pyro program, and the program of its guide (floor 3)."""

from typing import Any

import pyro
import torch
from pyro.distributions.delta import Delta
from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor, nn

from causal.columns import Mechanisms, Table
from causal.draws import ALONE, Random, divergence, fixed
from causal.graph import Graph
from causal.guide import guided, split
from causal.law import as_pyro

__all__ = ["empty_program", "guide_program", "model_program"]


def _site(graph: Graph, name: str) -> str:
    """A site's name that is no node's."""
    while name in graph:
        name += "_"
    return name


def _register(module: nn.Module) -> None:
    """Put the module's parameters in Pyro's store."""
    trained = [name for name, p in module.named_parameters() if p.requires_grad]
    if len(trained) == len(list(module.parameters())) or not module.training:
        pyro.module("scm", module)
    else:  # pyro.module would warn about each frozen parameter
        for name in trained:
            pyro.param(f"scm$$${name}", module.get_parameter(name))
    store = pyro.get_param_store()
    for name in trained:
        key = f"scm$$${name}"
        if key in store and store._params[key] is not module.get_parameter(name):
            raise RuntimeError(
                "Pyro's parameter store holds the parameters of another SCM, which would be "
                "trained in place of this one's: call pyro.clear_param_store() first"
            )


def _length(rows: dict[str, Tensor], n: int | None, data_size: int | None) -> int:
    """The number of rows.

    Raises:
        ValueError: It is not known, or more than there are in all.
    """
    length = {len(row) for row in rows.values()} | ({n} if n is not None else set())
    if len(length) != 1:
        raise ValueError(f"give data, or n rows to sample: got lengths {sorted(length)}")
    (n,) = length
    if data_size is not None and data_size < n:
        raise ValueError(f"data_size={data_size} is less than the {n} rows of the minibatch")
    return n


def _units(model: Mechanisms, n: int, data_size: int | None) -> Any:
    """The plate of rows."""
    subsample = torch.arange(n, device=model.like.device)
    name = _site(model.graph, "units")
    return pyro.plate(name, data_size or n, subsample=subsample, dim=-1)


def model_program(
    module: nn.Module,
    model: Mechanisms,
    data: Table | None = None,
    n: int | None = None,
    data_size: int | None = None,
) -> dict[str, Tensor]:
    """Run the model; see ``SCM.forward``.

    Raises:
        ValueError: Bad rows, or neither data nor ``n``.
        RuntimeError: Pyro's store holds the parameters of another SCM.

    Example:
        >>> from causal.graph import Graph
        >>> model = Mechanisms(Graph.parse(""), {}, {}, torch.zeros(()))
        >>> model_program(nn.Identity(), model, n=3)
        {}
    """
    _register(module)
    rows = model.rows({} if data is None else data)
    n = _length(rows, n, data_size)
    values: dict[str, Tensor] = {}
    with ALONE, fixed(module):
        random = any(isinstance(part, Random) for part in module.modules())
        if random and am_i_wrapped():  # outside of inference there is no density
            pyro.factor(_site(model.graph, "divergence"), -divergence(module))
        with _units(model, n, data_size):
            for name in model.graph.order:
                law: Any = as_pyro(model.at(name, values, (n,)))
                values[name] = pyro.sample(name, law, obs=rows.get(name))
    return {name: value for name, value in values.items() if name not in model.hidden}


def guide_program(
    module: nn.Module, model: Mechanisms, data: Table, data_size: int | None = None
) -> None:
    """Run the guide: one site with all hidden columns, and one for each hidden cause.

    Raises:
        ValueError: Bad or missing rows, or no guide.
        RuntimeError: Pyro's store holds the parameters of another SCM.

    Example:
        >>> model = Mechanisms(Graph.parse("X"), {}, {}, torch.zeros(()))
        >>> guide_program(nn.Identity(), model, {})
        Traceback (most recent call last):
        ValueError: missing column(s) ['X']: got []
    """
    rows = model.rows(data, model.variables)
    n = _length(rows, None, data_size)
    if not model.hidden:
        return
    _register(module)
    with ALONE, fixed(module), _units(model, n, data_size):
        law: Any = as_pyro(guided(model, rows, (n,)))
        name = _site(model.graph, "hidden")
        columns = pyro.sample(name, law, infer={"is_auxiliary": True})
        for cause, value in split(model, columns).items():
            pyro.sample(cause, Delta(value, event_dim=len(model.event_shape(cause))))


def empty_program(model: Mechanisms, data: Table | None) -> None:
    """Refuse what has latent sites; see ``SCM.empty_guide``.

    Raises:
        ValueError: There are hidden causes, or the data lack a column.

    Example:
        >>> empty_program(Mechanisms(Graph.parse(""), {}, {}, torch.zeros(())), None)
    """
    if model.hidden:
        raise ValueError(
            f"the hidden causes {list(model.hidden)} need sites in the guide, the empty guide has "
            "none: use SVI(scm, scm.pyro_guide, …) with a model made with guide="
        )
    missing = [] if data is None else [name for name in model.variables if name not in data]
    if missing:
        raise ValueError(
            f"missing column(s) {missing}: what is not observed needs a site in a guide of "
            "your own, the empty guide has none"
        )
