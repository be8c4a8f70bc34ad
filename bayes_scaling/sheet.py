"""What a paper must state about a fit, as Markdown: enough for another person to make the same fit from it and the data."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from bayes_scaling.comparison import leave_one_out
from bayes_scaling.criticism import OF_LEVELS, criticise
from bayes_scaling.errors import counted, lines_text
from bayes_scaling.fitted import KEPT_LOG_LIKELIHOODS, Fit
from bayes_scaling.hierarchy import TWO_STAGE
from bayes_scaling.refitting import asked, chosen_priors

_BEGIN = {"modes": "about the modes found", "prior": "at points of the prior"}


def sheet(fit: Fit) -> str:
    """Return the reporting sheet of a fit.

    Law and variables, how they were counted, runs used and left out, noise, priors, starts, sampler, diagnostics, posterior intervals,
    validation, versions, seed, and the command that makes the fit again.
    """
    parts = [_law(fit), _data(fit), _model(fit), _sampler(fit), _posterior(fit), _validation(fit), _again(fit)]
    title = f"# Fit of {fit.law.name} to {len(fit.runs)} runs\n"
    return "\n".join([title, *("\n".join(part) + "\n" for part in parts)])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _law(fit: Fit) -> list[str]:
    law = fit.law
    rows = [(item.name, item.unit, item.meaning) for item in law.inputs]
    origin = f"- law file: `{law.origin}`, sha256 {law.origin_hash}" if law.origin else ""
    return [
        "## Law",
        f"- form: `{law.equation}`",
        f"- source: {law.citation}",
        *([origin] if origin else []),
        f"- forecasts: {law.output}",
        "- variables, and what is counted:\n",
        *_table(("variable", "unit", "counted"), rows),
    ]


def _data(fit: Fit) -> list[str]:
    runs, data = fit.runs, fit.attributes["data"]
    spans = [(name, f"{values.min():.6g}", f"{values.max():.6g}") for name, values in runs.columns.items()]
    return [
        "## Runs",
        f"- source: {runs.source}",
        f"- used: {len(runs)} ({lines_text(len(runs), _spans(runs.lines))})",
        f"- sha256 of the values used: {data['hash']}",
        *(f"- {note}" for note in runs.notes),
        *([f"- groups: {', '.join(fit.groups)}"] if fit.groups else []),
        f"- columns not used: {', '.join(runs.ignored) or 'none'}\n",
        *_table(("column", "least", "largest"), spans),
    ]


def _spans(lines: np.ndarray) -> str:
    """Write whole numbers as ``2-7, 9``."""
    lines = np.sort(lines)
    parts = np.split(lines, np.flatnonzero(np.diff(lines) != 1) + 1)
    return ", ".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _model(fit: Fit) -> list[str]:
    attributes, chosen = fit.attributes, chosen_priors(fit)
    rows = []
    for item in (*fit.law.parameters, *fit.noise.parameters):
        prior = f"held at {fit.fixed[item.name]:.10g}" if item.name in fit.fixed else attributes["priors"][item.name]
        rows.append((item.name, f"`{prior}`", "chosen" if item.name in chosen or item.name in fit.fixed else "default", item.meaning))
    pooled = [f"- {name} over groups: {kind}" for name, kind in attributes["pool"].items()]
    return [
        "## Noise and priors",
        f"- noise: {fit.noise.name}: {fit.noise.meaning}; independent from run to run",
        *pooled,
        "",
        *_table(("parameter", "prior", "whose", "meaning"), rows),
    ]


def _sampler(fit: Fit) -> list[str]:
    attributes, diagnosis, sizes = fit.attributes, fit.diagnosis, fit.posterior.sizes
    versions = ", ".join(f"{name} {version}" for name, version in attributes["versions"].items())
    thinned = f", one in {attributes['thin']} kept" if attributes["thin"] > 1 else ""
    chains = f"{sizes['chain']} chains of {sizes['draw']} draws"
    if diagnosis.walker_rhat is not None:
        sampler = "ensemble of walkers: independence Metropolis through a fitted mixture of Student-t, and differential evolution, both in "
        sampler += f"coordinates straightened by a fitted triangular map; {chains}{thinned}; attempts: {attributes['attempts']}"
    elif diagnosis.pareto_k is None:
        sampler = f"no-U-turn sampler; {chains} after {attributes['warmup']} of warm-up{thinned}; "
        sampler += f"target acceptance {attributes['target_acceptance']:g}; attempts: {attributes['attempts']}"
    else:
        sampler = f"independence chains through a proposal fitted by adaptive importance sampling; {chains}{thinned}"
    if attributes["method"] == TWO_STAGE:
        sampler = f"draws of each group's own fit, picked by their weight about centres and spreads (two-stage); of these: {sampler}"
    begin = _BEGIN[attributes.get("starts", "modes")]
    return [
        "## Sampler and diagnostics",
        f"- {sampler}",
        f"- starts: {diagnosis.starts} optimiser starts, {diagnosis.arrived} at the best mode; chains begin {begin}",
        f"- seed {attributes['seed']}, {attributes['precision']} bits, {attributes['device']}; {attributes['created_by']}; {versions}",
        f"- largest R-hat {diagnosis.max_rhat:.4f}, least ESS {diagnosis.min_ess_bulk:.0f} (bulk) and {diagnosis.min_ess_tail:.0f} (tail), "
        f"{diagnosis.evidence}",
        f"- verdict: {'can be trusted' if diagnosis.ok else 'NOT TO BE TRUSTED'}",
        *(f"- {'problem' if problem.serious else 'note'}: {problem}" for problem in diagnosis.problems),
    ]


def _posterior(fit: Fit) -> list[str]:
    rows = [
        (name, *(f"{row[key]:.6g}" for key in ("median", "q05", "q95", "sd")), f"{row['rhat']:.4f}", f"{row['ess_bulk']:.0f}")
        for name, row in fit.summary().items()
        if name not in fit.law.latent_names
    ]
    return ["## Posterior", "Intervals are central 90 %.\n", *_table(("parameter", "median", "5 %", "95 %", "sd", "R-hat", "ESS"), rows)]


def _validation(fit: Fit) -> list[str]:
    sizes = fit.posterior.sizes
    lines = ["## Validation"]
    if sizes["chain"] * sizes["draw"] * len(fit.runs) <= KEPT_LOG_LIKELIHOODS:
        found = leave_one_out(fit)
        lines.append(
            f"- leave-one-out log score {found.elpd:.2f} (se {found.se:.2f}) nats over all runs, p_loo {found.effective_parameters:.1f}, "
            f"Pareto k above 0.7: {counted(len(found.large_k), 'run')}"
            f"{f' ({lines_text(len(found.large_k), _spans(np.array(found.large_k)))})' if found.large_k else ''}"
        )
    if not fit.groups:
        criticism = criticise(fit)
        departure = "uniform" if criticism.levels.inside else f"not uniform: {OF_LEVELS[criticism.levels.shape]}"
        lines.append(f"- levels of the runs: {departure}")
        lines += [f"- {pattern}" for pattern in criticism.found]
    surprising = fit.diagnosis.surprising
    lines += [f"- runs hardly explained: {', '.join(f'line {run.line}' for run in surprising) or 'none'}"]
    return lines


def _again(fit: Fit) -> list[str]:
    reading = fit.runs.reading
    if not reading:
        return ["## The same fit", "The runs were not read from a file, or not whole: make the fit in Python from the values above."]
    command = " ".join(shlex.quote(word) for word in command_of(fit))
    return ["## The same fit", "Draw for draw, with these versions on a machine of this kind:", f"```\n{command}\n```"]


def command_of(fit: Fit) -> list[str]:
    """Return the words of the command that makes a fit again, for one of runs that were read from a file or data set."""
    reading, options = fit.runs.reading, asked(fit)
    words = ["bayes-scaling", "fit", str(reading["source"]), "--law", fit.law.origin or fit.law.name, "--noise", fit.noise.name]
    columns = dict(reading["map"])
    group = columns.pop("group", "")
    for name, value in columns.items():
        words += ["--map", f"{name}={value}"]
    for name, value in reading["units"].items():
        words += ["--units", f"{name}={value}"]
    words += ["--where", reading["where"]] if reading["where"] else []
    words += [word for name, kind in (reading.get("curve") or {}).items() for word in ("--curve", f"{name}={kind}")]
    for name in ("join", "on"):
        words += [f"--{name}", reading[name]] if reading.get(name) else []
    words += [f"--{name.replace('_', '-')}" for name in ("drop_invalid", "drop_duplicates") if reading[name]]
    words += ["--input", options["input"]] if options["input"] else []
    for name, value in options["fix"].items():
        words += ["--fix", f"{name}={value!r}"]
    for name in options["priors"]:
        words += ["--prior", f"{name}={fit.attributes['priors'][name]}"]
    if fit.groups:
        words += ["--group", group or "group"]
        words += [word for name, kind in options["pool"].items() for word in ("--pool", f"{name}={kind}")]
    for name in ("chains", "draws", "warmup", "seed", "precision", "method", "starts"):
        if options[name] is not None:
            words += [f"--{name}", str(options[name])]
    return [*words, "--out", f"{Path(fit.law.name.replace(':', '_')).name}.nc"]
