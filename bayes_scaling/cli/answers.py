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
from bayes_scaling.cli.spending import add_spending, read_budgets, read_cost, read_given, read_limits
from bayes_scaling.errors import InputError, listed


def add_stored(parser: argparse.ArgumentParser) -> None:
    """Add the file of a fit to the parser, and which part of it."""
    parser.add_argument("fit", metavar="FIT.nc", help="written by bayes-scaling fit --out")
    _add_part(parser)


def _add_part(parser: argparse.ArgumentParser) -> None:
    add_law_file(parser)
    parser.add_argument("--group", metavar="LABEL", help="which group, for a fit by group")


def stored_fit(options: argparse.Namespace, path: str | None = None) -> Any:
    """Load the fit that the options name, or another file, and select its group."""
    from bayes_scaling.storage import load_fit

    named: str = path or options.fit
    fit = load_fit(named, options.law)
    if options.group is not None and not fit.groups:
        raise InputError(f"'{named}' is not a fit by group, so it has no group '{options.group}'")
    if fit.groups and options.group is None:
        raise InputError(f"'{named}' is a fit by group: choose one with --group ({', '.join(fit.groups)})")
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
    from bayes_scaling.answer_text import prediction_text
    from bayes_scaling.prediction import predict
    from bayes_scaling.records import prediction_records
    from bayes_scaling.storage import load_fit

    found = predict(
        stored_fit(options), options.at, then=load_fit(options.then) if options.then else None,
        map=pairs(options.map, "--map"), units=pairs(options.units, "--units"), drift=options.drift, seed=options.seed,
    )  # fmt: skip
    if options.json:
        about = {name: found.attrs[name] for name in ("law", "output", "drift", "assumed", "read")}
        print_json({**about, "rows": prediction_records(found)})
    else:
        print(prediction_text(found))
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
    from bayes_scaling.answer_text import decision_text
    from bayes_scaling.decision import decide, with_set
    from bayes_scaling.law import get_law, law_names
    from bayes_scaling.records import decision_record

    if options.published and options.fit.endswith(".nc"):
        raise InputError(f"--published goes with a law's name, not with the fit '{options.fit}': give one of the two")
    if not options.published and options.fit.partition(":")[0] in law_names() and not os.path.exists(options.fit):
        law = get_law(options.fit)
        known = listed(name for item in (law, *law.alternatives.values()) for name in item.published)
        raise InputError(f"'{options.fit}' is a law: name a published set of it with --published ({known or 'it has none'}), or give a fit")
    source: Any = with_set(get_law(options.fit), options.published) if options.published else stored_fit(options)
    given = {name: number(text, f"--given {name}", name) for name, text in pairs(options.given, "--given").items()}
    found = decide(source, given, published=options.published)
    print_json(decision_record(found)) if options.json else print(decision_text(found))
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
        "  bayes-scaling allocate task.nc --then accuracy.nc --target 0.6\n"
        "  bayes-scaling allocate chinchilla.nc kaplan_nd.nc --compute 1e24                # under the average of the laws\n"
        "  bayes-scaling allocate ghorbani.nc --budget 1e9                                 # params, between encoder and decoder\n"
        "  bayes-scaling allocate test_time.nc --compute 1e24 --given queries=1e9          # between training and answering\n"
        "  bayes-scaling allocate vocabulary.nc --compute 7e21 --given non_vocab_params=7e9,embed_dim=4096",
    )  # fmt: skip
    parser.add_argument(
        "fit", nargs="+", metavar="FIT.nc", help="written by bayes-scaling fit --out; several to the same runs are averaged"
    )
    _add_part(parser)
    parser.add_argument(
        "--weight", action="append", default=[], metavar="LAW=W", help="of each of several fits; by default those of bayes-scaling compare"
    )
    parser.add_argument("--compute", action="append", default=[], metavar="FLOP", help="a budget; may be repeated")
    parser.add_argument("--dollars", action="append", default=[], metavar="DOLLARS", help="a budget (with --gpu-flops and --gpu-price)")
    parser.add_argument(
        "--budget", action="append", default=[], metavar="AMOUNT", help="a budget in the unit of what the law's inputs share"
    )
    parser.add_argument("--target-loss", action="append", default=[], metavar="NATS", help="the reverse: least compute for a loss")
    parser.add_argument(
        "--target", action="append", default=[], metavar="VALUE", help="the same of what --then predicts, or of an output that is no loss"
    )
    parser.add_argument("--then", metavar="FIT.nc", help="a second fit that takes the loss (into an accuracy): its output is the target")
    parser.add_argument("--params", metavar="N", help="hold the size")
    parser.add_argument("--tokens", metavar="D", help="hold the training tokens")
    parser.add_argument("--risk", default="mean", metavar="mean|quantile:0.9|cvar:0.9", help="what of the loss the decision minimises")
    parser.add_argument("--band", default="0.01", metavar="SHARE", help="of the budget: the band holds the sizes that waste no more")
    parser.add_argument("--versus", metavar="params=N,tokens=D", help="how probably the decision beats another plan")
    add_drift(parser, "as for a law whose forecasts nobody has checked")
    add_spending(parser)
    add_verdict(parser)


_OF_WHAT = "--then takes --target, a value of what the second fit predicts; without it the target is a loss (--target-loss)"


def _allocate(options: argparse.Namespace) -> int:
    from bayes_scaling import answer_text, records
    from bayes_scaling.allocation import allocate, probability_better
    from bayes_scaling.comparison import names_of

    cost, limits, given = read_cost(options), read_limits(options), read_given(options)
    asked, targets = options.compute + options.dollars + options.budget, options.target_loss + options.target
    if bool(asked or (options.gpu_hours and not targets)) == bool(targets):
        raise InputError("give budgets (--compute 5.76e23) or target losses (--target-loss 2.0), one of the two")
    held: dict[str, Any] = {
        name: number(value, f"--{name}", name) for name in ("params", "tokens") if (value := getattr(options, name)) is not None
    }
    if options.then and not options.target:
        raise InputError(_OF_WHAT)
    if targets and (held or options.versus):
        raise InputError("--params, --tokens and --versus go with --compute, not with a target")
    if options.weight and len(options.fit) == 1:
        raise InputError("--weight goes with several fits, of which there is one")
    fits = names_of([stored_fit(options, path) for path in options.fit], options.fit)
    first = next(iter(fits.values()))
    asked_of: Any = first if len(fits) == 1 else fits
    weights: dict[str, float] = {}
    for part in options.weight:
        name, _, value = part.rpartition("=")  # a name may hold a comma
        if not name:
            raise InputError(f"--weight '{part}' does not say whose: write chinchilla={part}")
        weights[name] = number(value, f"--weight {name}")
    settings: dict[str, Any] = {"cost": cost, "limits": limits, "given": given, "weights": weights or None}
    if targets:
        return _for_targets(options, first.law, asked_of, settings)
    plan = allocate(
        asked_of, read_budgets(options, first.law, cost), risk=options.risk, band=number(options.band, "--band"), drift=options.drift,
        **settings, **held,
    )  # fmt: skip
    rows = records.allocation_records(plan)
    shares = dict(zip(plan.attrs["laws"], plan.attrs["weights"], strict=True)) if "weights" in plan.attrs else None
    if options.versus:
        other = {name: number(value, f"--versus {name}", name) for name, value in pairs([options.versus], "--versus").items()}
        for row in rows:
            decided = {name: value for name, value in row["decision"].items() if not name.startswith("expected_")}
            further = {name: value for name, value in decided.items() if name not in row["inputs"]}
            row["versus"] = {**other, **probability_better(asked_of, decided, {**further, **other}, cost=cost, weights=shares)}
    weighed = {} if shares is None else {"weights": shares}
    print(answer_text.allocation_text(plan, rows)) if not options.json else print_json({"allocations": rows, **weighed})
    return verdict(bool(plan.attrs["trustworthy"]), options)


def _for_targets(options: argparse.Namespace, law: Any, fit: Any, settings: dict[str, Any]) -> int:
    from bayes_scaling import answer_text, records
    from bayes_scaling.storage import load_fit
    from bayes_scaling.targets import allocate_target

    of_loss = options.then is None and (law.sharing is None or not law.sharing.highest)
    if bool(options.target_loss) != of_loss or (options.target and of_loss):
        raise InputError(_OF_WHAT)
    targets = [number(value, "--target-loss") for value in options.target_loss] + [number(value, "--target") for value in options.target]
    plan = allocate_target(fit, targets, then=load_fit(options.then) if options.then else None, **settings)
    print(answer_text.target_text(plan)) if not options.json else print_json({"targets": records.target_records(plan)})
    return verdict(bool(plan.attrs["trustworthy"]), options)


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
