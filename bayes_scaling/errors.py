"""Exceptions. Each message says what was wrong, the offending value or row, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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


_LISTED = 60  # names that a message lists at most; all laws are fewer


def one_line(text: object) -> str:
    """Return text on one line, without characters that a terminal would obey: names and cells come from files of others."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in " ".join(str(text).split()))


def brief(text: object, most: int = 120) -> str:
    """Return what a user wrote, cut where it is so long that nobody would find the message in it."""
    shown = str(text)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def counted(number: int, what: str) -> str:
    """Return ``1 row`` or ``2 rows``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def listed(names: Iterable[str], most: int = _LISTED) -> str:
    """Return names for a message, the first of them where they are too many."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(brief(name) for name in names[:most]) + more


def nearest(wrong: str, valid: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"`` for the valid name closest to a wrong one, or the list of valid names where none is close."""
    valid = list(valid)
    close = difflib.get_close_matches(brief(wrong).lower(), [name.lower() for name in valid], n=1)
    if close:
        return f"; did you mean '{next(name for name in valid if name.lower() == close[0])}'?"
    return f"; valid: {listed(valid)}" if valid else ""
