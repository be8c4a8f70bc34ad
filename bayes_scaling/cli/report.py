"""The command ``report``."""

from __future__ import annotations

import argparse
from typing import Any

from bayes_scaling.cli.answers import add_stored, stored_fit
from bayes_scaling.cli.common import add_verdict, command, number, print_json, verdict
from bayes_scaling.cli.progress import say
from bayes_scaling.cli.spending import add_spending, read_cost, read_given, read_limits


def add_report(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "report", _report, "write one self-contained HTML page about a fit, the answer first",
        "  bayes-scaling report fit.nc --out report.html\n"
        "  bayes-scaling report fit.nc --compute 1e22 --compute 5.76e23 --out report.html\n"
        "  bayes-scaling report repeated.nc --compute 1e22 --unique-tokens 25e9 --out report.html\n"
        "  bayes-scaling report curve.nc --given target=2.2 --out report.html   # what the law's own question takes\n"
        "  bayes-scaling report fit.nc --refits --out report.html               # also without budgets, with other noise: minutes",
    )  # fmt: skip
    add_stored(parser)
    parser.add_argument("--out", required=True, metavar="REPORT.html", help="the page; it needs no network, and can be sent as it is")
    parser.add_argument("--compute", action="append", default=[], metavar="FLOP", help="a budget to plan for; may be repeated")
    parser.add_argument("--title", metavar="TEXT", help="of the page")
    parser.add_argument("--refits", action="store_true", help="also fit again without budgets, with other noise, priors and rows: minutes")
    add_spending(parser)
    add_verdict(parser)


def _report(options: argparse.Namespace) -> int:
    from bayes_scaling.files import require_writable
    from bayes_scaling.report import report

    require_writable(options.out, (options.fit, options.law))
    fit = stored_fit(options)
    cost, limits = read_cost(options), read_limits(options)
    report(
        fit,
        options.out,
        compute=[number(value, "--compute", "compute") for value in options.compute],
        given={name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in read_given(options).items()},
        cost=None if cost == type(cost)() else cost,
        limits=limits if limits.any else None,
        refits=options.refits,
        title=options.title,
        progress=lambda text: say(f"report: {text}"),
    )
    print_json({"out": options.out}) if options.json else print(f"written to {options.out}")
    return verdict(fit.diagnosis.ok, options)
