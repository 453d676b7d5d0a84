"""Any kind of training data as a sequence of batches (floor 1).

Tensors in memory are batched by index, which for small models is several times faster than a
DataLoader; Datasets and DataLoaders are iterated as torch does.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from hybrid.training.columns import is_frame, named_columns, positional_columns

__all__ = ["Loaded", "Stored", "batches_of", "rows_of", "to_device"]


class Stored:
    """Tensors in memory, batched by index.

    Args:
        columns: Tensors of equal length: a tuple, a mapping by name, or one tensor; batches come
            in the same form.
        batch_size: Rows per batch; the last batch of an epoch may be shorter.

    Example:
        >>> import torch
        >>> data = Stored((torch.arange(5), torch.arange(5) * 10), batch_size=3)
        >>> [y.tolist() for _, y in data.epoch(None)]
        [[0, 10, 20], [30, 40]]
    """

    def __init__(
        self, columns: tuple[Tensor, ...] | dict[str, Tensor] | Tensor, batch_size: int
    ) -> None:
        self.columns = columns
        self.batch_size = batch_size
        self._tensors = _tensors(columns)
        self._order: Tensor | None = None
        self._start = 0

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        return -(-len(self._tensors[0]) // self.batch_size)

    def epoch(self, generator: torch.Generator | None) -> Iterator[Any]:
        """The batches of one epoch, shuffled by ``generator`` (None: in order)."""
        first = self._tensors[0]
        self._order = None
        if generator is not None:
            self._order = torch.randperm(len(first), generator=generator).to(first.device)
        for start in range(0, len(first), self.batch_size):
            self._start = start
            chosen = slice(start, start + self.batch_size)
            index = chosen if self._order is None else self._order[chosen]
            yield self._pack([tensor[index] for tensor in self._tensors])

    @property
    def row(self) -> Callable[[int], int]:
        """Tells the row in the data of a row of the batch that was given out last."""
        return partial(_row, self._order, self._start)

    @property
    def generator(self) -> torch.Generator | None:
        """A source of randomness of its own: none."""
        return None

    def _pack(self, tensors: list[Tensor]) -> Any:
        if isinstance(self.columns, Tensor):
            return tensors[0]
        if isinstance(self.columns, tuple):
            return tuple(tensors)
        return dict(zip(self.columns, tensors, strict=True))


class Loaded:
    """Batches from a Dataset or a DataLoader.

    Args:
        source: A DataLoader, which is used as it is, or a Dataset.
        batch_size: Rows per batch of a Dataset.

    Example:
        >>> import torch
        >>> loader = torch.utils.data.DataLoader(list(range(4)), batch_size=2)
        >>> [batch.tolist() for batch in Loaded(loader, 1).epoch(None)]
        [[0, 1], [2, 3]]
    """

    def __init__(self, source: Any, batch_size: int) -> None:
        self.source = source
        self.batch_size = batch_size

    @property
    def steps(self) -> int | None:
        """Batches per epoch, where that is known."""
        if isinstance(self.source, DataLoader):
            try:
                return len(self.source)
            except TypeError:  # a stream
                return None
        if isinstance(self.source, IterableDataset):
            return None
        return -(-len(self.source) // self.batch_size)

    def epoch(self, generator: torch.Generator | None) -> Iterator[Any]:
        """The batches of one epoch; a Dataset is shuffled by ``generator`` (None: in order)."""
        loader = self.source
        if not isinstance(loader, DataLoader):
            shuffle = generator is not None and not isinstance(loader, IterableDataset)
            loader = DataLoader(loader, self.batch_size, shuffle=shuffle, generator=generator)
        for batch in loader:
            yield tuple(batch) if isinstance(batch, list) else batch

    @property
    def row(self) -> Callable[[int], int]:
        """Tells the row within its batch: the order of the data is the loader's."""
        return partial(_row, None, 0)

    @property
    def generator(self) -> torch.Generator | None:
        """The loader's own source of randomness, where it has one."""
        for owner in (self.source, getattr(self.source, "sampler", None)):
            found = getattr(owner, "generator", None)
            if isinstance(found, torch.Generator):
                return found
        return None


def batches_of(
    data: Any,
    batch_size: int,
    dtype: torch.dtype,
    *,
    limits: Collection[str] = (),
    constant: bool = False,
    what: str = "data",
) -> Stored | Loaded:
    """Check ``data`` once and make batches of it.

    Args:
        data: A tuple of tensors or arrays, one tensor or array, a mapping of columns, a pandas
            DataFrame, a torch Dataset or a DataLoader.
        batch_size: Rows per batch; a DataLoader brings its own.
        dtype: What floating arrays that are not tensors yet become.
        limits: Named columns that may be constant.
        constant: Whether all named columns may be.
        what: What the errors call the data.

    Raises:
        TypeError: The kind is none of these, or a column is not numeric.
        ValueError: There are no rows, lengths differ, a value is NaN, a named column is constant.

    Example:
        >>> import torch
        >>> batches_of({"A": [0.0, 1.0, 2.0]}, 2, torch.float32).steps
        2
    """
    if isinstance(data, Subset) and isinstance(data.dataset, TensorDataset):
        index = torch.as_tensor(data.indices)
        data = tuple(tensor[index] for tensor in data.dataset.tensors)
    elif isinstance(data, TensorDataset):
        data = tuple(data.tensors)
    if isinstance(data, Dataset | DataLoader):
        if not isinstance(data, IterableDataset) and _is_empty(data):
            raise ValueError(f"{what} has no rows")
        return Loaded(data, batch_size)
    columns: tuple[Tensor, ...] | dict[str, Tensor] | Tensor
    if isinstance(data, Mapping) or is_frame(data):
        columns = named_columns(data, dtype, limits=limits, constant=constant, what=what)
    elif isinstance(data, tuple | list):
        columns = positional_columns(tuple(data), dtype, what=what)
    elif isinstance(data, Tensor) or type(data).__module__ == "numpy":
        columns = positional_columns((data,), dtype, what=what)[0]
    else:
        raise TypeError(
            f"{what} must be a tuple of tensors, a tensor, a mapping of columns, a DataFrame, a "
            f"torch Dataset or a DataLoader, got {type(data).__name__}"
        )
    return Stored(columns, batch_size)


def rows_of(batch: Any) -> int:
    """Number of rows of a batch: the length of its first tensor.

    Example:
        >>> import torch
        >>> rows_of({"A": torch.zeros(3)})
        3
    """
    for tensor in _tensors(batch):
        if tensor.dim():
            return len(tensor)
    return 1


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with every tensor on ``device``.

    Example:
        >>> import torch
        >>> to_device((torch.zeros(1), "note"), torch.device("cpu"))
        (tensor([0.]), 'note')
    """
    if isinstance(batch, Tensor):
        return batch if batch.device == device else batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {name: to_device(part, device) for name, part in batch.items()}
    if type(batch) in (tuple, list):
        return type(batch)(to_device(part, device) for part in batch)
    return batch


def _row(order: Tensor | None, start: int, position: int) -> int:
    place = start + position
    return place if order is None else int(order[place])


def _tensors(batch: Any) -> list[Tensor]:
    if isinstance(batch, Tensor):
        return [batch]
    if isinstance(batch, Mapping):
        return [part for part in batch.values() if isinstance(part, Tensor)]
    if isinstance(batch, tuple | list):
        return [part for part in batch if isinstance(part, Tensor)]
    return []


def _is_empty(data: Any) -> bool:
    try:
        return len(data) == 0
    except (TypeError, NotImplementedError):  # streams have no length
        return False
