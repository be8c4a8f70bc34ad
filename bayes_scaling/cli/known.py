"""The commands ``laws`` and ``data``: what is known without a fit."""

from __future__ import annotations

import argparse
from typing import Any

from bayes_scaling.cli.common import (
    DONE,
    command,
    print_json,
)


def add_laws(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "laws", _laws, "list the laws, or show one with its published parameter sets",
        "  bayes-scaling laws\n  bayes-scaling laws chinchilla",
    )  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="a law's name, or the path of a Python file that defines LAW, which is run")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _laws(options: argparse.Namespace) -> int:
    from bayes_scaling.law import get_law, law_names
    from bayes_scaling.records import law_record
    from bayes_scaling.text import law_text

    laws = {law.name: law for law in map(get_law, [options.name] if options.name else law_names())}
    if options.json:
        print_json({name: law_record(law) for name, law in laws.items()})
    elif options.name:
        print(law_text(next(iter(laws.values()))))
    else:
        width = max(map(len, laws)) + 2
        for law in laws.values():
            print(f"{law.name:{width}}{law.title}\n{'':{width}}{law.equation}")
    return DONE


def add_data(commands: Any) -> None:
    """Add the command to the parser."""
    parser = command(
        commands, "data", _data, "list the named data sets, or show one (it is downloaded if need be)",
        "  bayes-scaling data\n  bayes-scaling data ladder",
    )  # fmt: skip
    parser.add_argument("name", nargs="?", metavar="NAME", help="a data set's name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _data(options: argparse.Namespace) -> int:
    from bayes_scaling.datasets import DATA_SETS, data_set, fetch
    from bayes_scaling.reading import read_runs

    if not options.name:
        known = {name: {"title": item.title, "source": item.source, "built_in": item.built_in} for name, item in DATA_SETS.items()}
        if options.json:
            print_json(known)
        else:
            for name, item in DATA_SETS.items():
                print(f"{name:12}{'built in' if item.built_in else 'download':10}{item.title}")
        return DONE
    item = data_set(options.name)
    runs = read_runs(options.name)
    about = {"name": item.name, "title": item.title, "source": item.source, "licence": item.licence, "path": str(fetch(item))}
    if options.json:
        spans = {name: [float(values.min()), float(values.max())] for name, values in runs.columns.items()}
        print_json({**about, "n_runs": len(runs), "columns": spans, "notes": list(runs.notes)})
    else:
        print("\n".join(f"{key:9}{value}" for key, value in about.items()))
        print(runs)
    return DONE
