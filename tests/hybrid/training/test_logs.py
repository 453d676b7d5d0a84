import csv
import sys

import pytest
import torch

from hybrid.loss import Loss
from hybrid.training.logs import CSVWriter, Log, TensorBoardWriter
from hybrid.training.runtime import Runtime
from hybrid.training.trainer import fit


class Slope(torch.nn.Linear):
    def forward(self, batch):
        fit = super().forward(batch).square().mean()
        return Loss(fit, {"fit": fit})


def train(writer, folder=None, epochs=3, resume=False):
    torch.manual_seed(0)
    return fit(
        Slope(1, 1), torch.ones(4, 1), batch_size=2, epochs=epochs, validation=torch.ones(4, 1),
        callbacks=[Log(writer)], seed=0, runtime=Runtime(checkpoint=folder, resume=resume),
    )  # fmt: skip


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_row_per_epoch_with_every_digit(tmp_path):
    history = train(CSVWriter(tmp_path / "deep" / "log.csv"))
    rows = table(tmp_path / "deep" / "log.csv")
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert tuple(float(row["loss"]) for row in rows) == history.loss
    assert tuple(float(row["fit"]) for row in rows) == history.parts["fit"]
    assert tuple(float(row["validation"]) for row in rows) == history.validation
    assert {row["learning_rate"] for row in rows} == {"0.001"}


def test_a_new_training_starts_a_new_file_and_a_resumed_one_goes_on(tmp_path):
    path = tmp_path / "log.csv"
    train(CSVWriter(path))
    train(CSVWriter(path), tmp_path / "run", epochs=2)
    with path.open("a") as file:  # a row that was written after the last checkpoint
        file.write("6,3,0,0,0,0,0\n")
    history = train(CSVWriter(path), tmp_path / "run", epochs=4, resume=True)
    rows = table(path)
    assert [row["step"] for row in rows] == ["2", "4", "6", "8"]
    assert tuple(float(row["loss"]) for row in rows) == history.loss


def test_tensorboard_reads_what_was_written(tmp_path):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = train(TensorBoardWriter(tmp_path))
    events = loading.EventAccumulator(str(tmp_path)).Reload()
    assert {"loss", "fit", "validation", "learning_rate"} <= set(events.Tags()["scalars"])
    points = events.Scalars("loss")
    assert [point.step for point in points] == [2, 4, 6]
    assert [point.value for point in points] == pytest.approx(history.loss, rel=1e-6)


def test_without_tensorboard_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match=r"borromean\[log\]"):
        TensorBoardWriter("runs").open(0)


def test_several_learning_rates_get_a_column_each(tmp_path):
    groups = lambda p: torch.optim.SGD([{"params": [q], "lr": 0.1 * k} for k, q in enumerate(p)])  # noqa: E731
    log = Log(CSVWriter(tmp_path / "log.csv"))
    fit(Slope(1, 1), torch.ones(4, 1), optimizer=groups, epochs=1, callbacks=[log])
    assert table(tmp_path / "log.csv")[0]["learning_rate_1"] == "0.1"
