"""The command ``bayes-scaling``: argument parsing and printing, no logic.

Exit codes: 0 done; 2 bad usage or bad input (one line says why); 3 finished, but the posterior is not trustworthy.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bayes_scaling import __version__
from bayes_scaling.errors import BayesScalingError, InputError

DONE, BAD_INPUT, NOT_TRUSTWORTHY = 0, 2, 3


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BayesScalingError as error:
        print(f"bayes-scaling: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("bayes-scaling: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; nothing is wrong with us. Keep the interpreter from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="bayes-scaling",
        description="Bayesian fits of neural scaling laws, and what they say about how to spend compute.",
        epilog="example:\n  bayes-scaling fit ladder --law chinchilla --out fit.nc\n  bayes-scaling allocate fit.nc --compute 1e15",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"bayes-scaling {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_laws(commands)
    _add_fit(commands)
    _add_predict(commands)
    _add_decide(commands)
    _add_allocate(commands)
    _add_plot(commands)
    _add_data(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=f"examples:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


# --- laws, data ---------------------------------------------------------------------------------------------------------------


def _add_laws(commands: Any) -> None:
    parser = _command(
        commands, "laws", _laws, "list the laws, or show one with its published parameter sets",
        "  bayes-scaling laws\n  bayes-scaling laws chinchilla",
    )  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="a law's name, or the path of a Python file that defines LAW")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _laws(options: argparse.Namespace) -> int:
    from bayes_scaling.law import get_law, law_names
    from bayes_scaling.records import law_record
    from bayes_scaling.text import law_text

    laws = {law.name: law for law in map(get_law, [options.name] if options.name else law_names())}
    if options.json:
        _print_json({name: law_record(law) for name, law in laws.items()})
    elif options.name:
        print(law_text(next(iter(laws.values()))))
    else:
        for law in laws.values():
            print(f"{law.name:22}{law.title}\n{'':22}{law.equation}")
    return DONE


def _add_data(commands: Any) -> None:
    parser = _command(
        commands, "data", _data, "list the named data sets, or show one (it is downloaded if need be)",
        "  bayes-scaling data\n  bayes-scaling data ladder",
    )  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="a data set's name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _data(options: argparse.Namespace) -> int:
    from bayes_scaling.datasets import DATA_SETS, data_set, fetch
    from bayes_scaling.runs import read_runs

    if not options.name:
        known = {name: {"title": item.title, "source": item.source, "built_in": item.built_in} for name, item in DATA_SETS.items()}
        if options.json:
            _print_json(known)
        else:
            for name, item in DATA_SETS.items():
                print(f"{name:12}{'built in' if item.built_in else 'download':10}{item.title}")
        return DONE
    item = data_set(options.name)
    runs = read_runs(options.name)
    about = {"name": item.name, "title": item.title, "source": item.source, "licence": item.licence, "path": str(fetch(item))}
    if options.json:
        spans = {name: [float(values.min()), float(values.max())] for name, values in runs.columns.items()}
        _print_json({**about, "n_runs": len(runs), "columns": spans, "notes": list(runs.notes)})
    else:
        print("\n".join(f"{key:9}{value}" for key, value in about.items()))
        print(runs)
    return DONE


# --- fit ----------------------------------------------------------------------------------------------------------------------


def _add_fit(commands: Any) -> None:
    parser = _command(
        commands, "fit", _fit, "fit a law to training runs: a posterior with the evidence that it can be trusted",
        "  bayes-scaling fit runs.csv --law chinchilla --out fit.nc\n"
        "  bayes-scaling fit runs.csv --law chinchilla --units params=billion,tokens=billion --where 'flops<1e21'\n"
        "  bayes-scaling fit runs.csv --law power_law_floor --input compute --prior 'E=LogNormal(0.5, 0.3)'\n"
        "  bayes-scaling fit ladder --law chinchilla --noise normal-log --json",
    )  # fmt: skip
    parser.add_argument("data", metavar="DATA", help="a CSV or Parquet file with one row a run, or the name of a data set")
    parser.add_argument("--law", required=True, metavar="NAME|FILE.py", help="see bayes-scaling laws")
    parser.add_argument("--out", metavar="FIT.nc", help="write the draws here (NetCDF), for predict, allocate and plot")
    parser.add_argument("--noise", metavar="FAMILY", help="student-t (default), normal-log, normal, laplace, known-se")
    parser.add_argument("--input", metavar="QUANTITY", help="for laws of any one input: params, tokens or compute")
    parser.add_argument("--fix", action="append", default=[], metavar="NAME=VALUE", help="hold a parameter fixed")
    parser.add_argument("--prior", action="append", default=[], metavar="'NAME=Family(numbers)'", help="use another prior")
    _add_reading(parser)
    parser.add_argument("--group", metavar="COL[,COL]", help="give every group of runs law parameters of its own (the scatter is shared)")
    parser.add_argument(
        "--pool", action="append", default=[], metavar="NAME[=KIND]",
        help="with --group: how a parameter varies: shared, partial (drawn to a common centre), free; partial:COL over one of the columns",
    )  # fmt: skip
    parser.add_argument("--chains", type=int, default=4, metavar="N")
    parser.add_argument("--draws", type=int, default=1000, metavar="N", help="kept draws a chain")
    parser.add_argument("--warmup", type=int, metavar="N", help="default: chosen, and lengthened while the draws are not good")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|gpu")
    parser.add_argument("--precision", type=int, default=64, metavar="64|32", help="bits of the arithmetic")
    _add_verdict(parser)


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--map", action="append", default=[], metavar="params=n_params,...", help="columns without a common name")
    parser.add_argument("--units", action="append", default=[], metavar="params=billion,...", help="columns that are not in base units")
    parser.add_argument("--where", metavar="'flops<1e21'", help="use only the rows that meet a condition")
    parser.add_argument("--drop-invalid", action="store_true", help="leave out rows that cannot be used, with a note")
    parser.add_argument("--drop-duplicates", action="store_true", help="leave out exact repetitions, with a note")


def _add_verdict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-unconverged", action="store_true", help="exit with 0 even if the posterior is not trustworthy")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _fit(options: argparse.Namespace) -> int:
    from bayes_scaling.errors import FileError
    from bayes_scaling.fitting import fit
    from bayes_scaling.law import get_law
    from bayes_scaling.priors import parse_prior
    from bayes_scaling.runs import read_runs

    if options.out and not os.path.isdir(os.path.dirname(options.out) or "."):
        raise FileError(f"no folder '{os.path.dirname(options.out)}' to write '{os.path.basename(options.out)}' into")
    law = get_law(options.law)
    priors = {}
    for name, prior in map(parse_prior, options.prior):
        if name in priors:
            raise InputError(f"--prior gives '{name}' twice")
        priors[name] = prior
    fixed = {name: _number(text, f"--fix {name}") for name, text in _pairs(options.fix, "--fix").items()}
    pool = dict(_pool(text) for texts in options.pool for text in texts.split(","))
    if pool and not options.group:
        raise InputError("--pool needs groups: name their column with --group COL")
    columns = _pairs(options.map, "--map") | ({"group": options.group} if options.group else {})
    runs = read_runs(
        options.data,
        map=columns,
        units=_pairs(options.units, "--units"),
        where=options.where,
        drop_invalid=options.drop_invalid,
        drop_duplicates=options.drop_duplicates,
    )
    with _Progress() as progress:
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
            progress=progress,
        )
    if options.out:
        result.save(options.out)
    if options.json:
        from bayes_scaling.records import fit_record

        _print_json(fit_record(result, options.out))
    else:
        print(result)
        if options.out:
            print(f"\nwritten to {options.out}{_next_step(result, options.out)}")
    return _verdict(result.diagnosis.ok, options)


def _pool(text: str) -> tuple[str, str]:
    name, _, kind = text.partition("=")
    return name.strip(), kind.strip() or "partial"


def _next_step(fit: Any, out: str) -> str:
    """Return the hint at what to do with a fit, for laws that can be allocated."""
    if "compute" not in fit.runs.columns or len(fit.law.input_names) < 2:
        return ""
    group = f" --group {fit.groups[0]}" if fit.groups else ""
    return f"; next: bayes-scaling allocate {out} --compute {10 * fit.runs['compute'].max():.1g}{group}".replace("e+", "e")


def _verdict(ok: bool, options: argparse.Namespace) -> int:
    if ok or options.allow_unconverged:
        return DONE
    print("bayes-scaling: the posterior is not trustworthy (exit code 3; --allow-unconverged makes it 0)", file=sys.stderr)
    return NOT_TRUSTWORTHY


class _Progress:
    """A progress bar on stderr, shown only to people; the sampler reports once a chunk of iterations."""

    def __enter__(self) -> Callable[[int, int], None] | None:
        self.bar = None
        if not sys.stderr.isatty():
            return None
        from tqdm import tqdm

        self.bar = tqdm(desc="sampling", unit=" iterations", leave=False, file=sys.stderr)
        return self.report

    def report(self, done: int, planned: int) -> None:
        assert self.bar is not None
        if done < self.bar.n:  # a further attempt begins
            self.bar.reset()
            self.bar.set_description("sampling again, more carefully")
        self.bar.total = planned
        self.bar.update(done - self.bar.n)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


# --- predict, decide, allocate, plot ------------------------------------------------------------------------------------------


def _add_stored(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("fit", metavar="FIT.nc", help="written by bayes-scaling fit --out")
    parser.add_argument("--law", metavar="FILE.py", help="the file of a law of your own, if it has moved since the fit")
    parser.add_argument("--group", metavar="LABEL", help="which group, for a fit by group")


def _stored(options: argparse.Namespace) -> Any:
    """Load the fit that the options name, and select its group."""
    from bayes_scaling.storage import load_fit

    fit = load_fit(options.fit, options.law)
    if options.group is not None and not fit.groups:
        raise InputError(f"'{options.fit}' is not a fit by group, so it has no group '{options.group}'")
    if fit.groups and options.group is None:
        raise InputError(f"'{options.fit}' is a fit by group: choose one with --group ({', '.join(fit.groups)})")
    return fit if options.group is None else fit.select(options.group)


def _add_predict(commands: Any) -> None:
    parser = _command(
        commands, "predict", _predict, "predict the loss of new runs: the curve, and a new measurement with its scatter",
        "  bayes-scaling predict fit.nc --at points.csv          # points.csv: params,tokens\n"
        "  bayes-scaling predict loss.nc --at points.csv --then error.nc",
    )  # fmt: skip
    _add_stored(parser)
    parser.add_argument("--then", metavar="FIT.nc", help="a second fit that takes the first one's output: predict what it predicts")
    parser.add_argument("--at", required=True, metavar="POINTS.csv", help="a row a point, with the law's inputs")
    parser.add_argument("--map", action="append", default=[], metavar="params=n_params,...", help="columns without a common name")
    parser.add_argument("--units", action="append", default=[], metavar="params=billion,...", help="columns that are not in base units")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the scatter")
    _add_verdict(parser)


def _predict(options: argparse.Namespace) -> int:
    from bayes_scaling.prediction import predict
    from bayes_scaling.records import prediction_records
    from bayes_scaling.runs import read_points
    from bayes_scaling.storage import load_fit

    fit = _stored(options)
    then = load_fit(options.then) if options.then else None
    further = () if then is None else (*then.law.input_names, *then.noise.needs)
    needed = tuple(dict.fromkeys([*fit.law.input_names, *fit.noise.needs, *(name for name in further if name != fit.law.output)]))
    points = read_points(options.at, needed, map=_pairs(options.map, "--map"), units=_pairs(options.units, "--units"))
    found = predict(fit, points, then=then, seed=options.seed)
    rows = prediction_records(found)
    if options.json:
        _print_json({"law": found.attrs["law"], "output": found.attrs["output"], "rows": rows})
    else:
        print(
            "".join(f"{name:>12}" for name in needed)
            + "    new measurement (90 %)      curve (90 %)                decades beyond the runs"
        )
        for i, row in enumerate(rows):
            inputs = "".join(f"{points[name][i]:>12.4g}" for name in needed)
            spans = [f"{part['median']:.4f} [{part['q05']:.4f}, {part['q95']:.4f}]" for part in (row, row["expected"])]
            print(f"{inputs}    {spans[0]:28}{spans[1]:28}{row['decades_beyond']:.1f}")
    return _verdict(bool(found.attrs["trustworthy"]), options)


def _add_decide(commands: Any) -> None:
    parser = _command(
        commands, "decide", _decide, "answer the question that a law exists for, from a fit or from a published parameter set",
        "  bayes-scaling decide fit.nc --given compute=5.76e23\n"
        "  bayes-scaling decide chinchilla --published besiroglu --given compute=5.76e23\n"
        "  bayes-scaling laws data_constrained                   # what its question takes",
    )  # fmt: skip
    parser.add_argument("fit", metavar="FIT.nc|LAW", help="written by bayes-scaling fit --out; or a law, with --published")
    parser.add_argument("--published", metavar="NAME", help="a published parameter set of the law, instead of a fit")
    parser.add_argument("--given", action="append", default=[], metavar="NAME=VALUE,...", help="what the question takes, in base units")
    parser.add_argument("--law", metavar="FILE.py", help="the file of a law of your own, if it has moved since the fit")
    parser.add_argument("--group", metavar="LABEL", help="which group, for a fit by group")
    _add_verdict(parser)


def _decide(options: argparse.Namespace) -> int:
    from bayes_scaling.decision import decide, with_set
    from bayes_scaling.law import get_law
    from bayes_scaling.records import decision_record
    from bayes_scaling.text import decision_text

    source: Any = with_set(get_law(options.fit), options.published) if options.published else _stored(options)
    given = {name: _number(text, f"--given {name}") for name, text in _pairs(options.given, "--given").items()}
    found = decide(source, given, published=options.published)
    if options.json:
        _print_json(decision_record(found))
    else:
        print(decision_text(found, source if options.published else source.law))
    return _verdict(bool(found.attrs["trustworthy"]), options)


def _add_allocate(commands: Any) -> None:
    parser = _command(
        commands, "allocate", _allocate, "the best model size and token count for a budget, with intervals, the decision and its regret",
        "  bayes-scaling allocate fit.nc --compute 5.76e23\n"
        "  bayes-scaling allocate fit.nc --compute 1e22 --compute 1e24 --json\n"
        "  bayes-scaling allocate fit.nc --compute 5.76e23 --inference-tokens 1e13\n"
        "  bayes-scaling allocate fit.nc --compute 5.76e23 --params 70e9\n"
        "  bayes-scaling allocate fit.nc --target-loss 2.0",
    )  # fmt: skip
    _add_stored(parser)
    parser.add_argument("--compute", action="append", default=[], metavar="FLOP", help="a budget; may be repeated")
    parser.add_argument("--target-loss", action="append", default=[], metavar="NATS", help="the reverse: least compute for a loss")
    parser.add_argument("--inference-tokens", metavar="TOKENS", help="tokens served over the model's life, paid from the same budget")
    parser.add_argument("--unique-tokens", metavar="TOKENS", help="limit of unique data; needs a law that knows repetition")
    parser.add_argument("--params", metavar="N", help="hold the size")
    parser.add_argument("--tokens", metavar="D", help="hold the training tokens")
    _add_verdict(parser)


def _allocate(options: argparse.Namespace) -> int:
    from bayes_scaling import records, text
    from bayes_scaling.allocation import allocate, allocate_target
    from bayes_scaling.cost import Cost

    budgets = [_number(value, "--compute") for value in options.compute]
    targets = [_number(value, "--target-loss") for value in options.target_loss]
    if bool(budgets) == bool(targets):
        raise InputError("give budgets (--compute 5.76e23) or target losses (--target-loss 2.0), one of the two")
    held = {name: _number(value, f"--{name}") for name in ("params", "tokens") if (value := getattr(options, name)) is not None}
    if targets and held:
        raise InputError("--params and --tokens go with --compute, not with --target-loss")
    fit = _stored(options)
    if options.unique_tokens is not None and "unique_tokens" not in fit.law.input_names:
        raise InputError(f"law '{fit.law.name}' does not know repeated data, so it cannot use --unique-tokens")
    serving = _number(options.inference_tokens, "--inference-tokens") if options.inference_tokens is not None else 0.0
    cost = Cost(inference_tokens=serving)
    if targets:
        plan = allocate_target(fit, targets, cost=cost)
        print(text.target_text(plan)) if not options.json else _print_json({"targets": records.target_records(plan)})
    else:
        plan = allocate(fit, budgets, cost=cost, **held)
        print(text.allocation_text(plan)) if not options.json else _print_json({"allocations": records.allocation_records(plan)})
    return _verdict(fit.diagnosis.ok, options)


def _add_plot(commands: Any) -> None:
    parser = _command(
        commands, "plot", _plot, "draw the figures of a fit into a folder",
        "  bayes-scaling plot fit.nc --compute 1e22 --compute 5.76e23 --out figures",
    )  # fmt: skip
    _add_stored(parser)
    parser.add_argument("--compute", action="append", default=[], metavar="FLOP", help="budgets to mark and to draw the regret for")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="made if it is not there")
    parser.add_argument("--format", default="png", choices=("png", "svg", "pdf"))
    _add_verdict(parser)


def _plot(options: argparse.Namespace) -> int:
    from bayes_scaling.plot import save_figures

    budgets = [_number(value, "--compute") for value in options.compute]
    fit = _stored(options)
    written = save_figures(fit, options.out, compute=budgets, format=options.format)
    if options.json:
        _print_json({"figures": [str(path) for path in written]})
    else:
        print("\n".join(str(path) for path in written))
    return _verdict(fit.diagnosis.ok, options)


# --- small parts --------------------------------------------------------------------------------------------------------------


def _pairs(texts: Sequence[str], option: str) -> dict[str, str]:
    """Read ``a=b,c=d`` from every use of an option."""
    pairs: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise InputError(f"cannot read '{part}' of {option}; write it as {option} NAME=VALUE")
        if name in pairs:
            raise InputError(f"{option} gives '{name}' twice")
        pairs[name] = value
    return pairs


def _number(text: str, option: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{option}: '{text}' is not a number (write 5.76e23)") from None
    if not math.isfinite(value):
        raise InputError(f"{option}: {text} is not a finite number")
    return value


def _print_json(value: Any) -> None:
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    """Replace infinities and NaN by null: JSON has no others."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
