import math
import pickle

import torch
from torch import nn

from hybrid.layers import Aside
from hybrid.training.guard import NonFiniteError, bad_gradient, bad_input, bad_part, limit_columns

NAN, INF = math.nan, math.inf


class Limited(nn.Linear):
    limit_columns = frozenset({"cap"})


def test_the_error_survives_pickle():
    error = pickle.loads(pickle.dumps(NonFiniteError("x", epoch=2, step=3)))
    assert (error.part, error.epoch, error.step) == ("x", 2, 3)
    assert isinstance(error, ArithmeticError)


def test_inputs_are_named():
    layer = nn.Linear(1, 1)
    x, bad = torch.zeros(3, 2), torch.tensor([[0, 0], [0, NAN], [NAN, 0]])
    assert bad_input(layer, (x, x)) is None
    assert bad_input(layer, (x, bad)) == "y, row 1"
    assert bad_input(layer, (x, x, bad)) == "data[2], row 1"
    assert bad_input(layer, bad) == "the batch, row 1"
    assert bad_input(layer, {"A": bad}, rows=lambda row: row + 10) == "column 'A', row 11"
    assert bad_input(layer, {"A": torch.tensor([1, 2])}) is None
    assert bad_input(layer, (x, torch.tensor(NAN))) == "y, row 0"


def test_infinite_limits_are_legal():
    objective = nn.Sequential(Limited(1, 1))
    assert limit_columns(objective) == {"cap"}
    cap = torch.tensor([1.0, INF])
    assert bad_input(objective, {"cap": cap}) is None
    assert bad_input(objective, {"cap": cap * NAN}) == "column 'cap', row 0"
    assert bad_input(objective, {"A": cap}) == "column 'A', row 1"
    assert bad_input(objective, {"A": cap}, infinite=False) is None
    aside = nn.Sequential(Aside(nn.Linear(1, 1), [1]))
    assert bad_input(aside, (torch.tensor([[0.0, INF]]), cap)) is None


def test_parameters_parts_and_gradients():
    layer = nn.Linear(1, 1)
    one, nan = torch.tensor(1.0), torch.tensor(NAN)
    assert bad_part(one, {"a": one}) is None
    assert bad_part(nan, {"a": one}) == "the loss"
    assert bad_part(nan, {"a": one, "b": nan}) == "part 'b' of the loss"
    assert bad_gradient(layer) is None
    layer.weight.grad = torch.full((1, 1), INF)
    assert bad_gradient(layer) == "the gradient of parameter 'weight'"
    nn.init.constant_(layer.bias, NAN)
    assert bad_input(layer, ()) == "parameter 'bias'"
