"""The command ``fit``."""

from __future__ import annotations

import argparse
from typing import Any

from bayes_scaling.cli import extrapolate
from bayes_scaling.cli.common import (
    add_reading,
    add_verdict,
    command,
    number,
    pairs,
    print_json,
    reading,
    verdict,
)
from bayes_scaling.cli.extrapolate import add_curve
from bayes_scaling.cli.progress import Sampling
from bayes_scaling.errors import InputError


def add_fit(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "fit", _fit, "fit a law to training runs: a posterior with the evidence that it can be trusted",
        "  bayes-scaling fit runs.csv --law chinchilla --out fit.nc\n"
        "  bayes-scaling fit runs.csv --law chinchilla --units params=billion,tokens=billion --where 'flops<1e21'\n"
        "  bayes-scaling fit runs.csv --law power_law_floor --input compute --prior 'E=LogNormal(0.5, 0.3)'\n"
        "  bayes-scaling fit ladder --law chinchilla --noise normal-log --json\n"
        "  bayes-scaling fit panel.csv --law chinchilla --curve run=last --join runs.csv --map tokens='Step*batch_tokens'\n"
        "  bayes-scaling fit results --law bounded_metric:loss --where \"task == 'arc_easy' and metric == 'acc'\" --join models.csv",
    )  # fmt: skip
    parser.add_argument(
        "data", metavar="DATA", help="CSV, TSV or Parquet with one row a run (or W&B's exports), results of lm-eval, a data set's name"
    )
    parser.add_argument("--law", required=True, metavar="NAME|FILE.py", help="see bayes-scaling laws; a .py file of your own is run")
    parser.add_argument("--out", metavar="FIT.nc", help="write the draws here (NetCDF), for predict, allocate and plot")
    parser.add_argument("--noise", metavar="FAMILY", help="student-t (default), normal-log, normal, laplace, known-se")
    parser.add_argument("--input", metavar="QUANTITY", help="for laws of any one input: params, tokens or compute")
    parser.add_argument("--fix", action="append", default=[], metavar="NAME=VALUE", help="hold a parameter fixed")
    parser.add_argument("--prior", action="append", default=[], metavar="'NAME=Family(numbers)'", help="use another prior")
    add_reading(parser)
    parser.add_argument("--group", metavar="COL[,COL]", help="give every group of runs law parameters of its own")
    parser.add_argument(
        "--pool", action="append", default=[], metavar="NAME[=KIND]",
        help="with --group: how a parameter varies: shared (the scatter's do by default), partial (drawn to a common centre), free; "
        "partial:COL over one of the columns",
    )  # fmt: skip
    parser.add_argument("--chains", type=int, default=4, metavar="N")
    parser.add_argument("--draws", type=int, default=1000, metavar="N", help="kept draws a chain")
    parser.add_argument("--warmup", type=int, metavar="N", help="default: chosen, and lengthened while the draws are not good")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    add_curve(parser.add_argument_group("with --law extrapolate (see bayes-scaling extrapolate)"))
    parser.add_argument("--device", default="auto", metavar="auto|cpu|gpu")
    parser.add_argument("--precision", type=int, default=64, metavar="64|32", help="bits of the arithmetic")
    parser.add_argument(
        "--method",
        default="auto",
        metavar="auto|nuts|importance",
        help="auto: nuts, and an ensemble of walkers where that has trouble; importance: faster for many small fits, never long",
    )
    parser.add_argument(
        "--starts", default="modes", metavar="modes|prior", help="prior: chains begin far wider than the posterior (with --chains 32, say)"
    )
    add_verdict(parser)


def _fit(options: argparse.Namespace) -> int:
    from bayes_scaling.files import require_writable
    from bayes_scaling.fitting import fit
    from bayes_scaling.law import get_law
    from bayes_scaling.priors import parse_prior
    from bayes_scaling.reading import read_runs

    if options.law == extrapolate.NAME:
        return _extrapolate(options)
    if options.out:
        require_writable(options.out, (options.data, options.law, options.join))
    asked = [name for name in ("at", "target", "plot") if getattr(options, name)]
    if asked:
        raise InputError(f"--{asked[0]} is for --law {extrapolate.NAME}; see bayes-scaling predict and plot for a fit of a law")
    law = get_law(options.law)
    priors = {}
    for name, prior in map(parse_prior, options.prior):
        if name in priors:
            raise InputError(f"--prior gives '{name}' twice")
        priors[name] = prior
    fixed = {name: number(text, f"--fix {name}") for name, text in pairs(options.fix, "--fix").items()}
    pool = dict(_pool(text) for texts in options.pool for text in texts.split(","))
    if pool and not options.group:
        raise InputError("--pool needs groups: name their column with --group COL")
    how = reading(options)
    how["map"] |= {"group": options.group} if options.group else {}
    runs = read_runs(options.data, **how)
    with Sampling() as progress:
        result = fit(
            law,
            runs,
            noise=options.noise,
            input=options.input,
            fix=fixed,
            priors=priors,
            grouped=options.group is not None,
            pool=pool,
            chains=options.chains,
            warmup=options.warmup,
            draws=options.draws,
            seed=options.seed,
            device=options.device,
            precision=options.precision,
            method=options.method,
            starts=options.starts,
            progress=progress,
        )
    if options.out:
        result.save(options.out)
    if options.json:
        from bayes_scaling.records import fit_record

        print_json(fit_record(result, options.out))
    else:
        print(result)
        if options.out:
            print(f"\nwritten to {options.out}{_next_step(result, options.out)}")
    return verdict(result.diagnosis.ok, options)


def _extrapolate(options: argparse.Namespace) -> int:
    """Forecast a curve: no single law is fitted, so that options of laws and their sampler mean nothing."""
    wrong = [name for name in ("noise", "fix", "prior", "pool", "warmup") if getattr(options, name)]
    if wrong:
        raise InputError(f"--{wrong[0]} means nothing for --law {extrapolate.NAME}, which averages over curves with priors of its own")
    return extrapolate.run_extrapolate(options)


def _pool(text: str) -> tuple[str, str]:
    name, _, kind = text.partition("=")
    return name.strip(), kind.strip() or "partial"


def _next_step(fit: Any, out: str) -> str:
    """Return the hint at what to do with a fit, for laws that can be allocated."""
    if not fit.diagnosis.ok or "compute" not in fit.runs.columns or len(fit.law.input_names) < 2:
        return ""
    group = f" --group {fit.groups[0]}" if fit.groups else ""
    return f"; next: bayes-scaling allocate {out} --compute {10 * fit.runs['compute'].max():.1g}{group}".replace("e+", "e")
