"""What figures share: one style, axes with readable ticks, colours that keep apart, bands, and the mark of what is not trusted."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.errors import FileError
from bayes_scaling.files import require_writable, write_atomically
from bayes_scaling.quantities import quantity
from bayes_scaling.units import count_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

# Okabe & Ito's palette keeps its colours apart under the common kinds of colour blindness.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", "--", ":", "-.")

_STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "none",
    "figure.dpi": 110,
    "savefig.dpi": 160,
}

DRAWS = 1000  # draws behind a band: enough for its 5 % and 95 % edges to be still to the eye


def styled[**P, R](draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the package's style without touching the user's settings."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        import matplotlib as mpl

        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return styled


@styled
def new_axes(width: float, height: float, rows: int = 1) -> Any:
    """Return Axes, one or an array of them above each other, in the package's style: what is drawn into keeps the style that it has."""
    import matplotlib.pyplot as plt

    return plt.subplots(rows, 1, figsize=(width, height))[1]


def write_figure(figure: Any, path: str | Path) -> None:
    """Write a figure, whole or not at all; its name says the format.

    Raises
    ------
    FileError
        If the name says no format that matplotlib has, or the file cannot be written.
    """
    path, content = Path(path), io.BytesIO()
    kind = path.suffix.removeprefix(".").lower()
    if kind not in figure.canvas.get_supported_filetypes():
        raise FileError(f"cannot draw '{path}': let its name end with .png, .svg or .pdf")
    figure.savefig(content, format=kind)
    require_writable(path)
    try:
        write_atomically(path, content.getvalue())
    except OSError as error:
        raise FileError(f"cannot draw '{path}': {error.strerror or error}") from None


def axes_or_new(ax: Axes | None, width: float, height: float) -> Axes:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(width, height))[1]


def legend_below(ax: Axes, columns: int | None = None) -> None:
    """Put the legend below the axes and their label, at a distance in points: it does not grow or shrink with the axes.

    Its columns are at most as many as the axes are wide for.
    """
    from matplotlib.transforms import ScaledTranslation

    figure = ax.get_figure(root=True)
    assert figure is not None
    labels = ax.get_legend_handles_labels()[1]
    room = ax.get_window_extent().width / figure.dpi * 72 / 5.5  # in characters of 8 points
    columns = columns or int(np.clip(room // (6 + max(map(len, labels), default=0)), 1, max(len(labels), 1)))
    below = ax.transAxes + ScaledTranslation(0, -36 / 72, figure.dpi_scale_trans)
    ax.legend(loc="upper left", bbox_to_anchor=(0.0, 0.0), bbox_transform=below, fontsize=8, ncols=columns, borderaxespad=0)


def plain(text: str) -> str:
    """Return text of a user's as a figure shows it as it is: a dollar sign would begin a formula."""
    return text.replace("$", r"\$")


def span(low: float, high: float, count: int) -> np.ndarray:
    """Return values of an input from low to high, evenly in the logarithm where it has one."""
    return np.geomspace(low, high, count) if low > 0 else np.linspace(low, high, count)


def log_axis(axis: Any, write: Any) -> None:
    """Make an axis logarithmic, with readable ticks."""
    axis.axes.set_xscale("log") if axis.axis_name == "x" else axis.axes.set_yscale("log")
    log_ticks(axis, write)


def log_ticks(axis: Any, write: Any) -> None:
    """Put ticks at decades, at 2 and 5 in between where few decades are shown, and evenly where these are too few; no other labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    decades = np.log10(high / low)
    locator = LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,), numticks=12)
    shown = [value for value in locator.tick_values(low, high) if low <= value <= high]
    axis.set_major_locator(locator if len(shown) > 2 or decades > 1 else MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: write(value)))
    axis.set_minor_formatter(NullFormatter())


def count_tick(value: float) -> str:
    text = count_text(value)
    number, suffix = text.rstrip("kMBT"), text[len(text.rstrip("kMBT")) :]
    return f"{float(number):g}{suffix}"


def compute_tick(value: float) -> str:
    exponent = int(np.floor(np.log10(value) + 1e-9))
    digit = value / 10.0**exponent
    return f"$10^{{{exponent}}}$" if abs(digit - 1) < 1e-6 else rf"${digit:g}\times10^{{{exponent}}}$"


def compute_label(value: float) -> str:
    """Write an amount of compute for a legend, with three digits: 5.76 x 10^23."""
    exponent = int(np.floor(np.log10(value) + 1e-9))
    digits = f"{value / 10.0**exponent:.3g}"
    return f"$10^{{{exponent}}}$" if digits == "1" else rf"${digits}\times10^{{{exponent}}}$"


def mark_untrusted(ax: Any, trustworthy: bool) -> None:
    if not trustworthy:
        ax.set_title("NOT TRUSTWORTHY: see the fit's diagnosis", color=ORANGE, fontsize=10, loc="left")


def line_style(number: int) -> dict[str, Any]:
    """Return how the n-th of several lines is drawn: those that have a colour again are told apart by their dashes."""
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": _DASHES[number // len(PALETTE) % len(_DASHES)]}


def draw_band(ax: Any, x: np.ndarray, draws: np.ndarray, colour: str, label: str, linestyle: str = "-") -> None:
    """Draw median and 50 % and 90 % bands; draws has shape (draw, x)."""
    q05, q25, q50, q75, q95 = np.quantile(draws, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
    ax.fill_between(x, q05, q95, color=colour, alpha=0.2, linewidth=0)
    ax.fill_between(x, q25, q75, color=colour, alpha=0.3, linewidth=0)
    ax.plot(x, q50, color=colour, linestyle=linestyle, linewidth=1.5, label=label)


def shade_beyond(ax: Any, low: float, high: float) -> None:
    """Shade where no run is."""
    left, right = ax.get_xlim()
    sides = [side for side in ((left, low), (high, right)) if side[0] < side[1]]
    for number, side in enumerate(sides):
        ax.axvspan(*side, color=GREY, alpha=0.1, linewidth=0, zorder=0, label=None if number else "beyond the runs")
    ax.set_xlim(left, right)


def plain_loss_axis(ax: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    ax.yaxis.set_major_locator(MaxNLocator(7))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


# What an axis calls an output, and its unit, where the name does not say it.
_OUTPUTS = {
    "loss": ("loss", "nat/token"),
    "task_loss": ("task loss", "bit/byte"),
    "unigram_loss": ("unigram-normalised loss", "nat/token"),
    "loss_increase": ("increase of the loss", "nat/token"),
    "bleu": ("BLEU", ""),
    "elo": ("Elo", ""),
    **{name: (name.replace("_", " "), "fraction") for name in ("error", "accuracy", "coverage", "win_rate")},
}


def output_axis(ax: Any, output: str) -> None:
    """Label the axis of an output; sizes and counts span decades, losses, errors and scores do not."""
    name, unit = _OUTPUTS.get(output, (output, ""))
    ax.set_ylabel(f"{name} ({unit})" if unit else name)
    if output not in _OUTPUTS:
        log_axis(ax.yaxis, count_tick)


def input_axis(ax: Any, name: str, values: np.ndarray) -> None:
    """Scale the axis of an input: logarithmic, unless it hardly varies; one that may be zero if it is not, and varies much."""
    ax.set_xlim(values.min(), values.max())
    kind = quantity(name)
    may_be_zero = kind.low == 0 and not kind.is_fraction
    if values.min() > 0 and values.max() > values.min() * (1.5 if kind.on_log_scale else 30 if may_be_zero else np.inf):
        log_axis(ax.xaxis, compute_tick if name.endswith("compute") else tick_of(values.max()))


def difference_label(output: str, unit: str = "") -> str:
    """Return the label of an axis of differences from a law, in a unit or in that of the output."""
    name, own = _OUTPUTS.get(output, (output, ""))
    unit = unit or own
    return f"{name} - law ({unit})" if unit else f"{name} - law"


def tick_of(largest: float) -> Callable[[float], str]:
    """Return how ticks are written: as powers of ten beyond what suffixes are read easily for."""
    return compute_tick if largest > 1e16 else count_tick


def colour_scale(values: np.ndarray) -> ScalarMappable:
    """Return one scale of colours for all values: logarithmic where they span enough and none is zero."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    wide = values.min() > 0 and values.max() > 1.5 * values.min()
    return ScalarMappable((LogNorm if wide else Normalize)(values.min(), values.max()), "viridis")
