"""What is known of how far fits can be trusted, written for people."""

from __future__ import annotations

import numpy as np

from bayes_scaling.calibration import FEWEST, RANKED, Calibration
from bayes_scaling.checking import Check
from bayes_scaling.drift import before_any_forecast
from bayes_scaling.errors import option_text
from bayes_scaling.forward import AVERAGE, Forward
from bayes_scaling.sensitivity import Left
from bayes_scaling.units import quantity_text


def forward_text(found: Forward) -> str:
    """Return the table of a forward validation over all cut-offs, then each cut-off, and what it says in words."""
    rows = found.summary
    width = max(len(name) for name in rows)
    count = int(found.scores["covered"].isel(law=0).notnull().sum())
    lines = [
        f"fitted up to a cut-off in {found.by}, all beyond it forecast: {found.scores.sizes['split']} cut-offs, {count} forecasts a law",
        f"{'':{width}}  {'log score':>9} {'(se)':>6}  {'to best':>8} {'(se)':>6}  {'RMSLE':>7} {'(se)':>8}  {'CRPS':>7} {'(se)':>8}  "
        f"{'in 90 %':>7} {'(se)':>6}  {'weight':>6}",
    ]
    for name, row in rows.items():
        weight = "" if name == AVERAGE else f"  {row['weight']:6.2f}"
        lines.append(
            f"{name:{width}}  {row['log_score']:9.2f} {row['log_score_se']:6.2f}  {row['difference']:8.2f} {row['difference_se']:6.2f}  "
            f"{row['rmsle']:7.4f} {row['rmsle_se']:8.4f}  {row['crps']:7.4f} {row['crps_se']:8.4f}  {row['coverage90']:7.2f} "
            f"{row['coverage90_se']:6.2f}{weight}"
        )
    known = ", ".join(f"{name} {drift.mean:.2g}" for name, drift in found.drift.items())
    lines.append(f"drift beyond the runs, by what these forecasts have shown (size; {before_any_forecast().mean:.2g} before any): {known}")
    if found.drift:
        name, drift = next(iter(found.drift.items()))
        lines.append(f"allocate and predict take a law's own: {option_text(drift=float(f'{drift.mean:.2g}'))} for {name}")
    lines.append(
        "share of 90 % intervals that hold the run, at each cut-off (! by its own word not to be trusted; ? warned against, by what it "
        "leaves of its runs or by earlier forecasts)"
    )
    for split, cut in enumerate(found.scores["split"].values):
        one = {name: found.of_split(name, split) for name in rows}
        first = next(iter(one.values()))
        cells = ", ".join(f"{name} {row['coverage90']:.2f}{_mark(row)}" for name, row in one.items())
        lines.append(f"  up to {quantity_text(float(cut))} ({first['fitted']} runs, {first['held_out']} beyond): {cells}")
    return "\n".join(lines)


def _mark(row: dict[str, float]) -> str:
    return ("" if row["trusted"] else "!") + ("?" if row["warned"] else "")


#: What ranks of the truth among draws say, by where they are.
OF_RANKS = {
    "low": "truth is lower than posteriors say",
    "high": "truth is higher than posteriors say",
    "outside": "posteriors are too narrow",
    "inside": "posteriors are too wide",
}
_SHOWN = 5  # runs of the largest influence


def check_text(found: Check) -> str:
    """Return what was examined about a fit, the warnings first."""
    fit, warnings = found.fit, found.warnings
    lines = [f"{fit.law.name}, {len(fit.runs)} runs from {fit.runs.source}, {fit.noise.name} noise"]
    lines += [f"  warning: {text}" for text in warnings] or ["  nothing was found that speaks against this fit"]
    lines += ["", "what it rests on (power-scaling: above 0.05 counts)", f"  {'':44}{'prior':>7}{'runs':>7}   posterior/prior width"]
    for name, power in found.power.items():
        width = fit.diagnosis.width.get(name)
        lines.append(
            f"  {name:44}{power.prior:>7.2f}{power.likelihood:>7.2f}{'' if width is None else f'   {width:.2f}'}  {power.verdict}".rstrip()
        )
    lines += ["", f"runs that move it most, in posterior standard deviations{' (importance sampling only)' if found.quick else ''}"]
    lines += [f"  {_left_text(item)}" for item in found.runs[:_SHOWN]]
    if found.budgets:
        lines += ["", "without all runs of a budget"]
        lines += [f"  {_left_text(item)}" for item in found.budgets]
    if found.noises:
        lines += ["", "with other noise (elpd less that of the noise used)"]
        lines += [f"  {_left_text(item.left)}; elpd {item.difference:+.1f} +- {item.difference_se:.1f}" for item in found.noises]
    levels = found.criticism.levels
    worst = float(np.max(np.abs(levels.share - levels.points)))
    fine = "uniform within the band" if levels.inside else "not uniform"
    lines += ["", f"levels of the runs: {fine} (largest departure {worst:.2f})"]
    for item in found.criticism.patterns:
        lines.append(f"  {item.kind} along {item.along}: {item.size:+.2f} (probability {item.probability:.2g})")
    if found.criticism.unexplained:
        lines += ["", "runs that the law hardly explains"]
        lines += [
            f"  line {run.line}: measured {run.measured:.4g}, expected {run.expected:.4g}, probability {run.probability:.1e}"
            for run in found.criticism.unexplained[:_SHOWN]
        ]
    return "\n".join(lines)


def _left_text(item: Left) -> str:
    name, shift = item.largest
    count = f" ({item.runs} runs)" if item.runs > 1 else ""
    how = "" if item.exact or not item.pareto_k > 0.7 else f" (uncertain: Pareto k {item.pareto_k:.2f})"
    return f"{item.name}{count}: {name} by {shift:+.2f}, width {item.widening[name]:.2f} of what it was{how}"


def calibration_text(found: Calibration) -> str:
    """Return the quantities of a calibration with their departures from uniform ranks, and the verdict."""
    converged, refused = found.ranks["converged"].values, found.ranks.attrs["refused"]
    aside = f"; {refused} others, with impossible outputs, set aside" if refused else ""
    lines = [
        f"{found.law}, {found.noise} noise: {found.converged} of {len(converged)} fits to {found.ranks.attrs['runs']} simulated runs "
        f"converged{aside}",
    ]
    if not found.enough:
        return f"{lines[0]}\nNOT ENOUGH OF THEM CONVERGED for ranks to say anything (at least {FEWEST}): more runs in each may help"
    lines.append(f"  {'':32}{'mean rank':>10}{'departure':>11}{'probability':>13}   (of ranks 0 to {RANKED}; uniform if all is well)")
    for name, item in found.levels.items():
        departure = float(np.max(np.abs(item.share - item.points)))
        mean = float(found.ranks[name].values[converged].mean())
        lines.append(
            f"  {name:32}{mean:>10.1f}{departure:>11.3f}{item.probability:>13.3f}   {'' if item.inside else OF_RANKS[item.shape]}".rstrip()
        )
    verdict = "no departure from uniform ranks" if found.ok else "THE POSTERIORS ARE NOT CALIBRATED"
    lines.append(f"{verdict} (probability of the largest by chance, over all quantities: {found.probability:.3f})")
    return "\n".join(lines)
