"""Figures of compute-optimal plans: frontier, isoFLOP profiles, allocation, regret, and runs to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bayes_scaling import optimum
from bayes_scaling.allocation import regret as regret_of_sizes
from bayes_scaling.axes import (
    BLUE,
    DRAWS,
    GREEN,
    GREY,
    ORANGE,
    axes_or_new,
    compute_label,
    compute_tick,
    count_tick,
    draw_band,
    legend_below,
    log_axis,
    log_ticks,
    mark_untrusted,
    plain_loss_axis,
    shade_beyond,
    styled,
)
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.identification import thinned
from bayes_scaling.units import count_text

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes


@styled
def loss_compute(fit: Fit, *, upto: float | None = None, ax: Axes | None = None) -> Axes:
    """Draw the runs' loss against compute, and the compute-optimal frontier with its posterior bands.

    Parameters
    ----------
    upto : largest compute to draw, in FLOP; by default ten times that of the largest run

    Compute of a run is what the plan's cost counts for it, 6 x params x tokens, so that runs and frontier are on one scale.

    Examples
    --------
    >>> bs.plot.loss_compute(fit).get_xscale()
    'log'
    """
    problem = optimum.problem_of(fit.law)
    runs = fit.runs
    spent = problem.cost.compute(runs["params"], runs["tokens"])
    compute = np.geomspace(spent.min(), upto or spent.max() * 10, 80)
    draws = {name: values[:, None] for name, values in thinned(fit.parameters(), DRAWS).items()}
    wide = {name: np.broadcast_to(values, (len(values), len(compute))) for name, values in draws.items()}
    frontier = optimum.best_outcome(problem, wide, np.broadcast_to(compute, (len(next(iter(draws.values()))), len(compute))))
    ax = axes_or_new(ax, 7, 4.5)
    points = ax.scatter(spent, runs[fit.law.output], c=runs["params"], norm="log", cmap="viridis", s=16, linewidth=0, zorder=3)
    draw_band(ax, compute, frontier, ORANGE, "compute-optimal: median, 50 %, 90 %")
    ax.set(xlabel="training compute (FLOP, 6 x params x tokens)", ylabel="loss (nat/token)")
    log_axis(ax.xaxis, compute_tick)
    ax.set_yscale("log")
    plain_loss_axis(ax)
    shade_beyond(ax, -np.inf, float(spent.max()))
    bar = ax.figure.colorbar(points, ax=ax, label="params", pad=0.02)
    log_ticks(bar.ax.yaxis, count_tick)
    ax.legend(loc="upper right")
    mark_untrusted(ax, fit.diagnosis.ok)
    return ax


def isoflop_levels(compute: np.ndarray, most: int = 7) -> np.ndarray:
    """Return levels of compute that several runs share (within 5 %), at most so many, spread over the range; empty if there are none."""
    logs = np.sort(np.log(compute))
    groups = np.split(logs, np.flatnonzero(np.diff(logs) > 0.1) + 1)
    alike = [group for group in groups if np.ptp(group) < 0.4]
    shared = [group for group in alike if len(group) >= 4]
    # Four runs show a curve; where budgets have fewer, three or two do, if it is most runs that share one, and not by chance.
    for least in (3, 2):
        if len(shared) < 2:
            some = [group for group in alike if len(group) >= least]
            shared = some if 2 * sum(map(len, some)) >= len(logs) else shared
    levels = np.array([np.exp(np.median(group)) for group in shared])
    if len(levels) > most:
        levels = levels[np.linspace(0, len(levels) - 1, most).round().astype(int)]
    return levels


_NEAR = 0.15  # difference of ln compute within which a run is on a level


@styled
def isoflop(fit: Fit, *, levels: Iterable[float] | None = None, ax: Axes | None = None) -> Axes:
    """Draw loss against params at levels of compute: the runs on each level, the curve with its 90 % band, and its minimum.

    Runs on no level are grey. Where no two runs are on one, all are coloured by their compute, and the figure says so.

    Parameters
    ----------
    levels : in FLOP; by default those that several runs share, or five over the range

    Examples
    --------
    >>> bs.plot.isoflop(fit).get_ylabel()
    'loss (nat/token)'
    """
    import matplotlib as mpl

    problem = optimum.problem_of(fit.law)
    cost, runs, draws = problem.cost, fit.runs, thinned(fit.parameters(), DRAWS)
    option = problem.options[0]
    spent = cost.compute(runs["params"], runs["tokens"])
    chosen = np.asarray(list(levels) if levels is not None else isoflop_levels(spent), dtype=float)
    if not len(chosen):
        chosen = np.geomspace(spent.min(), spent.max(), 5)
    ax = axes_or_new(ax, 8, 4.5)
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.85, len(chosen)))
    # A single run on a level shows nothing of the level's shape.
    shared = any(np.sum(np.abs(np.log(spent / level)) < _NEAR) > 1 for level in chosen)
    measured, wide = runs[fit.law.output], {name: values[:, None] for name, values in draws.items()}
    elsewhere = np.ones(len(runs), dtype=bool)
    for level, colour in zip(chosen, colours, strict=True):
        near = np.abs(np.log(spent / level)) < _NEAR
        elsewhere &= ~near
        best = optimum.best_plan(problem, draws, level)
        low, middle, high = np.quantile(best.params, [0.05, 0.5, 0.95])
        style = {"color": "black", "marker": "d", "ms": 4, "lw": 1, "capsize": 2, "zorder": 4}
        ax.errorbar(middle, np.median(best.outcome), xerr=[[middle - low], [high - middle]], **style)
        seen, further = [low, high, *(runs["params"][near] if shared else ())], 1.6 if shared else 6.0
        params = np.geomspace(min(seen) / further, max(seen) * further, 120)
        curve = optimum.outcome(fit.law, wide, params, problem.tokens(params, level, option), option)
        low, middle, high = np.quantile(curve, [0.05, 0.5, 0.95], axis=0)
        ax.fill_between(params, low, high, color=colour, alpha=0.3, linewidth=0)
        ax.plot(params, middle, color=colour, linewidth=1.2, label=compute_label(level))
        if shared:
            ax.scatter(runs["params"][near], measured[near], color=colour, s=16, zorder=3)
    if shared and elsewhere.any():
        ax.scatter(runs["params"][elsewhere], measured[elsewhere], color=GREY, alpha=0.4, s=6, zorder=1, label="runs on no level")
    if not shared:
        place = (np.log(spent) - np.log(chosen.min())) / max(np.ptp(np.log(chosen)), 1e-9)
        ax.scatter(runs["params"], measured, c=mpl.colormaps["viridis"](0.85 * np.clip(place, 0, 1)), s=16, zorder=3)
    lone = "\n(no two runs share a budget: dots are runs, coloured by their own;\nthe minima are the law's word, not seen in runs)"
    ax.set(xlabel=f"params{'' if shared else lone}", ylabel="loss (nat/token)")
    log_axis(ax.xaxis, count_tick)
    ax.set_yscale("log")
    plain_loss_axis(ax)
    ax.legend(title="FLOP, band 90 %\n(diamond: optimum)", fontsize=8, title_fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    mark_untrusted(ax, fit.diagnosis.ok)
    return ax


@styled
def allocation(plan: xarray.Dataset, *, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw the best params and tokens against compute: bands for many budgets, intervals for a few, and the decision.

    Of a law whose inputs share another budget, it is these two against that.

    Parameters
    ----------
    plan : from `bayes_scaling.allocate`
    axes : two Axes, for params and tokens

    Examples
    --------
    >>> len(bs.plot.allocation(bs.allocate(fit, [1e20, 1e21])))
    2
    """
    import matplotlib.pyplot as plt

    panels: Sequence[Axes] = axes if axes is not None else plt.subplots(ncols=2, figsize=(10, 4.2))[1]
    if len(panels) != 2:
        raise InputError(f"allocation draws into two Axes, not {len(panels)}")
    budgets = np.asarray(plan["budget"])
    order = np.argsort(budgets)
    shares, unit = plan.attrs["shares"], plan.attrs["unit"]
    for ax, name, colour in zip(panels, plan.attrs["inputs"].split(","), (BLUE, GREEN), strict=True):
        draws = np.asarray(plan[name]).reshape(-1, len(budgets))[:, order]
        if len(budgets) >= 8:
            draw_band(ax, budgets[order], draws, colour, "optimum: median, 50 %, 90 %")
        else:
            q = np.quantile(draws, [0.05, 0.25, 0.5, 0.75, 0.95], axis=0)
            ax.vlines(budgets[order], q[0], q[4], color=colour, linewidth=1.5)
            ax.vlines(budgets[order], q[1], q[3], color=colour, linewidth=5, alpha=0.6)
            ax.scatter(budgets[order], q[2], color=colour, s=30, zorder=3, label="optimum: median, 50 %, 90 %")
        chosen = np.asarray(plan[f"decision_{name}"])[order]
        marks = {"marker": "d", "s": 24, "color": "black", "zorder": 4} if len(budgets) < 8 else {}
        if marks:
            ax.scatter(
                budgets[order], chosen, label=f"decision{' (' + plan.attrs['held'] + ' held)' if plan.attrs['held'] else ''}", **marks
            )
        ax.set(xlabel=f"{shares} ({unit})" if unit == "FLOP" else shares, ylabel=name)
        if len(budgets) == 1:
            ax.set_xlim(budgets[0] / 3, budgets[0] * 3)
        log_axis(ax.xaxis, count_tick if unit == "count" else compute_tick)
        ax.set_yscale("log")
        log_axis(ax.yaxis, compute_tick if plan[name].attrs.get("unit") == "FLOP" else count_tick)
        beyond = float(plan["decades_beyond_compute"][order[-1]]) if "decades_beyond_compute" in plan else 0.0
        edge = budgets.max() / 10**beyond
        if budgets.min() < edge < budgets.max():
            shade_beyond(ax, -np.inf, edge)
        legend_below(ax, columns=2)  # anywhere inside may hold intervals
        mark_untrusted(ax, bool(plan.attrs["trustworthy"]))
    return panels


@styled
def regret(fit: Fit, compute: float, *, ax: Axes | None = None) -> Axes:
    """Draw what each model size would lose at a budget: the expected regret, its bands, and the decision.

    Examples
    --------
    >>> bs.plot.regret(fit, 1e21).get_xscale()
    'log'
    """
    found = regret_of_sizes(fit, compute)
    sizes = np.asarray(found["params"])
    draws = np.asarray(found["regret_loss"]).reshape(-1, len(sizes))
    ax = axes_or_new(ax, 7, 4.2)
    q50, q95 = np.quantile(draws, [0.5, 0.95], axis=0)
    ax.fill_between(sizes, 0, q95, color=BLUE, alpha=0.15, linewidth=0, label="below this with 95 % probability")
    ax.fill_between(sizes, 0, q50, color=BLUE, alpha=0.3, linewidth=0, label="below this with 50 % probability")
    ax.plot(sizes, draws.mean(axis=0), color=BLUE, linewidth=1.8, label="expected regret")
    chosen = found.attrs["decision_params"]
    ax.axvline(chosen, color="black", linewidth=1, linestyle="--", label=f"decision: {count_text(chosen)} params")
    ax.set(xlabel=f"params, at {compute_label(compute)} FLOP", ylabel="regret (nat/token)", xlim=(sizes[0], sizes[-1]))
    ax.set_ylim(0, max(4 * draws.mean(axis=0).min(), float(np.interp(chosen * 2.5, sizes, q95))))
    log_axis(ax.xaxis, count_tick)
    legend_below(ax, columns=2)  # the bands fill the axes
    mark_untrusted(ax, fit.diagnosis.ok)
    return ax


@styled
def design(fit: Fit, plan: xarray.Dataset, *, ax: Axes | None = None) -> Axes:
    """Draw a plan of runs: the runs that there are, those to do next by their worth, and the decision that they are for.

    Parameters
    ----------
    plan : from `bayes_scaling.plan`
    """
    ax = axes_or_new(ax, 7, 4.5)
    ax.scatter(fit.runs["params"], fit.runs["tokens"], color=GREY, s=14, linewidth=0, alpha=0.7, label="runs")
    worth = np.asarray(plan["gain"])
    areas = 25 + 250 * worth / worth.max()  # square points
    ax.scatter(
        plan["params"], plan["tokens"], s=areas, facecolor=ORANGE, alpha=0.7, edgecolor="black", linewidth=0.6,
        label="to do next (area: what leaving it out would cost)", zorder=3,
    )  # fmt: skip
    for place, (x, y, area) in enumerate(zip(np.asarray(plan["params"]), np.asarray(plan["tokens"]), areas, strict=True)):
        beside = 0.5 * np.sqrt(area) + 1  # points, both across and up: outside the disc
        ax.annotate(str(place + 1), (x, y), xytext=(beside, beside), textcoords="offset points", fontsize=7)
    if "decision_params" in plan.attrs:
        size, target = plan.attrs["decision_params"], plan.attrs["target_compute"]
        label = f"decision at {compute_label(target)} FLOP"
        ax.scatter(size, plan.attrs["decision_tokens"], marker="d", s=50, color="black", label=label, zorder=4)
    ax.set(xlabel="params", ylabel="tokens")
    log_axis(ax.xaxis, count_tick)
    log_axis(ax.yaxis, count_tick)
    ax.legend(loc="upper left", fontsize=8)
    mark_untrusted(ax, bool(plan.attrs["trustworthy"]))
    return ax
