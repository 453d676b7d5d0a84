"""Chunks of draws: the same answers in less memory."""

import threading

import pytest
import torch
from torch import nn

from causal.draws import fixed
from hybrid.backbones import MLP, RNN
from hybrid.bayes import FlowPosterior, LowRank, MeanField, Posterior, variational
from hybrid.bayes.chunks import ROWS, chunked
from hybrid.heads import Categorical, Normal
from hybrid.prediction import predict

X = torch.randn(9, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def seed():
    return torch.Generator().manual_seed(3)


class Widest(nn.Module):
    """Notes how many draws × rows pass at one time."""

    broadcasts_parameters = True

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, dtype=torch.float64))
        self.passed = [0]  # a list, which copies of the module share

    def forward(self, inputs):
        outputs = inputs * self.weight
        self.passed.append(outputs[..., 0].numel())
        return outputs

    @property
    def most(self):
        return max(self.passed)


@pytest.mark.parametrize("chunk", [1, 3, 7, 100, None])
@pytest.mark.parametrize("family", [MeanField(), LowRank(2), FlowPosterior(hidden=(4,))])
def test_predictions_do_not_depend_on_the_chunk(family, chunk):
    law = variational(Normal(MLP(3, [4], 2)).double(), family)
    expected = predict(law, X, draws=7, generator=seed(), chunk=7)
    found = predict(law, X, draws=7, generator=seed(), chunk=chunk)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.epistemic, expected.epistemic)
    torch.testing.assert_close(found.distribution.scale, expected.distribution.scale)


@pytest.mark.parametrize("chunk", [1, 2, 4])
def test_no_more_than_a_chunk_passes(chunk):
    law = variational(Normal(nn.Sequential(layer := Widest(), nn.Linear(3, 2).double())))
    predict(law, X, draws=7, generator=seed(), chunk=chunk)
    assert layer.most == chunk * 9
    many = torch.zeros(ROWS // 2, 3, dtype=torch.float64)
    layer.passed.clear()
    predict(law, many, draws=5)
    assert layer.most == 2 * len(many)
    layer.passed.clear()
    predict(law, torch.zeros(2 * ROWS, 3, dtype=torch.float64), draws=3)
    assert layer.most == 2 * ROWS


def test_gradients_are_not_cut_up():
    layer = Widest()
    posterior = Posterior(layer, MeanField())
    with chunked(2):
        posterior(X, draws=6).sum().backward()
    assert layer.most == 6 * 9
    assert layer.weight.grad.isfinite().all()


def test_inputs_of_their_own_loops_and_sequences():
    posterior = Posterior(
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double(), MeanField(scale=0.3)
    )
    own = torch.randn(6, 5, 3, dtype=torch.float64)
    with torch.no_grad(), fixed(posterior, 6, seed()):
        expected = posterior(own)
        for chunk in (1, 4):
            with chunked(chunk):
                torch.testing.assert_close(posterior(own), expected)
    recurrent = Posterior(RNN(2, 3, 2), MeanField(scale=0.3))
    sequences = torch.randn(4, 5, 2)
    with torch.no_grad(), fixed(recurrent, 5, seed()):
        expected = recurrent(sequences.unsqueeze(0))
        with chunked(2):
            torch.testing.assert_close(recurrent(sequences.unsqueeze(0)), expected)


def test_under_vmap_nothing_is_cut_up():
    posterior = Posterior(nn.Linear(3, 2).double(), MeanField(scale=0.3))
    with torch.no_grad(), fixed(posterior, 4, seed()), chunked(1):
        mapped = torch.func.vmap(lambda row: posterior(row.expand(1, 1, 3)))(X)
        torch.testing.assert_close(mapped[:, :, 0], posterior(X.unsqueeze(0)).transpose(0, 1))


def test_classes_and_no_rows():
    law = variational(Categorical(MLP(3, [4], 2), states=3).double())
    one = predict(law, X, draws=5, generator=seed(), chunk=2)
    two = predict(law, X, draws=5, generator=seed())
    torch.testing.assert_close(one.probabilities, two.probabilities)
    assert predict(law, X[:0], draws=5, chunk=2).probabilities.shape == (0, 3)


def test_batch_norm_in_training_mode_is_refused_in_chunks_too():
    body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    law = variational(Normal(body, features=2), exclude="*1.*")
    with pytest.raises(ValueError, match="training mode under several draws"):
        predict(law, X, draws=4, chunk=1)
    predict(law.eval(), X, draws=4, chunk=1)


def test_threads_have_their_own_chunk():
    found = {}
    start = threading.Barrier(3)

    def work(chunk):
        law = variational(Normal(nn.Sequential(layer := Widest(), nn.Linear(3, 2).double())))
        start.wait()
        predict(law, X, draws=6, chunk=chunk)
        found[chunk] = layer.most

    threads = [threading.Thread(target=work, args=(chunk,)) for chunk in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {1: 9, 2: 18, 3: 27}


def test_a_chunk_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1 draw, got 0"):
        predict(variational(Normal(nn.Linear(3, 2).double(), features=2)), X, chunk=0)
