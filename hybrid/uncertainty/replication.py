"""Whether a model could have made the data: posterior predictive checks (floor 1)."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from causal.draws import seeded
from causal.joint import Joint
from hybrid.bayes.batching import is_random
from hybrid.bayes.sampling.data import replicate
from hybrid.bayes.sampling.result import Draws
from hybrid.loss import whole
from hybrid.prediction import predict

__all__ = ["PredictiveCheck", "posterior_predictive_check"]

Data = Tensor | Mapping[str, Tensor]
Quantity = Callable[[Any], Any]

_ATOMS = 3  # at most so many values whose shares are looked at
_LEAST_SHARE = 0.05


@dataclasses.dataclass(frozen=True)
class PredictiveCheck:
    r"""Test quantities of replicated data beside those of the observed data.

    Attributes:
        replicated: Each quantity in every replicate, ``(draws,)``, by name.
        observed: The same of the observed data.

    Example:
        >>> check = PredictiveCheck({"mean": torch.tensor([0.0, 1.0, 2.0, 3.0])}, {"mean": 2.0})
        >>> check.p_values
        {'mean': 0.375}
        >>> print(check)
              observed  replicated   5 %  95 %      p
        mean         2         1.5  0.15  2.85  0.375
    """

    replicated: Mapping[str, Tensor]
    observed: Mapping[str, float]

    @property
    def p_values(self) -> dict[str, float]:
        r"""Mid-p-values :math:`P(T^{rep} > T) + \frac12 P(T^{rep} = T)`: near 0 or 1 is amiss."""
        found = {}
        for name, values in self.replicated.items():
            above = (values > self.observed[name]).double().mean()
            equal = (values == self.observed[name]).double().mean()
            found[name] = float(above + equal / 2)
        return found

    def __str__(self) -> str:
        table: list[tuple[str, ...]] = [("", "observed", "replicated", "5 %", "95 %", "p")]
        for name, values in self.replicated.items():
            ends = torch.quantile(values, values.new_tensor([0.05, 0.95])).tolist()
            numbers = (self.observed[name], float(values.mean()), *ends, self.p_values[name])
            table.append((name, *(f"{number:.3g}" for number in numbers)))
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        rows = ((row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])) for row in table)
        return "\n".join("  ".join(row) for row in rows)


def posterior_predictive_check(
    model: Any,
    data: Any,
    *,
    posterior: Draws | None = None,
    quantities: Mapping[str, Quantity] | None = None,
    draws: int = 200,
    generator: torch.Generator | None = None,
) -> PredictiveCheck:
    r"""Compare test quantities T(y) of the data with those of data that the model makes.

    For each draw of the weights (or of the latent sites) the model makes data of the same size,
    :math:`y^{rep} \sim p(y \mid x, w)`; a model without randomness is asked as often with the same
    weights. A quantity of the data far out among those of the replicates shows what the model does
    not know. The p-values are conservative, for the data has been used to fit.

    Args:
        model: A Law; a Joint such as `causal.SCM`; or, with ``posterior``, a Pyro model.
        data: ``(x, y)`` for a Law; rows ``{name: column}`` of some variables for a Joint; for a
            Pyro model its arguments, a tuple, with the data among them.
        posterior: Draws of the Pyro model's latent sites; see `hybrid.bayes.sample`.
        quantities: Functions by name that return a number, of y for a Law, of ``{name: values}``
            for a Joint or Pyro model. None for mean, sd, min, max, and the shares of the values
            that are taken often (classes, zeros, limits).
        draws: How many replicates.
        generator: Source of randomness; None advances torch's global generator.

    Raises:
        ValueError: The data does not fit the model, has NaN, or a quantity is no number.
        TypeError: ``model`` is none of the three, or ``data`` of another kind.

    Source: Gelman, Meng & Stern (1996), *Posterior predictive assessment of model fitness via
    realized discrepancies*, section 2; mid-p-values: Lancaster (1961).

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> generator = torch.Generator().manual_seed(0)
        >>> x, y = torch.zeros(200, 1), torch.randn(200, generator=generator).exp()
        >>> law = Normal(None)
        >>> check = posterior_predictive_check(law, (x[:, :0], y), generator=generator)
        >>> list(check.observed), check.p_values["max"]
        (['mean', 'sd', 'min', 'max'], 0.0)
    """
    draws = whole("draws", draws, least=2)
    replicated, observed = _replicated(model, data, posterior, draws, generator)
    if quantities is None:
        quantities = _default_quantities(observed)
    if not quantities:
        raise ValueError("quantities is empty: give functions of the data by name, or None")
    return PredictiveCheck(
        {
            name: torch.tensor(
                [_number(name, quantity, _row(replicated, k)) for k in range(draws)],
                dtype=torch.float64,
            )
            for name, quantity in quantities.items()
        },
        {name: _number(name, quantity, observed) for name, quantity in quantities.items()},
    )


def _replicated(
    model: Any, data: Any, posterior: Draws | None, draws: int, generator: torch.Generator | None
) -> tuple[Data, Data]:
    """Replicates with a leading axis of draws, and the observed data, in the same dtypes."""
    if posterior is not None:
        args = data if isinstance(data, tuple) else (data,)
        return _checked(*replicate(posterior, model, args, draws, generator))
    if hasattr(model, "support") and hasattr(model, "event_shape"):
        return _of_law(model, data, draws, generator)
    if isinstance(model, Joint):
        return _of_joint(model, data, draws, generator)
    raise TypeError(
        "the model is a Law, a Joint, or a Pyro model with posterior= (the draws that "
        f"hybrid.bayes.sample returned); got {model!r}"
    )


def _of_law(
    law: nn.Module, data: Any, draws: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    if not (isinstance(data, tuple | list) and len(data) == 2):
        raise TypeError(f"the data of a Law is the pair (x, y), got {type(data).__name__}")
    x, y = data
    prediction = predict(law, x, draws, generator, samples=2)
    with torch.no_grad(), seeded(generator):
        made = prediction.distribution.sample()
    return made, _like("y", torch.as_tensor(y), made)


def _of_joint(
    joint: Any, data: Any, draws: int, generator: torch.Generator | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    if not (isinstance(data, Mapping) and data):
        raise TypeError(f"the data of a Joint is {{name: column}}, got {type(data).__name__}")
    unknown = sorted(set(data) - set(joint.variables))
    if unknown:
        raise ValueError(f"{unknown} are no variables of the model, which has {joint.variables}")
    observed = {name: torch.as_tensor(values) for name, values in data.items()}
    rows = len(next(iter(observed.values())))
    random = isinstance(joint, nn.Module) and is_random(joint)
    with torch.no_grad(), seeded(generator):
        if random:
            made = joint.sample(rows, draws=draws)
        else:
            made = joint.sample(draws * rows)
            made = {name: x.reshape(draws, rows, *x.shape[1:]) for name, x in made.items()}
    return _checked({name: made[name] for name in observed}, observed)


def _checked(
    replicated: dict[str, Tensor], observed: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    return replicated, {name: _like(name, y, replicated[name]) for name, y in observed.items()}


def _like(name: str, observed: Tensor, replicated: Tensor) -> Tensor:
    """The observed values, as the replicated ones are, checked."""
    shape = tuple(replicated.shape[1:])
    if tuple(observed.shape) != shape:
        raise ValueError(
            f"{name} has shape {tuple(observed.shape)}, the model makes {shape}: they must agree, "
            "data is never broadcast"
        )
    if observed.is_floating_point() and bool(observed.isnan().any()):
        raise ValueError(f"{name} has NaN: leave out the rows without a value")
    return observed.detach().to(replicated)


def _row(data: Data, k: int) -> Data:
    if isinstance(data, Tensor):
        return data[k]
    return {name: values[k] for name, values in data.items()}


def _number(name: str, quantity: Quantity, data: Data) -> float:
    value = quantity(data)
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        shape = f" of shape {tuple(value.shape)}" if isinstance(value, Tensor) else ""
        raise ValueError(
            f"the quantity {name!r} must return one number, got {type(value).__name__}{shape}"
        ) from error


def _default_quantities(data: Data) -> dict[str, Quantity]:
    if isinstance(data, Tensor):
        return _of_values(data)
    found: dict[str, Quantity] = {}
    for name, values in data.items():
        for what, quantity in _of_values(values).items():
            found[f"{what} of {name}"] = _of_column(name, quantity)
    return found


def _of_column(name: str, quantity: Quantity) -> Quantity:
    return lambda data: quantity(data[name])


def _of_values(y: Tensor) -> dict[str, Quantity]:
    """Mean, sd and ends, and shares of what is taken often.

    Whole numbers from 0 on are looked at for zeros, be there any or not.
    """
    values, count = y.double().unique(return_counts=True)
    often = count >= max(3, _LEAST_SHARE * y.numel())
    atoms = values[often][count[often].argsort(descending=True, stable=True)][:_ATOMS].tolist()
    atoms = [atom + 0.0 for atom in atoms]  # −0 is 0
    whole_numbers = bool((values == values.round()).all() and values[0] >= 0)
    if whole_numbers and 0.0 not in atoms:
        atoms.append(0.0)
    found: dict[str, Quantity] = {
        "mean": lambda y: y.double().mean(),
        "sd": lambda y: y.double().std(),
        "min": lambda y: y.min(),
        "max": lambda y: y.max(),
    }
    return found | {f"share of {atom:g}": _share(atom) for atom in sorted(atoms)}


def _share(atom: float) -> Quantity:
    return lambda y: (y.double() == atom).double().mean()
