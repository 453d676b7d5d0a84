"""Messages between variables and factors, many at once (floor 1).

A message is a distribution over a variable's states. The messages of all edges (factor, variable)
are one tensor (edges, rows, widest), zero past a variable's last state.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import pad

from hybrid.pgm.approximate.problem import Problem

__all__ = ["Edges", "beliefs", "bethe", "edges_of", "from_factors", "from_variables", "stacked"]

Scopes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges in groups of factors of one shape, so that a group is one product.

    Args:
        groups: The factors of each group.
        sizes: The numbers of states along their axes.
        places: The numbers of their edges, (factors, axes) for each group.
        variables: The variable of each edge.

    Example:
        >>> edges_of(((0,), (0, 1), (1,)), (2, 2), (False,) * 3).groups
        ((0, 2), (1,))
    """

    groups: tuple[tuple[int, ...], ...]
    sizes: tuple[tuple[int, ...], ...]
    places: tuple[Tensor, ...]
    variables: Tensor


@lru_cache(maxsize=64)
def edges_of(scopes: Scopes, cardinalities: tuple[int, ...], per_row: tuple[bool, ...]) -> Edges:
    """The edges of factors, numbered group by group.

    Args:
        scopes: The variables of each factor.
        cardinalities: Numbers of states.
        per_row: Whether a factor differs by row.

    Example:
        >>> edges_of(((0,), (0, 1)), (2, 3), (False, True)).variables
        tensor([0, 0, 1])
    """
    kinds: dict[tuple[tuple[int, ...], bool], list[int]] = {}
    for factor, scope in enumerate(scopes):
        sizes = tuple(cardinalities[k] for k in scope)
        kinds.setdefault((sizes, per_row[factor]), []).append(factor)
    places: list[Tensor] = []
    variables: list[int] = []
    for factors in kinds.values():
        axes = len(scopes[factors[0]])
        first = len(variables)
        places.append(torch.arange(first, first + len(factors) * axes).reshape(-1, axes))
        variables += [variable for factor in factors for variable in scopes[factor]]
    groups = tuple(tuple(factors) for factors in kinds.values())
    return Edges(groups, tuple(k for k, _ in kinds), tuple(places), torch.tensor(variables))


def stacked(problem: Problem, edges: Edges) -> list[Tensor]:
    """The tables of each group, (factors, *states) or (factors, rows, *states).

    Example:
        >>> coin = Problem((0,), (2,), ((0,),), (0,), [torch.ones(2)], torch.zeros(1, 1), {})
        >>> stacked(coin, edges_of(coin.scopes, (2,), (False,)))
        [tensor([[1., 1.]])]
    """
    return [torch.stack([problem.tables[k] for k in factors]) for factors in edges.groups]


def from_variables(
    messages: Tensor, likelihoods: Tensor, variables: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Messages from variables, what all the others told them.

    .. math:: \mu_{v \to a} \propto \lambda_v \prod_{b \ne a} m_{b \to v}

    Args:
        messages: Messages from factors (edges, rows, widest).
        likelihoods: :math:`\lambda` (variables, rows, widest).
        variables: The variable of each edge.

    Returns:
        The messages (edges, rows, widest), and all products in one, (variables, rows, widest), as
        logs; −inf where the product is 0.

    Example:
        >>> one = torch.tensor([[[0.2, 0.8]], [[0.5, 0.5]]])
        >>> sent, _ = from_variables(one, torch.ones(1, 1, 2), torch.tensor([0, 0]))
        >>> sent[1]
        tensor([[0.2000, 0.8000]])
    """
    # Zeros are counted apart, so that a message can be divided out of a product that is zero.
    logs, empty = _log(messages)
    start, none = _log(likelihoods)
    total = start.index_add(0, variables, logs)
    zeros = none.index_add(0, variables, empty)
    sent = _exponential(total[variables] - logs, zeros[variables] - empty == 0)
    return _normalised(sent)[0], torch.where(zeros == 0, total, -torch.inf)


def from_factors(messages: Tensor, tables: Sequence[Tensor], edges: Edges) -> tuple[Tensor, Tensor]:
    r"""Messages from factors, what they make of the messages of their other variables.

    .. math:: m_{a \to v} \propto \sum_{x_a \setminus x_v} f_a \prod_{w \ne v} \mu_{w \to a}

    Args:
        messages: Messages from variables (edges, rows, widest).
        tables: The factors, group by group.
        edges: The edges.

    Returns:
        The messages (edges, rows, widest), and the log of :math:`\sum f_a \prod_w \mu_{w \to a}`
        summed over the factors, (rows,).

    Example:
        >>> edges = edges_of(((0, 1),), (2, 2), (False,))
        >>> table = torch.tensor([[[0.9, 0.1], [0.2, 0.8]]])
        >>> known = torch.tensor([[[0.0, 1.0]], [[0.5, 0.5]]])
        >>> from_factors(known, [table], edges)[0][1]
        tensor([[0.2000, 0.8000]])
    """
    widest, total = messages.shape[-1], messages.new_zeros(messages.shape[1])
    found: list[Tensor] = []
    for table, sizes, places in zip(tables, edges.sizes, edges.places, strict=True):
        incoming = [messages[places[:, k], :, :size] for k, size in enumerate(sizes)]
        own = table.dim() > 1 + len(sizes)
        sums = _sums(table, incoming, own)
        heights = (sums[0] * incoming[0]).sum(-1)
        total = total + torch.where(heights > 0, heights, 1.0).log().sum(0)
        total = torch.where((heights > 0).all(0), total, -torch.inf)
        sent = [pad(_normalised(part)[0], (0, widest - part.shape[-1])) for part in sums]
        found.append(torch.stack(sent, 1).flatten(0, 1))
    return torch.cat(found), total


def _sums(table: Tensor, incoming: Sequence[Tensor], own: bool) -> list[Tensor]:
    """For each axis the sum over all others, each time (factors, rows, states).

    The axes are halved: what one half makes of the table serves all axes of the other.
    """
    factors, rows = incoming[0].shape[:2]
    if len(incoming) == 1:
        return [table if own else table.unsqueeze(1).expand(-1, rows, -1)]
    middle = len(incoming) // 2
    first, second = _outer(incoming[:middle]), _outer(incoming[middle:])
    sizes = first.shape[-1], second.shape[-1]
    if own:
        flat = table.reshape(factors, rows, *sizes)
        left = (flat @ second.unsqueeze(-1)).squeeze(-1)
        right = (first.unsqueeze(-2) @ flat).squeeze(-2)
    else:
        flat = table.reshape(factors, *sizes)
        left, right = second @ flat.mT, first @ flat

    def halved(part: Tensor, messages: Sequence[Tensor]) -> list[Tensor]:
        shape = [message.shape[-1] for message in messages]
        return _sums(part.reshape(factors, rows, *shape), messages, own=True)

    return [*halved(left, incoming[:middle]), *halved(right, incoming[middle:])]


def _outer(messages: Sequence[Tensor]) -> Tensor:
    """Products of messages, (factors, rows, product of states)."""
    found = messages[0]
    for message in messages[1:]:
        found = (found.unsqueeze(-1) * message.unsqueeze(-2)).flatten(-2)
    return found


def beliefs(products: Tensor) -> tuple[Tensor, Tensor]:
    """Distributions of variables from logs of products, and the log of what they summed to.

    Args:
        products: Logs (variables, rows, widest).

    Returns:
        Distributions (variables, rows, widest), zero where all products are; logs (variables,
        rows), −inf there.

    Example:
        >>> beliefs(torch.tensor([[[0.0, -torch.inf]]]))
        (tensor([[[1., 0.]]]), tensor([[0.]]))
    """
    alive = products > -torch.inf
    finite = torch.where(alive, products, 0.0)
    shift = products.detach().amax(-1, keepdim=True)
    shift = torch.where(shift.isfinite(), shift, 0.0)
    found, sums = _normalised(_exponential(finite, alive))
    logs = torch.where(sums > 0, sums, 1.0).log() + shift
    return found, torch.where(sums > 0, logs, -torch.inf).squeeze(-1)


def bethe(messages: Tensor, likelihoods: Tensor, tables: Sequence[Tensor], edges: Edges) -> Tensor:
    r"""The Bethe approximation of :math:`\log Z` at messages from factors, (rows,).

    .. math:: \sum_v \log \sum_x \lambda_v \prod_a m_{a \to v} + \sum_a \log \sum f_a \prod_v
        \mu_{v \to a} - \sum_{(a, v)} \log \sum_x m_{a \to v} \mu_{v \to a}

    It is exact where factors and variables make a tree.

    Source: Yedidia, Freeman & Weiss, "Constructing free-energy approximations and generalized
    belief propagation algorithms" (2005).

    Example:
        >>> edges = edges_of(((0,),), (2,), (False,))
        >>> ones, table = torch.ones(1, 1, 2), torch.tensor([[1.0, 3.0]])
        >>> bethe(torch.tensor([[[0.25, 0.75]]]), ones, [table], edges).exp()
        tensor([4.])
    """
    sent, products = from_variables(messages, likelihoods, edges.variables)
    _, single = beliefs(products)
    _, factors = from_factors(sent, tables, edges)
    meeting = (sent * messages).sum(-1)
    between = torch.where(meeting > 0, meeting, 1.0).log().sum(0)
    return single.sum(0) + factors - between


def _log(values: Tensor) -> tuple[Tensor, Tensor]:
    """Logs, 0 where values are 0; and 1 there."""
    positive = values > 0
    return torch.where(positive, values, 1.0).log(), (~positive).to(values.dtype)


def _exponential(logs: Tensor, alive: Tensor) -> Tensor:
    """Up to a factor per row, 0 where not alive; the largest is 1."""
    shift = torch.where(alive, logs.detach(), -torch.inf).amax(-1, keepdim=True)
    shift = torch.where(shift.isfinite(), shift, 0.0)
    return torch.where(alive, torch.where(alive, logs - shift, 0.0).exp(), 0.0)


def _normalised(values: Tensor) -> tuple[Tensor, Tensor]:
    """Divided by their sums, and the sums; zeros stay."""
    sums = values.sum(-1, keepdim=True)
    return values / torch.where(sums > 0, sums, 1.0), sums
