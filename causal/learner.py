"""The contract of a model that learns from rows, as scikit-learn has it (floor 0)."""

from typing import Any, Protocol, runtime_checkable

__all__ = ["Learner"]


@runtime_checkable
class Learner(Protocol):
    """Anything with ``fit(X, y)`` and ``predict(X)``: each scikit-learn estimator, or your own.

    A classifier also has ``predict_proba(X)``, (rows, classes).

    Example:
        >>> from sklearn.linear_model import LinearRegression
        >>> isinstance(LinearRegression(), Learner)
        True
    """

    def fit(self, X: Any, y: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Learn from rows ``X`` (rows, columns) and their targets ``y`` (rows,)."""
        ...

    def predict(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        """Predictions for rows ``X``, (rows,)."""
        ...
