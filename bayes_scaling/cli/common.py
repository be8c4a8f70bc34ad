"""Parts that several commands have: the parser, options of the same meaning, numbers and pairs from text, exit codes, JSON."""

from __future__ import annotations

import argparse
import difflib
import json
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from bayes_scaling.errors import FileError, InputError, brief, nearest, one_line

DONE, BAD_INPUT, NOT_TRUSTWORTHY = 0, 2, 3


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, of the command that was asked, with the nearest of what there is."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Parse; what a command does not know is its own error: argparse leaves it to the parser of all commands, whose help lacks it."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown and self.get_default("command"):
            known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
            wrong = next((word.partition("=")[0] for word in unknown if word.startswith("-")), None)
            if wrong is None:
                self.error(f"unrecognized arguments: {' '.join(unknown)}")
            close = difflib.get_close_matches(brief(wrong), known, n=1, cutoff=0.5)
            self.error(f"there is no option {brief(wrong)}{f'; did you mean {close[0]}?' if close else ''}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(action, f"invalid choice: '{brief(value)}'{nearest(str(value), map(str, action.choices))}")

    def error(self, message: str) -> NoReturn:
        print(f"{self.prog}: error: {brief(one_line(message), 400)} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(BAD_INPUT)


def command(commands: Any, name: str, run: Callable[[argparse.Namespace], int], help: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=f"examples:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run, command=name)
    return parser


def add_columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--map", action="append", default=[], metavar="params=n_params,...",
        help="columns without a common name, or arithmetic over columns: tokens='step*524288'",
    )  # fmt: skip
    parser.add_argument("--units", action="append", default=[], metavar="params=billion,...", help="columns that are not in base units")


def add_reading(parser: argparse.ArgumentParser) -> None:
    add_columns(parser)
    parser.add_argument("--where", metavar="'flops<1e21'", help="use only the rows that meet a condition")
    parser.add_argument(
        "--curve",
        metavar="RUN=last|best|all",
        help="of training curves, whose runs column RUN names, take one point a run, or all with noise that is alike within a run",
    )
    parser.add_argument("--join", metavar="TABLE", help="add the columns of a table with a row for each run, or model")
    parser.add_argument("--on", metavar="COL[=COL]", help="the column that both tables are joined by; by default the run, or model")
    parser.add_argument("--drop-invalid", action="store_true", help="leave out rows that cannot be used, with a note")
    parser.add_argument("--drop-duplicates", action="store_true", help="leave out exact repetitions, with a note")


_CURVE = "run=last (or best, or all), with the name of the column that says which run a row is of"


def reading(options: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `bayes_scaling.read_runs` that the options of `add_reading` give."""
    return {
        "map": pairs(options.map, "--map"),
        "units": pairs(options.units, "--units"),
        "where": options.where,
        "curve": pairs([options.curve], "--curve", _CURVE) if options.curve else None,
        "join": options.join,
        "on": options.on,
        "drop_invalid": options.drop_invalid,
        "drop_duplicates": options.drop_duplicates,
    }


def add_verdict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--allow-unconverged", action="store_true", help="exit with 0 even if the posterior is not trustworthy")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def verdict(ok: bool, options: argparse.Namespace, what: str = "the posterior is not trustworthy") -> int:
    """Return the exit code; say on stderr what is not trustworthy, if anything is."""
    if ok or options.allow_unconverged:
        return DONE
    print(f"bayes-scaling: {what} (exit code 3; --allow-unconverged makes it 0)", file=sys.stderr)
    return NOT_TRUSTWORTHY


def pairs(texts: Sequence[str], option: str, form: str = "NAME=VALUE") -> dict[str, str]:
    """Read ``a=b,c=d`` from every use of an option; ``form`` is how an error says to write it."""
    pairs: dict[str, str] = {}
    for part in (part for text in texts for part in text.split(",")):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not (name and equals and value):
            raise InputError(f"cannot read '{brief(part)}' of {option}; write it as {option} {form}")
        if name in pairs:
            raise InputError(f"{option} gives '{name}' twice")
        pairs[name] = value
    return pairs


def number(text: str, option: str, quantity: str = "") -> float:
    """Read a number that an option gives; of a quantity with units (params, tokens, compute), in its base unit."""
    from bayes_scaling.units import read_number

    try:
        return read_number(text, quantity)
    except InputError as error:
        raise InputError(f"{option}: {error}") from None


def add_law_file(parser: argparse.ArgumentParser) -> None:
    """Add the option that says where the law of a stored fit is."""
    parser.add_argument("--law", metavar="FILE.py", help="the file of your own law, which is run; if it has moved or is new here")


PICTURES = (".png", ".svg", ".pdf")


def require_picture(path: str, read: Sequence[str | None] = ()) -> None:
    """Raise FileError unless a figure can be written there: to be asked before the work that it shows."""
    from bayes_scaling.files import require_writable

    if not path.lower().endswith(PICTURES):
        raise FileError(f"'{path}' is no picture: let its name end with {' or '.join(PICTURES)}")
    require_writable(path, read)


def print_json(value: Any) -> None:
    print(json.dumps(finite(value), indent=2, allow_nan=False))


def finite(value: Any) -> Any:
    """Replace infinities and NaN by null: JSON has no others."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
