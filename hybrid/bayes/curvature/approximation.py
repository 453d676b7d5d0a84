"""Laplace's approximation of the posterior of a trained law (floor 2)."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from causal.draws import seeded
from causal.guide import Guide
from causal.law import is_integer, law_at, log_probability_of, states_of
from hybrid.backbones.folded import row_dims
from hybrid.bayes.batching import in_dtype_of, is_random
from hybrid.bayes.conversion import variational
from hybrid.bayes.curvature.evidence import curvatures, modes
from hybrid.bayes.curvature.measure import Structure, last_layer, measure
from hybrid.bayes.curvature.noise import KnownNoise, normal_of
from hybrid.bayes.curvature.spread import Curvature, Fit
from hybrid.bayes.curvature.tangent import Tangent
from hybrid.bayes.exchange import is_law
from hybrid.loss import whole
from hybrid.watching import Call, watched

__all__ = ["laplace"]


def laplace(
    law: nn.Module,
    data: Any,
    structure: Structure = "diagonal",
    *,
    prior_precision: float = 1.0,
    noise: float | None = None,
    linearised: bool = True,
    samples: int = 64,
    batch_size: int = 256,
    generator: torch.Generator | None = None,
) -> nn.Module:
    r"""A trained Law with normal weights around its own, by the curvature of its likelihood.

    .. math:: q(\theta) = N\big(\hat\theta, (H + \delta I)^{-1}\big), \qquad
        H = \sum_n J_n^\top \Lambda_n J_n

    with the Jacobian J of the body in its weights and the Fisher information Λ of the law's
    distribution in what the body returns: exact for finite laws, for normal, log-normal, Laplace,
    Student, exponential, gamma, beta and Poisson distributions and for vectors of these, else a
    mean over ``samples``. The law should be at a maximum of likelihood and prior (weight decay
    δ / N, for the mean loss per row).

    The structure says which part of H counts:

    - "diagonal": its diagonal; rows are gone through in groups, no Jacobian is kept.
    - "kronecker": a block for each linear layer and ``Conv2d``, as a product of two factors; a full
      block for any other part with at most 512 weights (circuits), the diagonal for larger ones.
    - "last_layer": all of H of the last part with weights; the others stay as they are.
    - "full": all of H; refused above 2 GiB.

    Layers may state the prior scale of their own weights (``prior_scales``, circuits: π); δ is that
    of all others. Dropout and batch norm are in evaluation mode while H is computed.

    Args:
        law: A Law ``link(body(context))``, or a module containing such laws (an SCM). It is not
            changed.
        data: All of the training data: a tuple ``(x, y)``, columns ``{name: column}`` for a Joint;
            or an iterable of such batches, a DataLoader for one.
        structure: The form of the curvature.
        prior_precision: δ, one over the variance of the prior N(0, 1/δ).
        noise: A standard deviation for a normal law, in place of its own: the result predicts with
            it, and `fit_prior` fits it.
        linearised: Predict by the body's linearisation in its weights, which suits this posterior
            much better than the body itself where more than the last layer is random (Immer,
            Korzepa & Bauer 2021); False runs the body.
        samples: The number of samples where the Fisher information has no closed form.
        batch_size: Rows at once, where data is in memory.
        generator: Source of samples; None advances torch's global generator.

    Returns:
        A Law (or model) like ``law``, with divergence 0; see `log_marginal_likelihood` and
        `fit_prior` for its prior.

    Raises:
        ValueError: There is no law with a body and trainable parameters, it is random already,
            has hidden causes, a number is not positive, parameters, the data or the curvature are
            not finite, or a matrix would be too large.
        TypeError: ``data`` is of no known kind.

    Source: MacKay (1992), *A practical Bayesian framework for backpropagation networks*; Daxberger
    et al. (2021), *Laplace redux*, section 2.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> x = torch.linspace(-1, 1, 20).unsqueeze(-1)
        >>> law = laplace(Normal(nn.Linear(1, 4)), (x, x.squeeze(-1)), "kronecker")
        >>> law(x, draws=5).batch_shape
        torch.Size([5, 20])
    """
    if structure not in get_args(Structure):
        raise ValueError(f"structure is one of {', '.join(get_args(Structure))}: {structure!r}")
    if not 0 < prior_precision < math.inf:
        raise ValueError(f"prior_precision must be a positive number: {prior_precision}")
    whole("samples", samples)
    whole("batch_size", batch_size)
    plain = _checked_copy(law)
    training = {part: part.training for part in plain.modules()}
    if noise is not None:
        if not 0 < noise < math.inf:
            raise ValueError(f"noise must be a positive number: {noise}")
        if not is_law(plain):
            raise ValueError("noise= is for a single law, not for a model of several")
    laws = _laws(plain, structure)
    likelihood = _Likelihood(plain, laws, None if noise is None else float(noise))
    with seeded(generator):
        likelihood.run(_batches(data, batch_size))
    family = _Laplace(laws, likelihood, structure, float(prior_precision), samples, generator)
    for part, mode in training.items():
        part.training = mode
    if linearised:
        for own in laws.values():
            own.owner._modules["body"] = Tangent(own.body.eval())
    names = [name for name, value in plain.named_parameters() if id(value) in family.chosen]
    result = variational(plain, family, include=names)
    for posterior, spread in curvatures(result):
        spread.settle(modes(posterior))
    if noise is None:
        return result
    return KnownNoise(result, _number(noise, plain))


class _Part:
    """A law of the module, its body, the parameters that become random, and the body's inputs."""

    def __init__(self, owner: nn.Module, structure: Structure) -> None:
        self.owner = owner
        self.body = owner.get_submodule("body")
        lead = "" if structure != "last_layer" else last_layer(self.body)
        named = [(n, p) for n, p in self.body.named_parameters() if p.requires_grad]
        if structure == "last_layer":
            named = [(n, p) for n, p in named if n.rpartition(".")[0] == lead]
        self.names = tuple(name for name, _ in named)
        self.ids = tuple(id(value) for _, value in named)
        self.inputs: list[Tensor] = []

    def take(self, of_laws: Sequence[Call], of_bodies: Sequence[Call]) -> None:
        """Keep what the body was given; the law's context, where the law did not run its body."""
        given = [call.inputs for call in of_bodies if call.part is self.body]
        contexts = [call.inputs for call in of_laws if call.part is self.owner]
        self.inputs += given or [in_dtype_of(self.owner, context) for context in contexts]


class _Likelihood:
    """Runs the data through a module: its log likelihood, and what its bodies are given."""

    def __init__(self, module: nn.Module, laws: Mapping[str, _Part], noise: float | None) -> None:
        self.module, self.laws = module, laws
        self.noise = None if noise is None else _number(noise, module)
        self.total = torch.zeros((), dtype=torch.float64)
        self.squares = torch.zeros((), dtype=torch.float64)
        self.count = 0

    @torch.no_grad()
    def run(self, batches: Iterator[Any]) -> None:
        """Go through all batches."""
        self.module.eval()
        laws = {id(part.owner) for part in self.laws.values()}
        bodies = {id(part.body) for part in self.laws.values()}
        with (
            watched(self.module, lambda part: id(part) in laws) as of_laws,
            watched(self.module, lambda part: id(part) in bodies) as of_bodies,
        ):
            for batch in batches:
                self._add(batch)
                for part in self.laws.values():
                    part.take(of_laws, of_bodies)
                of_laws.clear()
                of_bodies.clear()
        if not self.laws or any(not part.inputs for part in self.laws.values()):
            raise ValueError("data has no rows, or not all laws took part in its likelihood")
        if self.total.isnan():
            raise ValueError("the log likelihood of the data is nan: look for nan in the data")

    def _add(self, batch: Any) -> None:
        if isinstance(batch, Mapping):
            joint: Any = self.module
            self.total += joint.log_probability(batch).sum().double().cpu()
            return
        if len(batch) != 2:
            raise ValueError(f"a batch of data is a pair (x, y) or columns, got {len(batch)} parts")
        x, y = batch
        law = self.module
        x = in_dtype_of(law, x)
        y = y.long() if states_of(law) is not None and is_integer(law) else y.to(_dtype(law))
        distribution = law_at(law, x) if x.dim() == 2 else cast("Any", law)(x)
        self.total += log_probability_of(distribution, y).sum().double().cpu()
        if self.noise is not None:
            residuals = y - normal_of(distribution, self.noise).mean
            self.squares += residuals.double().square().sum().cpu()
            self.count += y.numel()


class _Laplace:
    """Measures the curvature of each law's body when it becomes random."""

    def __init__(
        self,
        laws: Mapping[str, _Part],
        likelihood: _Likelihood,
        structure: Structure,
        prior_precision: float,
        samples: int,
        generator: torch.Generator | None,
    ) -> None:
        self.laws, self.likelihood, self.structure = laws, likelihood, structure
        self.prior_precision, self.samples, self.generator = prior_precision, samples, generator
        self.chosen = {own for part in laws.values() for own in part.ids}

    def spread(
        self, means: Mapping[str, nn.Parameter], prior_scales: Mapping[str, float]
    ) -> nn.Module:
        ids = {id(mean): name for name, mean in means.items()}
        [part] = [part for part in self.laws.values() if set(part.ids) & set(ids)]
        given = {own: ids[key] for own, key in zip(part.names, part.ids, strict=True)}
        scales = {own: prior_scales[name] for own, name in given.items() if name in prior_scales}
        noise, link = self.likelihood.noise, cast("Any", part.owner).link
        one = None if noise is None else torch.ones_like(noise)
        blocks = measure(
            part.body,
            link if one is None else lambda raw: normal_of(link(raw), one),
            part.names,
            part.inputs,
            self.structure,
            event_dims=row_dims(part.owner),
            apart=tuple(scales),
            samples=self.samples,
            generator=self.generator,
        )
        example = next(iter(means.values()))
        first = part is next(iter(self.laws.values()))
        total, squares = self.likelihood.total.to(example), self.likelihood.squares.to(example)
        fit = Fit(total if first else torch.zeros_like(total))
        if noise is not None:
            fit = Fit(total, squares, self.likelihood.count)
        return Curvature(
            [(tuple(given[name] for name in names), block) for names, block in blocks],
            {given[name]: scale for name, scale in scales.items()},
            torch.full_like(example.detach().reshape(-1)[0], self.prior_precision),
            fit,
            None if noise is None else noise.clone(),
        )


def _checked_copy(law: Any) -> nn.Module:
    if not isinstance(law, nn.Module):
        raise TypeError(f"laplace takes a Law, a torch.nn.Module, got {law!r}")
    if is_random(law):
        raise ValueError(f"{type(law).__name__} is already random: give the plain law")
    bad = [name for name, value in law.named_parameters() if not value.isfinite().all()]
    if bad:
        raise ValueError(
            f"parameters {bad} of the {type(law).__name__} are not finite: train it anew"
        )
    if any(isinstance(part, Guide) for part in law.modules()):
        raise ValueError(
            f"{type(law).__name__} has hidden causes, whose values the curvature would need: use "
            "hybrid.bayes.variational"
        )
    return copy.deepcopy(law)


def _laws(module: nn.Module, structure: Structure) -> dict[str, _Part]:
    found = {
        name: _Part(part, structure)
        for name, part in module.named_modules()
        if is_law(part) and any(p.requires_grad for p in part.get_submodule("body").parameters())
    }
    if not found:
        raise ValueError(
            f"{type(module).__name__} has no law with trainable parameters: the curvature is that "
            "of a Law link(body(context)), such as hybrid.heads.Normal(body)"
        )
    return found


def _batches(data: Any, size: int) -> Iterator[Any]:
    if isinstance(data, Mapping):
        rows = len(next(iter(data.values()))) if data else 0
        for start in range(0, rows, size):
            yield {name: column[start : start + size] for name, column in data.items()}
    elif isinstance(data, tuple | list) and len(data) == 2 and isinstance(data[0], Tensor):
        x, y = data
        if not x.dim() or not y.dim():
            raise ValueError(
                f"x and y have a row for each case, got shapes {tuple(x.shape)} and "
                f"{tuple(y.shape)}: use unsqueeze(0) for a single one"
            )
        if len(x) != len(y):
            raise ValueError(f"x has {len(x)} rows, y {len(y)}")
        for start in range(0, len(x), size):
            yield x[start : start + size], y[start : start + size]
    elif hasattr(data, "__iter__") and not isinstance(data, Tensor | tuple):
        yield from data
    else:
        raise TypeError(
            f"data is a tuple (x, y), columns {{name: column}}, or batches of these: got "
            f"{type(data).__name__}"
        )


def _dtype(module: nn.Module) -> torch.dtype:
    kinds: Sequence[torch.dtype] = [p.dtype for p in module.parameters() if p.is_floating_point()]
    return kinds[0] if kinds else torch.get_default_dtype()


def _number(value: float, module: nn.Module) -> Tensor:
    example = next(p for p in module.parameters() if p.is_floating_point())
    return torch.full_like(example.detach().reshape(-1)[0], value)
