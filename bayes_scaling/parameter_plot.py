"""The figure of parameters: posteriors beside what others published for the same law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.axes import BLUE, GREY, ORANGE, count_tick, mark_untrusted, plain, styled
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SE = 1.645  # standard errors to the ends of a normal 90 % interval


def compared_names(fit: Fit) -> list[str]:
    """Return the parameters that published sets of the law give and the fit has draws of, in the order for people."""
    given = {name for found in fit.law.published.values() for name in found.values}
    return [name for name in fit.summary() if name in given]


@styled
def against_published(
    fit: Fit, names: Sequence[str] | None = None, *, across: int = 3, axes: Sequence[Axes] | None = None
) -> Sequence[Axes]:
    """Draw the posterior of each parameter beside the published values of the law, with 90 % intervals where errors were stated.

    Others fitted other runs: a difference is one of models, data and ways of counting, not an error of either.

    Parameters
    ----------
    names : parameters; by default all that any published set gives
    across : panels in a row
    axes : one for each of them

    Raises
    ------
    InputError
        If the fit has groups (select one), or nobody published a value of such a parameter.
    """
    import matplotlib.pyplot as plt

    draws = fit.parameters()
    chosen = list(names or compared_names(fit))
    if not chosen:
        raise InputError(f"law '{fit.law.name}' has no published values of the parameters that were fitted")
    for name in chosen:
        if name not in draws:
            raise InputError(f"no draws of '{name}'; there are {', '.join(draws)}")
    labels = ["this fit", *fit.law.published]
    across = min(len(chosen), across)
    down = -(-len(chosen) // across)
    if axes is None:
        _, grid = plt.subplots(down, across, figsize=(1.0 + 1.9 * across, down * (0.9 + 0.24 * len(labels))), sharey=True, squeeze=False)
        panels: Any = grid.ravel()
        for ax in panels[len(chosen) :]:
            ax.set_visible(False)
    else:
        panels = axes
    for ax, name in zip(panels, chosen, strict=False):
        low, q25, middle, q75, high = np.quantile(draws[name], [0.05, 0.25, 0.5, 0.75, 0.95])
        rows = {place: found for place, found in enumerate(fit.law.published.values(), start=1) if name in found.values}
        values = [low, high, *(found.values[name] for found in rows.values())]
        logarithmic = min(values) > 0 and max(values) > 20 * min(values)
        ax.axvspan(low, high, color=BLUE, alpha=0.12, linewidth=0)
        ax.hlines(0, low, high, color=BLUE, linewidth=1.5)
        ax.hlines(0, q25, q75, color=BLUE, linewidth=5, alpha=0.6)
        ax.scatter([middle], [0], color=BLUE, s=26, zorder=3)
        for place, found in rows.items():
            value, error = found.values[name], _SE * found.standard_errors.get(name, 0.0)
            if error and not (logarithmic and value - error <= 0):
                ax.hlines(place, value - error, value + error, color=ORANGE, linewidth=1.2)
            ax.scatter([value], [place], color=ORANGE, marker="D", s=18, zorder=3)
        if logarithmic:
            from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(numticks=4))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_tick(value)))
            ax.xaxis.set_minor_formatter(NullFormatter())
        else:
            from matplotlib.ticker import MaxNLocator

            ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.set_yticks(range(len(labels)), [plain(label) for label in labels], fontsize=8)
        ax.set_ylim(len(labels) - 0.4, -0.6)
        ax.set_title(plain(name), fontsize=10, loc="left", color=GREY)
        ax.grid(visible=False, axis="y")
    mark_untrusted(panels[0], fit.diagnosis.ok)
    return list(panels[: len(chosen)])
