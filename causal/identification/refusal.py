"""Why a query has no formula: hedges, and the exception that carries them."""

from dataclasses import dataclass

__all__ = ["Hedge", "Unidentifiable"]


@dataclass(frozen=True)
class Hedge:
    r"""Two nested sets that no formula can tell apart (Shpitser & Pearl 2006, definition 6).

    ``bottom`` and ``top`` are each connected by bidirected edges and consist of ancestors, within
    themselves, of the same ``roots``; ``bottom`` holds no treatment and ``top`` does. Then two
    models agree on everything supplied and differ in :math:`P_{V \setminus bottom}(bottom)`. As
    Shpitser (2023, "When does the ID algorithm fail?") notes, the sets need not be forests: each
    contains one with these roots, which is all that the two models need. In a thicket, an
    experiment that sets part of what the query needs is listed with ``top`` equal to ``bottom``.

    Args:
        top: The larger set.
        bottom: The smaller set, which the query needs.
        roots: The nodes of ``bottom`` without a child in it.
        experiment: The experiment that was read; empty: observations.

    Example:
        >>> hedge = Hedge(top=frozenset("XY"), bottom=frozenset("Y"), roots=frozenset("Y"))
        >>> sorted(hedge.top - hedge.bottom)
        ['X']
    """

    top: frozenset[str]
    bottom: frozenset[str]
    roots: frozenset[str]
    experiment: frozenset[str] = frozenset()


class Unidentifiable(ValueError):  # noqa: N818
    """No formula exists: two models agree on all that is supplied and differ in the query.

    Args:
        message: What cannot be told apart, in words.
        hedge: The witness.
        thicket: With several experiments one hedge for each that could have served
            (Lee, Correa & Bareinboim 2019, definition 5); else the hedge alone.

    Example:
        >>> witness = Hedge(frozenset("XY"), frozenset("Y"), frozenset("Y"))
        >>> Unidentifiable("P(Y | do(X)) has no formula", witness).hedge.bottom
        frozenset({'Y'})
    """

    def __init__(self, message: str, hedge: Hedge, thicket: tuple[Hedge, ...] = ()) -> None:
        super().__init__(message)
        self.hedge = hedge
        self.thicket = thicket or (hedge,)

    def __reduce__(self) -> tuple[type["Unidentifiable"], tuple[str, Hedge, tuple[Hedge, ...]]]:
        return type(self), (str(self), self.hedge, self.thicket)
