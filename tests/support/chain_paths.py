"""All paths of small chains, one by one: the oracle of everything about chains."""

import itertools

import torch

from hybrid.pgm.chains import Chain

NOTHING = -torch.inf


def random_chain(
    batch=(3,), steps=4, states=3, *, lead=None, between=1, zeros=False, ragged=False, seed=0
):
    """A chain with random weights; with zeros, some of them are impossible."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    lead = () if lead is None else lead
    unary, pairwise = normal(*batch, steps, states), 2 * normal(*lead, between, states, states)
    if zeros:
        pairwise[..., 0, 1] = NOTHING
        pairwise[..., states - 1, 1] = NOTHING
        unary[..., 1, 0] = NOTHING
    lengths = torch.randint(1, steps + 1, batch, generator=generator) if ragged else None
    return Chain(unary, pairwise, lengths)


def rows(chain):
    """(unary, pairwise per step, length) of each row."""
    between = max(chain.steps - 1, 1)
    unary = chain.unary.reshape(-1, chain.steps, chain.states)
    shape = (*chain.batch_shape, between, chain.states, chain.states)
    pairwise = chain.pairwise.expand(shape).reshape(-1, *shape[-3:])
    lengths = chain.lengths
    lengths = torch.full(chain.batch_shape, chain.steps) if lengths is None else lengths
    return zip(unary, pairwise, lengths.reshape(-1).tolist(), strict=True)


def weights_of_paths(chain):
    """For each row its paths and their log weights, (paths, length) and (paths,)."""
    for unary, pairwise, length in rows(chain):
        paths = torch.tensor(list(itertools.product(range(chain.states), repeat=length)))
        step = torch.arange(length)
        single = unary[step, paths].sum(-1)
        yield paths, single + pairwise[step[:-1], paths[:, :-1], paths[:, 1:]].sum(-1)


def log_partition_by_paths(chain):
    """The sum over all paths, differentiable."""
    totals = [logs.logsumexp(0) for _, logs in weights_of_paths(chain)]
    return torch.stack(totals).reshape(chain.batch_shape)


def marginals_by_paths(chain):
    """Single and pair marginals of each row, zero after its end."""
    singles, pairs = [], []
    for paths, logs in weights_of_paths(chain):
        weight = (logs - logs.logsumexp(0)).exp()
        one = torch.zeros(chain.steps, chain.states, dtype=weight.dtype)
        two = torch.zeros(chain.steps - 1, chain.states, chain.states, dtype=weight.dtype)
        for t in range(paths.shape[1]):
            one[t].index_add_(0, paths[:, t], weight)
        for t in range(paths.shape[1] - 1):
            two[t].view(-1).index_add_(0, paths[:, t] * chain.states + paths[:, t + 1], weight)
        singles.append(one)
        pairs.append(two)
    batch = chain.batch_shape
    single = torch.stack(singles).reshape(*batch, chain.steps, chain.states)
    return single, torch.stack(pairs).reshape(*batch, *pairs[0].shape)
