"""The commands that criticise and report a stored fit, and that criticise a law: ``check``, ``sheet``, ``export`` and ``calibrate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from bayes_scaling.cli.answers import add_stored, stored_fit
from bayes_scaling.cli.common import (
    DONE,
    NOT_TRUSTWORTHY,
    add_law_file,
    add_reading,
    add_verdict,
    command,
    number,
    print_json,
    reading,
    require_picture,
    verdict,
)
from bayes_scaling.errors import InputError


def add_check(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "check", _check, "say what a fit rests on and what speaks against it: priors, noise, single runs, budgets, residuals",
        "  bayes-scaling check fit.nc\n"
        "  bayes-scaling check fit.nc --compute 1e24             # the budget at which the decision is looked at\n"
        "  bayes-scaling check fit.nc --quick                    # fit nothing again",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("--compute", metavar="FLOP", help="where the decision is looked at; ten times the largest run by default")
    parser.add_argument("--quick", action="store_true", help="fit nothing again: no budgets, no other noise, large Pareto k stay")
    add_verdict(parser)


def _check(options: argparse.Namespace) -> int:
    from bayes_scaling.checking import check
    from bayes_scaling.records import check_record

    fit = stored_fit(options)
    budget = number(options.compute, "--compute", "compute") if options.compute is not None else None
    found = check(fit, compute=budget, quick=options.quick)
    print_json(check_record(found)) if options.json else print(found)
    return verdict(fit.diagnosis.ok, options)


def add_sheet(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "sheet", _sheet, "write what a paper must state about a fit, enough to make it again, as Markdown",
        "  bayes-scaling sheet fit.nc --out fit.md\n"
        "  bayes-scaling sheet fit.nc                            # on the screen",
    )  # fmt: skip
    parser.add_argument("fit", metavar="FIT.nc", help="written by bayes-scaling fit --out")
    add_law_file(parser)
    parser.add_argument("--out", metavar="FIT.md", help="write it here")
    add_verdict(parser)


def _sheet(options: argparse.Namespace) -> int:
    from bayes_scaling.files import require_writable, write_result
    from bayes_scaling.sheet import sheet
    from bayes_scaling.storage import load_fit

    if options.out:
        require_writable(options.out, (options.fit, options.law))
    fit = load_fit(options.fit, options.law)
    text = sheet(fit)
    if options.out:
        write_result(Path(options.out), text.encode())
    if options.json:
        print_json({"out": options.out, "sheet": text})
    else:
        print(f"written to {options.out}" if options.out else text)
    return verdict(fit.diagnosis.ok, options)


def add_export(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "export", _export, "write a fit's draws, summary or runs as Parquet, CSV, TSV or JSON",
        "  bayes-scaling export fit.nc --out draws.parquet\n"
        "  bayes-scaling export fit.nc --what summary --out summary.csv\n"
        "  bayes-scaling export fit.nc --what runs --out runs.json",
    )  # fmt: skip
    parser.add_argument("fit", metavar="FIT.nc", help="written by bayes-scaling fit --out")
    add_law_file(parser)
    parser.add_argument("--what", default="draws", metavar="draws|summary|runs", help="a row a draw (default), a parameter, or a run")
    parser.add_argument("--out", required=True, metavar="FILE", help="its name says the format: .parquet, .csv, .tsv, .json")
    add_verdict(parser)


def _export(options: argparse.Namespace) -> int:
    from bayes_scaling.export import export
    from bayes_scaling.files import require_writable
    from bayes_scaling.storage import load_fit

    require_writable(options.out, (options.fit, options.law))
    fit = load_fit(options.fit, options.law)
    export(fit, options.out, options.what)
    print_json({"out": options.out, "what": options.what}) if options.json else print(f"{options.what} written to {options.out}")
    return verdict(fit.diagnosis.ok, options)


def add_calibrate(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "calibrate", _calibrate, "check a law's posteriors by simulation from its priors: ranks of the truth must be uniform",
        "  bayes-scaling calibrate chinchilla\n"
        "  bayes-scaling calibrate ./mylaw.py --fits 500 --runs 60 --out ranks.png\n"
        "  bayes-scaling calibrate chinchilla --at runs.csv      # at the inputs of your own runs\n"
        "  bayes-scaling calibrate chinchilla --at curves.csv --curve run=all      # points of training curves",
    )  # fmt: skip
    parser.add_argument("law", metavar="NAME|FILE.py", help="see bayes-scaling laws; a .py file of your own is run")
    parser.add_argument("--fits", type=int, default=200, metavar="N", help="simulated data sets (200)")
    parser.add_argument("--runs", type=int, default=40, metavar="N", help="runs in each, over the law's domain (40)")
    parser.add_argument("--at", metavar="DATA", help="simulate at the inputs of these runs instead")
    parser.add_argument("--noise", metavar="FAMILY", help="the law's own by default")
    parser.add_argument("--input", metavar="QUANTITY", help="for laws of any one input")
    parser.add_argument("--draws", type=int, default=500, metavar="N", help="kept draws a chain (500)")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", metavar="FIGURE.png", help="draw the ranks with their simultaneous bands")
    add_reading(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _calibrate(options: argparse.Namespace) -> int:
    from bayes_scaling.calibration import calibrate
    from bayes_scaling.reading import read_runs
    from bayes_scaling.records import calibration_record

    runs: Any = options.runs
    if runs < 2:
        raise InputError(f"--runs {runs} must be at least 2")
    if options.out:
        require_picture(options.out, (options.at, options.law if options.law.endswith(".py") else None))
    if options.at:
        runs = read_runs(options.at, **reading(options))
    found = calibrate(
        options.law, fits=options.fits, runs=runs, noise=options.noise, input=options.input, draws=options.draws, seed=options.seed
    )
    if options.out and found.enough:
        from bayes_scaling.rank_plot import save_ranks

        save_ranks(found, options.out)
    print_json(calibration_record(found)) if options.json else print(found)
    if not found.ok:
        said = (
            "the posteriors are not calibrated" if found.enough else "too few fits converged to say whether the posteriors are calibrated"
        )
        print(f"bayes-scaling: {said} (exit code 3)", file=sys.stderr)
        return NOT_TRUSTWORTHY
    return DONE
