"""Figures of what should be uniform, within simultaneous bands: ranks of a simulation-based calibration, levels of measurements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.axes import BLUE, GREY, ORANGE, mark_untrusted, plain, styled, write_figure
from bayes_scaling.calibration import Calibration
from bayes_scaling.criticism import OF_LEVELS, levels_of
from bayes_scaling.errors import FileError
from bayes_scaling.fitted import Fit
from bayes_scaling.uniformity import Uniformity, uniformity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACROSS = 4
_LAWS_ACROSS = 7


@styled
def ranks(found: Calibration) -> Sequence[Axes]:
    """Draw, for each quantity, the share of ranks up to each point less that of uniform ranks, and the band that holds it in 95 %."""
    import matplotlib.pyplot as plt

    levels = found.levels
    rows = -(-len(levels) // _ACROSS)
    figure, grid = plt.subplots(
        rows, min(_ACROSS, len(levels)), figsize=(2.6 * min(_ACROSS, len(levels)), 2.0 * rows), sharex=True, sharey=True
    )
    every: Any = np.atleast_1d(grid).ravel()
    for ax, (name, item) in zip(every, levels.items(), strict=False):
        _departures(ax, item)
        ax.set_title(name, fontsize=9, loc="left")
    for ax in every[len(levels) :]:
        ax.set_visible(False)
    figure.supxlabel("rank of the truth among posterior draws, as a share", fontsize=9)
    figure.supylabel("share of fits less uniform", fontsize=9)
    figure.suptitle(f"{found.law}, {found.noise} noise: {found.converged} simulated data sets", fontsize=10, x=0.01, ha="left")
    return every[: len(levels)].tolist()


@styled
def overview(every: Sequence[Calibration]) -> Sequence[Axes]:
    """Draw calibrations on one page, a panel a law with all of its quantities; orange and named where one leaves its band."""
    import matplotlib.pyplot as plt

    rows = -(-len(every) // _LAWS_ACROSS)
    across = min(_LAWS_ACROSS, len(every))
    figure, grid = plt.subplots(rows, across, figsize=(1.9 * across, 1.4 * rows), sharex=True, sharey=True, squeeze=False)
    for ax, found in zip(grid.ravel(), every, strict=False):
        outside = [name for name, item in found.levels.items() if not item.inside]
        for name, item in sorted(found.levels.items(), key=lambda pair: pair[0] in outside):
            _departures(ax, item, band=item is next(iter(found.levels.values())), width=1.2 if name in outside else 0.6)
        ax.set_title(f"{found.law} ({found.converged})", fontsize=6.5, loc="left")
        if outside:
            more = f" and {len(outside) - 1} more" if len(outside) > 1 else ""
            ax.annotate(f"{outside[0]}{more}", (0.03, 0.03), xycoords="axes fraction", fontsize=6, color=ORANGE)
        ax.tick_params(labelsize=6)
    for ax in grid.ravel()[len(every) :]:
        ax.set_visible(False)
    figure.supxlabel("rank of the truth among posterior draws, as a share", fontsize=9)
    figure.supylabel("share of fits less uniform", fontsize=9)
    return grid.ravel()[: len(every)].tolist()


def _departures(ax: Axes, item: Uniformity, *, band: bool = True, width: float = 1.5) -> None:
    """Draw an empirical distribution less the uniform one, orange where it leaves its band."""
    if band:
        ax.fill_between(item.points, item.low - item.points, item.high - item.points, color=GREY, alpha=0.25, linewidth=0)
    ax.plot(item.points, item.share - item.points, color=BLUE if item.inside else ORANGE, linewidth=width)
    ax.axhline(0, color=GREY, linewidth=0.7)


@styled
def levels(fit: Fit, *, ax: Axes | None = None) -> Axes:
    """Draw whether runs fall where the fit says: levels of the measurements in their predictive distributions (PIT).

    Above the band at the left: too many measurements lie low. A line that rises, falls and rises again has too many in both tails.
    """
    import matplotlib.pyplot as plt

    found = uniformity(levels_of(fit))
    ax = ax or plt.subplots(figsize=(6.0, 3.6))[1]
    _departures(ax, found)
    said = "inside the band that holds uniform levels in 95 %" if found.inside else OF_LEVELS[found.shape]
    ax.set_title(f"{len(fit.runs)} runs: {said}", fontsize=9, loc="left")
    ax.set_xlabel(f"level of the measured {plain(fit.law.output)} in its predictive distribution")
    ax.set_ylabel("share of runs below it, less the level itself")
    ax.set_xlim(0, 1)
    mark_untrusted(ax, fit.diagnosis.ok)
    return ax


def save_ranks(found: Calibration | Sequence[Calibration], path: str | Path) -> None:
    """Write the figure of a calibration, or of several on one page, into a file, of the kind that its name ends with.

    Raises
    ------
    FileError
        If the folder is not there, or the ending is of no picture.
    """
    import matplotlib.pyplot as plt

    path = Path(path)
    if not path.parent.is_dir():
        raise FileError(f"no folder '{path.parent}' to write '{path.name}' into")
    if path.suffix not in (".png", ".svg", ".pdf"):
        raise FileError(f"'{path.name}' is no picture: let its name end with .png, .svg or .pdf")
    drawn: Any = (ranks(found) if isinstance(found, Calibration) else overview(found))[0].figure
    write_figure(drawn, path)
    plt.close(drawn)
