"""The most probable states, as a result (floor 0)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

__all__ = ["Explanation"]


@dataclass(frozen=True, eq=False)
class Explanation(Mapping[str, Tensor]):
    r"""The most probable states of all finite variables together; a mapping from name to states.

    Args:
        states: State numbers (\*draws, \*count, \*batch) by variable.
        log_joint: The log of their joint probability with the evidence, of the same shape.

    Example:
        >>> import torch
        >>> found = Explanation({"X": torch.tensor([1])}, torch.tensor([-0.1]))
        >>> found["X"], list(found)
        (tensor([1]), ['X'])
    """

    states: Mapping[str, Tensor]
    log_joint: Tensor

    def __getitem__(self, name: str) -> Tensor:
        """The states of one variable."""
        return self.states[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.states)

    def __len__(self) -> int:
        return len(self.states)
