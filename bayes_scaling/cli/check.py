"""The commands that criticise and report a stored fit: ``check`` and ``sheet``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from bayes_scaling.cli.answers import add_stored, stored_fit
from bayes_scaling.cli.common import add_verdict, command, number, print_json, verdict
from bayes_scaling.errors import FileError


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
    budget = number(options.compute, "--compute") if options.compute is not None else None
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
    parser.add_argument("--law", metavar="FILE.py", help="the file of a law of your own, if it has moved since the fit")
    parser.add_argument("--out", metavar="FIT.md", help="write it here")
    add_verdict(parser)


def _sheet(options: argparse.Namespace) -> int:
    from bayes_scaling.files import write_atomically
    from bayes_scaling.sheet import sheet
    from bayes_scaling.storage import load_fit

    if options.out and not os.path.isdir(os.path.dirname(options.out) or "."):
        raise FileError(f"no folder '{os.path.dirname(options.out)}' to write '{os.path.basename(options.out)}' into")
    fit = load_fit(options.fit, options.law)
    text = sheet(fit)
    if options.out:
        write_atomically(Path(options.out), text.encode())
    if options.json:
        print_json({"out": options.out, "sheet": text})
    else:
        print(f"written to {options.out}" if options.out else text)
    return verdict(fit.diagnosis.ok, options)
