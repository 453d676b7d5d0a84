import math

import numpy as np
import pandas as pd
import pytest
import torch

from hybrid.training.columns import is_frame, named_columns, positional_columns


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (torch.tensor([1, 2], dtype=torch.int8), torch.int8),
        (torch.tensor([1.0, 2.0], dtype=torch.float64), torch.float64),
        (np.array([1, 2], dtype=np.int8), torch.int8),
        (np.array([1, 2], dtype=np.uint32), torch.int64),
        (np.array([True, False]), torch.bool),
        (np.array([1.0, 2.0], dtype=np.float16), torch.float32),
        (np.array([1.0, 2.0], dtype=">f8"), torch.float32),
        (np.array([1.0, 2.0], dtype=np.longdouble), torch.float32),
        (np.array([2.0, 9.0, 1.0])[::-2], torch.float32),
        ([1.0, 2.0], torch.float32),
        (pd.Series([1, 2], dtype="Int64"), torch.int64),
        (pd.Series([1.5, 2.5], dtype="Float32"), torch.float32),
        (pd.Series([True, False], dtype="boolean"), torch.bool),
    ],
)
def test_dtypes(values, dtype):
    column = named_columns({"A": values}, torch.float32)["A"]
    assert column.dtype == dtype
    assert column.tolist() == pytest.approx([float(v) for v in values])


def test_arrays_are_copied():
    array = np.array([1.0, 2.0], dtype=np.float32)
    column = named_columns({"A": array}, torch.float32)["A"]
    array[0] = 7
    assert column[0] == 1


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (pd.Series([1, None], dtype="Int64"), ValueError, "column 'A' is NaN in row 1"),
        (pd.Series(["x", "y"], dtype="category"), TypeError, "column 'A' has dtype category.*cat"),
        (pd.Series([1, "y"], dtype="object"), TypeError, "column 'A' has dtype object"),
        (pd.to_datetime(pd.Series(["2020-01-01", "2021-01-01"])), TypeError, "dtype datetime"),
        (np.array([1j, 2.0]), TypeError, "complex128"),
        (torch.tensor(1.0), ValueError, "'A' is a single number"),
        (1.0, ValueError, "'A' is a single number"),
        (torch.tensor([[1.0, 2.0], [3.0, math.nan]]), ValueError, "row 1 \\(1 of 2 rows\\)"),
        (torch.full((3,), 4, dtype=torch.int8), ValueError, r"column 'A' is constant \(4\)"),
        (torch.tensor([[[1, 2], [3, 4]], [[1, 5], [6, 7]]]), ValueError, r"'A\[0,0\]' is const"),
        (torch.full((3,), math.inf), ValueError, r"column 'A' is constant \(inf\)"),
    ],
)
def test_bad_columns_are_named(values, kind, message):
    with pytest.raises(kind, match=message):
        named_columns({"A": values}, torch.float32)


def test_limits_may_be_infinite_and_constant_but_not_nan():
    caps = torch.full((3,), math.inf)
    assert named_columns({"cap": caps}, torch.float32, limits={"cap"})["cap"] is not None
    assert named_columns({"A": torch.tensor([1.0, math.inf])}, torch.float32)
    with pytest.raises(ValueError, match="'cap' is NaN in row 2"):
        named_columns({"cap": torch.tensor([1.0, 1.0, math.nan])}, torch.float32, limits={"cap"})


def test_constants_pass_where_asked_and_in_one_row():
    assert named_columns({"A": torch.ones(3)}, torch.float32, constant=True)
    assert named_columns({"A": torch.ones(1)}, torch.float32)


def test_frames():
    frame = pd.DataFrame({"A": [1.0, 2.0], "B": [1, 0], 3: [True, False]})
    assert is_frame(frame)
    assert not is_frame({"A": 1})
    columns = named_columns(frame, torch.float64)
    assert list(columns) == ["A", "B", "3"]
    with pytest.raises(ValueError, match="same name"):
        named_columns({3: [1, 2], "3": [1, 2]}, torch.float32)


def test_positional_names():
    nan = torch.full((2,), math.nan)
    with pytest.raises(ValueError, match=r"data: data\[2\] is NaN in row 0"):
        positional_columns((torch.ones(2), torch.ones(2), nan), torch.float32)


def test_columns_of_the_same_name_are_refused():
    frame = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], columns=["A", "A"])
    with pytest.raises(ValueError, match="two columns have the same name"):
        named_columns(frame, torch.float32)
