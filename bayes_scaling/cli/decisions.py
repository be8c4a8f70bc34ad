"""The commands that weigh decisions: ``robustness``, ``plan`` and ``recipes``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from bayes_scaling.cli.answers import add_stored, stored_fit
from bayes_scaling.cli.common import add_columns, add_verdict, command, number, pairs, print_json, require_picture, verdict
from bayes_scaling.cli.progress import say
from bayes_scaling.cli.spending import add_spending, read_budgets, read_cost, read_given, read_limits
from bayes_scaling.errors import InputError


def add_robustness(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "robustness", _robustness, "how the best plan moves with noise family, priors, rows left out and law: a table of refits",
        "  bayes-scaling robustness fit.nc --compute 5.76e23\n"
        "  bayes-scaling robustness fit.nc --compute 5.76e23 --try-law kaplan_nd --json\n"
        "  bayes-scaling robustness ghorbani.nc --budget 1e9                               # of a law whose own inputs share a budget",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("--compute", metavar="FLOP", help="the budget of the plan")
    parser.add_argument("--budget", metavar="AMOUNT", help="the same in the unit of what the law's inputs share")
    parser.add_argument("--try-law", action="append", default=[], metavar="NAME", help="a further law to fit to the same runs")
    parser.add_argument("--only", action="append", metavar="KIND", help="change only this: noise, prior, rows or law; may be repeated")
    parser.add_argument("--draws", type=int, default=500, metavar="N", help="kept draws a chain of each refit")
    add_spending(parser)
    add_verdict(parser)


def _robustness(options: argparse.Namespace) -> int:
    from bayes_scaling.answer_text import robustness_text
    from bayes_scaling.robustness import robustness

    if (options.compute is None) == (options.budget is None):
        raise InputError("give the budget of the plan: --compute 5.76e23, or --budget in the unit of what the law's inputs share")
    fit = stored_fit(options)
    (budget,) = read_budgets(options, fit.law)
    settings: dict[str, Any] = {"cost": read_cost(options), "limits": read_limits(options), "given": read_given(options)}
    settings |= {"kinds": options.only} if options.only else {}
    rows = robustness(fit, budget, laws=options.try_law, draws=options.draws, progress=lambda text: say(f"refitting: {text}"), **settings)
    print_json({fit.law.shares: budget, "rows": [asdict(row) for row in rows]}) if options.json else print(
        robustness_text(rows, budget, fit.law)
    )
    return verdict(fit.diagnosis.ok, options)


def add_plan(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "plan", _plan, "which runs to do next: those that most reduce the regret of the decision at a target compute",
        "  bayes-scaling plan fit.nc --target-compute 5.76e23 --budget 5.76e21\n"
        "  bayes-scaling plan fit.nc --target-compute 1e24 --budget 1e21 --candidates runs.csv --json\n"
        "  bayes-scaling plan fit.nc --target-compute 1e24 --budget 1e21 --objective alpha --figure plan.png",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("--target-compute", required=True, metavar="FLOP", help="compute of the decision")
    parser.add_argument("--budget", required=True, metavar="FLOP", help="compute of all the runs together")
    parser.add_argument("--candidates", metavar="RUNS.csv", help="runs that could be done, a row each; else a grid of sizes")
    parser.add_argument("--objective", default="regret", metavar="regret|loss|NAME", help="what to reduce: loss or a parameter by variance")
    parser.add_argument("--most-runs", type=int, default=8, metavar="N", help="so many at most (8); none is proposed that adds little")
    parser.add_argument("--figure", metavar="FILE", help="draw the plan (its name ends with .png, .svg or .pdf)")
    parser.add_argument("--reach", type=float, default=4.0, metavar="X", help="runs of the grid may be X times smaller than all so far (4)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the simulated outcomes")
    add_columns(parser)
    add_spending(parser)
    add_verdict(parser)


def _plan(options: argparse.Namespace) -> int:
    from bayes_scaling.answer_text import design_text
    from bayes_scaling.design import plan
    from bayes_scaling.reading import read_points
    from bayes_scaling.records import design_record

    target, budget = number(options.target_compute, "--target-compute", "compute"), number(options.budget, "--budget", "compute")
    if options.figure:
        require_picture(options.figure, (options.fit, options.candidates, options.law))
    fit, given = stored_fit(options), read_given(options)
    names = tuple(name for name in fit.law.input_names if name not in given)
    columns: dict[str, Any] = {"map": pairs(options.map, "--map"), "units": pairs(options.units, "--units")}
    found = plan(
        fit,
        target,
        budget,
        candidates=read_points(options.candidates, names, **columns, like=fit.runs) if options.candidates else None,
        objective=options.objective,
        cost=read_cost(options),
        limits=read_limits(options),
        given=given,
        most_runs=options.most_runs,
        reach=options.reach,
        seed=options.seed,
    )
    if options.figure:
        from bayes_scaling.plot import design, save_figure

        save_figure(design(fit, found), options.figure)
    print_json(design_record(found)) if options.json else print(design_text(found))
    return verdict(fit.diagnosis.ok, options)


def add_recipes(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "recipes", _recipes, "two recipes: how much compute one is worth of the other, and where they cross",
        "  bayes-scaling recipes new.nc old.nc --compute 1e22 --compute 1e24\n"
        "  bayes-scaling recipes fit.nc --group new --other-group old --compute 1e24",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("other", nargs="?", metavar="OTHER.nc", help="the fit of the other recipe; by default FIT.nc, another group of it")
    parser.add_argument("--other-group", metavar="LABEL", help="the other recipe's group")
    parser.add_argument("--compute", action="append", required=True, metavar="FLOP", help="of the first recipe; may be repeated")
    add_spending(parser)
    add_verdict(parser)


def _recipes(options: argparse.Namespace) -> int:
    from bayes_scaling.answer_text import multiplier_text
    from bayes_scaling.recipes import compute_multiplier
    from bayes_scaling.records import multiplier_records

    budgets = [number(text, "--compute", "compute") for text in options.compute]
    joint = options.other is None or options.other == options.fit
    if joint and options.other_group is None:
        raise InputError("give the other recipe: a second file, or another group of this one with --other-group")
    fit = stored_fit(options)
    there = argparse.Namespace(fit=options.other or options.fit, law=options.law, group=options.other_group)
    other = stored_fit(there)
    settings = {"cost": read_cost(options), "limits": read_limits(options), "given": read_given(options)}
    found = compute_multiplier(fit, other, budgets, joint=joint, **settings)
    names = (options.group, options.other_group) if joint else (str(options.fit), str(options.other))
    print_json(multiplier_records(found)) if options.json else print(multiplier_text(found, names))
    return verdict(bool(found.attrs["trustworthy"]), options)
