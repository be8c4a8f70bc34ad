"""Answers and diagnostics as sentences, with as many digits as they deserve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.decision import beyond_text
from bayes_scaling.diagnose import UNEXPLAINED
from bayes_scaling.engine import convergence
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law
from bayes_scaling.prediction import FAR
from bayes_scaling.quantities import quantity
from bayes_scaling.units import compute_text, count_text, quantity_text

if TYPE_CHECKING:
    import xarray

_UNITS = {"loss": "nat/token", "task_loss": "bit/byte"}


def span_text(median: float, low: float, high: float) -> tuple[str, str, str]:
    """Write a median and the ends of its interval with two digits of the interval's width; counts with three digits."""
    if not all(map(math.isfinite, (median, low, high))):
        return quantity_text(median), quantity_text(low), quantity_text(high)
    if max(abs(median), abs(high)) >= 1e4:
        return count_text(median), count_text(low), count_text(high)
    width = high - low
    decimals = 3 if width <= 0 else max(1 - math.floor(math.log10(width)), 0)
    if 0 < low < 0.5 * 10**-decimals:  # a skewed one reaches near zero, but not to it
        decimals = -math.floor(math.log10(low))
    if decimals > 6:
        return number_text(median), number_text(low), number_text(high)
    return f"{median:.{decimals}f}", f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def interval(record: Mapping[str, float]) -> str:
    """Write a record of median, q05 and q95 as ``72.2B (60.1B to 86.0B)``."""
    median, low, high = span_text(record["median"], record["q05"], record["q95"])
    return f"{median} ({low} to {high})"


def unit_of(output: str) -> str:
    """Return the unit of an output with a space before it, or nothing."""
    return f" {_UNITS[output]}" if output in _UNITS else ""


def allocation_words(row: Mapping[str, Any], output: str) -> list[str]:
    """Return what a record of an allocation says: what to train, how sure that is, what it costs to be wrong, how far it reaches."""
    decision, budget, unit = row["decision"], row["compute"], unit_of(output)
    further = "".join(f", {name.replace('_', ' ')} {quantity_text(decision[name])}" for name in row["chosen"])
    expected = row["predictive"]["expected"]
    loss = span_text(decision["expected_loss"], expected["q05"], expected["q95"])
    low, high = (count_text(row["params"][key]) for key in ("q05", "q95"))
    few, many = (count_text(row["tokens"][key]) for key in ("q05", "q95"))
    ratio = decision["tokens"] / decision["params"]
    said = [
        f"With {compute_text(budget)}, train {count_text(decision['params'])} params on {count_text(decision['tokens'])} tokens"
        f"{further}: {ratio:.3g} tokens a param. Expect a {output.replace('_', ' ')} of {loss[0]}{unit} ({loss[1]} to {loss[2]}).",
        f"If the law holds, the best size lies between {low} and {high} params, and the best data between {few} and {many} tokens, each "
        "with 90 % probability.",
    ]
    wasted = decision["expected_regret_compute"] / budget
    band = row["band"]
    within = ""
    if math.isfinite(band["params_low"]) and band["params_high"] > band["params_low"]:
        within = (
            f" Any size from {count_text(band['params_low'])} to {count_text(band['params_high'])} does about as well: it wastes no more "
            f"than {100 * band['share']:.2g} % of the compute."
        )
    said.append(f"Not knowing the law better is expected to cost {share_text(wasted)} of the compute.{within}")
    if row["training_budget"]:
        said.append(f"Serving it comes to {compute_text(row['spending']['serving'])} beside this budget.")
    reach = row["decades_beyond"]
    if reach > 0:
        far = ", further than any run has tested the law" if reach > FAR else ""
        each = row["decades_beyond_each"]
        name = next((name for name, value in each.items() if value == reach), "")
        what = {"": "An input of it lies", "compute": "Its compute lies"}.get(name, f"Its {name} lie")
        said.append(f"{what} {10**reach:.2g} times beyond the runs{far}: intervals hold if the law goes on as it is.")
    else:
        said.append("This lies among the runs: nothing is extrapolated.")
    return said


def share_text(share: float) -> str:
    """Write a share as a percentage of two digits, or say that it is below 0.01 %."""
    if share < 1e-4:
        return "less than 0.01 %"
    percent = 100 * share
    return f"{percent:.{max(0, 1 - math.floor(math.log10(percent)))}f} %"


def decision_words(found: xarray.Dataset, law: Law) -> list[tuple[str, list[str]]]:
    """Return what `bayes_scaling.decide` found: for each case what was given, and a sentence an answer."""
    decision = law.decision
    assert decision is not None  # decide() has refused laws without
    cases = []
    for place in range(found.sizes["case"]):
        case = found.isel(case=place)
        given = ", ".join(
            f"{item.name.replace('_', ' ')} {(compute_text if item.unit == 'FLOP' else quantity_text)(float(case['given_' + item.name]))}"
            for item in decision.given
        )
        said = []
        for item in decision.answers:
            low, median, high = np.quantile(np.asarray(case[item.name]), [0.05, 0.5, 0.95], method="nearest")
            unit = f" {item.unit}" if item.unit not in ("", "count", "FLOP", "fraction") else ""
            values = (float(median), float(low), float(high))
            shown = tuple(map(compute_text, values)) if item.unit == "FLOP" else span_text(*values)
            reach = beyond_text(case[item.name], place)
            said.append(f"{item.meaning[0].upper()}{item.meaning[1:]}: {shown[0]}{unit} ({shown[1]} to {shown[2]}){reach}.")
        cases.append((given, said))
    return cases


def trust_words(fit: Fit) -> str:
    """Return in one sentence whether the posterior can be trusted, and why."""
    d = fit.diagnosis
    if d.ok:
        return "This posterior can be trusted as a posterior of this law: its chains agree, and the runs determine what it says."
    return f"Do not trust these numbers. {sentence(next(str(problem) for problem in d.problems if problem.serious))}"


def sentence(said: str) -> str:
    """Return a message as a sentence: with a capital letter and a full stop."""
    return f"{said[0].upper()}{said[1:].rstrip('.')}."


def diagnosis_words(fit: Fit) -> list[tuple[str, str]]:
    """Return what was examined about a fit in sentences that need no knowledge of samplers, each with how it went.

    That is ``ok``, ``no``, or nothing for what is only worth knowing.
    """
    d, chains = fit.diagnosis, fit.posterior.sizes["chain"]
    agree, enough = bool(d.max_rhat < convergence.MAX_RHAT), bool(d.min_ess > convergence.MIN_ESS)
    tests = [
        (
            "rhat",
            agree,
            f"{chains} independent chains {'agree' if agree else 'DISAGREE'}: the largest R-hat is {d.max_rhat:.3f} (1 is perfect; below "
            f"{convergence.MAX_RHAT:g} is asked for).",
        ),
        ("ess", enough, f"The draws are worth at least {d.min_ess:.0f} independent ones (more than {convergence.MIN_ESS} are asked for)."),
        (
            "divergences",
            d.divergences == 0,
            f"{d.divergences or 'No'} transitions diverged{'' if d.divergences else ': no corner was missed'}.",
        ),
        (
            "modes",
            d.arrived == d.starts or d.converged,
            f"{d.arrived} of {d.starts} searches from random starts ended at the same best fit.",
        ),
    ]
    if d.explained is not None:
        tests.append(("", d.explained > UNEXPLAINED, f"The law explains {max(d.explained, 0):.1%} of the spread of the runs."))
    if d.surprising:
        by_chance = 0.01 * len(fit.runs)
        lines = ", ".join(str(run.line) for run in d.surprising[:8]) + (" ..." if len(d.surprising) > 8 else "")
        one = len(d.surprising) == 1
        many = len(d.surprising) > 3 * by_chance + 1
        said = f"{len(d.surprising)} run{' disagrees' if one else 's disagree'} with the law (line{'' if one else 's'} {lines})"
        tests.append(("", not many, f"{said}; by chance about {by_chance:.1f} would."))
    else:
        tests.append(("", True, "No run disagrees with the law."))
    notes = [("no" if problem.serious else "", sentence(str(problem))) for problem in d.problems]
    told = {problem.kind for problem in d.problems}  # a problem says it better than the failed test
    return [*(("ok" if good else "no", said) for kind, good, said in tests if good or kind not in told), *notes]


def published_words(fit: Fit, name: str, value: float) -> str:
    """Say where a published value lies in the posterior; distances of what is positive are of logarithms, as of decades."""
    draws = np.asarray(fit.parameters()[name])
    below = float(np.mean(draws < value))
    if 0.05 <= below <= 0.95:
        return "inside"
    if value > 0 and draws.min() > 0:
        draws, value = np.log(draws), np.log(value)
    distance = abs(value - draws.mean()) / draws.std()
    side = "above" if below > 0.5 else "below"
    return f"{side}, {distance:.1f} sd" if distance < 100 else f"far {side}"


def number_text(value: float) -> str:
    """Write a parameter's value with four digits."""
    return quantity_text(value) if quantity("params").admits(np.asarray(value)) and value >= 1e6 else f"{value:.4g}".replace("e+", "e")
