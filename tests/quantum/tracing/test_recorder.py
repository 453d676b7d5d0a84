"""Recording a function and replaying it agree with calling it, with gradients."""

import copy
import pickle

import pytest
import torch

from quantum.tracing.recorder import record
from quantum.tracing.recording import same

SHAPES = [(4,), (2, 3)]


def written(x, w):
    table = torch.zeros(2, 2, dtype=torch.float64)
    table[0, 1] = x[0] * w[1, 2]
    table[1] = w[0, :2]
    table *= 2
    return [table, table[0, 1] + 1]


FUNCTIONS = {
    "picked": lambda x, w: [x[0], w[0, 1:], torch.stack([x[1], x[0]]), w.T.reshape(-1)[3], x.flip(0)],
    "computed": lambda x, w: [x / torch.linalg.norm(x), w.sum() * x[0], torch.exp(1j * w[1]), x @ x],
    "constant": lambda x, w: [0.1, torch.tensor([1.0, 2.0]), w[0, 0]],
    "single precision constants": lambda x, w: [x[:3] @ torch.tensor([1.0, 2.0, 0.5]), w @ torch.ones(3)],
    "written": written,
    "where": lambda x, w: [torch.where(x > 0.5, x, w[0, 0]), torch.clamp(x, min=0.3)],
}  # fmt: skip


def called(function, x, w):
    """The function itself, row by row."""
    rows = [
        [v if isinstance(v, torch.Tensor) else torch.tensor(v, dtype=x.dtype) for v in values]
        for values in (function(row, weights) for row, weights in zip(x, w, strict=True))
    ]
    return [torch.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("leads", [((3,), ()), ((), (3,)), ((3,), (3,)), ((2, 1), (3,)), ((), ())])
def test_replay_is_the_function_with_gradients(name, leads):
    function = FUNCTIONS[name]
    recording = record(function, SHAPES)
    generator = torch.Generator().manual_seed(0)
    x, w = (
        torch.rand((*lead, *shape), generator=generator, dtype=torch.float64, requires_grad=True)
        for lead, shape in zip(leads, SHAPES, strict=True)
    )
    lead = torch.broadcast_shapes(*leads)
    rows_x = x.expand((*lead, 4)).reshape(-1, 4)
    rows_w = w.expand((*lead, 2, 3)).reshape(-1, 2, 3)
    if "constants" in name:  # recorded code works where eager code mixes dtypes
        expected = called(function, rows_x.float(), rows_w.float())
        tolerance = 1e-6
    else:
        expected, tolerance = called(function, rows_x, rows_w), 1e-12
    for ours, value in zip(recording.replay([x, w]), expected, strict=True):
        own = ours.shape[: ours.dim() - (value.dim() - 1)]
        full = ours.expand((*lead, *value.shape[1:])).reshape(value.shape)
        assert own == torch.Size() or torch.broadcast_shapes(own, lead) == lead
        torch.testing.assert_close(full, value.to(full.dtype), atol=tolerance, rtol=0)
        if not value.requires_grad:
            continue
        weight = torch.rand(value.shape, generator=generator, dtype=torch.float64)
        pairs = [
            torch.autograd.grad(
                (v.real * weight).sum(), (x, w), retain_graph=True, materialize_grads=True
            )
            for v in (full, value)
        ]
        for one, other in zip(*pairs, strict=True):
            torch.testing.assert_close(one, other, atol=tolerance, rtol=0)


def test_what_depends_on_the_weights_alone_is_not_repeated_for_each_row():
    recording = record(lambda x, w: [w.sum(), w[0, 0], x[0]], SHAPES)
    total, entry, angle = recording.replay([torch.rand(7, 4), torch.rand(2, 3)])
    assert (total.shape, entry.shape, angle.shape) == ((), (), (7,))


def test_picked_entries_cost_no_instructions():
    recording = record(lambda x, w: [*x, *w.reshape(-1), w[1].flip(0)], SHAPES)
    assert not recording.groups
    assert len(recording.gathers) == 11


def test_no_rows():
    recording = record(FUNCTIONS["computed"], SHAPES)
    slots = recording.replay([torch.rand(0, 4), torch.rand(2, 3)])
    assert [slot.shape for slot in slots] == [(0, 4), (0,), (3,), (0,)]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: [x[0] if x[0] > 0 else x[1]],
        lambda x: [x[0] * float(x[1])],
        lambda x: [x[0] * x.detach().numpy()[0]],
        lambda x: [torch.tensor([x[0], x[1]])],
        lambda x: [x[x > 0.5].sum()],
        lambda x: [x[: int(x[0])]],
        lambda x: [x[0] * (2 if torch.allclose(x, x) else 1)],
        lambda x: [x[0] * x.tolist()[1]],
        lambda x: [x[torch.argmax(x).item()]],
        lambda x: [torch.nonzero(x)],
    ],
)
def test_looking_at_values_is_refused(function):
    with pytest.raises(ValueError, match="traced tensor"):
        record(function, [(2,)])


def test_a_detached_part_stays_detached():
    recording = record(lambda x: [x.detach() * x], [()])
    x = torch.tensor(3.0, requires_grad=True)
    recording.replay([x])[0].backward()
    assert x.grad == 3.0


def test_a_detached_part_stays_detached_beside_writes():
    def function(x):
        table = torch.zeros(2, dtype=torch.float64)
        table[0] = x.detach() * x
        return [table]

    x = torch.tensor(3.0, requires_grad=True)
    record(function, [()]).replay([x])[0].sum().backward()
    assert x.grad == 3.0


def test_recordings_are_data():
    recording = record(FUNCTIONS["written"], SHAPES)
    arguments = [torch.rand(5, 4), torch.rand(2, 3)]
    for twin in (copy.deepcopy(recording), pickle.loads(pickle.dumps(recording))):
        assert same(twin, recording)
        for one, other in zip(twin.replay(arguments), recording.replay(arguments), strict=True):
            assert torch.equal(one, other)


def test_two_recordings_differ_where_constants_do():
    assert not same(record(lambda x: [x * 2], [()]), record(lambda x: [x * 3], [()]))
    assert not same(record(lambda x: [x, 2.0], [()]), record(lambda x: [x, 3.0], [()]))
    assert same(record(lambda x: [x * 2], [()], seed=0), record(lambda x: [x * 2], [()], seed=5))


def test_global_randomness_is_untouched():
    before = torch.get_rng_state()
    record(FUNCTIONS["computed"], SHAPES)
    assert torch.equal(before, torch.get_rng_state())


def test_replay_transforms():
    recording = record(FUNCTIONS["computed"], SHAPES)
    x, w = torch.rand(3, 4, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    mapped = torch.func.vmap(lambda row: recording.replay([row, w])[0])(x)
    torch.testing.assert_close(mapped, recording.replay([x, w])[0])
    jacobian = torch.func.jacrev(lambda row: recording.replay([row, w])[3])(x[0])
    torch.testing.assert_close(jacobian, 2 * x[0])
