import copy

import pytest
import torch
from torch import nn

from hybrid.storage.checkpoint import CheckpointError, load, save
from hybrid.storage.packing import same_bits


class Tied(nn.Module):
    """Shared parameters, buffers of all kinds, extra state."""

    def __init__(self, names=("W", "T")):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight
        self.turned = nn.Parameter(torch.randn(4, 2).t())
        self.narrow = nn.Parameter(torch.randn(2).bfloat16())
        self.angle = nn.Parameter(torch.randn((), dtype=torch.complex128))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("empty", torch.zeros(0))
        self.register_buffer("view", self.first.weight.detach()[0])
        self.register_buffer("hidden", torch.ones(1), persistent=False)
        self.names = names

    def get_extra_state(self):
        return {"names": self.names, "version": 1, "table": torch.arange(3)}

    def set_extra_state(self, state):
        if state["names"] != self.names:
            raise ValueError(f"columns {state['names']} saved, {self.names} here")
        self.seen = state


def same(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(
        a == b and (not isinstance(x, torch.Tensor) or same_bits(x, y)) for (a, x), (b, y) in pairs
    )


def test_everything_comes_back_to_the_bit(tmp_path):
    original, other = Tied(), Tied()
    save(original, tmp_path / "c")
    assert not same(original, other)
    load(tmp_path / "c", into=other)
    assert same(original, other)
    assert other.second.weight is other.first.weight
    assert other.turned.stride() == original.turned.stride()
    assert other.seen["names"] == ("W", "T")
    assert torch.equal(other.seen["table"], torch.arange(3))


def test_shared_tensors_are_stored_once(tmp_path):
    import json

    save(Tied(), tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())["manifest"]
    assert manifest["contents"]["module"]["aliases"] == {"second.weight": "first.weight"}
    assert "second.weight" not in manifest["tensors"]["module"]
    assert manifest["tensors"]["module"]["narrow"] == {"dtype": "bfloat16", "shape": [2]}
    assert manifest["contents"]["written_by"]["torch"] == torch.__version__


def test_tied_and_untied_modules_exchange_what_they_can(tmp_path):
    class Pair(nn.Module):
        def __init__(self, tied):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)
            if tied:
                self.b.weight = self.a.weight

    save(Pair(True), tmp_path / "tied")
    untied = Pair(False)
    load(tmp_path / "tied", into=untied)
    assert torch.equal(untied.a.weight, untied.b.weight)
    save(Pair(False), tmp_path / "untied")
    with pytest.raises(CheckpointError, match=r"a\.weight and b\.weight are one tensor here"):
        load(tmp_path / "untied", into=Pair(True))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (nn.Linear(3, 1), r"weight: saved float32 \(1, 2\), here float32 \(1, 3\)"),
        (nn.Linear(2, 1).double(), r"weight: saved float32 \(1, 2\), here float64 \(1, 2\); bias"),
        (nn.Linear(2, 1, bias=False), "bias is in the checkpoint only"),
        (nn.Sequential(nn.Linear(2, 1)), "0.weight is not in the checkpoint"),
        (nn.LazyLinear(1), "here no tensor with a shape"),
    ],
)
def test_what_does_not_fit_is_listed_and_nothing_is_touched(tmp_path, other, message):
    save(nn.Linear(2, 1), tmp_path)
    before = copy.deepcopy(other)
    with pytest.raises(CheckpointError, match=message):
        load(tmp_path, into=other)
    if not isinstance(other, nn.LazyLinear):
        assert same(before, other)


def test_a_module_that_refuses_its_extra_state_is_left_as_it_was(tmp_path):
    save(Tied(("A", "B")), tmp_path)
    other = Tied()
    before = copy.deepcopy(other)
    with pytest.raises(CheckpointError, match=r"columns \('A', 'B'\) saved"):
        load(tmp_path, into=other)
    assert same(before, other)


def test_extra_state_that_would_need_pickle_is_refused(tmp_path):
    class Odd(nn.Linear):
        def get_extra_state(self):
            return {"function": print}

    with pytest.raises(CheckpointError, match=r"_extra_state\.function is a builtin"):
        save(Odd(1, 1), tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_lazy_modules_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="'weight' has no shape yet"):
        save(nn.LazyLinear(1), tmp_path)


# --------------------------------------------------------------------- optimisers


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double()


def train(module, optimizer, steps=3):
    x = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(8, 3)

    def closure():
        optimizer.zero_grad()
        loss = (module(x) - 1).square().mean()
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, 0.05, amsgrad=True),
        lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
        lambda p: torch.optim.LBFGS(p, max_iter=3),
        lambda p: torch.optim.AdamW([{"params": list(p), "lr": 0.1}], 0.05),
    ],
)
def test_training_goes_on_with_the_same_bits(tmp_path, make):
    module = network()
    optimizer = make(module.parameters())
    train(module, optimizer)
    save(module, tmp_path, optimizer=optimizer)
    other = network()
    second = make(other.parameters())
    load(tmp_path, into=other, optimizer=second)
    train(module, optimizer)
    train(other, second)
    assert same(module, other)


def test_optimizers_that_do_not_fit(tmp_path):
    module = network()
    adam = torch.optim.Adam(module.parameters())
    save(module, tmp_path / "without")
    with pytest.raises(CheckpointError, match="holds no optimizer state"):
        load(tmp_path / "without", into=module, optimizer=adam)
    save(module, tmp_path / "with", optimizer=adam)
    other = network()
    before = copy.deepcopy(other)
    with pytest.raises(CheckpointError, match=r"is a torch\.optim\.adam\.Adam, this one"):
        load(tmp_path / "with", into=other, optimizer=torch.optim.SGD(other.parameters()))
    reverse = torch.optim.Adam(list(other.parameters())[::-1])
    with pytest.raises(CheckpointError, match="trains other parameters, or in another order"):
        load(tmp_path / "with", into=other, optimizer=reverse)
    assert same(before, other)
    load(tmp_path / "with", into=other)


def test_no_pickle_in_the_sources():
    import pathlib

    import hybrid

    files = sorted(pathlib.Path(hybrid.__file__).parents[0].rglob("*.py"))
    assert len(files) > 100
    for file in files:
        text = file.read_text()
        assert "torch.load" not in text, file
        if "testing" not in file.parts:  # which check that a user's layer can be pickled
            assert "import pickle" not in text, file


def test_a_buffer_that_cannot_be_written_to_is_reported(tmp_path):
    class Expanded(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.register_buffer("table", torch.ones(1, 3).expand(5, 3))

    save(Expanded(), tmp_path / "c")
    other = Expanded()
    before = other.weight.clone()
    with pytest.raises(CheckpointError, match="table"):
        load(tmp_path / "c", into=other)
    assert torch.equal(other.weight, before)


def test_wrong_kinds_are_refused(tmp_path):
    with pytest.raises(TypeError, match="Module"):
        save({}, tmp_path / "c")
    with pytest.raises(TypeError, match="optimizer"):
        save(nn.Linear(1, 1), tmp_path / "c", optimizer={})
    with pytest.raises(TypeError, match="Module"):
        load(tmp_path / "c", into=None)
