"""What is raised where a formula reads a cell that has no probability."""

from collections.abc import Mapping

__all__ = ["PositivityViolation"]


class PositivityViolation(ValueError):  # noqa: N818
    """A formula needs a probability whose condition has probability 0.

    Args:
        term: The probability or ratio, as text.
        setting: The states at which its denominator is 0, by number or name.
        row: The batch row, ``()`` without batch dimensions.

    Example:
        >>> print(PositivityViolation("P(Y | X)", {"X": "yes"}, (3,)))
        P(Y | X) has no support at X='yes' in batch row (3,)...
    """

    def __init__(self, term: str, setting: Mapping[str, int | str], row: tuple[int, ...]) -> None:
        self.term, self.setting, self.row = term, dict(setting), row
        place = ", ".join(f"{name}={state!r}" for name, state in sorted(setting.items()))
        where = f"{term} has no support" + (f" at {place}" if place else "")
        super().__init__(
            where
            + (f" in batch row {row}" if row else "")
            + ": its condition has probability 0 there; give a joint that is positive at it, or "
            "ask for on_zero='nan'"
        )

    def __reduce__(self) -> tuple[type["PositivityViolation"], tuple[object, ...]]:
        return type(self), (self.term, self.setting, self.row)
