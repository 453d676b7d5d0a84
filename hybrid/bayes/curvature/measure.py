r"""The generalised Gauss–Newton matrix of a law's body, in one of several forms (floor 1).

.. math:: H = \sum_n J_n^\top \Lambda_n J_n = \sum_n \sum_r (J_n^\top a_{rn})
    (J_n^\top a_{rn})^\top, \qquad \Lambda_n = \sum_r a_{rn} a_{rn}^\top,

with the Jacobian J of the body's outputs in its weights and the Fisher information Λ of the law's
distribution in these outputs. Only products :math:`J^\top a` are formed, for some rows at once.
"""

import copy
import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

import torch
import torch.distributions as td
from torch import Tensor, nn

from hybrid.bayes.curvature.blocks import Block, Dense, Diagonal, Kronecker
from hybrid.bayes.curvature.linear import Call, is_linear, recorded
from hybrid.bayes.curvature.rows import row_gradients
from hybrid.information.pulled_back import behind_link

__all__ = ["Structure", "last_layer", "measure"]

Structure = Literal["diagonal", "kronecker", "last_layer", "full"]

_HELD = 2**22  # numbers that the gradients of some rows may take at once
_SMALL = 512  # weights of a part without factors that get a full block
_LARGEST = 2**31  # bytes of a full matrix and its factor


@dataclasses.dataclass
class _Group:
    """Parameters of one block, and what has been added up for it."""

    kind: Literal["diagonal", "dense", "kronecker"]
    names: tuple[str, ...]
    part: str | None = None
    sums: list[Tensor] = dataclasses.field(default_factory=list)
    places: int = 0

    def add(self, term: Tensor) -> None:
        self.sums = [self.sums[0] + term] if self.sums else [term]


def measure(
    body: nn.Module,
    link: Callable[[Tensor], td.Distribution],
    names: Sequence[str],
    batches: Sequence[Tensor],
    structure: Structure,
    *,
    event_dims: int = 1,
    apart: Collection[str] = (),
    samples: int = 64,
    generator: torch.Generator | None = None,
) -> list[tuple[tuple[str, ...], Block]]:
    """Blocks of the curvature, each with the parameters that it is of, in order.

    Args:
        body: The Layer.
        link: Its outputs → the law's distribution.
        names: Its parameters that are random.
        batches: Inputs ``(*rows, *in)``.
        structure: The form.
        event_dims: How many axes one row of the inputs has.
        apart: Parameters with a prior of their own, which have no Kronecker factors.
        samples: See `behind_link`.
        generator: See `behind_link`.

    Raises:
        ValueError: A full matrix would be too large, or the curvature is not finite.

    Example:
        >>> link = lambda raw: td.Normal(raw.squeeze(-1), 0.5)
        >>> [(names, block)] = measure(
        ...     nn.Linear(2, 1, bias=False), link, ["weight"], [torch.eye(2)], "full"
        ... )
        >>> block.curvature
        tensor([[4., 0.],
                [0., 4.]])
    """
    body = copy.deepcopy(body).eval()
    batches = [inputs.unsqueeze(0).flatten(0, inputs.dim() - event_dims) for inputs in batches]
    parameters = {name: body.get_parameter(name).requires_grad_() for name in names}
    groups = _groups(body, parameters, batches[0][:2], structure, apart)
    with torch.no_grad():
        outputs = body(batches[0][:2]).shape[-1]
    for inputs in batches:
        for rows in inputs.split(max(1, _HELD // outputs**2)):  # as many roots as outputs
            _add_batch(body, link, parameters, rows, groups, samples, generator)
    return [(group.names, _block(group, parameters)) for group in groups]


def last_layer(body: nn.Module) -> str:
    """The name of the last part with trainable parameters of its own.

    Raises:
        ValueError: There is none.

    Example:
        >>> last_layer(nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1), nn.ReLU()))
        '1'
    """
    found = [
        name
        for name, part in body.named_modules()
        if any(own is not None and own.requires_grad for own in part._parameters.values())
    ]
    if not found:
        raise ValueError(f"{type(body).__name__} has no trainable parameter")
    return found[-1]


def _groups(
    body: nn.Module,
    parameters: Mapping[str, Tensor],
    rows: Tensor,
    structure: Structure,
    apart: Collection[str],
) -> list[_Group]:
    if structure in ("full", "last_layer"):
        _check_size(parameters, structure)
        return [_Group("dense", tuple(parameters))]
    kind: Literal["diagonal", "kronecker"] = "kronecker" if structure == "kronecker" else "diagonal"
    linear = _linear_parts(body, parameters, rows, apart if kind == "kronecker" else ())
    groups: list[_Group] = []
    taken: set[str] = set()
    for part, own in linear.items():
        groups.append(_Group(kind, own, part))
        taken.update(own)
    rest: dict[str, list[str]] = {}
    for name in parameters:
        if name not in taken:
            rest.setdefault(name.rpartition(".")[0], []).append(name)
    for left in rest.values():
        size = sum(parameters[name].numel() for name in left)
        dense = kind == "kronecker" and size <= _SMALL
        groups.append(_Group("dense" if dense else "diagonal", tuple(left)))
    return groups


def _check_size(parameters: Mapping[str, Tensor], structure: Structure) -> None:
    size = sum(value.numel() for value in parameters.values())
    needed = 2 * size**2 * next(iter(parameters.values())).element_size()
    if needed > _LARGEST:
        raise ValueError(
            f"structure={structure!r} of {size} weights needs {needed / 2**30:.1f} GiB, more than "
            f"{_LARGEST / 2**30:.0f}: use 'kronecker' or 'diagonal'"
        )


@torch.no_grad()
def _linear_parts(
    body: nn.Module, parameters: Mapping[str, Tensor], rows: Tensor, apart: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Parts of which inputs and outputs tell all: part → its weight, and bias if that is random."""
    users: dict[int, set[int]] = {}
    for part in body.modules():
        for own in part._parameters.values():
            users.setdefault(id(own), set()).add(id(part))
    found = {}
    for name, part in body.named_modules():
        lead = f"{name}." if name else ""
        own_names = tuple(f"{lead}{k}" for k in ("weight", "bias") if f"{lead}{k}" in parameters)
        alone = all(len(users[id(parameters[own])]) == 1 for own in own_names)
        plain = alone and f"{lead}weight" in own_names and not set(own_names) & set(apart)
        if plain and is_linear(part):
            found[name] = own_names
    with recorded(body, found) as calls:
        body(rows)
    fits = {n for n, c in calls.items() if c and all(len(k.inputs) == len(rows) for k in c)}
    return {name: own for name, own in found.items() if name in fits}


def _add_batch(
    body: nn.Module,
    link: Callable[[Tensor], td.Distribution],
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    groups: Sequence[_Group],
    samples: int,
    generator: torch.Generator | None,
) -> None:
    linear = {group.part: group for group in groups if group.part is not None}
    with torch.enable_grad(), recorded(body, linear) as calls:
        raw = body(inputs)
    roots = behind_link(link, raw.detach(), samples, generator)
    every = [call for own in calls.values() for call in own]
    for group in linear.values():
        _add_inputs(group, calls[group.part or ""])
    for root in roots.unbind(1) if every else ():
        outputs = [call.output for call in every]
        back = torch.autograd.grad(
            raw, outputs, root, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        turn = iter(back)
        for part, group in linear.items():
            places = [call.places(next(turn)) for call in calls[part]]
            _add_outputs(group, calls[part], torch.cat(places, 1))
    for group in groups:
        if group.part is None:
            _add_rows(body, {n: parameters[n] for n in group.names}, inputs, roots, group)


def _add_inputs(group: _Group, calls: Sequence[Call]) -> None:
    if group.kind != "kronecker":
        return
    inputs = torch.cat([call.inputs for call in calls], 1).flatten(0, 1)
    if len(group.names) > 1:
        inputs = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
    inner = inputs.mT @ inputs
    if not group.sums:
        group.sums = [torch.zeros_like(inner), inner.new_zeros(())]
    group.sums[0] = group.sums[0] + inner
    group.places += len(inputs)


def _add_outputs(group: _Group, calls: Sequence[Call], back: Tensor) -> None:
    """Add what one direction gives, from gradients ``(rows, places, out)``."""
    if group.kind == "kronecker":
        flat = back.flatten(0, 1)
        group.sums[1] = group.sums[1] + flat.mT @ flat
        return
    inputs = torch.cat([call.inputs for call in calls], 1)
    if back.shape[1] == 1:
        weight = back[:, 0].square().mT @ inputs[:, 0].square()
    else:
        size = max(1, _HELD // (back.shape[-1] * inputs.shape[-1]))
        pairs = zip(back.split(size), inputs.split(size), strict=True)
        weight = sum((g.mT @ x).square().sum(0) for g, x in pairs)  # type: ignore[assignment]
    terms = [weight.flatten()]
    if len(group.names) > 1:
        terms.append(back.sum(1).square().sum(0))
    group.add(torch.cat(terms))


def _add_rows(
    body: nn.Module,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    roots: Tensor,
    group: _Group,
) -> None:
    for rows in row_gradients(body, list(parameters.values()), inputs, roots, _HELD):
        group.add(rows.mT @ rows if group.kind == "dense" else rows.square().sum(0))


def _block(group: _Group, parameters: Mapping[str, Tensor]) -> Block:
    sums = [value.detach() for value in group.sums]
    if not all(bool(value.isfinite().all()) for value in sums):
        raise ValueError(
            f"the curvature in {', '.join(group.names)} is not finite: derivatives of the log "
            "density are not, at some row"
        )
    if group.kind != "kronecker":  # without a sum the distribution does not depend on the outputs
        zeros = parameters[group.names[0]].new_zeros(
            sum(parameters[n].numel() for n in group.names)
        )
        if group.kind == "diagonal":
            return Diagonal(sums[0] if sums else zeros)
        whole = sums[0] if sums else zeros.diag()
        return Dense((whole + whole.mT) / 2)
    inner, outer = sums
    if not outer.dim():
        outer = inner.new_zeros(len(parameters[group.names[0]]), len(parameters[group.names[0]]))
    return Kronecker(outer, inner / max(group.places, 1), len(group.names) > 1)
