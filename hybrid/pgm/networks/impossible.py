"""What is raised where the evidence of a row cannot occur (floor 0)."""

__all__ = ["ImpossibleEvidence"]


class ImpossibleEvidence(ValueError):  # noqa: N818
    """The evidence of a row has probability 0, so that nothing can be said given it.

    Args:
        node: The first variable, causes before effects, with which the row becomes impossible.
        state: Its state there, by name or number; None where likelihoods or values were given.
        row: The row's number.

    Example:
        >>> print(ImpossibleEvidence("X", "yes", 3))
        the evidence of row 3 has probability 0: 'X' = 'yes' cannot occur with what is observed
        above it in that row; see log_probability, which is -inf there, or leave the row out
    """

    def __init__(self, node: str, state: object, row: int) -> None:
        super().__init__(node, state, row)
        self.node, self.state, self.row = node, state, row

    def __str__(self) -> str:
        seen = f"{self.node!r}" + ("" if self.state is None else f" = {self.state!r}")
        return (
            f"the evidence of row {self.row} has probability 0: {seen} cannot occur with what is "
            "observed above it in that row; see log_probability, which is -inf there, or leave the "
            "row out"
        )
