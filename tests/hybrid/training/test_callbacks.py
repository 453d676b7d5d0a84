import pytest
import torch

from hybrid.training.callbacks import Callback, EarlyStopping, Schedule, TrainingState


def state(epoch, loss=None, validation=None, module=None, optimizers=()):
    return TrainingState(
        epoch,
        epoch,
        module or torch.nn.Linear(1, 1),
        optimizers,
        None if loss is None else float(loss),
        {},
        validation,
    )


def stops(callback, losses, **more):
    callback.on_start(state(0, **more))
    return [callback.on_epoch_end(state(k, x, **more)) for k, x in enumerate(losses, 1)]


def test_patience_counts_epochs_without_improvement():
    assert stops(EarlyStopping(2), [3, 2, 2.5, 1, 1, 1]) == [False] * 5 + [True]
    assert stops(EarlyStopping(1), [3, 3]) == [False, True]


def test_minimum_change():
    assert stops(EarlyStopping(2, minimum_change=0.5), [3, 2.8, 2.6]) == [False, False, True]


def test_nan_is_no_improvement():
    assert stops(EarlyStopping(2), [1, float("nan"), float("nan")]) == [False, False, True]


def test_validation_counts_where_there_is_one():
    stop = EarlyStopping(1)
    stop.on_start(state(0))
    assert not stop.on_epoch_end(state(1, loss=5.0, validation=1.0))
    assert stop.on_epoch_end(state(2, loss=1.0, validation=2.0))


def test_the_best_comes_back_unless_told_otherwise():
    for restore, expected in ((True, 1.0), (False, 2.0)):
        module = torch.nn.Linear(1, 1)
        stop = EarlyStopping(5, restore_best=restore)
        stop.on_start(state(0, module=module))
        for epoch in (1, 2):
            torch.nn.init.constant_(module.weight, float(epoch))
            stop.on_epoch_end(state(epoch, loss=float(epoch), module=module))
        stop.on_end(state(2, module=module))
        assert module.weight.item() == expected


def test_bad_settings():
    with pytest.raises(ValueError, match="patience must be at least 1"):
        EarlyStopping(0)
    with pytest.raises(ValueError, match="minimum_change at least 0"):
        EarlyStopping(1, float("nan"))
    with pytest.raises(TypeError, match="must make a torch learning-rate scheduler"):
        Schedule(lambda optimizer: 0.1).on_start(
            state(0, optimizers=(torch.optim.SGD([torch.zeros(1)], 1.0),))
        )


def test_a_plateau_is_looked_for_in_the_validation_loss():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    make = torch.optim.lr_scheduler.ReduceLROnPlateau
    schedule = Schedule(lambda o: make(o, factor=0.5, patience=0))
    schedule.on_start(state(0, optimizers=(optimizer,)))
    for epoch, loss in enumerate((3.0, 2.0, 2.0), 1):
        schedule.on_epoch_end(state(epoch, 1.0 / epoch, loss))
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_ours_are_callbacks():
    assert isinstance(EarlyStopping(), Callback)
    assert isinstance(Schedule(lambda o: None), Callback)
