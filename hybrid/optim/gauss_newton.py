"""The Gauss–Newton metric: the information in a model's outputs, pulled back (floor 3)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, SupportsIndex

import torch
import torch.distributions as td
from torch import Tensor, nn

from hybrid.bayes.batching import is_random
from hybrid.heads.head import Head
from hybrid.information.pulled_back import pulled_back
from hybrid.information.roots import Information, information
from hybrid.loss import whole
from hybrid.objectives.members import EachMember
from hybrid.objectives.supervised import Supervised
from hybrid.objectives.weighted import Weighted
from hybrid.optim.metric import Derivatives
from hybrid.optim.terms import Term, meets_rows
from hybrid.watching import Call, undisturbed, watched

__all__ = ["GaussNewton", "NoOutput", "law_terms"]

_OUTPUTS = 512  # numbers per row of which a loss is derived twice


class NoOutput(ValueError):  # noqa: N818 (an answer that callers act on)
    """An objective has neither a law nor a network whose output could be derived.

    Example:
        >>> issubclass(NoOutput, ValueError)
        True
    """


class GaussNewton:
    r"""The information in a model's outputs, pulled back to its parameters.

    .. math:: F = \frac1B \sum_i J_i^T H_i J_i, \qquad J_i = \partial f(x_i) / \partial \theta

    Of a law, f are the numbers that its distribution is made of and H is their Fisher information:
    F is the Fisher information of the law, whatever way its numbers are written. Every law inside
    the objective counts, each as a mean over its rows; weight draws are rows too. Of a network
    under a loss of its output, as in `Supervised`, H is the loss's second derivative, without its
    negative part. Of a weighted sum, each part counts with its weight; members of an ensemble
    count as in their sum.

    Args:
        samples: None takes the Fisher information of known distributions in closed form and of
            others from one sample per row; a number asks for so many samples from all.
        output: Name of the part of the objective whose output tensor is f, for objectives of your
            own without a law.

    Raises:
        NoOutput: When called on an objective that has neither.

    Source: Martens (2020), *New insights and perspectives on the natural gradient method*,
    sections 8 and 9.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.objectives.bound import ELBO
        >>> law = Normal(None)
        >>> metric = GaussNewton()(
        ...     ELBO(law, data_size=3), (torch.ones(3, 0), torch.ones(3)), list(law.parameters())
        ... )
        >>> rows = torch.cat(list(metric))
        >>> (rows.mT @ rows)[0, 0]
        tensor(1.0000)
    """

    def __init__(self, samples: SupportsIndex | None = None, *, output: str | None = None) -> None:
        self.samples = None if samples is None else whole("samples", samples)
        self.output = output

    def __call__(
        self, objective: nn.Module, batch: Any, parameters: Sequence[nn.Parameter]
    ) -> Derivatives:
        """The metric on one batch, as rows that are not computed yet."""
        with undisturbed(objective):
            terms = list(self._terms(objective, batch))
        if not terms:
            raise NoOutput(
                f"GaussNewton finds neither a law nor the network of a Supervised in the "
                f"{type(objective).__name__} that depends on its parameters: name the part whose "
                "output counts by output=, or use EmpiricalFisher() or a function of your own"
            )
        return Derivatives(terms, parameters)

    def __repr__(self) -> str:
        output = "" if self.output is None else f", output={self.output!r}"
        return f"GaussNewton({self.samples}{output})"

    def _terms(self, objective: nn.Module, batch: Any) -> Iterator[Term]:
        if isinstance(objective, Weighted) and self.output is None:
            for name, part in zip(objective.names, objective.objectives, strict=True):
                weight = objective.weight(name)
                for term in self._terms(part, batch) if weight > 0 else ():
                    yield term.scaled(weight**0.5)
            return
        if isinstance(objective, EachMember) and self.output is None:
            for term in self._terms(objective.objective, batch):
                yield term.scaled(objective.members**0.5)
            return
        network = self._network(objective)
        if network is not None:
            with watched(objective, lambda part: part is network) as calls:
                total = _total(objective(batch))
            lead = 2 if isinstance(objective, Supervised) and is_random(network) else 1
            for call in calls:
                yield from _network_terms(call, total, lead)
            return
        yield from law_terms(objective, batch, lambda found, _: information(found, self.samples))

    def _network(self, objective: nn.Module) -> nn.Module | None:
        if self.output is not None:
            try:
                return objective.get_submodule(self.output)
            except AttributeError:
                names = [name for name, _ in objective.named_modules() if name]
                raise ValueError(
                    f"output={self.output!r} is no part of the {type(objective).__name__}: it has "
                    f"{', '.join(names)}"
                ) from None
        if isinstance(objective, Supervised) and not _is_law(objective.model):
            return objective.model
        return None


def law_terms(
    objective: nn.Module,
    batch: Any,
    known: Callable[[td.Distribution, torch.Size], Information],
) -> Iterator[Term]:
    """Terms of all laws inside of an objective.

    Args:
        objective: Is called on the batch.
        batch: Data.
        known: The information in a distribution, which is given flat ``(rows,)`` with the shape
            that its batch has in the objective, or in this shape.

    Example:
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.objectives.bound import ELBO
        >>> objective = ELBO(Normal(torch.nn.Linear(1, 2)), data_size=3)
        >>> batch = (torch.ones(3, 1), torch.ones(3))
        >>> (term,) = law_terms(objective, batch, lambda found, shape: information(found))
        >>> term.directions.shape
        torch.Size([3, 2, 2])
    """
    with watched(objective, _is_law) as calls:
        objective(batch)
    for call in calls:
        found = call.result
        if not isinstance(found, td.Distribution):
            continue
        shape = found.batch_shape
        term = _head_term(call, shape, known)
        if term is None:
            outputs, root = known(found, shape)
            if not outputs.requires_grad:
                continue
            term = Term(root.reshape(-1, *root.shape[-2:]), outputs.reshape(-1, outputs.shape[-1]))
        yield term.scaled(max(1, shape.numel()) ** -0.5)


def _is_law(part: nn.Module) -> bool:
    """Whether a part is a Law; an event shape that depends on the context is not asked for."""
    known, own = type(part), vars(part)
    return all(hasattr(known, name) or name in own for name in ("support", "event_shape"))


def _head_term(
    call: Call, shape: torch.Size, known: Callable[[td.Distribution, torch.Size], Information]
) -> Term | None:
    """The term of a head whose rows do not meet: its link is derived here, its body later."""
    law, inputs = call.part, call.inputs
    if not isinstance(law, Head) or type(law).forward is not Head.forward or meets_rows(law):
        return None
    inside = {id(p) for p in law.body.parameters() if p.requires_grad}
    if not inside or any(id(p) not in inside for p in law.parameters() if p.requires_grad):
        return None
    if not isinstance(inputs, Tensor) or inputs.shape[: len(shape)] != shape:
        return None
    if inputs.requires_grad:  # what the law is given depends on parameters too
        return None
    kind = next(law.parameters()).dtype
    rows = inputs.detach().reshape(shape.numel(), *inputs.shape[len(shape) :])
    rows = rows.to(kind) if rows.is_floating_point() or rows.dtype == torch.bool else rows
    with torch.no_grad():
        raw = law.body(rows)
    if not isinstance(raw, Tensor) or raw.dim() != 2 or len(raw) != len(rows):
        return None
    with torch.enable_grad():
        raw = raw.requires_grad_()
        found = known(law.link(raw), shape)
        if not found.outputs.requires_grad or found.outputs.shape[0] != len(rows):
            return None
    return Term(pulled_back(found, raw), None, law.body, rows)


def _network_terms(call: Call, total: Tensor, lead: int) -> Iterator[Term]:
    """The term of a network's output: its directions are a root of the loss's second derivative."""
    result = call.result
    if not isinstance(result, Tensor):
        raise NoOutput(
            f"the {type(call.part).__name__} returns {type(result).__name__}, and GaussNewton "
            "derives tensors: use EmpiricalFisher() or a function of your own"
        )
    if not result.requires_grad:
        return
    lead = min(lead, max(result.dim(), 0))
    rows = result.shape[:lead].numel()
    width = max(1, result.numel() // max(1, rows))
    if width > _OUTPUTS:
        raise NoOutput(
            f"the {type(call.part).__name__} returns {width} numbers per row, and GaussNewton "
            f"derives the loss by at most {_OUTPUTS}: use EmpiricalFisher(), or a law"
        )
    directions = _curved_root(total, result, rows, width)
    if directions is None:
        return
    given = call.inputs
    apart = isinstance(given, Tensor) and not given.requires_grad and lead == 1
    if apart and given.dim() > 1 and len(given) == rows and not meets_rows(call.part):
        yield Term(directions, None, call.part, given.detach())
    else:
        yield Term(directions, result.reshape(rows, width))


def _curved_root(total: Tensor, result: Tensor, rows: int, width: int) -> Tensor | None:
    """A root ``(rows, width, width)`` of the convex part of the loss's second derivative."""
    found: Any = torch.autograd.grad(total, result, create_graph=True, allow_unused=True)[0]
    if found is None:
        return None
    slope = found.reshape(rows, width)
    columns = []
    for k in range(width):
        found = None
        if slope.requires_grad:
            (found,) = torch.autograd.grad(
                slope[:, k].sum(), result, retain_graph=True, allow_unused=True
            )
        columns.append(torch.zeros_like(result) if found is None else found)
    curved = torch.stack([column.reshape(rows, width) for column in columns], 1).detach()
    if width == 1:
        return curved.clamp_min(0).sqrt()
    values, vectors = torch.linalg.eigh((curved + curved.mT) / 2)
    return values.clamp_min(0).sqrt().unsqueeze(-1) * vectors.mT


def _total(loss: Any) -> Tensor:
    return loss if isinstance(loss, Tensor) else torch.as_tensor(loss.total)
