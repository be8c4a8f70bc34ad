"""The command ``extrapolate``, and what ``fit --law extrapolate`` does."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from bayes_scaling.cli.common import add_reading, add_verdict, command, number, print_json, reading, require_picture, verdict
from bayes_scaling.errors import InputError
from bayes_scaling.files import require_writable

if TYPE_CHECKING:
    from bayes_scaling.extrapolation import Curve

NAME = "extrapolate"


def add_extrapolate(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, NAME, run_extrapolate, "forecast where one learning or scaling curve goes, or each of many",
        "  bayes-scaling extrapolate curve.csv --input tokens --at 1e12 --target 2.1\n"
        "  bayes-scaling extrapolate curves.csv --map x=steps,loss=val_loss --group run --kind training --json",
    )  # fmt: skip
    parser.add_argument("data", metavar="DATA", help="a CSV or Parquet file with a row a point: one input, and loss or error")
    add_curve(parser)
    parser.add_argument("--input", metavar="QUANTITY", help="what was scaled: params, tokens, compute, examples, steps, or any column")
    parser.add_argument("--group", metavar="COL", help="every group of rows is a curve of its own")
    parser.add_argument("--out", metavar="FORECAST.nc", help="write the draws here (NetCDF); of many curves, into this folder")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--draws", type=int, default=1000, metavar="N")
    add_reading(parser)
    add_verdict(parser)


def add_curve(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--kind", default="generic", metavar="KIND", help="whose prior: generic, training, image, language, ...")
    parser.add_argument("--at", action="append", default=[], metavar="X[,X]", help="where (default 1.5, 2, 4, 10 times the last x)")
    parser.add_argument("--target", metavar="Y", help="when is this value reached?")
    parser.add_argument("--plot", metavar="FIGURE", help="draw the forecast here (png, pdf, svg)")


def run_extrapolate(options: argparse.Namespace) -> int:
    """Run the command."""
    from bayes_scaling.extrapolation import extrapolate_many
    from bayes_scaling.extrapolation.words import forecast_record, forecast_text
    from bayes_scaling.progress import follow

    if options.plot:
        require_picture(options.plot, (options.data, options.join))
    if options.out and not os.path.isdir(options.out):  # a folder is for many curves
        require_writable(options.out, (options.data, options.join))
    target = number(options.target, "--target") if options.target else None
    at = [number(text, "--at", options.input or "tokens") for texts in options.at for text in texts.split(",")]
    curves, names = _curves(options)
    for curve in curves:
        curve.beyond(at)
    if target is not None and target <= 0:
        raise InputError(f"target = {target:g} must be a finite number above 0")
    if len(curves) > 1 and options.plot:
        raise InputError(f"--plot draws one curve; {options.data} has {len(curves)} (--where picks one)")
    forecasts = extrapolate_many(curves, options.kind, draws=options.draws, seed=options.seed)
    found = list(follow(forecasts, "extrapolating", len(curves)))
    if options.out and len(found) == 1:
        found[0].save(options.out)
    elif options.out:
        os.makedirs(options.out, exist_ok=True)
        for place, forecast in enumerate(found, start=1):
            forecast.save(os.path.join(options.out, f"{place:04d}.nc"))  # a curve's name may be no file's name
    if options.plot:
        from bayes_scaling import plot

        ax = plot.forecast(found[0], upto=max(at, default=None), target=target)
        ax.set(xlabel=names[0], ylabel=names[1])
        plot.save_figure(ax, options.plot)
    if options.json:
        records = [forecast_record(forecast, at, target) for forecast in found]
        print_json(records[0] if len(records) == 1 else records)
    else:
        print("\n\n".join(forecast_text(forecast, at, target) for forecast in found))
    bad = sum(not forecast.ok for forecast in found)
    return verdict(bad == 0, options, f"{bad} of {len(found)} forecasts are not trustworthy")


def _curves(options: argparse.Namespace) -> tuple[list[Curve], tuple[str, str]]:
    """Return the curves, and what they are drawn against and of."""
    from bayes_scaling.curves import AXES, UNIT
    from bayes_scaling.extrapolation import Curve
    from bayes_scaling.reading import read_runs

    given = reading(options)
    given["map"] |= {"group": options.group} if options.group else {}
    runs = read_runs(options.data, **given)
    axes = (*(axis.name for axis in AXES), "steps")
    if options.input not in (None, *axes, *runs.columns):  # any column will do
        given["map"] |= {"x": options.input}
        runs, options.input = read_runs(options.data, **given), "x"
    inputs = [name for name in axes if name in runs.columns]
    chosen = options.input or (inputs[0] if len(inputs) == 1 else None)
    if chosen not in inputs:
        if chosen is not None:
            what = f"no column for '{chosen}';"
        else:
            what = (
                f"which of {', '.join(inputs)} is the curve drawn against?"
                if inputs
                else "no column is known as what a curve is drawn against;"
            )
        known = f"columns not recognised: {', '.join(runs.ignored) or 'none'}"
        raise InputError(f"{options.data}: {what} name a column with --input, any will do ({known})")
    outputs = [name for name in UNIT if name in runs.columns]
    if len(outputs) != 1:
        raise InputError(f"{options.data}: a curve needs one output, loss or error; it has {' and '.join(outputs) or 'neither'}")
    parts = [(label, runs.of_group(label)) for label in runs.groups] if options.group else [(os.path.basename(str(options.data)), runs)]
    curves = [Curve(part[chosen], part[outputs[0]], label) for label, part in parts]
    for note in runs.notes:
        print(f"note: {note}", file=sys.stderr)
    return curves, (chosen, outputs[0])
