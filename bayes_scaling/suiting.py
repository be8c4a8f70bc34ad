"""Runs as a law and its noise take them: which column is its input, what it has a value for, and what it cannot be fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayes_scaling.errors import InputError, close_to, listed, option_text
from bayes_scaling.law import Law
from bayes_scaling.noise import Noise, get_noise, noise_names
from bayes_scaling.quantities import QUANTITIES, quantity
from bayes_scaling.runs import Runs
from bayes_scaling.trajectories import CURVE


def choose_input(law: Law, runs: Runs, wanted: str | None) -> Law:
    """Return the law as a function of the input that is wanted, or of the only one that the runs have."""
    if wanted is not None:
        law = law.with_input(wanted)
    elif law.alternatives:
        axes = (law.input_names[0], *law.alternatives)
        present = [name for name in axes if name in runs.columns]
        if len(present) > 1:
            choice = option_text(input=present[0])
            raise InputError(
                f"law '{law.name}' takes one of {', '.join(axes)}, and the runs have {', '.join(present)}: choose with {choice}"
            )
        if not present:
            known, slips = ", ".join(axes), runs.slips(axes)
            has = f"{slips} {runs.source}" if slips else runs.source
            has += f" has columns {', '.join(runs.ignored)}"
            raise InputError(f"law '{law.name}' needs one of {known}; {has}: use {option_text(map=None)}")
        law = law.with_input(present[0])
    return law


def usable_runs(law: Law, noise: Noise, runs: Runs) -> Runs:
    """Return runs as a law takes them: rates of counts, and inputs that it has a value for where a table has none, with a note.

    Raises
    ------
    InputError
        If an input that only questions vary has another value in the runs, the noise gives no density to a measured value, or knows nothing
        of what ties rows together.
    """
    columns, notes = dict(runs.columns), list(runs.notes)
    taken = [*law.input_names, law.output, *noise.needs]
    for name in runs.reading.get("map", ()):
        if name not in (*QUANTITIES, "group", *taken, *law.alternatives):
            how = f"'{name}', which {option_text(map=None)} names, is nothing that law '{law.name}' takes{close_to(name, taken)}"
            notes += [how] if how not in notes else []
    if CURVE in columns and not noise.within:
        one = option_text(curve={"COLUMN": "last"})
        raise InputError(
            f"{runs.source}: all points of training curves err together, and {noise.name} noise takes rows as independent: intervals would "
            f"be far too narrow. Use {option_text(noise='correlated')}, or take one point of each run ({one})"
        )
    if noise.within and CURVE not in columns:
        how = option_text(curve={"COLUMN": "all"})
        raise InputError(f"{noise.name} noise is for all points of training curves, and {runs.source} has none: {how} takes them")
    if law.output not in columns and quantity(law.output).is_fraction and {"successes", "trials"} <= set(columns):
        rate = columns["successes"] / columns["trials"]
        columns[law.output] = 1 - rate if law.output == "error" else rate
        notes.append(f"{law.output} taken as {'1 - ' if law.output == 'error' else ''}successes / trials")
        runs = replace(runs, columns=columns)
    # A share that counts were to give is asked for as the counts.
    of_counts = noise.of_counts and law.output not in (*columns, *runs.unusable)
    output = "successes" if of_counts else law.output
    _require_counts(law, noise, runs)
    runs.require([*(item.name for item in law.inputs if item.default is None), output, *noise.needs])
    for row in np.flatnonzero(np.isin(runs[law.output], noise.excludes)):
        family = option_text(noise="beta-binomial")
        counts = f" If it is a count among test items, give their number as column trials and use {family}."
        raise InputError(
            f"{runs.source}: line {runs.lines[row]}: {noise.name} noise cannot describe {law.output} = {runs[law.output][row]:g}."
            f"{counts if quantity(law.output).is_fraction else ''}"
        )
    for item in law.inputs:
        if item.default is None:
            continue
        if item.name not in columns:
            columns[item.name] = np.full(len(runs), item.default)
            if not item.asked_only:
                notes.append(f"no column of {item.name}: taken as {item.default:g} in every run")
        elif item.asked_only and np.any(columns[item.name] != item.default):
            row = int(np.flatnonzero(columns[item.name] != item.default)[0])
            raise InputError(
                f"{runs.source}: line {runs.lines[row]}: {item.name} = {columns[item.name][row]:g}, but law '{law.name}' is fitted to "
                f"measurements at {item.name} = {item.default:g} only ({item.meaning})"
            )
    if noise.of_counts and "trials" in columns and "successes" not in columns:
        notes += _broken_counts(runs, law.output)
    return replace(runs, columns=columns, notes=tuple(notes))


def _require_counts(law: Law, noise: Noise, runs: Runs) -> None:
    """Raise InputError where noise of counts has none, and a share without them could be fitted."""
    known = {*runs.columns, *runs.unusable}
    neither = law.output not in known and not noise.spread and not {"successes", "trials"} & known
    untold = law.output in runs.columns and "trials" not in known
    if not noise.of_counts or not (neither or untold):
        return
    free = [name for name in noise_names(law.output) if not get_noise(name, law.output).of_counts]
    if not free:
        return
    family = min(free, key=lambda name: not name.startswith("logit"))  # which stays within 0 and 1
    unknown = f"columns not recognised: {listed(runs.ignored, 20) or 'none'}"
    if neither:
        counts = option_text(map={"successes": "COLUMN", "trials": "COLUMN"})
        raise InputError(
            f"{runs.source} has neither counts nor a column for '{law.output}'; {unknown} (name counts with {counts}, or a measured "
            f"{law.output} with {option_text(map={law.output: 'COLUMN'})} and {option_text(noise=family)})"
        )
    raise InputError(
        f"{runs.source} has no column for 'trials', of how many items each {law.output} is; {unknown} (name one with "
        f"{option_text(map={'trials': 'COLUMN'})}, or take noise that is not of counts: {option_text(noise=family)})"
    )


def _broken_counts(runs: Runs, rate: str) -> list[str]:
    """Return a note where rates of so many trials are of no whole number of successes, even if three digits were written."""
    counts = runs[rate] * runs["trials"]
    odd = np.flatnonzero(np.abs(counts - np.round(counts)) > 0.01 + 0.0005 * runs["trials"])
    if not len(odd):
        return []
    one = f"line {runs.lines[odd[0]]}: {rate} {runs[rate][odd[0]]:g} of {runs['trials'][odd[0]]:g} is {counts[odd[0]]:.4g}"
    rows = "row has" if len(odd) == 1 else "rows have"
    return [f"{len(odd)} {rows} no whole number of successes ({one}), as a mean over several tries has, which knows more: taken as it is"]
