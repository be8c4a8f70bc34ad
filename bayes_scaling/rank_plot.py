"""The figure of a simulation-based calibration: departures of ranks from uniform, within simultaneous bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.axes import BLUE, GREY, ORANGE, styled, write_figure
from bayes_scaling.calibration import Calibration
from bayes_scaling.errors import FileError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACROSS = 4


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
        ax.fill_between(item.points, item.low - item.points, item.high - item.points, color=GREY, alpha=0.25, linewidth=0)
        ax.plot(item.points, item.share - item.points, color=BLUE if item.inside else ORANGE, linewidth=1.5)
        ax.axhline(0, color=GREY, linewidth=0.7)
        ax.set_title(name, fontsize=9, loc="left")
    for ax in every[len(levels) :]:
        ax.set_visible(False)
    figure.supxlabel("rank of the truth among posterior draws, as a share", fontsize=9)
    figure.supylabel("share of fits less uniform", fontsize=9)
    kept = int(found.ranks["converged"].sum())
    figure.suptitle(f"{found.law}, {found.noise} noise: {kept} simulated data sets", fontsize=10, x=0.01, ha="left")
    return every[: len(levels)].tolist()


def save_ranks(found: Calibration, path: str | Path) -> None:
    """Write the figure into a file, of the kind that its name ends with.

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
    drawn: Any = ranks(found)[0].figure
    write_figure(drawn, path)
    plt.close(drawn)
