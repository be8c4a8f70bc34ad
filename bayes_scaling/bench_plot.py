"""Measurements of speed, in text and as a figure: CPU against GPU, and where they cross."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayes_scaling.axes import BLUE, GREY, ORANGE, log_axis, styled
from bayes_scaling.bench import AXES, Bench, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"cpu": BLUE, "gpu": ORANGE}


def bench_text(found: Bench) -> str:
    """Return the table of measurements, and where the GPU overtakes the CPU."""
    machine = found.hardware
    devices = ", ".join(f"{name} ({kind})" if kind != name else name for name, kind in machine["devices"].items())
    lines = [
        f"{found.law} on {found.data}, {found.chains} chains x {found.draws} draws, {found.precision} bits",
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']:g} GB; measured on {devices}",
    ]
    for name in found.gradient_us:
        share = found.gradient_us[name] / found.driver_us[name]
        lines.append(
            f"{name}: a gradient of {found.chains} chains takes {found.gradient_us[name]:.0f} us by itself, "
            f"{found.driver_us[name]:.0f} us in a fit ({share:.0%} of the fit's time is gradients)"
        )
    lines.append(f"{'':6}{'':12}{'size':>10}{'seconds':>10}{'first':>9}{'ESS/s':>10}{'leapfrogs':>11}{'peak GB':>9}")
    lines += [_row(point) for point in found.points]
    return "\n".join([*lines, *_crossings(found)])


def _row(point: Point) -> str:
    head = f"{point.device:6}{point.axis:12}{point.size:>10,}"
    if point.seconds is None:
        return f"{head}   not measured: {point.why}"
    rate = "-" if point.rate is None else f"{point.rate:,.0f}"
    note = "" if point.converged == 1 else f"   {point.converged:.0%} converged"
    return f"{head}{point.seconds:>10.2f}{point.first_seconds:>9.2f}{rate:>10}{point.leapfrogs:>11.1f}{point.peak_gb:>9.2f}{note}"


def _crossings(found: Bench) -> list[str]:
    if "gpu" not in found.devices:
        return ["no GPU was measured: there is nothing to compare the CPU with"]
    if "cpu" not in found.devices:
        return []
    return [_crossing(found, axis) for axis in AXES if found.series("gpu", axis) and found.series("cpu", axis)]


def _crossing(found: Bench, axis: str) -> str:
    at = found.crossover(axis)
    if at is None:
        return f"{axis}: the CPU is faster at every size measured on both"
    return f"{axis}: the GPU is faster at every size measured" if at == 0 else f"{axis}: the GPU is faster from about {at:,.0f}"


@styled
def bench_figure(found: Bench) -> Sequence[Axes]:
    """Draw wall time (above) and effective draws a second (below) against chains, data sets and runs; return the six Axes by row."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import NullLocator

    drawn = [axis for axis in AXES if any(found.series(device, axis) for device in found.devices)]
    figure, grid = plt.subplots(2, len(drawn), figsize=(3.4 * len(drawn), 5.0), sharex="col", squeeze=False)
    for column, axis in enumerate(drawn):
        above, below = grid[:, column]
        for device in found.devices:
            points = found.series(device, axis)
            colour = _COLOURS.get(device, GREY)
            sizes = [point.size for point in points]
            above.plot(sizes, [point.seconds for point in points], "o-", color=colour, markersize=4, label=_label(found, device))
            rated = [point for point in points if point.rate is not None]
            below.plot([point.size for point in rated], [point.rate for point in rated], "o-", color=colour, markersize=4)
        at = found.crossover(axis)
        if at:
            for ax in (above, below):
                ax.axvline(at, color=GREY, linestyle=":", linewidth=1)
            above.annotate(f"from {at:,.0f}", (at, 1.0), xycoords=("data", "axes fraction"), fontsize=8, ha="center", va="bottom")
        shown = sorted({point.size for device in found.devices for point in found.series(device, axis)})
        for ax in (above, below):
            ax.set_xscale("log")
            ax.set_xticks(shown, [_size_tick(size) for size in shown])
            ax.xaxis.set_minor_locator(NullLocator())
            if any(len(line.get_ydata()) for line in ax.get_lines()):
                _decade(ax)
                log_axis(ax.yaxis, lambda value: f"{value:,.12g}")
            else:  # a logarithm needs values
                ax.set_yticks([])
                ax.text(0.5, 0.5, "no fit converged", transform=ax.transAxes, fontsize=8, color=GREY, ha="center")
        below.set_xlabel(axis)
    grid[0, 0].set_ylabel("seconds")
    grid[1, 0].set_ylabel("effective draws a second")
    if len(found.devices) > 1:
        grid[0, 0].legend(fontsize=8)
    said = " and ".join(_label(found, device) for device in found.devices)
    alone = "" if "gpu" in found.devices else " (no GPU here)"
    figure.suptitle(f"{found.law} on {found.data}: {said}{alone}", fontsize=10, x=0.01, ha="left")
    return grid.ravel().tolist()


def _label(found: Bench, device: str) -> str:
    kind = found.hardware["devices"][device]
    return f"{found.hardware['cpu']}, {found.hardware['cores']} cores" if device == "cpu" else f"{kind}"


def _decade(ax: Axes) -> None:
    """Show a decade of y at least, so that noise does not look like a trend."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in ax.get_lines()])
    middle, half = np.sqrt(values.min() * values.max()), max(np.sqrt(values.max() / values.min()) * 1.2, np.sqrt(10))
    ax.set_ylim(middle / half, middle * half)


def _size_tick(value: float) -> str:
    return f"{value:,.0f}" if value < 1e5 else f"{value:.0e}".replace("e+0", "e")
