"""Exceptions. Each message says what was wrong, the offending value or row, and what to do about it."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast


class BayesScalingError(Exception):
    """Base of every error that this package raises on purpose; the command line prints it on one line and exits with 2."""


class InputError(BayesScalingError, ValueError):
    """Data, options or arguments that cannot be used as given."""


class LawError(BayesScalingError, ValueError):
    """A law that does not exist, or whose definition is inconsistent."""


class FileError(BayesScalingError, OSError):
    """A file that is missing, unreadable, or not what it claims to be."""


class DeviceError(BayesScalingError, RuntimeError):
    """A device that was asked for and is not there."""


class BatchError(BayesScalingError, RuntimeError):
    """A batch that could not go on; what was done is stored, and running the job again goes on from there."""


_COMMAND_LINE = ContextVar("command_line", default=False)
_ELSEWHERE = {"prior": "priors"}  # what Python calls an option of the command line


@contextmanager
def command_line(used: bool = True) -> Generator[None]:
    """Let messages name options as the command line does; outside, they name arguments as Python does."""
    token = _COMMAND_LINE.set(used)
    try:
        yield
    finally:
        _COMMAND_LINE.reset(token)


def option_text(**values: Any) -> str:
    """Return options as whoever reads the message gives them: ``--drop-invalid``, or ``drop_invalid=True``.

    Parameters
    ----------
    values : by name as on the command line, in snake case; None for the name alone, True for a flag, a dict for pairs
    """
    if _COMMAND_LINE.get():
        return " ".join(f"--{name.replace('_', '-')}{_written(value)}" for name, value in values.items())
    if "group" in values:  # of a table's columns like the others
        values = {**values, "map": {"group": values["group"] or "COLUMN"}}
        del values["group"]
    called = ((_ELSEWHERE.get(name, name), value) for name, value in values.items())
    return ", ".join(name if value is None else f"{name}={value!r}" for name, value in called)


def either_text(command_line: str, python: str) -> str:
    """Return the one of two texts that whoever reads the message can use, where `option_text` cannot write both."""
    return command_line if _COMMAND_LINE.get() else python


def _written(value: Any) -> str:
    if value is None or value is True:
        return ""
    if isinstance(value, dict):
        # A header may hold blanks and brackets, which a shell takes apart.
        return " " + ",".join(f"{name}={shlex.quote(str(item))}" for name, item in cast("dict[str, Any]", value).items())
    return f' "{value}"' if " " in str(value) else f" {value}"


_LISTED = 60  # names that a message lists at most; all laws are fewer


def one_line(text: object) -> str:
    """Return text on one line, without characters that a terminal would obey: names and cells come from files of others."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(str(text).split()))


def brief(text: object, most: int = 120) -> str:
    """Return what a user wrote, cut where it is so long that nobody would find the message in it."""
    shown = str(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def counted(number: int, what: str, one: str = "", more: str = "") -> str:
    """Return ``1 row`` or ``2 rows``; with a verb for each, ``1 row lies`` or ``2 rows lie``."""
    verb = one if number == 1 else more
    return f"{number} {what}{'' if number == 1 else 's'}{f' {verb}' if verb else ''}"


def lines_text(number: int, lines: str) -> str:
    """Return ``line 2`` or ``lines 2, 5``, of so many lines that are written already."""
    return f"line{'' if number == 1 else 's'} {lines}"


def listed(names: Iterable[str], most: int = _LISTED) -> str:
    """Return names for a message, the first of them where they are too many."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(brief(name) for name in names[:most]) + more


def together(messages: Iterable[str], source: str) -> str:
    """Return messages about one source as sentences, so that all of it can be mended at once."""
    said, *others = messages
    for text in others:
        own = text.removeprefix(f"{source}: ")
        said += f"{'' if said.endswith('?') else '.'} {own if own.startswith(source) else own[0].upper() + own[1:]}"
    return said


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid name closest to a wrong one, or the list of valid names where none is close."""
    valid = list(valid)
    return close_to(wrong, valid) or (f"; valid: {listed(valid)}" if valid else "")


def close_to(wrong: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid name closest to a wrong one, or nothing where none is close."""
    valid = list(valid)
    close = difflib.get_close_matches(brief(wrong).lower(), [name.lower() for name in valid], n=1)
    return f"; did you mean '{next(name for name in valid if name.lower() == close[0])}'?" if close else ""
