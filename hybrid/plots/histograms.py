"""Draws beside what they are compared with: effects, replicated quantities (floor 1)."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from hybrid.plots.canvas import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from causal.effect import Effect
    from hybrid.uncertainty.replication import PredictiveCheck

__all__ = ["effect", "predictive_check"]

_REFERENCES = ("tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


def effect(
    effect: "Effect",
    *,
    level: float | None = None,
    references: Mapping[str, float | tuple[float, float]] | None = None,
    axes: "Axes | None" = None,
) -> "Axes":
    """Draw the posterior of an average effect, with its mean, its interval and references.

    Args:
        effect: An effect with several draws, one number each; see `causal.SCM.effect`.
        level: Probability of the interval; None for the effect's own.
        references: What it is compared with, by name: a number (the naive difference, a known
            effect) is a line, a pair (lower, upper) a band.
        axes: Where to draw; None makes a figure of its own (``axes.figure``).

    Raises:
        ValueError: There is one draw only, or an effect for each row.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> from causal.effect import Effect
        >>> found = Effect(torch.linspace(0, 2, 101), "P(Y | do(X)) = P(Y | X)", "E[Y]")
        >>> axes = effect(found, references={"naive difference": 2.5})
        >>> [text.get_text() for text in axes.get_legend().get_texts()]
        ['mean 1', '90 % interval [0.1, 1.9]', 'naive difference 2.5']
    """
    if effect.draws.dim() != 1:
        raise ValueError(
            f"the effect has draws of shape {tuple(effect.draws.shape)}, one average effect "
            "(draws,) is drawn: choose a row, dataclasses.replace(effect, draws=effect.draws[:, i])"
        )
    level = effect.level if level is None else level
    lower, upper = (float(end) for end in effect.interval(level))
    mean = float(effect.value)
    axes = canvas(axes)
    draws = effect.draws.detach().cpu().double().tolist()
    axes.hist(draws, bins=_bins(draws), density=True, color="lightblue")
    axes.axvline(mean, color="tab:blue", label=f"mean {mean:.4g}")
    axes.plot(
        [lower, upper],
        [0.02, 0.02],  # just above the axis, whatever the density's height
        "|-",
        transform=axes.get_xaxis_transform(),
        color="tab:blue",
        linewidth=3,
        markersize=12,
        label=f"{100 * level:.3g} % interval [{lower:.4g}, {upper:.4g}]",
    )
    for i, (name, reference) in enumerate((references or {}).items()):
        colour = _REFERENCES[i % len(_REFERENCES)]
        if isinstance(reference, tuple):
            low, high = reference
            label = f"{name} [{low:.4g}, {high:.4g}]"
            axes.axvspan(low, high, color=colour, alpha=0.12, linewidth=0, zorder=0, label=label)
        else:
            label = f"{name} {reference:.4g}"
            axes.axvline(reference, color=colour, linestyle="--", label=label)
    axes.set_xlabel(effect.target)
    axes.set_ylabel("posterior density")
    axes.legend()
    return axes


def predictive_check(
    check: "PredictiveCheck", quantity: str, *, axes: "Axes | None" = None
) -> "Axes":
    """Draw a test quantity of replicated data as a histogram, that of the observed as a line.

    Args:
        check: What `hybrid.uncertainty.posterior_predictive_check` returned.
        quantity: The name of one of its quantities.
        axes: Where to draw; None makes a figure of its own (``axes.figure``).

    Raises:
        KeyError: There is no such quantity.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import torch
        >>> from hybrid.uncertainty.replication import PredictiveCheck
        >>> check = PredictiveCheck({"mean": torch.linspace(-1, 1, 100)}, {"mean": 0.5})
        >>> axes = predictive_check(check, "mean")
        >>> axes.get_xlabel(), [text.get_text() for text in axes.get_legend().get_texts()]
        ('mean', ['replicated', 'observed 0.5, p = 0.25'])
    """
    if quantity not in check.observed:
        raise KeyError(f"there is no quantity {quantity!r}, but {list(check.observed)}")
    axes = canvas(axes)
    replicated = check.replicated[quantity].detach().cpu().double().tolist()
    axes.hist(replicated, bins=_bins(replicated), color="lightblue", label="replicated")
    label = f"observed {check.observed[quantity]:.4g}, p = {check.p_values[quantity]:.2g}"
    axes.axvline(check.observed[quantity], color="black", label=label)
    axes.set_xlabel(quantity)
    axes.set_ylabel("number of replicates")
    axes.legend()
    return axes


def _bins(values: list[float]) -> int:
    """As many bins as the square root of the number of values, within reason."""
    return min(60, max(10, math.isqrt(len(values))))
