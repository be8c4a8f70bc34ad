"""Laws, fits and plans written for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.comparison import ALIKE, Comparison
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law
from bayes_scaling.prediction import FAR
from bayes_scaling.records import law_record
from bayes_scaling.units import compute_text, count_text, quantity_text

if TYPE_CHECKING:
    import xarray

_SHOWN = 8  # surprising runs that are listed
_SURE = ((0.99, "almost certainly"), (0.95, "very probably"), (0.8, "probably"))  # least probability, and how it is said


def law_text(law: Law) -> str:
    """Return a law's formula, inputs, priors and published parameter sets."""
    found = law_record(law)
    lines = [
        f"{law.name}: {law.title}",
        f"  {law.equation}",
        f"  source: {law.citation}",
        f"  use for: {law.use}",
        f"  not for: {law.avoid}",
    ]
    lines.append(
        "inputs" + (f" (any one of {', '.join(found['any_one_of'])}; priors below are for the first)" if found["any_one_of"] else "")
    )
    lines += [f"  {name:14} {item['unit']:10} {item['meaning']}" for name, item in found["inputs"].items()]
    lines.append(f"output: {law.output}; noise: {found['noise']}")
    lines.append("parameters and priors")
    lines += [f"  {name:10} {item['prior']:36} {item['meaning']}" for name, item in found["parameters"].items()]
    if law.variants:
        lines.append("variants")
        lines += [f"  {item.name:26} {item.title}: {item.equation}" for item in law.variants.values()]
    if law.decision is not None:
        lines.append(f"decision: {law.decision.question}")
        for kind, items in (("given", law.decision.given), ("answer", law.decision.answers)):
            lines += [f"  {kind:7} {item.name:22} {item.unit:10} {item.meaning}{_default(law, item.name)}" for item in items]
        example = ",".join(f"{name}={value:g}" for name, value in law.decision.example.items())
        lines.append(f"  bayes-scaling decide FIT.nc --given {example}")
    lines.append("published" if found["published"] else "published: no parameter values")
    for name, item in found["published"].items():
        values = ", ".join(f"{key} {value:.6g}" for key, value in item["values"].items())
        lines.append(f"  {name:20} {values}\n  {'':20} {item['source']}{'; ' + item['note'] if item['note'] else ''}")
    return "\n".join(lines)


def _default(law: Law, name: str) -> str:
    assert law.decision is not None  # asked for laws with a decision
    return f" ({law.decision.optional[name]:g} unless told)" if name in law.decision.optional else ""


def decision_text(found: xarray.Dataset, law: Law) -> str:
    """Return a law's question and its answers: medians with 90 % intervals, or the values of a published set."""
    decision = law.decision
    assert decision is not None  # decide() has refused laws without
    drawn = found.sizes["chain"] * found.sizes["draw"] > 1
    lines = [f"{law.name}: {decision.question}{' (medians with 90 % intervals)' if drawn else ''}"]
    if not found.attrs["trustworthy"]:
        lines.append("DO NOT TRUST: the fit has serious problems (see the fit's diagnosis)")
    for i in range(found.sizes["case"]):
        case = found.isel(case=i)
        lines.append("given " + ", ".join(f"{item.name} {quantity_text(float(case['given_' + item.name]))}" for item in decision.given))
        for item in decision.answers:
            shown = _interval(case[item.name], quantity_text) if drawn else quantity_text(float(case[item.name].squeeze()))
            lines.append(f"  {item.name:24} {shown:36} {item.unit:12} {item.meaning}")
    return "\n".join(lines)


def fit_text(fit: Fit) -> str:
    """Return the parameters with intervals, the diagnostics, and what is and is not identified."""
    law, diagnosis = fit.law, fit.diagnosis
    lines = [f"{law.name}: {law.equation}", f"{len(fit.runs)} runs from {fit.runs.source}; noise: {fit.noise.name} ({fit.noise.meaning})"]
    lines += [f"note: {note}" for note in fit.runs.notes]
    lines += [
        "",
        f"{'':10}{'median':>11}{'5 %':>11}{'95 %':>11}{'sd':>10}{'R-hat':>8}{'ESS bulk':>10}{'ESS tail':>10}   posterior/prior width",
    ]
    for name, row in fit.summary().items():
        if name in law.latent_names:
            continue
        numbers = f"{row['median']:>11.4g}{row['q05']:>11.4g}{row['q95']:>11.4g}{row['sd']:>10.2g}"
        evidence = f"{row['rhat']:>8.3f}{row['ess_bulk']:>10.0f}{row['ess_tail']:>10.0f}"
        width = f"   {diagnosis.width[name]:.2f}" if name in diagnosis.width else ""
        lines.append(f"{name:10}{numbers}{evidence}{width}")
    lines += [f"{name:10}{value:>11.4g}   held fixed" for name, value in fit.fixed.items()]
    if law.latent_names:
        lines.append(f"and {law.latent_names[0]} to {law.latent_names[-1]}, deviates of what departs from the law")
    lines += ["", diagnosis_text(fit)]
    return "\n".join(lines)


def diagnosis_text(fit: Fit) -> str:
    """Return the verdict, each problem with its remedy, and the runs that disagree with the law."""
    d = fit.diagnosis
    verdict = "The posterior can be trusted" if d.ok else "DO NOT TRUST this posterior"
    lines = [
        f"{verdict}: R-hat at most {d.max_rhat:.3f}, ESS at least {d.min_ess:.0f}, {d.divergences} divergences, E-BFMI {d.ebfmi:.2f}; "
        f"{d.arrived} of {d.starts} optimiser starts agree"
        + ("." if d.explained is None else f"; the law explains {max(d.explained, 0):.1%} of the spread.")
    ]
    lines += [f"  {'problem' if problem.serious else 'note'}: {problem}" for problem in d.problems]
    if d.surprising:
        by_chance = 0.01 * len(fit.runs)
        lines.append(f"  {len(d.surprising)} runs disagree with the law (tail probability below 1 %; by chance about {by_chance:.1f}):")
        for run in d.surprising[:_SHOWN]:
            lines.append(
                f"    line {run.line}: measured {run.measured:.4g}, expected {run.expected:.4g}, probability {run.probability:.1e}"
            )
        if len(d.surprising) > _SHOWN:
            lines.append(f"    and {len(d.surprising) - _SHOWN} more")
    return "\n".join(lines)


def comparison_text(comparison: Comparison) -> str:
    """Return the table of a comparison, and what it says in words."""
    width = max(len(row.name) for row in comparison.rows)
    lines = [f"{'':{width}}  {'elpd':>9} {'(se)':>7}  {'to best':>9} {'(se)':>7}  {'P(best)':>7}  {'weight':>6}"]
    for row in comparison.rows:
        lines.append(
            f"{row.name:{width}}  {row.elpd:9.1f} {row.se:7.1f}  {row.difference:9.1f} {row.difference_se:7.1f}  {row.probability:7.2f}  "
            f"{row.weight:6.2f}{'' if row.converged else '  NOT CONVERGED'}"
        )
    best = max(comparison.rows, key=lambda row: row.probability)
    alike = [row.name for row in comparison.rows if row.difference > -ALIKE]
    sure = next((word for least, word in _SURE if best.probability >= least), None)
    if len(alike) > 1:
        lines.append(
            f"{', '.join(alike[:-1])} and {alike[-1]} forecast further runs of this kind about equally well: {comparison.runs} runs cannot "
            f"tell apart what differs by less than {ALIKE:g} nats (Sivula et al. 2020, arXiv 2008.10296)."
        )
    elif sure:
        lines.append(f"{best.name} {sure} forecasts further runs of this kind best (probability {best.probability:.2f}).")
    else:
        lines.append(f"{comparison.runs} runs do not say which forecasts best ({best.name}: probability {best.probability:.2f}).")
    for row in comparison.rows:
        if len(row.large_k) > len(row.bad):
            lines.append(f"  note: {row.name}: {len(row.large_k) - len(row.bad)} runs of large Pareto k were left out by fitting again")
        if row.bad:
            lines.append(
                f"  note: {row.name}: {len(row.bad)} runs (lines {_listed(row.bad)}) shape the fit so much that importance sampling cannot "
                "leave them out (Pareto k > 0.7); its elpd is too good or too bad by an unknown amount"
            )
        if not row.converged:
            lines.append(f"  problem: the fit of {row.name} did not converge (see its diagnosis): its place here cannot be trusted")
    return "\n".join(lines)


def holdout_text(comparison: Comparison) -> str:
    """Return the table of how well held-out runs were forecast, best log score first."""
    width = max(len(row.name) for row in comparison.rows)
    rows = sorted(((row.name, row.holdout) for row in comparison.rows if row.holdout), key=lambda row: -row[1].log_likelihood)
    lines = [
        f"{rows[0][1].runs} runs held out, forecast by the fits to the others (means over runs):",
        f"{'':{width}}  {'RMSLE':>7}  {'log score':>9} {'(se)':>6}  {'CRPS':>7} {'(se)':>8}  {'in 90 %':>7} {'(se)':>6}",
    ]
    for name, found in rows:
        lines.append(
            f"{name:{width}}  {found.rmsle:7.4f}  {found.log_likelihood:9.2f} {found.log_likelihood_se:6.2f}  {found.crps:7.4f} "
            f"{found.crps_se:8.4f}  {found.coverage90:7.2f} {found.coverage90_se:6.2f}"
        )
    return "\n".join(lines)


def _listed(lines: Sequence[int]) -> str:
    return ", ".join(map(str, lines[:_SHOWN])) + (" ..." if len(lines) > _SHOWN else "")


def _interval(values: Any, write: Any) -> str:
    low, middle, high = (write(float(value)) for value in np.quantile(np.asarray(values), [0.05, 0.5, 0.95], method="nearest"))
    return f"{middle} [{low}, {high}]"


def allocation_text(plan: xarray.Dataset) -> str:
    """Return each budget's optimum with 90 % intervals, the decision, and its regret."""
    lines = [f"{plan.attrs['law']}, {plan.attrs['noise']} noise; compute = {plan.attrs['cost']}; medians with 90 % intervals"]
    if not plan.attrs["trustworthy"]:
        lines.append("DO NOT TRUST: the fit has serious problems (see the fit's diagnosis)")
    chosen = f"held {plan.attrs['held']}" if plan.attrs["held"] else "decision"
    for i, budget in enumerate(np.asarray(plan["budget"])):
        one = plan.isel(budget=i)
        lines += [
            "",
            f"compute {compute_text(budget)}",
            f"  best params       {_interval(one['params'], count_text)}",
            f"  best tokens       {_interval(one['tokens'], count_text)}",
            f"  tokens per param  {_interval(one['tokens_per_param'], lambda v: f'{v:.3g}')}",
            f"  loss              {_interval(one['loss'], lambda v: f'{v:.4f}')} nat/token",
            f"  {chosen:17} {count_text(float(one['decision_params']))} params, "
            f"{count_text(float(one['decision_tokens']))} tokens: expected loss {float(one['expected_loss']):.4f}",
            f"  expected regret   {float(one['expected_regret_loss']):.2g} nat/token, as much as "
            f"{float(one['expected_regret_compute']) / budget:.2%} of the compute",
        ]
        beyond = float(one["decades_beyond"])
        if beyond > 0:
            far = "; beyond one decade no run has tested the law" if beyond > FAR else ""
            lines.append(f"  extrapolated      {beyond:.1f} decades beyond the runs{far}")
    return "\n".join(lines)


def target_text(plan: xarray.Dataset) -> str:
    """Return what each target needs, with 90 % intervals."""
    lines = [f"{plan.attrs['law']}, {plan.attrs['noise']} noise; medians with 90 % intervals"]
    if not plan.attrs["trustworthy"]:
        lines.append("DO NOT TRUST: the fit has serious problems (see the fit's diagnosis)")
    for i, target in enumerate(np.asarray(plan["target"])):
        one = plan.isel(target=i)
        lines += ["", f"loss {target:g} nat/token: reachable with probability {float(one['probability_reachable']):.3f}"]
        for name in ("compute", "params", "tokens"):
            if name in one:
                lines.append(f"  {'least ' + name:15} {_interval(one[name], compute_text if name == 'compute' else count_text)}")
        if "decision_compute" in one and np.isfinite(float(one["decision_compute"])):
            lines.append(
                f"  decision        {compute_text(float(one['decision_compute']))}: {count_text(float(one['decision_params']))} params, "
                f"{count_text(float(one['decision_tokens']))} tokens give this loss in expectation"
            )
    return "\n".join(lines)
