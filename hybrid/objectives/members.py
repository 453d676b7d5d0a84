"""Every member of an ensemble trained as if it were alone (floor 1)."""

from typing import Any

from torch import Tensor, nn

from hybrid.bayes.members import members_of
from hybrid.loss import Loss

__all__ = ["EachMember"]


class EachMember(nn.Module):
    r"""Sum of an objective over the members of its ensemble: :math:`\sum_{m=1}^M L(w_m)`.

    The objective averages over its draws, which are the members; M times that is the sum, whose
    gradient for each member is the one it would have alone. The parts of the loss stay means.

    Args:
        objective: An objective such as ``ELBO(law, data_size=N, draws=M)``, whose ``draws`` is the
            number of members.

    Raises:
        TypeError: ``objective`` is no module.
        ValueError: It contains no ensemble, or its draws are another number.

    Example:
        >>> import torch
        >>> from hybrid.bayes.members import ensemble
        >>> from hybrid.heads.normal import Normal
        >>> from hybrid.objectives import ELBO
        >>> law = ensemble(Normal(torch.nn.Linear(3, 8)), members=5)
        >>> objective = EachMember(ELBO(law, data_size=100, draws=5))
        >>> objective((torch.zeros(7, 3), torch.zeros(7))).total.shape
        torch.Size([])
    """

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        if not isinstance(objective, nn.Module):
            raise TypeError(f"objective must be a torch.nn.Module, got {objective!r}")
        members = members_of(objective)
        if members is None:
            raise ValueError(
                f"{type(objective).__name__} contains no ensemble: make its law one by "
                "hybrid.bayes.ensemble(law, members)"
            )
        draws = getattr(objective, "draws", members)
        if draws != members:
            raise ValueError(
                f"the ensemble has {members} members, the objective {draws} draws: make it with "
                f"draws={members}"
            )
        self.objective = objective
        self.members = members

    def forward(self, batch: Any) -> Loss:
        """The loss of one batch, as the objective takes it."""
        result: Any = self.objective(batch)
        total, parts = (result, {}) if isinstance(result, Tensor) else result
        return Loss(total * self.members, parts)

    def extra_repr(self) -> str:
        """The number of members."""
        return f"members={self.members}"
