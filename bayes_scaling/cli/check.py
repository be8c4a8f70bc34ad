"""The commands that criticise a stored fit: ``check``."""

from __future__ import annotations

import argparse
from typing import Any

from bayes_scaling.cli.answers import add_stored, stored
from bayes_scaling.cli.common import add_verdict, command, number, print_json, verdict


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

    fit = stored(options)
    budget = number(options.compute, "--compute") if options.compute is not None else None
    found = check(fit, compute=budget, quick=options.quick)
    print_json(check_record(found)) if options.json else print(found)
    return verdict(fit.diagnosis.ok, options)
