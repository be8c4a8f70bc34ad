"""Figures of fits and plans. Each function returns matplotlib Axes and takes an existing one where it draws into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.allocation import allocate
from bayes_scaling.axes import (
    BLUE,
    DRAWS,
    GREY,
    ORANGE,
    axes_or_new,
    colour_scale,
    difference_label,
    draw_band,
    input_axis,
    legend_below,
    line_style,
    log_axis,
    log_ticks,
    mark_untrusted,
    output_axis,
    shade_beyond,
    span,
    styled,
    tick_of,
    write_figure,
)
from bayes_scaling.drift import told_of
from bayes_scaling.errors import FileError, InputError, counted
from bayes_scaling.fitted import Fit
from bayes_scaling.identification import thinned
from bayes_scaling.law import Input, Law
from bayes_scaling.parameter_plot import against_published as against_published
from bayes_scaling.parameter_plot import compared_names
from bayes_scaling.plan_plot import allocation as allocation
from bayes_scaling.plan_plot import design as design
from bayes_scaling.plan_plot import isoflop as isoflop
from bayes_scaling.plan_plot import isoflop_levels as isoflop_levels
from bayes_scaling.plan_plot import loss_compute as loss_compute
from bayes_scaling.plan_plot import regret as regret
from bayes_scaling.prediction import predict
from bayes_scaling.quantities import quantity
from bayes_scaling.rank_plot import levels as levels
from bayes_scaling.units import quantity_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayes_scaling.extrapolation import Forecast


@styled
def curve(fit: Fit, *, ax: Axes | None = None) -> Axes:
    """Draw a law of one input: the runs, the curve with its bands, and the floor where the law has one; a curve for each group."""
    if len(fit.law.input_names) != 1:
        raise InputError(f"curve draws laws of one input; '{fit.law.name}' has {', '.join(fit.law.input_names)}: use loss_compute")
    (item,) = fit.law.inputs
    name = item.name
    # A decade further where the input is a scale that grows; a loss falls, and towards 0 if anywhere. Where all runs are at one value, and
    # the law is asked about others, its whole domain.
    ends = (0.7, 1.05) if name.endswith("loss") else (1, 10)
    low, high = (item.low, item.high) if item.asked_only else (fit.runs[name].min() * ends[0], fit.runs[name].max() * ends[1])
    x = span(low, high, 120)
    ax = axes_or_new(ax, 7, 4.5)
    for number, label in enumerate(fit.groups or ("",)):
        colour, dash = line_style(number).values()
        one = fit.select(label) if label else fit
        draws = thinned(one.parameters(), DRAWS)
        curves = fit.law.predict({name: x}, {key: values[:, None] for key, values in draws.items()})
        measured = one.runs[fit.law.output]
        ax.scatter(one.runs[name], measured, color=colour if label else GREY, s=16, zorder=3, label=None if label else "runs")
        draw_band(ax, x, curves, colour, label or "curve: median, 50 %, 90 %", dash)
        if "E" in draws and not label:
            low, middle, high = np.quantile(draws["E"], [0.05, 0.5, 0.95])
            ax.axhspan(low, high, color=ORANGE, alpha=0.15, linewidth=0)
            ax.axhline(middle, color=ORANGE, linewidth=1, label="E, 90 %")
    ax.set_xlabel(f"{name} ({item.unit})")
    output_axis(ax, fit.law.output)
    input_axis(ax, name, x)
    told = told_of(fit.runs, item)
    shade_beyond(ax, float(told.min()), float(told.max()))
    ax.legend(loc="best", fontsize=8 if fit.groups else None)
    mark_untrusted(ax, fit.diagnosis.ok)
    return ax


@styled
def forecast(found: Forecast, *, upto: float | None = None, target: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw a curve and where it goes: bands of the curve, and the 90 % interval of new measurements.

    Parameters
    ----------
    upto : how far to draw, in x; by default four times the last x
    target : a value to mark
    """
    known = found.curve
    x = np.geomspace(known.last_x, max(upto or 0.0, 4 * known.last_x), 41)
    ahead = found.predict(x, [0.05, 0.25, 0.5, 0.75, 0.95])
    ax = axes_or_new(ax, 6.4, 4.2)
    low, lower, middle, upper, high = ahead["curve"].values.T
    ax.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0, label="curve, 90 %")
    ax.fill_between(x, lower, upper, color=BLUE, alpha=0.3, linewidth=0, label="curve, 50 %")
    ax.plot(x, middle, color=BLUE, linewidth=1.5, label="median")
    for edge, label in ((0, "new measurement, 90 %"), (-1, None)):
        ax.plot(x, ahead["measured"][:, edge], color=GREY, linewidth=1, linestyle=":", label=label)
    ax.scatter(known.x, known.y, s=10, color="black", zorder=3, label="measured")
    if target is not None:
        ax.axhline(target, color=ORANGE, linewidth=1, linestyle="--", label=f"target {target:g}")
    # The end of the curve is what matters; its beginning may be decades higher.
    recent = known.y[known.x >= known.last_x / 1000]
    shown = np.concatenate([recent, ahead["measured"].values.ravel(), [] if target is None else [target]])
    ax.set_ylim(shown.min() / 1.03, shown.max() * 1.03)
    ax.set_xlim(max(known.x[0], known.last_x / 1000), x[-1])
    log_axis(ax.xaxis, tick_of(x[-1]))
    ax.set_yscale("log")
    log_ticks(ax.yaxis, lambda value: f"{value:g}")
    if np.log10(shown.max() / shown.min()) < 0.7:
        ax.set_yscale("linear")
    ax.set_xlabel("x")
    ax.set_ylabel("loss or error")
    ax.legend(frameon=False, fontsize=8)
    mark_untrusted(ax, found.ok)
    return ax


def _usual(item: Input) -> float:
    """Return the value at which an input is held while another varies."""
    if item.default is not None:
        return item.default
    return float(np.sqrt(item.low * item.high)) if item.low > 0 else (item.low + item.high) / 2


@styled
def residuals(fit: Fit, against: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw how far each run lies from the law, against one input: the posterior median of the residual, and the noise's own 90 % band.

    Parameters
    ----------
    against : an input of the law; by default the one that the law is drawn against

    Residuals are relative where the output is positive by nature (a loss), and plain differences otherwise (an error rate, Elo). Runs are
    coloured by another input that varies, where there is one; where none does, they stand side by side. A law that fits leaves a band
    without a pattern.
    """
    law, axis = fit.law, fit.law.drawn_input(against)
    name = axis.name
    varying = [item for item in law.input_names if np.ptp(fit.runs[item]) > 0]
    places = fit.runs[name] if name in varying else np.arange(1.0, len(fit.runs) + 1)
    labels = fit.groups or ("",)
    ax = axes_or_new(ax, 7, 4)
    kind = quantity(law.output)
    factor, unit = kind.difference
    shown = []
    for label in labels:
        one = fit.select(label) if label else fit
        draws = {key: values[:, None] for key, values in thinned(one.parameters(), 200).items()}
        expected = np.median(law.predict(one.runs.columns, draws), axis=0)
        new = np.asarray(predict(one, one.runs.columns)["new"]).reshape(-1, len(one.runs))
        scale = expected if kind.on_log_scale else 1.0
        low, high = np.quantile(new, [0.05, 0.95], axis=0)
        x = places[fit.runs.group == label] if label else places
        off = [factor * (values - expected) / scale for values in (one.runs[law.output], low, high)]
        shown.append((x, one.runs, *off))
    other = next((other for other in varying if other != name), None)
    colours = colour_scale(fit.runs[other]) if other else None
    of_runs = [colours.to_rgba(runs[other]) if colours else None for _, runs, *_ in shown]
    dash = {"marker": "_", "s": 24, "linewidth": 1, "zorder": 2}
    ax.scatter([], [], color=GREY if colours else BLUE, label="90 % of new runs like it", **dash)
    ax.axhline(0, color=GREY, linewidth=1)
    for (at, _, residual, *edges), colour, label, marker in zip(shown, of_runs, labels, "os^vDP*X" * len(labels), strict=False):
        for edge in edges:  # in the colour of its run: several share a place
            ax.scatter(at, edge, color=BLUE if colour is None else colour, **dash)
        ax.scatter(
            at, residual, s=18, marker=marker, linewidth=0, zorder=3, label=label or None, color=ORANGE if colour is None else colour
        )
    if colours and other:
        bar = ax.figure.colorbar(colours, ax=ax, label=other, pad=0.02)
        if bar.ax.get_yscale() == "log":
            log_ticks(bar.ax.yaxis, tick_of(fit.runs[other].max()))
    ax.set_ylabel(difference_label(law.output, unit))
    if name in varying:
        ax.set_xlabel(f"{name} ({axis.unit})")
        input_axis(ax, name, np.array([places.min() / 1.1, places.max() * 1.1]))
    else:
        ax.set_xlabel(f"run, all at {name} {quantity_text(float(fit.runs[name][0]))}")
    # A run or two far off must not hide the rest: the axis holds 98 % of the residuals, and arrows at its ends point to the others.
    every = np.concatenate([residual for _, _, residual, *_ in shown])
    usual = np.abs(np.concatenate([edge for _, _, _, *edges in shown for edge in edges]))
    edge = 1.15 * max(np.quantile(np.abs(every), 0.98), np.quantile(usual, 0.9))
    ax.set_ylim(-edge, edge)
    outside = int(np.sum(np.abs(every) > edge))
    if outside:
        for (at, _, residual, *_), of_run in zip(shown, of_runs, strict=True):
            colour = np.full(len(residual), ORANGE) if of_run is None else of_run
            for beyond, end, marker in ((residual > edge, 1, "^"), (residual < -edge, -1, "v")):
                # Below the runs: the report takes what is on top for them.
                style = {"marker": marker, "s": 60, "linewidth": 0.7, "edgecolor": "black", "zorder": 2.5}
                ax.scatter(at[beyond], np.full(beyond.sum(), 0.96 * end * edge), color=colour[beyond], **style)
        said = f"{outside} of {counted(len(every), 'run')} beyond the picture"
        ax.text(0.99, 0.06, said, transform=ax.transAxes, ha="right", fontsize=8, color=GREY)
    legend_below(ax)
    mark_untrusted(ax, fit.diagnosis.ok)
    return ax


@styled
def published(law: Law, against: str | None = None, *, ax: Axes | None = None) -> Axes:
    """Draw every published parameter set of a law against one input (by default, the one that the law is drawn against).

    The law's other inputs have the value that runs without such a column get; where there is none, they are at the middle of their
    declared domain.
    """
    item = law.drawn_input(against)
    name, x = item.name, span(item.low, item.high, 200)
    inputs = {other.name: np.full(200, _usual(other)) for other in law.inputs}
    inputs[name] = x
    ax = axes_or_new(ax, 7, 4)
    for number, (label, found) in enumerate(law.published.items()):
        ax.plot(x, law.predict(inputs, found.values), **line_style(number), linewidth=1.5, label=label)
    held = ", ".join(f"{key} {quantity_text(float(values[0]))}" for key, values in inputs.items() if key != name)
    ax.set_xlabel(f"{name} ({item.unit}){f'; at {held}' if held else ''}")
    output_axis(ax, law.output)
    input_axis(ax, name, x)
    ax.legend(loc="best", fontsize=7, ncols=1 + len(law.published) // 9)
    return ax


@styled
def pairs(fit: Fit, names: Sequence[str] | None = None) -> Any:
    """Draw the posterior of pairs of parameters (arviz-plots); returns its PlotCollection.

    Parameters
    ----------
    names : parameters; by default the law's sampled ones without the reference terms
    """
    import arviz_plots
    import xarray
    from matplotlib.ticker import MaxNLocator

    drawn = list(fit.posterior.data_vars)
    names = list(names or [name for name in fit.summary() if not name.endswith("_ref") and name not in fit.noise.parameter_names])
    for name in names:
        if name not in drawn:
            raise InputError(f"no draws of '{name}'; there are {', '.join(map(str, drawn))}")
    # More points than this only blacken the panels; divergences are not thinned away, since a trusted fit has none.
    every = max(1, fit.posterior.sizes["draw"] * fit.posterior.sizes["chain"] // 2000)
    found = arviz_plots.plot_pair(
        xarray.DataTree.from_dict(
            {name: fit.draws[name].to_dataset().isel(draw=slice(None, None, every)) for name in ("posterior", "sample_stats")}
        ),
        var_names=names,
        marginal=True,
        visuals={"scatter": {"alpha": 0.25, "color": BLUE, "size": 4}, "divergence": {"color": ORANGE}},
        figure_kwargs={"figsize": (1.7 * len(names), 1.7 * len(names)), "layout": "constrained"},
        backend="matplotlib",
    )
    figure = found.viz["figure"].item()
    for ax in figure.axes:
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_locator(MaxNLocator(3))
        ax.grid(False)
        if not ax.get_ylabel() or ax.get_ylabel() == names[0]:
            ax.tick_params(labelleft=False)  # a density's height, or the scale of the panel at the left
    return found


@styled
def save_figure(ax: Axes, path: str | Path) -> None:
    """Write the figure that Axes belong to; its name says the format."""
    import matplotlib.pyplot as plt

    figure = ax.get_figure(root=True)
    assert figure is not None  # Axes that a function of this module drew into
    write_figure(figure, path)
    plt.close(figure)


@styled
def save_figures(fit: Fit, folder: str | Path, *, compute: Sequence[float] = (), format: str = "png") -> list[Path]:
    """Draw every figure that the fit's law has into a folder; return the files.

    Parameters
    ----------
    compute : budgets in FLOP; the largest sets how far figures reach, and each gets a regret figure
    """
    import matplotlib.pyplot as plt

    folder, inputs = Path(folder), fit.law.input_names
    if set(inputs) == {"params", "tokens"}:
        optimum.require_compute(optimum.problem_of(fit.law), np.asarray(compute, float))
    elif compute:
        raise InputError(f"law '{fit.law.name}' takes {', '.join(inputs)}: figures of a budget are for params and tokens alone")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot make the folder '{folder}': {error.strerror}") from None
    written = []

    def save(name: str, figure: Any) -> None:
        path = folder / f"{name}.{format}"
        write_figure(figure, path)
        plt.close(figure)
        written.append(path)

    if len(inputs) == 1:
        save("curve", curve(fit).figure)
    elif set(inputs) == {"params", "tokens"}:
        spent = optimum.problem_of(fit.law).cost.compute(fit.runs["params"], fit.runs["tokens"])
        furthest = max([spent.max() * 10, *(budget * 2 for budget in compute)])
        save("loss_compute", loss_compute(fit, upto=furthest).figure)
        save("isoflop", isoflop(fit).figure)
        save("allocation", allocation(allocate(fit, np.geomspace(spent.min(), furthest, 17)))[0].figure)
        for budget in compute or [float(spent.max() * 10)]:
            save(f"regret_{budget:.3g}".replace("+", ""), regret(fit, budget).figure)
    save("residuals", residuals(fit).figure)
    save("levels", levels(fit).figure)
    if compared_names(fit):
        save("parameters", against_published(fit)[0].figure)
    save("pairs", pairs(fit).viz["figure"].item())
    return written
