"""Small models of every kind, made once, for the walk over the public API."""

import functools
from typing import Any

import pennylane as qml
import pyro.distributions as dist
import torch
from torch import Tensor, nn

import causal
import hybrid
import quantum


@functools.cache
def scm() -> Any:
    graph = causal.Graph.parse("X -> Y")
    torch.manual_seed(0)
    laws = {
        "X": hybrid.heads.Normal(None),
        "Y": hybrid.bayes.variational(hybrid.heads.Normal(nn.Linear(1, 2))),
    }
    return causal.SCM(graph, laws)


@functools.cache
def network() -> Any:
    tables = {"rain": [0.8, 0.2], "wet": [[0.9, 0.1], [0.2, 0.8]]}
    return hybrid.pgm.BayesianNetwork(causal.Graph.parse("rain -> wet"), tables)


@functools.cache
def neural() -> Any:
    """A network whose table has random weights."""
    torch.manual_seed(0)
    law = hybrid.bayes.variational(hybrid.heads.Categorical(nn.Linear(1, 2), states=2))
    nodes = {"rain": [0.8, 0.2], "wet": law}
    return hybrid.pgm.BayesianNetwork(causal.Graph.parse("rain -> wet"), nodes)


@functools.cache
def chain() -> Any:
    sticky = torch.tensor([[0.9, 0.1], [0.2, 0.8]])
    torch.manual_seed(0)
    emission = hybrid.heads.Normal(nn.Linear(2, 4))
    return hybrid.pgm.HiddenMarkovModel(torch.tensor([0.5, 0.5]), sticky, emission)


def sequence() -> Any:
    emission = dist.Normal(torch.tensor([[-1.0, 1.0]]), 1.0)
    start, change = torch.full((2,), -0.7), torch.full((1, 2, 2), -0.7)
    return hybrid.pgm.ObservedSequence(start, change, emission, 5)


def labels() -> Any:
    torch.manual_seed(0)
    crf = hybrid.pgm.LinearChainCRF(nn.Linear(2, 3), states=3)
    return crf(torch.zeros(7, 5, 2))


def labelling() -> Any:
    torch.manual_seed(0)
    law = hybrid.pgm.Contextual(hybrid.heads.Categorical(nn.Linear(4, 8), states=3))
    nodes = {"kind": law, "striped": [[0.9, 0.1], [0.5, 0.5], [0.0, 1.0]]}
    graph = causal.Graph.parse("kind -> striped")
    return hybrid.pgm.Labelling(hybrid.pgm.BayesianNetwork(graph, nodes), torch.zeros(5, 4))


@functools.cache
def table() -> Any:
    return causal.Factor(("X", "Y"), torch.tensor([[0.1, 0.4], [0.3, 0.2]]))


@functools.cache
def query() -> Any:
    graph = causal.Graph.parse("X -> Y")
    return causal.identify(graph, outcomes="Y", treatments="X")


@functools.cache
def sampled_circuit() -> Any:
    def circuit(inputs: Tensor) -> Any:
        qml.AngleEmbedding(inputs, wires=range(2))
        return qml.expval(qml.Z(0))

    return quantum.CircuitLayer(circuit, {}, in_features=2, shots=10)


@functools.cache
def posterior() -> Any:
    torch.manual_seed(0)
    return hybrid.bayes.variational(nn.Linear(2, 1))


@functools.cache
def law() -> Any:
    torch.manual_seed(0)
    return hybrid.bayes.variational(hybrid.heads.Normal(nn.Linear(2, 2)))


@functools.cache
def discrete() -> Any:
    torch.manual_seed(0)
    random = hybrid.bayes.variational(hybrid.heads.Bernoulli(nn.Linear(1, 1)))
    laws = {"X": hybrid.heads.Bernoulli(None), "Y": random}
    return causal.SCM(causal.Graph.parse("X -> Y"), laws)


@functools.cache
def witness() -> Any:
    graph = causal.Graph.parse("X -> Y; X <-> Y")
    return causal.disagreement(graph, outcomes="Y", treatments="X").models[0]


@functools.cache
def vae() -> Any:
    torch.manual_seed(0)
    return hybrid.VAE(nn.Linear(2, 4), hybrid.heads.Normal(nn.Linear(2, 4), event=2), latent=2)


def normalised() -> Any:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    return hybrid.heads.Normal(body).eval()


@functools.cache
def censored() -> Any:
    """A law whose Fisher information is sampled."""
    torch.manual_seed(0)
    return hybrid.heads.Tobit(nn.Linear(2, 2))


@functools.cache
def line() -> Any:
    return hybrid.heads.Normal(nn.Linear(2, 2))
