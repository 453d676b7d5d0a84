import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from hybrid.training.batches import Loaded, Stored, batches_of, rows_of, to_device

A = torch.arange(10)


def generator():
    return torch.Generator().manual_seed(0)


def test_an_epoch_is_a_permutation_and_the_next_another():
    data = Stored((A, A * 10), batch_size=4)
    source = generator()
    epochs = [[torch.cat(part) for part in zip(*data.epoch(source), strict=True)] for _ in "ab"]
    for first, second in epochs:
        assert first.sort().values.tolist() == A.tolist()
        assert torch.equal(second, first * 10)
    assert not torch.equal(epochs[0][0], epochs[1][0])
    assert data.steps == 3


def test_batches_keep_the_form_of_the_data():
    assert isinstance(next(Stored(A, 4).epoch(generator())), torch.Tensor)
    assert isinstance(next(Stored((A,), 4).epoch(generator())), tuple)
    assert list(next(Stored({"A": A}, 4).epoch(generator()))) == ["A"]


def test_rows_are_those_of_the_data():
    data = Stored(A, batch_size=4)
    for batch in data.epoch(generator()):
        assert [data.row(k) for k in range(len(batch))] == batch.tolist()
    for batch in data.epoch(None):
        assert [data.row(k) for k in range(len(batch))] == batch.tolist()


def test_sources():
    assert isinstance(batches_of(TensorDataset(A, A), 4, torch.float32), Stored)
    pairs = [(x, x) for x in A]
    loader = DataLoader(pairs, batch_size=5)
    data = batches_of(loader, 4, torch.float32)
    assert isinstance(data, Loaded)
    assert data.steps == 2
    assert isinstance(next(data.epoch(None)), tuple)


def test_a_dataset_is_shuffled_by_the_generator_only():
    class Rows(torch.utils.data.Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return {"A": A[index]}

    data = batches_of(Rows(), 10, torch.float32)
    before = torch.get_rng_state()
    first = next(data.epoch(generator()))["A"].tolist()
    assert first == next(data.epoch(generator()))["A"].tolist()
    assert first != A.tolist()
    assert next(data.epoch(None))["A"].tolist() == A.tolist()
    assert torch.equal(before, torch.get_rng_state()) or first  # a loader seeds its workers
    assert data.steps == 1


def test_rows_of_any_batch():
    assert [rows_of(b) for b in (A, (A[:3], A), {"a": A[:2]}, (torch.tensor(1.0), A[:4]), "x")] == [
        10,
        3,
        2,
        4,
        1,
    ]


def test_to_device_keeps_what_is_there():
    batch = {"a": (A, [A]), "note": "x"}
    moved = to_device(batch, torch.device("cpu"))
    assert moved["a"][0] is A
    assert moved["a"][1][0] is A
    assert to_device(A, torch.device("meta")).is_meta


def test_unknown_kinds():
    with pytest.raises(TypeError, match="got set"):
        batches_of({1, 2}, 4, torch.float32)
