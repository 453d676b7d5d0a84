"""Scores of how foreign a row is to a classifier, and how well they tell (floor 0).

The larger a score, the more foreign. `hybrid.predict` gives more of them: entropy and mutual
information of classes, epistemic variance. The door to scikit-learn's ROC curves.
"""

import torch
from jaxtyping import Float
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

__all__ = ["auroc", "energy", "false_alarms", "unsureness"]


def unsureness(probabilities: Float[Tensor, "*batch classes"]) -> Float[Tensor, "*batch"]:
    """One minus the largest probability.

    Source: Hendrycks & Gimpel (2017), *A baseline for detecting misclassified and
    out-of-distribution examples in neural networks*.

    Example:
        >>> unsureness(torch.tensor([[0.75, 0.25]]))
        tensor([0.2500])
    """
    return 1 - probabilities.amax(-1)


def energy(
    logits: Float[Tensor, "*batch classes"], temperature: float = 1.0
) -> Float[Tensor, "*batch"]:
    r"""Free energy :math:`-T \log \sum_k e^{z_k / T}` of the logits.

    Raises:
        ValueError: The temperature is not positive.

    Source: Liu et al. (2020), *Energy-based out-of-distribution detection*, eq. 4.

    Example:
        >>> energy(torch.zeros(1, 2))
        tensor([-0.6931])
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    return -temperature * (logits / temperature).logsumexp(-1)


def auroc(inside: Float[Tensor, "n"], outside: Float[Tensor, "m"]) -> float:
    """Probability that a foreign row scores higher than a familiar one (ties count half).

    Args:
        inside: Scores of rows from the training distribution.
        outside: Scores of foreign rows.

    Raises:
        ValueError: A side is empty or holds NaN.

    Example:
        >>> auroc(torch.tensor([0.1, 0.2]), torch.tensor([0.15, 0.9]))
        0.75
    """
    scores, labels = _joined(inside, outside)
    return float(roc_auc_score(labels.numpy(), scores.numpy()))


def false_alarms(
    inside: Float[Tensor, "n"], outside: Float[Tensor, "m"], caught: float = 0.95
) -> float:
    """Share of familiar rows above the threshold that catches this share of the foreign ones.

    Args:
        inside: Scores of rows from the training distribution.
        outside: Scores of foreign rows.
        caught: Share of foreign rows, within (0, 1].

    Raises:
        ValueError: A side is empty or holds NaN, or ``caught`` is out of range.

    Example:
        >>> false_alarms(torch.tensor([0.1, 0.2, 0.5]), torch.tensor([0.3, 0.9]))
        0.3333333333333333
    """
    if not 0 < caught <= 1:
        raise ValueError(f"caught is a share above 0 and up to 1, got {caught}")
    scores, labels = _joined(inside, outside)
    alarms, found, _ = roc_curve(labels.numpy(), scores.numpy(), drop_intermediate=False)
    return float(alarms[found >= caught].min())


def _joined(inside: Tensor, outside: Tensor) -> tuple[Tensor, Tensor]:
    scores = torch.cat([inside, outside]).detach().cpu().double()
    if not (len(inside) and len(outside)) or bool(scores.isnan().any()):
        raise ValueError("scores of both kinds of rows are needed, without NaN")
    labels = torch.cat([torch.zeros(len(inside)), torch.ones(len(outside))])
    return scores, labels
