"""Laws, fits and comparisons written for people."""

from __future__ import annotations

from collections.abc import Sequence

from bayes_scaling.comparison import ALIKE, Comparison
from bayes_scaling.errors import counted, lines_text, listed
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law
from bayes_scaling.records import law_record
from bayes_scaling.units import tidy

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
    lines += [f"  {name:10} {item['prior']:36} {tidy(item['meaning'])}" for name, item in found["parameters"].items()]
    if law.variants:
        lines.append("variants")
        lines += [f"  {item.name:26} {item.title}: {item.equation}" for item in law.variants.values()]
    if law.decision is not None:
        lines.append(f"decision: {law.decision.question}")
        for kind, items in (("given", law.decision.given), ("answer", law.decision.answers)):
            lines += [f"  {kind:7} {item.name:22} {item.unit:10} {item.meaning}{_default(law, item.name)}" for item in items]
        example = ",".join(f"{name}={value:g}" for name, value in law.decision.example.items())
        lines.append(f"  bayes-scaling decide FIT.nc --given {example}")
    if law.sharing is not None:
        by = law.sharing
        lines.append(f"plan: {' and '.join(by.inputs)} that share {by.budget.name}, {by.budget.meaning}")
        told = [item for item in law.inputs if item.name not in by.inputs]
        needed = ",".join(f"{item.name}=..." for item in (*told, *by.given) if item.name not in by.optional)
        lines.append(
            f"  bayes-scaling allocate FIT.nc --budget ...{f' --given {needed}' if needed else ''}     # {by.budget.name} = {by.text}"
        )
    lines.append("published" if found["published"] else "published: no parameter values")
    for name, item in found["published"].items():
        values = ", ".join(f"{key} {value:.6g}" for key, value in item["values"].items())
        lines.append(f"  {name:20} {values}\n  {'':20} {item['source']}{'; ' + item['note'] if item['note'] else ''}")
    return "\n".join(lines)


def _default(law: Law, name: str) -> str:
    assert law.decision is not None  # asked for laws with a decision
    return f" ({law.decision.optional[name]:g} unless told)" if name in law.decision.optional else ""


def fit_text(fit: Fit) -> str:
    """Return the parameters with intervals, the diagnostics, and what is and is not identified."""
    law, diagnosis = fit.law, fit.diagnosis
    lines = [f"{law.name}: {law.equation}", f"{len(fit.runs)} runs from {fit.runs.source}; noise: {fit.noise.name} ({fit.noise.meaning})"]
    lines.append(_sampler_text(fit))
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


def _sampler_text(fit: Fit) -> str:
    told, drawn = fit.attributes, next(iter(fit.sites.values())).shape
    return f"{drawn[0]} chains x {drawn[1]} draws by {told['method']}, {told['precision']} bits, on {told['device']}"


def diagnosis_text(fit: Fit) -> str:
    """Return the verdict, each problem with its remedy, and the runs that disagree with the law."""
    d = fit.diagnosis
    verdict = "The posterior can be trusted" if d.ok else "DO NOT TRUST this posterior"
    lines = [
        f"{verdict}: R-hat at most {d.max_rhat:.3f}, ESS at least {d.min_ess:.0f}, {d.evidence}; "
        f"{d.arrived} of {d.starts} optimiser starts agree"
        + ("." if d.explained is None else f"; the law explains {max(d.explained, 0):.1%} of the spread.")
    ]
    lines += [f"  {'problem' if problem.serious else 'note'}: {problem}" for problem in d.problems]
    if d.surprising:
        by_chance = 0.01 * len(fit.runs)
        # Where points of one run err together, what is expected of one is not the curve but what those before it lead to.
        given, curve = (" given those before it in its run", "the curve") if fit.noise.within else ("", "expected")
        lines.append(
            f"  {counted(len(d.surprising), 'run', 'disagrees', 'disagree')} with the law "
            f"(tail probability{given} below 1 %; by chance about {by_chance:.1f}):"
        )
        for run in d.surprising[:_SHOWN]:
            lines.append(f"    line {run.line}: measured {run.measured:.4g}, {curve} {run.expected:.4g}, probability {run.probability:.1e}")
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
        if best.probability >= _SURE[-1][0]:
            lines.append(f"  note: P(best) of {best.name} is high although so small a difference may be chance: go by the weights")
    elif sure:
        lines.append(f"{best.name} {sure} forecasts further runs of this kind best (probability {best.probability:.2f}).")
    else:
        lines.append(f"{comparison.runs} runs do not say which forecasts best ({best.name}: probability {best.probability:.2f}).")
    added = [row.name for row in comparison.rows if row.probability < 0.05 and row.weight > 0.01]
    if added:
        lines.append(
            f"  note: weights are of the mixture that forecasts best (stacking, Yao et al. 2018): {listed(added)} has a share for "
            "single runs that the best misses, though it forecasts worse by itself"
        )
    for row in comparison.rows:
        if len(row.large_k) > len(row.bad):
            lines.append(
                f"  note: {row.name}: {counted(len(row.large_k) - len(row.bad), 'run')} of large Pareto k left out by fitting again"
            )
        if row.bad:
            lines.append(
                f"  note: {row.name}: {counted(len(row.bad), 'run')} ({lines_text(len(row.bad), _listed(row.bad))}) "
                f"{'shapes' if len(row.bad) == 1 else 'shape'} the fit so much that importance sampling cannot leave "
                f"{'it' if len(row.bad) == 1 else 'them'} out (Pareto k > 0.7); its elpd is too good or too bad by an unknown amount"
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
