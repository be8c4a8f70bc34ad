"""The commands that ask a stored fit: ``predict``, ``decide``, ``allocate`` and ``plot``."""

from __future__ import annotations

import argparse
import os
from typing import Any

from bayes_scaling.cli.common import (
    add_columns,
    add_drift,
    add_law_file,
    add_verdict,
    command,
    number,
    pairs,
    print_json,
    verdict,
)
from bayes_scaling.cli.spending import add_spending, read_cost, read_given, read_limits
from bayes_scaling.errors import InputError, listed


def add_stored(parser: argparse.ArgumentParser) -> None:
    """Add the file of a fit to the parser, and which part of it."""
    parser.add_argument("fit", metavar="FIT.nc", help="written by bayes-scaling fit --out")
    _add_part(parser)


def _add_part(parser: argparse.ArgumentParser) -> None:
    add_law_file(parser)
    parser.add_argument("--group", metavar="LABEL", help="which group, for a fit by group")


def stored_fit(options: argparse.Namespace) -> Any:
    """Load the fit that the options name, and select its group."""
    from bayes_scaling.storage import load_fit

    fit = load_fit(options.fit, options.law)
    if options.group is not None and not fit.groups:
        raise InputError(f"'{options.fit}' is not a fit by group, so it has no group '{options.group}'")
    if fit.groups and options.group is None:
        raise InputError(f"'{options.fit}' is a fit by group: choose one with --group ({', '.join(fit.groups)})")
    return fit if options.group is None else fit.select(options.group)


def add_predict(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "predict", _predict, "predict the loss of new runs: the curve, and a new measurement with its scatter",
        "  bayes-scaling predict fit.nc --at points.csv          # points.csv: params,tokens\n"
        "  bayes-scaling predict loss.nc --at points.csv --then error.nc",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("--then", metavar="FIT.nc", help="a second fit that takes the first one's output: predict what it predicts")
    parser.add_argument("--at", required=True, metavar="POINTS.csv", help="a row a point, with the law's inputs")
    add_columns(parser)
    add_drift(parser, "as for a law whose forecasts nobody has checked")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the scatter and the drift")
    add_verdict(parser)


def _predict(options: argparse.Namespace) -> int:
    from bayes_scaling.prediction import predict
    from bayes_scaling.reading import read_points
    from bayes_scaling.records import prediction_records
    from bayes_scaling.storage import load_fit

    fit = stored_fit(options)
    then = load_fit(options.then) if options.then else None
    further = () if then is None else (*then.law.input_names, *then.noise.needs)
    needed = tuple(dict.fromkeys([*fit.law.input_names, *fit.noise.needs, *(name for name in further if name != fit.law.output)]))
    points = read_points(options.at, needed, map=pairs(options.map, "--map"), units=pairs(options.units, "--units"))
    found = predict(fit, points, then=then, drift=options.drift, seed=options.seed)
    rows = prediction_records(found)
    if options.json:
        print_json({"law": found.attrs["law"], "output": found.attrs["output"], "drift": found.attrs["drift"], "rows": rows})
    else:
        print(
            "".join(f"{name:>12}" for name in needed)
            + "    new measurement (90 %)      curve (90 %)                decades beyond the runs"
        )
        for i, row in enumerate(rows):
            inputs = "".join(f"{points[name][i]:>12.4g}" for name in needed)
            spans = [f"{part['median']:.4f} [{part['q05']:.4f}, {part['q95']:.4f}]" for part in (row, row["expected"])]
            print(f"{inputs}    {spans[0]:28}{spans[1]:28}{row['decades_beyond']:.1f}")
        if found.attrs["drift"] and any(row["decades_beyond"] > 0 for row in rows):
            print("a new measurement: beyond the runs the law may be off as well (--drift 0 takes it for the truth; forward checks it)")
    return verdict(bool(found.attrs["trustworthy"]), options)


def add_decide(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "decide", _decide, "answer the question that a law exists for, from a fit or from a published parameter set",
        "  bayes-scaling decide fit.nc --given compute=5.76e23\n"
        "  bayes-scaling decide chinchilla --published besiroglu --given compute=5.76e23\n"
        "  bayes-scaling laws data_constrained                   # what its question takes",
    )  # fmt: skip
    parser.add_argument("fit", metavar="FIT.nc|LAW", help="written by bayes-scaling fit --out; or a law, with --published")
    parser.add_argument("--published", metavar="NAME", help="a published parameter set of the law, instead of a fit")
    parser.add_argument("--given", action="append", default=[], metavar="NAME=VALUE,...", help="what the question takes, in base units")
    _add_part(parser)
    add_verdict(parser)


def _decide(options: argparse.Namespace) -> int:
    from bayes_scaling.decision import decide, with_set
    from bayes_scaling.law import get_law, law_names
    from bayes_scaling.records import decision_record
    from bayes_scaling.text import decision_text

    if options.published and options.fit.endswith(".nc"):
        raise InputError(f"--published goes with a law's name, not with the fit '{options.fit}': give one of the two")
    if not options.published and options.fit.partition(":")[0] in law_names() and not os.path.exists(options.fit):
        law = get_law(options.fit)
        known = listed(name for item in (law, *law.alternatives.values()) for name in item.published)
        raise InputError(f"'{options.fit}' is a law: name a published set of it with --published ({known or 'it has none'}), or give a fit")
    source: Any = with_set(get_law(options.fit), options.published) if options.published else stored_fit(options)
    given = {name: number(text, f"--given {name}", name) for name, text in pairs(options.given, "--given").items()}
    found = decide(source, given, published=options.published)
    if options.json:
        print_json(decision_record(found))
    else:
        print(decision_text(found, source if options.published else source.law))
    return verdict(bool(found.attrs["trustworthy"]), options)


def add_allocate(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "allocate", _allocate, "the best model size and token count for a budget, with intervals, the decision and its regret",
        "  bayes-scaling allocate fit.nc --compute 5.76e23\n"
        "  bayes-scaling allocate fit.nc --compute 1e22 --compute 1e24 --json\n"
        "  bayes-scaling allocate fit.nc --compute 5.76e23 --inference-tokens 1e13\n"
        "  bayes-scaling allocate fit.nc --dollars 1e6 --gpu-flops 989e12 --gpu-price 2 --gpu-hours 4e5\n"
        "  bayes-scaling allocate fit.nc --compute 5.76e23 --sizes 7e9,13e9,34e9,70e9 --max-tokens 5e12\n"
        "  bayes-scaling allocate fit.nc --compute 5.76e23 --params 70e9\n"
        "  bayes-scaling allocate fit.nc --compute 5.76e23 --versus params=280e9,tokens=300e9\n"
        "  bayes-scaling allocate repeated.nc --compute 1e22 --unique-tokens 25e9\n"
        "  bayes-scaling allocate fit.nc --target-loss 2.0\n"
        "  bayes-scaling allocate task.nc --then accuracy.nc --target 0.6",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("--compute", action="append", default=[], metavar="FLOP", help="a budget; may be repeated")
    parser.add_argument("--dollars", action="append", default=[], metavar="DOLLARS", help="a budget (with --gpu-flops and --gpu-price)")
    parser.add_argument("--target-loss", action="append", default=[], metavar="NATS", help="the reverse: least compute for a loss")
    parser.add_argument("--target", action="append", default=[], metavar="VALUE", help="with --then: a target of what that fit predicts")
    parser.add_argument("--then", metavar="FIT.nc", help="a second fit that takes the loss (into an accuracy): its output is the target")
    parser.add_argument("--params", metavar="N", help="hold the size")
    parser.add_argument("--tokens", metavar="D", help="hold the training tokens")
    parser.add_argument("--risk", default="mean", metavar="mean|quantile:0.9|cvar:0.9", help="what of the loss the decision minimises")
    parser.add_argument("--band", default="0.01", metavar="SHARE", help="of the compute: the band holds the sizes that waste no more")
    parser.add_argument("--versus", metavar="params=N,tokens=D", help="how probably the decision beats another plan")
    add_spending(parser)
    add_verdict(parser)


def _allocate(options: argparse.Namespace) -> int:
    from bayes_scaling import records, text
    from bayes_scaling.allocation import allocate, probability_better
    from bayes_scaling.storage import load_fit
    from bayes_scaling.targets import allocate_target

    cost, limits, given = read_cost(options), read_limits(options), read_given(options)
    budgets = [number(value, "--compute", "compute") for value in options.compute]
    budgets += [float(cost.affordable_compute(number(value, "--dollars", "params"))) for value in options.dollars]
    targets = [number(value, "--target-loss") for value in options.target_loss] + [number(value, "--target") for value in options.target]
    if bool(budgets) == bool(targets):
        raise InputError("give budgets (--compute 5.76e23) or target losses (--target-loss 2.0), one of the two")
    if bool(options.then) != bool(options.target) or (options.then and options.target_loss):
        raise InputError("--then takes --target, a value of what the second fit predicts; without it the target is a loss (--target-loss)")
    held: dict[str, Any] = {
        name: number(value, f"--{name}", name) for name in ("params", "tokens") if (value := getattr(options, name)) is not None
    }
    if targets and (held or options.versus):
        raise InputError("--params, --tokens and --versus go with --compute, not with a target")
    fit = stored_fit(options)
    if targets:
        then = load_fit(options.then) if options.then else None
        plan = allocate_target(fit, targets, cost=cost, limits=limits, given=given, then=then)
        print(text.target_text(plan)) if not options.json else print_json({"targets": records.target_records(plan)})
        return verdict(bool(plan.attrs["trustworthy"]), options)
    plan = allocate(fit, budgets, cost=cost, limits=limits, given=given, risk=options.risk, band=number(options.band, "--band"), **held)
    rows = records.allocation_records(plan, fit.law)
    if options.versus:
        other = {name: number(value, f"--versus {name}", name) for name, value in pairs([options.versus], "--versus").items()}
        for row in rows:
            decided = {name: row["decision"][name] for name in fit.law.input_names}
            further = {name: value for name, value in decided.items() if name not in ("params", "tokens")}
            row["versus"] = {**other, **probability_better(fit, decided, {**further, **other}, cost=cost)}
    print(text.allocation_text(plan, rows)) if not options.json else print_json({"allocations": rows})
    return verdict(fit.diagnosis.ok, options)


def add_plot(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "plot", _plot, "draw the figures of a fit into a folder",
        "  bayes-scaling plot fit.nc --compute 1e22 --compute 5.76e23 --out figures",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("--compute", action="append", default=[], metavar="FLOP", help="budgets to mark and to draw the regret for")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="made if it is not there")
    parser.add_argument("--format", default="png", choices=("png", "svg", "pdf"))
    add_verdict(parser)


def _plot(options: argparse.Namespace) -> int:
    from bayes_scaling.plot import save_figures

    budgets = [number(value, "--compute", "compute") for value in options.compute]
    fit = stored_fit(options)
    written = save_figures(fit, options.out, compute=budgets, format=options.format)
    if options.json:
        print_json({"figures": [str(path) for path in written]})
    else:
        print("\n".join(str(path) for path in written))
    return verdict(fit.diagnosis.ok, options)
