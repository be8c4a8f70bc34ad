"""Parts that several commands have: the parser, options of the same meaning, numbers and pairs from text, exit codes, JSON."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any, NoReturn

from bayes_scaling.errors import FileError, InputError, brief, close_to, one_line

DONE, BAD_INPUT, NOT_TRUSTWORTHY = 0, 2, 3


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and point to the help of the command that was given."""

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]: its overloads are of types that nobody passes here
        self, args: Any = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Refuse what is unknown here, not in the parser above, whose help knows nothing of it; and before what is missing."""
        given = sys.argv[1:] if args is None else list(args)
        if self._subparsers is None:  # otherwise a command's options are among them, and the command's to judge
            self._refuse([word for word in takewhile(lambda word: word != "--", given) if self._unknown(word)])
        options, left = super().parse_known_args(given, namespace)
        self._refuse(left, given)
        return options, left

    def _unknown(self, word: str) -> bool:
        """Whether a word is an option, by its look, and none that there is, nor the beginning of one."""
        if not re.fullmatch(r"--[a-z][\w-]*(=.*)?", word, re.DOTALL):
            return False
        return not any(option.startswith(word.partition("=")[0]) for option in self._option_string_actions)

    def _refuse(self, unknown: Sequence[str], given: Sequence[str] = ()) -> None:
        if not unknown:
            return
        known, word = self._option_string_actions, unknown[0]
        at = max((place for place, each in enumerate(given) if each == word), default=0)
        flag, option = (given[at - back] if at >= back else "" for back in (1, 2))
        if flag in known and known[flag].nargs == 0:
            self.error(f"{flag} takes no value, but '{word}' follows it")
        if isinstance(getattr(known.get(option), "default", None), list):  # one that is repeated
            self.error(f"{option} takes one value at a time: write {option} {flag} {option} {word}")
        self.error(f"unrecognized arguments: {' '.join(unknown)}{close_to(word.partition('=')[0], known)}")

    def error(self, message: str) -> NoReturn:
        chosen = re.match(r"(argument .*: invalid choice: '(.*?)') \(choose from (.*)\)", message, re.DOTALL)
        if chosen and (close := close_to(chosen[2], re.findall(r"[\w-]+", chosen[3]))):
            message = chosen[1] + close
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


def add_drift(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the size of the drift to the parser."""
    parser.add_argument("--drift", type=float, metavar="SIZE", help=f"how far laws may be off beyond their runs: {default}; 0: not at all")


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


def number(text: str, option: str, quantity: str = "", example: str = "") -> float:
    """Read a number that an option gives; of a quantity with units (params, tokens, compute), in its base unit.

    ``example`` is how such a number may look, where it is far from any budget in FLOP.
    """
    from bayes_scaling.units import read_number

    try:
        return read_number(text, quantity, example)
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
    print(json_text(value))


def json_text(value: Any) -> str:
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    """Replace infinities and NaN by null: JSON has no others."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
