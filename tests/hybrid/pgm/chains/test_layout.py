"""What a chain may be, and what it is told otherwise."""

import pytest
import torch
from chain_paths import random_chain

from hybrid.pgm.chains import Chain, ImpossibleSequence, lengths_of, refuse_impossible


def test_lengths_of_masks():
    mask = torch.tensor([[[True, True, False], [True, False, False]]])
    assert lengths_of(mask).tolist() == [[2, 1]]
    with pytest.raises(ValueError, match=r"the mask of row 1 is \[False, True\]"):
        lengths_of(torch.tensor([[True, True], [False, True]]))
    with pytest.raises(ValueError, match=r"row \(0, 1\) is \[False, False\]"):
        lengths_of(torch.tensor([[[True, True], [False, False]]]))


@pytest.mark.parametrize(
    ("unary", "pairwise", "message"),
    [
        ((5, 4, 3), (2, 3, 3), r"expected \(\.\.\., 3 or 1, 3, 3\) for 4 steps of 3 states"),
        ((5, 4, 3), (1, 3, 2), "pairwise has shape"),
        ((5, 4, 3), (4, 1, 3, 3), r"broadcast to the batch \(5,\)"),
        ((5, 0, 3), (1, 3, 3), "one or more"),
        ((3,), (1, 3, 3), r"expected \(\.\.\., steps, states\)"),
    ],
)
def test_shapes_that_do_not_fit(unary, pairwise, message):
    with pytest.raises(ValueError, match=message):
        Chain(torch.zeros(unary), torch.zeros(pairwise))


def test_numbers_that_are_no_log_weights():
    chain = random_chain((2,))
    for wrong, name in ((torch.nan, "nan"), (torch.inf, "inf")):
        unary = chain.unary.clone()
        unary[1, 2, 0] = wrong
        with pytest.raises(ValueError, match=rf"unary\[1, 2, 0\] is {name}"):
            Chain(unary, chain.pairwise)
        with pytest.raises(ValueError, match=r"pairwise\[0, 0, 0\]"):
            Chain(chain.unary, torch.full((1, 3, 3), wrong).double())
    with pytest.raises(ValueError, match="in one dtype"):
        Chain(chain.unary.float(), chain.pairwise)


def test_lengths_that_are_none():
    chain = random_chain((2,))
    with pytest.raises(ValueError, match="a row has 0 steps"):
        Chain(chain.unary, chain.pairwise, torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="a row has 5 steps"):
        Chain(chain.unary, chain.pairwise, torch.tensor([5, 2]))
    with pytest.raises(ValueError, match="expected one per row"):
        Chain(chain.unary, chain.pairwise, torch.tensor([2]))


def test_an_impossible_row_is_named_with_its_step():
    chain = random_chain((2, 3), lead=(2, 1))
    unary = chain.unary.clone()
    unary[1, 2, 3] = -torch.inf
    with pytest.raises(ImpossibleSequence, match=r"row \(1, 2\) .* explain step 3") as caught:
        refuse_impossible(Chain(unary, chain.pairwise))
    assert (caught.value.row, caught.value.step) == ("(1, 2)", 3)
    lengths = torch.full((2, 3), 3)
    refuse_impossible(Chain(unary, chain.pairwise, lengths))
    unary[0, 0, 0] = -torch.inf
    with pytest.raises(ImpossibleSequence, match=r"row \(0, 0\) .*: nothing can explain step 0"):
        refuse_impossible(Chain(unary, chain.pairwise, lengths))
    with pytest.raises(ImpossibleSequence, match="row 0 "):
        refuse_impossible(Chain(unary[0, 0], chain.pairwise[0, 0]))


def test_expanded_chains_share_their_numbers():
    chain = random_chain((2,), ragged=True)
    wide = chain.expand((5, 2))
    assert wide.batch_shape == (5, 2)
    assert wide.lengths.shape == (5, 2)
    assert chain.expand((2,)) is chain
