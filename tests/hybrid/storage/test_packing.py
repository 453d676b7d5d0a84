import json
import math

import pytest
import torch

from hybrid.storage.packing import pack, same_bits, unpack

VALUES = [
    None,
    True,
    3,
    0.1,
    math.inf,
    "text",
    [1, [2.5]],
    (1, (), [None]),
    {"a": 1, "b": {"c": (1, 2)}},
    {0: "zero", 1: {2: "two"}},
    {"!": "mine"},
    {},
    {"a": 1, 2: "b"},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_json_and_back(value):
    back = unpack(json.loads(json.dumps(pack(value, "x", {}))), {})
    assert back == value
    assert type(back) is type(value)


def test_tensors_inside():
    tensors = {}
    value = {"state": {0: {"step": torch.tensor(1.0)}}, "list": [torch.ones(2), (torch.zeros(0),)]}
    back = unpack(json.loads(json.dumps(pack(value, "o", tensors))), tensors)
    assert sorted(tensors) == ["o.list.0", "o.list.1.0", "o.state.0.step"]
    assert back["state"][0]["step"] is tensors["o.state.0.step"]
    assert isinstance(back["list"][1], tuple)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"a": [object()]}, r"x\.a\.0 is a object"),
        ({"f": print}, r"x\.f is a builtin"),
        ({(1, 2): 3}, "x has keys that are neither"),
        ({1, 2}, "x is a set"),
    ],
)
def test_everything_else_is_refused_with_its_place(value, message):
    with pytest.raises(TypeError, match=message):
        pack(value, "x", {})


@pytest.mark.parametrize("packed", [{"!": "code", "of": []}, {"!": "tuple"}, {"!": "pairs"}])
def test_unknown_tags(packed):
    with pytest.raises(ValueError, match="unknown entry"):
        unpack(packed, {})


def test_same_bits():
    nan = torch.tensor([math.nan, 0.0])
    assert same_bits(nan, nan.clone())
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert not same_bits(torch.zeros(2), torch.zeros(2).double())
    assert same_bits(torch.ones(2, 3).t(), torch.ones(3, 2))
    assert same_bits(torch.zeros(0), torch.zeros(0))
