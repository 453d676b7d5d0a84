"""A network as a Pyro program: one block whose hidden variables are summed out (floor 4)."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, runtime_checkable

import pyro
import torch
from pyro.poutine.runtime import am_i_wrapped
from torch import Tensor, nn

from causal.draws import ALONE, Random, divergence, fixed
from hybrid.pgm.networks.spreading import Spread

__all__ = ["Marginalised", "Program"]


@runtime_checkable
class Marginalised(Protocol):
    """What a program needs of a network, which is a module, too.

    Example:
        >>> isinstance(nn.Identity(), Marginalised)
        False
    """

    @property
    def cardinalities(self) -> dict[str, int]:
        """The number of states of each finite variable."""
        ...

    def spread(
        self, evidence: Any, context: Any = None, tables: Mapping[str, Tensor] | None = None
    ) -> Spread:
        """Evidence, context and tables of one batch shape."""
        ...

    def log_probability(
        self,
        values: Any,
        given: Any = None,
        context: Any = None,
        *,
        tables: Mapping[str, Tensor] | None = None,
        draws: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """The log probability of each row's evidence."""
        ...

    def sample(
        self,
        n: int,
        given: Any = None,
        *,
        evidence: Any = None,
        context: Any = None,
        tables: Mapping[str, Tensor] | None = None,
        draws: int | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        """Exact draws given each row's evidence."""
        ...


class Program:
    """A Pyro model: the exact marginal likelihood of observed rows, as one ``pyro.factor``.

    What is not observed is summed out, so that no site and no guide is needed for it. Context (and
    tables) may come from ``pyro.sample`` statements around it: gradients flow to them.

    Args:
        network: The network; its parameters are registered by ``pyro.module``.
        name: Prefix of the site, the plate and the parameters.
        latent: Finite variables that appear in the trace, drawn exactly given each row's evidence,
            by ``pyro.deterministic``.
        rows: Whether a plate of rows is opened; not inside a plate of one's own.
        register: Whether the parameters are registered; not in a module that registers them itself.

    Example:
        >>> import pyro
        >>> from causal.graph import Graph
        >>> from hybrid.pgm.networks.network import BayesianNetwork
        >>> from hybrid.pgm.networks.nodes import Table
        >>> tables = {"Z": Table([0.5, 0.5], trainable=True), "X": [[0.9, 0.1], [0.2, 0.8]]}
        >>> model = Program(BayesianNetwork(Graph.parse("Z -> X"), tables))
        >>> optimizer = pyro.optim.Adam({"lr": 0.1})
        >>> svi = pyro.infer.SVI(model, lambda *_: None, optimizer, pyro.infer.Trace_ELBO())
        >>> rows = {"X": torch.tensor([1, 1, 1, 0])}
        >>> before = svi.evaluate_loss(rows)
        >>> for _ in range(20):
        ...     _ = svi.step(rows)
        >>> svi.evaluate_loss(rows) < before
        True
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str = "network",
        latent: Sequence[str] = (),
        rows: bool = True,
        register: bool = True,
    ) -> None:
        self.network: Any = network
        if not isinstance(self.network, Marginalised):
            raise TypeError(f"expected a BayesianNetwork, got {type(network).__name__}")
        self.name = name
        self.latent = (latent,) if isinstance(latent, str) else tuple(latent)
        finite = set(self.network.cardinalities)
        unknown = sorted(set(self.latent) - finite)
        if unknown:
            raise ValueError(
                f"latent names {unknown}, which are no finite variables: these are {sorted(finite)}"
            )
        self.rows, self.register = rows, register

    def __call__(
        self,
        evidence: Mapping[str, Any],
        context: Any = None,
        *,
        tables: Mapping[str, Tensor] | None = None,
        data_size: int | None = None,
    ) -> dict[str, Tensor]:
        r"""Run the program on observed rows.

        Args:
            evidence: Columns (\*batch,) by name, as in ``BayesianNetwork.marginals``.
            context: The rows' context; its batch dimensions may be more (particles, chains).
            tables: Tables (\*batch or nothing, \*parents' states, states) that stand in for the
                network's own.
            data_size: Number of rows of all data, of which these are a minibatch.

        Returns:
            The latent variables' states.

        Raises:
            ValueError: Bad rows, or fewer rows in all than here.
            RuntimeError: Pyro's store holds the parameters of another module of this name.
        """
        if self.register:
            self._register()
        network = self.network
        with ALONE, fixed(network):
            random = any(isinstance(part, Random) for part in network.modules())
            if random and am_i_wrapped():
                pyro.factor(f"{self.name}.divergence", -divergence(network))
            given = network.spread(evidence, context, tables or {})
            parts = {"context": given.context or None, "tables": given.tables}
            logs = network.log_probability(given.evidence, **parts)
            with self._plate(given.batch, data_size, logs):
                pyro.factor(f"{self.name}.evidence", logs)
                if not self.latent:
                    return {}
                drawn = network.sample(1, evidence=given.evidence, **parts)
                return {name: pyro.deterministic(name, drawn[name][0]) for name in self.latent}

    def _plate(
        self, batch: tuple[int, ...], data_size: int | None, logs: Tensor
    ) -> AbstractContextManager[Any]:
        if not self.rows or not batch:
            if data_size is not None:
                raise ValueError("data_size scales the program's own plate of rows: rows=True")
            return nullcontext()
        n = batch[-1]
        if data_size is not None and data_size < n:
            raise ValueError(f"data_size={data_size} is less than the {n} rows of the minibatch")
        subsample = torch.arange(n, device=logs.device)
        plate: AbstractContextManager[Any] = pyro.plate(
            f"{self.name}.rows", data_size or n, subsample=subsample, dim=-1
        )
        return plate

    def _register(self) -> None:
        module: nn.Module = self.network
        store = pyro.get_param_store()
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue
            key = f"{self.name}$$${name}"
            if key in store and store._params[key] is not parameter:
                raise RuntimeError(
                    f"Pyro's parameter store holds the parameters of another module named "
                    f"{self.name!r}, which would be trained in place of this one's: call "
                    "pyro.clear_param_store() first, or choose another name"
                )
            pyro.param(key, parameter)
