"""report(): one self-contained HTML page about a fit, the answer first."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling import __version__, optimum, page, plot
from bayes_scaling.allocation import allocate
from bayes_scaling.axes import new_axes
from bayes_scaling.checking import check
from bayes_scaling.comparison import BAD_K
from bayes_scaling.cost import Cost
from bayes_scaling.decision import decide
from bayes_scaling.errors import InputError
from bayes_scaling.files import require_writable, write_result
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law
from bayes_scaling.limits import Limits
from bayes_scaling.parameter_plot import against_published, compared_names
from bayes_scaling.prediction import predict
from bayes_scaling.records import allocation_records
from bayes_scaling.robustness import robustness
from bayes_scaling.sensitivity import Left
from bayes_scaling.sheet import command_of, sheet
from bayes_scaling.units import amounts, compute_text, count_text, quantity_text
from bayes_scaling.words import (
    allocation_words,
    decision_words,
    diagnosis_words,
    interval,
    number_text,
    published_words,
    sentence,
    share_text,
    span_text,
    trust_words,
    unit_of,
)

_WIDTH = 5.4  # inches: at that width a figure's text is readable on a phone
_MANY, _FEW = 17, 9  # budgets of a band: few where each is a search
_DRAWN = 500  # draws behind a band where each is a search
_NAMED = 5  # runs of the largest influence


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the report is about: the fit, budgets, and how compute is spent."""

    fit: Fit
    budgets: tuple[float, ...]
    given: Mapping[str, Any]
    cost: Cost | None
    limits: Limits | None
    refits: bool
    say: Callable[[str], None]

    @property
    def spending(self) -> dict[str, Any]:
        return {"cost": self.cost, "limits": self.limits, "given": self.given}


def report(
    fit: Fit,
    path: str | Path | None = None,
    *,
    compute: float | str | Sequence[float | str] = (),
    given: Mapping[str, Any] | None = None,
    cost: Cost | None = None,
    limits: Limits | None = None,
    refits: bool = False,
    title: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> str:
    """Return a report of a fit as one HTML page, and write it.

    The page needs no network and no script: the answer in words, whether it can be trusted, figures, parameters beside published values,
    diagnostics, what the fit rests on, the reporting sheet, and how to make it again.

    Parameters
    ----------
    path : file to write
    compute : budgets in FLOP, for laws that can be allocated; ten times the largest run by default
    given : values of the law's further inputs; for other laws, what their question needs (see ``Law.decision``), its example by default
    cost, limits : as in `allocate`
    refits : also fit again without each budget, under other noise, and, for laws that can be allocated, with other priors and rows: this
        takes from a minute to many
    title : of the page
    progress : called with what is being done

    Returns
    -------
    The page; the path, where it was written to one.

    Raises
    ------
    InputError
        If the fit has groups (select one), or the question cannot be answered.
    FileError
        If the file cannot be written.
    """
    if fit.groups:
        raise InputError(f"the fit has groups, each with parameters of its own: select one of {', '.join(fit.groups)}")
    target = None if path is None else Path(path)
    if target is not None:
        require_writable(target)
    budgets = tuple(amounts(compute, fit.law.shares).tolist())
    asked = _Asked(fit, budgets, dict(given or {}), cost, limits, refits, progress or (lambda _: None))
    name = title or f"{fit.law.name} fitted to {len(fit.runs)} runs"
    answer, row = _answer(asked)
    rests, warnings = _sensitivity(asked, row)
    parts = [
        _head(fit, name, warnings),
        *answer,
        *_figures(asked, row),
        *_parameters(asked),
        *_diagnostics(asked),
        *rests,
        *_reporting(asked),
    ]
    content = page.page(name, "\n".join(parts))
    if target is not None:
        write_result(target, content.encode())
        return str(target)
    return content


def _head(fit: Fit, name: str, warnings: Sequence[str]) -> str:
    good = fit.diagnosis.ok
    verdict = page.paragraph(trust_words(fit))
    if not good:
        others = [str(problem) for problem in fit.diagnosis.problems if problem.serious][1:]
        verdict += page.bullets(("", sentence(problem)) for problem in others) if others else ""
    if good and warnings:
        things = f"{len(warnings)} things speak" if len(warnings) > 1 else "One thing speaks"
        verdict += f'<p>{things} against taking it at its word: see <a href="#rests">what it rests on</a>.</p>'
    links = (("answer", "Answer"), ("figures", "Figures"), ("parameters", "Parameters"), ("trust", "Trust"), ("rests", "What it rests on"))
    return "\n".join(
        [
            f"<header><h1>{page.text(name)}</h1>",
            page.paragraph(f"{fit.law.title}: {fit.law.equation}. Runs from {fit.runs.source}; {fit.noise.name} noise.", "soft"),
            f"<nav>{''.join(f'<a href="#{place}">{label}</a>' for place, label in (*links, ('sheet', 'Sheet')))}</nav></header>",
            f'<div class="verdict{"" if good else " bad"}" role="{"note" if good else "alert"}">{verdict}</div>',
        ]
    )


def _allocatable(asked: _Asked) -> bool:
    """Whether budgets can be split under this law; with budgets given, why not is an error."""
    try:
        optimum.problem_of(asked.fit.law, asked.cost, asked.limits, asked.given)
    except InputError:
        takes_compute = asked.fit.law.decision is not None and "compute" in [item.name for item in asked.fit.law.decision.given]
        of_both = {"params", "tokens"} <= set(asked.fit.law.input_names)
        if asked.cost or asked.limits or (asked.budgets and (of_both or not takes_compute)):
            raise
        return False
    return True


def _answer(asked: _Asked) -> tuple[list[str], Mapping[str, Any] | None]:
    """Return the section that answers the question, and the record of the last budget's allocation where there is one."""
    fit, parts, last = asked.fit, ['<section id="answer">'], None
    asked.say("answering")
    if _allocatable(asked):
        budgets = asked.budgets or (10.0 * float(fit.runs["compute"].max()),)
        plan = allocate(fit, budgets, cost=asked.cost, limits=asked.limits, given=asked.given)
        rows = allocation_records(plan)
        parts.append("<h2>How to spend the compute</h2>")
        if not asked.budgets:
            parts.append(
                page.paragraph("Asked at ten times the compute of the largest run; ask at your own budget with --compute.", "soft")
            )
        for row in rows:
            parts.append(_boxed(fit, (page.paragraph(said) for said in allocation_words(row, fit.law.output))))
        last = rows[-1]
        seen = dict.fromkeys(text for row in rows for text in row["cautions"])
        parts.append(page.bullets(("no", f"Caution: {text}.") for text in seen) if seen else "")
        parts.append(_allocation_table(rows, fit.law.output))
        limits = f" Limits: {last['limits']}." if last["limits"] else ""
        parts.append(page.paragraph(f"Medians with 90 % intervals. Compute is {last['cost']}.{limits}", "soft"))
    elif fit.law.decision is not None:
        decision = fit.law.decision
        given = {**({"compute": asked.budgets} if asked.budgets else {}), **asked.given} or decision.example
        found = decide(fit, given)
        parts.append(f"<h2>{page.text(decision.question[0].upper() + decision.question[1:])}</h2>")
        if not asked.given and not asked.budgets:
            parts.append(page.paragraph("Asked at the law's own example values; ask at yours with --given.", "soft"))
        for case, said in decision_words(found, fit.law):
            parts.append(_boxed(fit, [page.paragraph(f"Given {case}:"), page.bullets(("", item) for item in said)]))
        parts.append(page.paragraph("Medians with 90 % intervals.", "soft"))
    else:
        at = {name: [float(fit.runs[name].max())] for name in (*fit.law.input_names, *fit.noise.needs)}
        drawn = np.asarray(predict(fit, at)["expected"])
        low, median, high = np.quantile(drawn, [0.05, 0.5, 0.95])
        inputs = ", ".join(f"{name.replace('_', ' ')} {quantity_text(at[name][0])}" for name in fit.law.input_names)
        shown = interval({"median": float(median), "q05": float(low), "q95": float(high)})
        parts.append("<h2>What the law says at the largest inputs</h2>")
        said = f"At {inputs}, {fit.law.output.replace('_', ' ')} is {shown}{unit_of(fit.law.output)} (median, 90 % interval)."
        parts.append(_boxed(fit, [page.paragraph(said)]))
    return [*parts, "</section>"], last


def _boxed(fit: Fit, parts: Iterable[str]) -> str:
    """Return an answer's box; of a fit that cannot be trusted it says so itself, since it may be all that is read."""
    good = fit.diagnosis.ok
    return f'<div class="answer{"" if good else " bad"}">{"" if good else "<p>Not to be trusted (see above):</p>"}{"".join(parts)}</div>'


def _allocation_table(rows: Sequence[Mapping[str, Any]], output: str) -> str:
    chosen = rows[0]["chosen"]
    header = ["", *(compute_text(row["compute"]) for row in rows)]
    lines: list[list[str]] = [
        ["decision, params", *(count_text(row["decision"]["params"]) for row in rows)],
        ["decision, tokens", *(count_text(row["decision"]["tokens"]) for row in rows)],
        *([f"decision, {name}", *(quantity_text(row["decision"][name]) for row in rows)] for name in chosen),
        ["best params", *(interval(row["params"]) for row in rows)],
        ["best tokens", *(interval(row["tokens"]) for row in rows)],
        ["tokens a param", *(interval(row["tokens_per_param"]) for row in rows)],
        [
            f"{output} ({unit_of(output).strip()})" if unit_of(output) else output,
            *(interval(row["predictive"]["expected"]) for row in rows),
        ],
        ["of a single run, with drift beyond the runs", *(interval(row["predictive"]["new"]) for row in rows)],
        ["wasted compute", *(share_text(row["decision"]["expected_regret_compute"] / row["compute"]) for row in rows)],
    ]
    for name, write in (("gpu_hours", "GPU-hours"), ("dollars", "dollars")):
        if name in rows[0]["spending"]:
            lines.append([write, *(quantity_text(row["spending"][name]) for row in rows)])
    return page.table(header, lines)


def _run_texts(fit: Fit) -> list[str]:
    """Return what is shown of each run: its line, inputs and output, in units for people."""
    law = fit.law
    names = [*law.input_names, law.output]
    return [
        f"line {line}: " + ", ".join(f"{name.replace('_', ' ')} {quantity_text(float(fit.runs[name][row]))}" for name in names)
        for row, line in enumerate(fit.runs.lines)
    ]


def _figures(asked: _Asked, row: Mapping[str, Any] | None) -> list[str]:
    fit, law = asked.fit, asked.fit.law
    asked.say("drawing")
    drawn, said, output = [], _run_texts(fit), law.output.replace("_", " ")
    if row is not None and set(law.input_names) == {"params", "tokens"} and not asked.limits:
        drawn += _spending_figures(asked, row, said)
    elif row is not None:
        drawn.append(_split_figure(asked, row, _FEW))
    elif len(law.input_names) == 1:
        ax = plot.curve(fit, ax=new_axes(_WIDTH, 4.0))
        (name,) = law.input_names
        shown = f"{output} of {len(fit.runs)} runs against {name.replace('_', ' ')}, with the law's curve and its 50 % and 90 % bands."
        mark = (ax, fit.runs[name], fit.runs[law.output], said)
        drawn.append(page.figure(ax, "curve", shown, "Runs, and the law's curve with its bands.", [mark]))
    ax = plot.residuals(fit, ax=new_axes(_WIDTH, 4.0))
    dots = np.asarray(max(ax.collections, key=lambda item: item.get_zorder()).get_offsets())
    marks = [(ax, dots[:, 0], dots[:, 1], said)] if len(dots) == len(said) else []
    shown = f"How far each of {len(fit.runs)} runs lies from the law, around zero; ticks bound where 90 % of new runs are expected."
    drawn.append(page.figure(ax, "residuals", shown, "Distance of the runs from the law; without a pattern if the law is right.", marks))
    return ['<section id="figures"><h2>Figures</h2>', f'<div class="figures">{"".join(drawn)}</div>', "</section>"]


def _spending_figures(asked: _Asked, row: Mapping[str, Any], said: Sequence[str]) -> list[str]:
    """Return the figures of a law of params and tokens: frontier, profiles, the split of compute, and what another size would cost."""
    fit, law, budget = asked.fit, asked.fit.law, float(row["compute"])
    output, measured = law.output.replace("_", " "), fit.runs[law.output]
    spent = optimum.problem_of(law).cost.compute(fit.runs["params"], fit.runs["tokens"])
    first, last = float(spent.min()), float(spent.max())
    furthest = max([last * 10, *(2 * each for each in asked.budgets)])

    ax = plot.loss_compute(fit, upto=furthest, ax=new_axes(_WIDTH, 4.0))
    shown = (
        f"The {output} of {len(fit.runs)} runs falls with training compute from {compute_text(first)} to {compute_text(last)}; the "
        f"compute-optimal frontier with its 90 % band goes on to {compute_text(furthest)}."
    )
    caption = f"Runs by training compute, and the {output} of the best split of each compute (6 x params x tokens)."
    drawn = [page.figure(ax, "frontier", shown, caption, [(ax, spent, measured, said)])]

    ax = plot.isoflop(fit, ax=new_axes(_WIDTH, 4.0))
    shown = f"Curves of {output} against params, one a level of compute, each with a minimum: the best size, which grows with compute."
    caption = f"{output[0].upper()}{output[1:]} against size at equal compute: dots are runs, diamonds the best size with its interval."
    drawn.append(page.figure(ax, "profiles", shown, caption, [(ax, fit.runs["params"], measured, said)]))

    drawn.append(_split_figure(asked, row, _MANY))
    if asked.cost is None:
        ax = plot.regret(fit, budget, ax=new_axes(_WIDTH, 4.0))
        decided = count_text(row["decision"]["params"])
        shown = f"What each size is expected to lose at {compute_text(budget)}: least at {decided} params, more on either side."
        caption = f"What choosing another size than {decided} params would cost at {compute_text(budget)}."
        drawn.append(page.figure(ax, "regret", shown, caption))
    return drawn


def _fewer_draws(fit: Fit, most: int) -> Fit:
    """Return the fit with every so-manieth draw, so that about that many are left."""
    every = max(1, fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] // most)
    tree = fit.draws.map_over_datasets(lambda part: part.isel(draw=slice(None, None, every)) if "draw" in part.dims else part)
    tree.attrs = fit.draws.attrs
    return replace(fit, drawn=tree)


def _split_figure(asked: _Asked, row: Mapping[str, Any], count: int) -> str:
    """Return the figure of the best params and tokens against compute, at so many budgets over the runs and beyond."""
    # Where each plan is a search, some of the draws do for a band; the answer above has all of them.
    fit = _fewer_draws(asked.fit, _DRAWN) if count == _FEW else asked.fit
    budget, spent = float(row["compute"]), fit.runs["compute"]
    furthest = max([float(spent.max()) * 10, *(2 * each for each in asked.budgets)])
    # Limits may leave no plan at budgets that were not asked about.
    budgets = np.unique([*np.geomspace(budget / 3 if asked.limits else float(spent.min()), furthest, count), budget])
    try:
        plan = allocate(fit, budgets, **asked.spending)
    except InputError:
        plan = allocate(fit, budgets := np.array([budget]), **asked.spending)
    panels = list(plot.allocation(plan, axes=list(new_axes(_WIDTH, 6.4, 2))))
    marks = []
    for ax, name in zip(panels, ("params", "tokens"), strict=True):
        middle = np.median(np.asarray(plan[name]).reshape(-1, len(budgets)), axis=0)
        values = [f"{compute_text(float(at))}: best {name} {count_text(float(value))}" for at, value in zip(budgets, middle, strict=True)]
        marks.append((ax, budgets, middle, values))
    low, high = (count_text(row["params"][key]) for key in ("q05", "q95"))
    shown = f"Best params and best tokens grow with compute; at {compute_text(budget)} the best size lies between {low} and {high} params."
    return page.figure(panels, "split", shown, "The best split against compute, with 50 % and 90 % bands.", marks)


def _parameters(asked: _Asked) -> list[str]:
    fit, law = asked.fit, asked.fit.law
    meaning = {item.name: item.meaning for item in (*law.parameters, *fit.noise.parameters)}
    meaning |= {
        term.published: f"coefficient as papers give it: {term.coefficient} at {term.input} = 1" for term in law.terms if term.published
    }
    rows = [
        (name, *_spans(row), meaning.get(name, "derived, as papers give it"))
        for name, row in fit.summary().items()
        if name not in law.latent_names
    ]
    rows += [(name, number_text(value), "held fixed", meaning.get(name, "")) for name, value in fit.fixed.items()]
    parts = ['<section id="parameters"><h2>Parameters</h2>', page.table(("", "median", "90 % interval", "meaning"), rows, (1, 2))]
    names = compared_names(fit)
    if names:
        parts.append("<h3>Beside published values</h3>")
        parts.append(
            page.paragraph(
                "Others fitted other runs, and counted otherwise: a difference is one of models and data. Each value, and where it lies in "
                "this fit's posterior (inside its 90 % interval, or how many standard deviations off)."
            )
        )
        shown = f"Posteriors of {', '.join(names)} beside {len(law.published)} published sets of values; the list below has them."
        caption = "Blue: this fit, 50 % and 90 %. Orange: published, with 90 % intervals where errors were stated."
        parts.append(page.figure(against_published(fit, names, across=2), "published", shown, caption))
        parts.append(_published_list(fit, law, names))
    return [*parts, "</section>"]


def _spans(row: Mapping[str, float]) -> tuple[str, str]:
    median, low, high = span_text(row["median"], row["q05"], row["q95"])
    return median, f"{low} to {high}"


def _published_list(fit: Fit, law: Law, names: Sequence[str]) -> str:
    items = []
    for key, found in law.published.items():
        given = [name for name in names if name in found.values]
        if not given:
            continue
        values = ", ".join(f"{name} {number_text(found.values[name])} ({published_words(fit, name, found.values[name])})" for name in given)
        source = f"{found.source}{'; ' + found.note if found.note else ''}"
        items.append(f'<li><b>{page.text(key)}</b>: {page.prose(values)}. <span class="soft">{page.prose(source)}</span></li>')
    return f"<ul>{''.join(items)}</ul>"


def _diagnostics(asked: _Asked) -> list[str]:
    fit = asked.fit
    said = page.bullets(diagnosis_words(fit))
    parts = ['<section id="trust"><h2>Can it be trusted?</h2>', said]
    if fit.diagnosis.surprising:
        rows = [(run.line, f"{run.measured:.4g}", f"{run.expected:.4g}", f"{run.probability:.1e}") for run in fit.diagnosis.surprising[:10]]
        parts += ["<h3>Runs that disagree with the law</h3>", page.table(("line", "measured", "expected", "probability"), rows, range(4))]
    return [*parts, "</section>"]


def _sensitivity(asked: _Asked, row: Mapping[str, Any] | None) -> tuple[list[str], tuple[str, ...]]:
    """Return the section about what the fit rests on, and the warnings in it."""
    fit = asked.fit
    parts = ['<section id="rests"><h2>What it rests on</h2>']
    asked.say("looking at what it rests on")
    budget = row["compute"] if row is not None else None
    try:
        found = check(fit, compute=budget, quick=not asked.refits)
    except InputError as error:
        return [*parts, page.paragraph(f"Not looked at: {error}."), "</section>"], ()
    warnings = found.warnings
    parts.append(page.bullets(("no", sentence(text)) for text in warnings) if warnings else "")
    parts += [] if warnings else [page.paragraph("Nothing was found that speaks against this fit.")]
    parts.append("<h3>Priors against runs</h3>")
    parts.append(
        page.paragraph(
            "How much each quantity moves if the priors, or the runs, counted a little more (power-scaling; above 0.05 counts).", "soft"
        )
    )
    rows = [
        (name, f"{power.prior:.2f}", f"{power.likelihood:.2f}", power.verdict or ("runs decide" if power.likelihood > power.prior else ""))
        for name, power in found.power.items()
    ]
    parts.append(page.table(("", "priors", "runs", ""), rows, (1, 2)))
    parts.append("<h3>Runs that move it most</h3>")
    rows = [
        (item.name, _moves(item), "fitted again" if item.exact else "uncertain" if item.pareto_k > BAD_K else "")
        for item in found.runs[:_NAMED]
    ]
    parts.append(page.table(("without", "moves", ""), rows))
    if found.budgets:
        lines = [(item.name, item.runs, _moves(item)) for item in found.budgets]
        parts += ["<h3>Without all runs of a budget</h3>", page.table(("without", "runs", "moves"), lines, (1,))]
    if found.noises:
        lines = [(item.left.name, _moves(item.left), f"{item.difference:+.1f} ± {item.difference_se:.1f}") for item in found.noises]
        parts += ["<h3>With other noise</h3>", page.table(("noise", "moves", "forecasts better by (nats)"), lines)]
    if asked.refits and row is not None:
        asked.say("refitting under other assumptions")
        changes = robustness(fit, row["compute"], cost=asked.cost, limits=asked.limits, given=asked.given, progress=asked.say)
        lines = [
            (
                f"{item.kind}: {item.name}",
                interval(item.best),
                count_text(item.decision["params"]),
                f"{item.moved:.2f}",
                share_text(item.wasted) + ("" if item.trustworthy else " (not trustworthy)"),
            )
            for item in changes
        ]
        parts.append(f"<h3>The plan at {page.prose(compute_text(row['compute']))} under other assumptions</h3>")
        parts.append(page.table(("", "best params", "decision", "moved", "this plan's waste, if so"), lines, (2, 3)))
    if not asked.refits:
        parts.append(
            page.paragraph(
                "Nothing was fitted again for this section. With --refits it also leaves out budgets and tries other noise.", "soft"
            )
        )
    return [*parts, "</section>"], warnings


def _moves(item: Left) -> str:
    return "{} by {:+.2f} sd".format(*item.largest)


def _reporting(asked: _Asked) -> list[str]:
    fit = asked.fit
    asked.say("writing the sheet")
    text = sheet(fit)
    body = page.markdown("\n".join(line for line in text.splitlines() if not line.startswith("# ")))
    parts = ['<section id="sheet"><h2>Reporting sheet</h2>', page.paragraph("What a paper must state about this fit.", "soft"), body]
    if fit.runs.reading:
        stored = command_of(fit)[-1]
        words = ["bayes-scaling", "report", stored, *(word for budget in asked.budgets for word in ("--compute", f"{budget:g}"))]
        words += [word for name, value in asked.given.items() for word in ("--given", f"{name}={_value(value)}")]
        words += ["--refits"] if asked.refits else []
        parts.append("<h3>This report</h3>")
        if asked.cost is not None or asked.limits is not None:
            parts.append(page.paragraph("Together with the options of cost and limits that were given.", "soft"))
        parts.append(f"<pre>{page.text(shlex.join([*words, '--out', 'report.html']))}</pre>")
    parts.append(page.paragraph(f"Made by bayes-scaling {__version__}.", "soft"))
    return [*parts, "</section>"]


def _value(value: Any) -> str:
    return "/".join(f"{item:g}" for item in np.atleast_1d(np.asarray(value, float)))
