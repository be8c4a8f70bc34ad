"""The command ``bench``: how fast posteriors come on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bayes_scaling.cli.common import DONE, add_columns, command, json_text, number, pairs, print_json, require_picture
from bayes_scaling.errors import InputError


def add_bench(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "bench", _bench, "measure how fast posteriors come on this machine's devices, over chains, data sets and runs",
        "  bayes-scaling bench                                   # some minutes\n"
        "  bayes-scaling bench --chains 4,64 --sets 1,16 --runs 100,1000 --limit 10\n"
        "  bayes-scaling bench --limit 600 --out bench.json --figure bench.png\n"
        "  bayes-scaling bench runs.csv --law kaplan",
    )  # fmt: skip
    parser.add_argument("data", nargs="?", default="ladder", metavar="DATA", help="a table of runs or a data set's name (ladder)")
    parser.add_argument("--law", default="chinchilla", metavar="NAME|FILE.py", help="what is fitted (chinchilla); a .py file is run")
    parser.add_argument("--chains", metavar="4,16,...", help="chains of a fit; up to 4096 by default")
    parser.add_argument("--sets", metavar="1,4,...", help="data sets side by side; up to 1024 by default")
    parser.add_argument("--runs", metavar="100,1000,...", help="runs of a data set; up to 1e6 by default")
    parser.add_argument("--draws", type=int, default=1000, metavar="N", help="kept draws a chain (1000)")
    parser.add_argument("--limit", default="60", metavar="SECONDS", help="what would take longer is not measured, and said so (60)")
    parser.add_argument("--device", default="auto", metavar="auto|cpu|gpu", help="auto: all that there are")
    parser.add_argument("--precision", type=int, default=64, metavar="64|32")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--out", metavar="BENCH.json", help="write the measurements here, anew after each: an interruption loses none")
    parser.add_argument("--figure", metavar="FIGURE.png", help="draw them, CPU against GPU")
    add_columns(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _bench(options: argparse.Namespace) -> int:
    from bayes_scaling.bench import CHAINS, RUNS, SETS, bench
    from bayes_scaling.files import require_writable, write_atomically
    from bayes_scaling.reading import read_runs

    read = (options.data, options.law)
    if options.out:
        require_writable(options.out, read)
    if options.figure:
        require_picture(options.figure, read)
    runs = read_runs(options.data, map=pairs(options.map, "--map"), units=pairs(options.units, "--units"))

    def keep(so_far: Any) -> None:
        if options.out:
            write_atomically(Path(options.out), f"{json_text(so_far.record())}\n".encode())

    found = bench(
        options.law,
        runs,
        chains=_sizes(options.chains, "--chains", CHAINS),
        data_sets=_sizes(options.sets, "--sets", SETS),
        sizes=_sizes(options.runs, "--runs", RUNS),
        device=options.device,
        draws=options.draws,
        precision=options.precision,
        limit=number(options.limit, "--limit"),
        seed=options.seed,
        each=keep,
    )
    if options.figure:
        from bayes_scaling.bench_plot import bench_figure
        from bayes_scaling.plot import save_figure

        save_figure(bench_figure(found)[0], options.figure)
    print_json(found.record()) if options.json else print(found)
    return DONE


def _sizes(text: str | None, option: str, default: tuple[int, ...]) -> tuple[int, ...]:
    """Read whole numbers; 1e6 is one; an empty text is none of them."""
    if text is None:
        return default
    values = [number(part, option) for part in text.split(",") if part.strip()]
    for value in values:
        if value != int(value):
            raise InputError(f"{option}: {value:g} is no whole number")
    return tuple(int(value) for value in values)
