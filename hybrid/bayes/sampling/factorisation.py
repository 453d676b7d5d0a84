"""Factorisations that fail at a position: no density there, and no error (floor 0)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Unchecked", "without_failure"]


class Unchecked(TorchDispatchMode):
    """Leaves out the checks after `torch.linalg`'s factorisations, and keeps what they would read.

    Attributes:
        codes: What each factorisation returned: 0 where it succeeded.

    Example:
        >>> with Unchecked() as seen:
        ...     factor = torch.linalg.cholesky(-torch.eye(2))
        >>> [int(code) for code in seen.codes]
        [1]
    """

    def __init__(self) -> None:
        super().__init__()
        self.codes: list[Tensor] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: what is run inside is torch's own code, and the compiler takes seconds to load."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten._linalg_check_errors.default:
            self.codes.append(args[0])
            return None
        return func(*args, **(kwargs or {}))


def without_failure(energy: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same energy, infinite where a matrix cannot be factorised.

    Args:
        energy: From a vector to a scalar.

    Example:
        >>> log_determinant = lambda q: torch.linalg.cholesky(q * torch.eye(2)).log().trace()
        >>> without_failure(log_determinant)(torch.tensor([-1.0]))
        tensor(inf)
    """

    def infinite_there(position: Tensor) -> Tensor:
        with Unchecked() as seen:
            value = energy(position)
        for code in seen.codes:
            value = torch.where((code == 0).all(), value, torch.inf)
        return value

    return infinite_there
