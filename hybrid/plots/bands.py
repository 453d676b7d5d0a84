"""A prediction drawn over one column of its input (floor 1)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from hybrid.plots.canvas import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hybrid.prediction import Prediction

__all__ = ["predictive"]

_COLOUR = "tab:blue"


def predictive(
    prediction: "Prediction",
    x: Float[Tensor, "batch"],
    y: Float[Tensor, "batch"] | None = None,
    *,
    levels: Sequence[float] = (0.5, 0.9),
    axes: "Axes | None" = None,
) -> "Axes":
    r"""Draw the mean and central intervals of a prediction over one column of its input.

    Nested bands hold ``levels`` of the predictive distribution. With several draws, dotted lines at
    :math:`\mu \pm z \sqrt{\mathrm{Var}_w(E[y \mid w])}` show the epistemic part alone, z being the
    normal quantile of the widest level: what more data would take away.

    Args:
        prediction: Of a law with scalar values, one per row; see `hybrid.predict`.
        x: The column, in the order of the prediction's rows.
        y: Observed values, drawn as points.
        levels: Probabilities of the intervals.
        axes: Where to draw; None makes a figure of its own (``axes.figure``).

    Raises:
        ValueError: Shapes do not fit, there is no level, or the prediction is of classes.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> from hybrid.prediction import Prediction
        >>> normal = torch.distributions.Normal(torch.zeros(1, 5), torch.ones(1, 5))
        >>> axes = predictive(Prediction(normal), torch.linspace(0, 1, 5))
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['90 % interval', '50 % interval', 'mean']
    """
    _check(prediction, x, y, levels)
    axes = canvas(axes)
    order = x.argsort()
    place = _numbers(x[order])
    mean = prediction.mean[order]
    for level in sorted(levels, reverse=True):
        lower, upper = prediction.interval(level)
        axes.fill_between(
            place,
            _numbers(lower[order]),
            _numbers(upper[order]),
            color=_COLOUR,
            alpha=0.5 / len(levels),
            linewidth=0,
            label=f"{100 * level:.3g} % interval",
        )
    axes.plot(place, _numbers(mean), color=_COLOUR, label="mean")
    if prediction.draws > 1:
        z = torch.special.ndtri(torch.tensor((1 + max(levels)) / 2, dtype=torch.float64))
        reach = float(z) * prediction.epistemic[order].sqrt()
        lines = zip((mean - reach, mean + reach), ("epistemic part", None), strict=True)
        for line, label in lines:
            axes.plot(place, _numbers(line), ":", color=_COLOUR, linewidth=1, label=label)
    if y is not None:
        points = _numbers(y[order])
        axes.plot(place, points, ".", color="black", markersize=3, label="observed", zorder=3)
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.legend()
    return axes


def _check(prediction: "Prediction", x: Tensor, y: Tensor | None, levels: Sequence[float]) -> None:
    distribution = prediction.distribution
    shape = tuple(distribution.batch_shape[1:] + distribution.event_shape)
    if prediction.states is not None:
        raise ValueError(
            "the prediction is of classes, which have no bands: draw "
            "hybrid.plots.reliability(hybrid.uncertainty.reliability(prediction.probabilities, y))"
        )
    for name, values in (("x", x), ("y", y)):
        if values is not None and tuple(values.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(values.shape)}, the prediction is for {shape}: one "
                "number a row is drawn"
            )
    if not len(levels):
        raise ValueError("levels is empty: give probabilities such as (0.5, 0.9)")


def _numbers(values: Tensor) -> list[float]:
    found: list[float] = values.detach().cpu().double().tolist()
    return found
