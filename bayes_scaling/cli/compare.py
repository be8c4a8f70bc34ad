"""The commands ``compare`` and ``forward``: laws and noise families against each other, from fits or from runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bayes_scaling.cli.common import add_drift, add_reading, add_verdict, command, number, print_json, reading, verdict
from bayes_scaling.errors import InputError
from bayes_scaling.progress import follow


def add_compare(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "compare", _compare, "say which law forecasts best, and how sure that is: from stored fits, or from runs and laws",
        "  bayes-scaling compare chinchilla.nc kaplan_nd.nc\n"
        "  bayes-scaling compare runs.csv --law chinchilla --law kaplan_nd --holdout 'compute>1e21'\n"
        "  bayes-scaling compare ladder --law chinchilla --noise student-t --noise normal-log\n"
        "  bayes-scaling compare chinchilla.nc kaplan_nd.nc --compute 1e24      # the plan of their average",
    )  # fmt: skip
    parser.add_argument("sources", nargs="+", metavar="FIT.nc|DATA", help="fits to the same runs; or runs, with --law")
    _add_candidates(parser)
    parser.add_argument(
        "--holdout", metavar="'compute>1e21'",
        help="runs to forecast instead of fitting them (a condition as of --where, also over quantities such as compute)",
    )  # fmt: skip
    parser.add_argument("--compute", action="append", default=[], metavar="FLOP", help="also allocate this under the average of the laws")
    parser.add_argument("--refits", type=int, default=20, metavar="N", help="most runs a law that are left out by fitting again (20)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    add_reading(parser)
    add_verdict(parser)


def _compare(options: argparse.Namespace) -> int:
    from bayes_scaling.answer_text import allocation_text
    from bayes_scaling.averaging import allocate_average
    from bayes_scaling.comparison import compare
    from bayes_scaling.records import allocation_records, comparison_record
    from bayes_scaling.text import holdout_text

    if options.refits < 0:
        raise InputError(f"--refits {options.refits} must not be negative")
    budgets = [number(value, "--compute", "compute") for value in options.compute]
    fits, apart = _fits_to_data(options) if options.law else (_stored(options), None)
    found = compare(fits, holdout=apart, refit=options.refits, seed=options.seed)
    plan = allocate_average(fits, found.weights, budgets, seed=options.seed) if budgets else None
    if options.json:
        record = comparison_record(found)
        print_json({**record, "allocations": allocation_records(plan)} if plan is not None else record)
    else:
        print(found)
        if apart is not None:
            print(f"\n{holdout_text(found)}")
        if plan is not None:
            print(f"\n{allocation_text(plan)}")
    return verdict(all(row.converged for row in found.rows), options, "a fit did not converge")


def _stored(options: argparse.Namespace) -> dict[str, Any]:
    from bayes_scaling.comparison import names_of
    from bayes_scaling.storage import load_fit

    for name in ("noise", "input", "holdout", "map", "units", "where", "curve", "join", "on"):
        if getattr(options, name):
            raise InputError(f"--{name} goes with runs and --law, not with stored fits")
    if not options.sources[0].endswith(".nc"):
        raise InputError(f"'{options.sources[0]}' is no stored fit (.nc): to fit laws to these runs, name them with --law")
    return names_of([load_fit(path) for path in options.sources], options.sources)


def _fits_to_data(options: argparse.Namespace) -> tuple[dict[str, Any], Any]:
    """Fit every law with every noise family; return the fits by name, and the runs that were held out."""
    from bayes_scaling.fitting import fit
    from bayes_scaling.reading import read_runs, read_split

    if len(options.sources) > 1:
        raise InputError(f"--law goes with one table of runs; {len(options.sources)} given")
    wanted = _candidates(options)
    if len(wanted) < 2:
        raise InputError("a comparison needs two different laws (--law A --law B) or noise families (--noise A --noise B)")
    source, apart = options.sources[0], None
    if options.holdout:
        runs, apart = read_split(source, options.holdout, **reading(options))
    else:
        runs = read_runs(source, **reading(options))
    return {name: fit(runs=runs, seed=options.seed, **arguments) for name, arguments in follow(wanted.items(), "fits", len(wanted))}, apart


def _add_candidates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--law", action="append", default=[], metavar="NAME|FILE.py", help="a law to fit; may be repeated; a .py is run")
    parser.add_argument("--noise", action="append", default=[], metavar="FAMILY", help="fit every law with each of these families")
    parser.add_argument("--input", metavar="QUANTITY", help="for laws of any one input: params, tokens or compute")


def _candidates(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return arguments of `bayes_scaling.fit` for every law with every noise family, by the name to show."""
    from bayes_scaling.law import get_law
    from bayes_scaling.noise import noise_of

    laws = {name: get_law(name) for name in options.law}
    if options.input and not any(law.alternatives for law in laws.values()):
        raise InputError(f"--input {options.input} is for laws of any one input, of which there is none here")
    found = {}
    for name, law in laws.items():
        for noise in options.noise or [None]:
            noise_of(law, noise)  # a name that is none is told before anything is fitted
            label = Path(name).stem if name.endswith(".py") else name
            if len(options.noise) > 1:
                label += f", {noise}"
            if label in found:
                raise InputError(f"two of the laws are called '{label}'; rename a file")
            found[label] = {"law": law, "noise": noise, "input": options.input if law.alternatives else None}
    return found


def add_forward(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "forward", _forward, "fit small runs, forecast large ones, over a sequence of cut-offs: how well laws extrapolate",
        "  bayes-scaling forward runs.csv --law chinchilla --law kaplan_nd\n"
        "  bayes-scaling forward runs.csv --law power_law --input tokens --by tokens --cuts 1e9,1e10,1e11",
    )  # fmt: skip
    parser.add_argument("data", metavar="DATA", help="a table with one row a run, or the name of a data set: see bayes-scaling fit")
    _add_candidates(parser)
    parser.add_argument("--by", default="compute", metavar="QUANTITY", help="what the cut-offs are in (compute)")
    parser.add_argument("--cuts", default="4", metavar="N|VALUE,...", help="how many cut-offs (4), or their values")
    add_drift(parser, "as far as their earlier forecasts show")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    add_reading(parser)
    add_verdict(parser)


def _forward(options: argparse.Namespace) -> int:
    from bayes_scaling.forward import forward_validation
    from bayes_scaling.reading import read_runs
    from bayes_scaling.records import forward_record

    if not options.law:
        raise InputError("name the laws to validate with --law")
    cuts = int(options.cuts) if options.cuts.isdigit() else [number(text, "--cuts", options.by) for text in options.cuts.split(",")]
    found = forward_validation(
        _candidates(options), read_runs(options.data, **reading(options)), by=options.by, cuts=cuts, drift=options.drift, seed=options.seed
    )
    print_json(forward_record(found)) if options.json else print(found)
    return verdict(bool(found.scores["converged"].all()), options, "a fit did not converge")
