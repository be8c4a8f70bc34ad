"""Every law: re-fitted on the real runs behind it, or on simulated ones where none are public, against the published values.

python benchmarks/laws.py SHARED_DATA [--law NAME ...] [--figures FOLDER]

Prints one table; with --figures also draws each law's published sets and the residuals of its re-fit, one figure a family.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
from refits import Refit, all_refits, draws_of

import bayes_scaling as bs
from bayes_scaling.calibration import inputs_within
from bayes_scaling.law import Law, Parameter, Published
from bayes_scaling.noise import noise_of
from bayes_scaling.quantities import quantity
from bayes_scaling.units import quantity_text

#: Families, as the gallery shows them.
FAMILIES = {
    "curves": ("power_law", "power_law_floor", "saturating_power_law", "m4", "bnsl", "hestness", "zhai"),
    "kaplan": ("kaplan_n", "kaplan_d", "kaplan_c", "kaplan_nd", "kaplan_ns", "henighan"),
    "compute_optimal": ("chinchilla", "isoflop", "frontier", "kaplan_chinchilla"),
    "beyond": ("overtraining", "overtraining_error", "data_constrained", "inference_aware", "data_filtering"),
    "translation": ("ghorbani", "gordon", "bansal"),
    "sparsity": ("moe_routed", "moe_granularity", "moe_sparsity", "weight_sparsity"),
    "test_time": ("coverage", "pass_at_k", "jones", "test_time_log_linear"),
    "transfer": ("transfer", "finetune_rectified"),
    "precision": ("precision", "post_training_quantization", "parallel_scaling", "vocabulary"),
    "downstream": ("task_ladder", "bounded_metric", "emergence", "densing"),
}
SIMULATION = "simulation only"
SIMULATED_RUNS = 80
#: Where runs would say nothing of a parameter. Curves with breaks that show and a last slope that shows the floor: at the medians of the
#: priors two slopes are nearly one, and nothing could be said about the break. A ceiling that is reached.
SIMULATED_FROM = {
    "bnsl:2": {"a": 0.5, "b": 60.0, "c0": 0.2, "c1": -0.15, "d1": 3e7, "f1": 0.3, "c2": 0.4, "d2": 3e9, "f2": 0.3},
    "bnsl:3": {
        **{"a": 0.5, "b": 4.0, "c0": 0.02, "c1": 0.3, "d1": 3e7, "f1": 0.3, "c2": -0.25, "d2": 1e9, "f2": 0.3},
        **{"c3": 0.4, "d3": 3e10, "f3": 0.3},
    },
    "test_time_log_linear:clipped": {"a": 0.05, "b": 0.14, "ceiling": 0.6},
}


def simulated(law: Law, seed: int = 0) -> tuple[bs.Runs, dict[str, float]]:
    """Return runs simulated from a law over its domain, and the parameters: its first published set, or the medians of its priors."""
    if law.name in SIMULATED_FROM:
        values = SIMULATED_FROM[law.name]
    else:
        values = next(iter(law.published.values())).values if law.published else law.complete(_prior_medians(law.parameters))
    noise = noise_of(law)
    values = {**values, **_prior_medians(noise.parameters)}
    columns = inputs_within(law, 20 * SIMULATED_RUNS, seed)
    if "trials" in noise.needs:
        columns["trials"] = np.full(20 * SIMULATED_RUNS, 10_000.0)
    with jax.enable_x64(True):
        whole = {**values, **law.complete(law.sampled(values))}  # a law's own noise may ask for any parameter
        scatter = noise.distribution(law.predict(columns, values), whole, columns)
        measured = np.asarray(scatter.sample(jax.random.PRNGKey(seed)))
    # A law may leave the range of its output at the edges of its domain (an error above 1): no run can be there.
    kept = np.flatnonzero(quantity(law.output).admits(measured) & ~np.isin(measured, noise.excludes))[:SIMULATED_RUNS]
    columns = {name: array[kept] for name, array in {**columns, law.output: measured}.items()}
    needed = {name: columns[name] for name in noise.columns(law)}
    return bs.runs_from_columns(needed, "simulation"), {name: float(value) for name, value in values.items()}


def _prior_medians(parameters: tuple[Parameter, ...]) -> dict[str, float]:
    draws = {item.name: item.prior.sample(jax.random.PRNGKey(0), (4001,)) for item in parameters}
    return {name: float(np.median(values)) for name, values in draws.items()}


def fits_of(law: Law, refits: list[Refit], folder: Path) -> Iterator[tuple[str, bs.Fit, list[tuple[str, float | None]], dict[str, float]]]:
    """Yield (data, fit, compared parameters, what its question is asked with) of a law: each re-fit, or one on simulated runs."""
    own = [refit for refit in refits if refit.law == law.name]
    for refit in own:
        fit = refit.fit(folder)
        compared: list[tuple[str, float | None]] = [(item.parameter, item.published) for item in refit.compare]
        if not compared and not fit.groups:
            compared += [(str(name), None) for name in fit.posterior if name not in fit.noise.parameter_names][:4]
        yield refit.shown, fit, compared, dict(refit.given)
    if not own:
        runs, truth = simulated(law)
        draws = 500 if law.name.startswith("bnsl") else 1000  # each transition of several breaks is long
        fit = bs.fit(law, runs, input=law.input_names[0] if law.alternatives else None, draws=draws)
        compared = [(name, value) for name, value in truth.items() if name in fit.posterior]
        yield SIMULATION, fit, compared, dict(law.decision.example) if law.decision else {}


def row(data: str, fit: bs.Fit, compared: list[tuple[str, float | None]], given: dict[str, float]) -> str:
    d = fit.diagnosis
    lines = [
        f"{fit.law.name:28}{data:44}{len(fit.runs):>6} runs   R-hat {d.max_rhat:.3f}  ESS {d.min_ess:>5.0f}  divergences {d.divergences}  "
        f"{'trusted' if d.ok else 'NOT TRUSTED'}"
    ]
    kind = "simulated" if data == SIMULATION else "published"
    for name, value in compared:
        draws = draws_of(fit, name)
        low, high = np.quantile(draws, [0.05, 0.95])
        shown = f"{'':>22}" if value is None else f"{kind} {quantity_text(value):>12}"
        lines.append(f"    {name:28} {shown}   posterior {quantity_text(float(np.median(draws)))} "
                     f"[{quantity_text(float(low))}, {quantity_text(float(high))}]")  # fmt: skip
    lines += [f"    {'problem' if problem.serious else 'note'}: {problem}" for problem in d.problems if problem.serious]
    if given and fit.law.decision is not None and not fit.groups:
        found = bs.decide(fit, given)
        asked = ", ".join(f"{name} {quantity_text(value)}" for name, value in given.items())
        lines.append(f"    {fit.law.decision.question} given {asked}:")
        for item in fit.law.decision.answers:
            low, middle, high = np.quantile(found[item.name], [0.05, 0.5, 0.95], method="nearest")
            answer = f"{quantity_text(float(middle))} [{quantity_text(float(low))}, {quantity_text(float(high))}] {item.unit}"
            lines.append(f"      {item.name:26} {answer}")
    return "\n".join(lines)


def _medians(fit: bs.Fit) -> dict[str, Published]:
    """Return the posterior medians of a fit, or of each of its groups, as what is published is drawn."""
    parts = {group: fit.select(group) for group in fit.groups} or {"posterior median": fit}
    return {
        name: Published({key: float(np.median(values)) for key, values in part.parameters().items()}, "") for name, part in parts.items()
    }


def draw(family: str, fits: list[bs.Fit], folder: Path) -> Path:
    """Draw published sets, or the curve where there is one input, and residuals: a row a fit."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(fits), 2, figsize=(13, 3.6 * len(fits)), squeeze=False, layout="constrained")
    shown = set()
    for (left, right), fit in zip(axes, fits, strict=True):
        if len(fit.law.input_names) == 1:
            bs.plot.curve(fit, ax=left)
        elif fit.law.published and fit.law.name not in shown:  # once a law, however many re-fits it has
            bs.plot.published(fit.law, ax=left)
        else:
            bs.plot.published(replace(fit.law, published=_medians(fit)), ax=left)
        shown.add(fit.law.name)
        bs.plot.residuals(fit, ax=right)
        left.set_title(textwrap.fill(f"{fit.law.name}: {fit.law.equation}", 80), fontsize=9, loc="left")
        mark = right.get_title(loc="left")  # of a fit that is not to be trusted
        right.set_title(
            "; ".join(part for part in (f"{len(fit.runs)} runs, {Path(fit.runs.source).name}", mark) if part), fontsize=9, loc="left"
        )
    path = folder / f"laws_{family}.png"
    figure.savefig(path)
    plt.close(figure)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, metavar="SHARED_DATA")
    parser.add_argument("--law", action="append", default=[], metavar="NAME")
    parser.add_argument("--figures", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    missing = set(bs.law_names()) - {name for names in FAMILIES.values() for name in names}
    assert not missing, f"laws without a family: {missing}"
    refits = all_refits()
    for family, names in FAMILIES.items():
        fits = []
        for name in names:
            if options.law and name not in options.law:
                continue
            law = bs.get_law(name)
            for variant in (law, *law.variants.values()):
                for data, fit, compared, given in fits_of(variant, refits, options.data):
                    print(row(data, fit, compared, given), flush=True)
                    fits.append(fit)
        if fits and options.figures:
            options.figures.mkdir(parents=True, exist_ok=True)
            print(draw(family, fits, options.figures).name)


if __name__ == "__main__":
    main()
