"""Quantities, their units, and how numbers are written for people.

Inside the package every quantity is in its base unit: params and tokens are counts, compute is FLOP, loss is nat/token.
Conversion happens once, at the edge, and only as declared: no unit is ever guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from bayes_scaling.errors import InputError, brief, nearest
from bayes_scaling.quantities import QUANTITIES, quantity

PF_DAY = 1e15 * 86400  # FLOP

_COUNTS = {
    **{"count": 1.0, "thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12},
    **{"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12},
}

#: Factor from each unit to the base unit (the first of each quantity).
UNITS: Mapping[str, Mapping[str, float]] = {
    "params": _COUNTS,
    "tokens": _COUNTS,
    "compute": {"FLOP": 1.0, "TFLOP": 1e12, "PFLOP": 1e15, "EFLOP": 1e18, "ZFLOP": 1e21, "PF-day": PF_DAY},
    **dict.fromkeys(("unique_tokens", "batch_tokens", "examples", "unique_examples", "encoder_params", "decoder_params"), _COUNTS),
    "data_bytes": {"byte": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9},
    **{item.name: {"fraction": 1.0, "percent": 0.01} for item in QUANTITIES.values() if item.is_fraction},
    "loss": {"nat": 1.0, "bit": math.log(2), "perplexity": math.nan},
}


def base_unit(quantity: str) -> str:
    """Return the base unit of a quantity, or an empty string for a quantity without declared units."""
    return next(iter(UNITS.get(quantity, {"": 1.0})))


#: Words of headers that say a unit in another way than we do, and words that say nothing of what a column holds.
_SAID = {"bn": "B", "mn": "M", "pct": "percent", "%": "percent", "ppl": "perplexity"}
_FILLERS = ("total", "number", "of", "in", "final", "count", "train", "training")


def likely_columns(name: str, columns: Iterable[str], within: bool = False) -> dict[str, str]:
    """Return columns whose headers say nothing but a quantity and its unit, with the unit where it is not the base one.

    It is for messages, which propose and do not decide: ``D (B tokens)`` and ``tokens_B`` are likely tokens in billions.

    Parameters
    ----------
    within : take also headers that say something else besides, such as ``val/loss_smoothed``
    """
    kind = quantity(name)
    sizes: Mapping[str, float] = UNITS.get(name, {})
    spelled = {each.lower(): each for each in sizes}
    found: dict[str, str] = {}
    for column in columns:
        words, unit = list[str](), base_unit(name)
        for word in map(str, re.findall(r"[a-z]+|%", column.lower())):
            said = _SAID.get(word, word).lower()
            said = said if said in spelled else said.removesuffix("s")
            if said in spelled and word not in kind.columns:
                unit = next(each for each, size in sizes.items() if size == sizes[spelled[said]] or each == said)  # B is billion
            elif word not in _FILLERS:
                words.append(word)
        whole = bool(words) and ("_".join(words) in kind.columns or all(word in kind.columns for word in words))
        if whole or (within and any(len(word) > 1 and word in kind.columns for word in words)):
            found[column] = unit if whole and unit != base_unit(name) else ""  # "loss (bits per byte)" is not in bits
    return found


_DIGITS = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_POWER = rf"(?:(?P<factor>{_DIGITS})\s*[x*\u00d7\u00b7]\s*)?10(?:\^|\*\*)(?P<power>[+-]?\d+)"
_NUMBER = re.compile(rf"(?:{_POWER}|(?P<plain>{_DIGITS}))\s*(?P<unit>[a-zA-Z][\w-]*)?", re.ASCII)
_NOT_FINITE = ("inf", "infinity", "nan")  # as Python and numpy write them


def read_number(text: str, name: str = "", example: str = "") -> float:
    """Read a number as people write it: ``5.76e23``, ``10^22``, ``2 x 10^22``; a quantity's with a unit after it, ``70B``, ``3 ZFLOP``.

    Parameters
    ----------
    name : a key of ``UNITS``, or what has no units
    example : how an error says to write it, where that is far from any budget in FLOP

    Returns
    -------
    The value in the base unit

    Raises
    ------
    InputError
        If it is no number, not finite, or its unit is none of the quantity's.
    """
    counted = name.rpartition("_")[2] in ("params", "tokens")  # as a law calls them: test_tokens
    name = name if name in UNITS or not counted else "tokens"
    said, known, given = brief(text, 40), UNITS.get(name, {}), text.strip()
    found = _NUMBER.fullmatch(given)
    if given.lstrip("+-").lower() in _NOT_FINITE:
        raise InputError(f"{said} is not a finite number")
    if found is None or (found["unit"] and not known):
        example = example or ("7e10, 7 x 10^10 or 70B" if known is _COUNTS else "5.76e23")
        several = "; several values: one at a time" if "," in given else ""
        raise InputError(f"'{said}' is not a number (write {example}{several})")
    value = float(found["plain"]) if found["plain"] else float(found["factor"] or 1) * float(f"1e{found['power']}")
    if found["unit"]:
        try:
            with np.errstate(over="ignore"):  # an infinite one is refused below
                value = float(to_base(np.array(value), name, found["unit"]))
        except InputError as error:
            raise InputError(f"'{said}': {error}") from None
    if not math.isfinite(value):
        raise InputError(f"{said} is not a finite number")
    return value


def amount(value: float | str, name: str) -> float:
    """Return an amount of a quantity in the base unit: a number, or text as people write it; errors as in `read_number`."""
    return read_number(value, name) if isinstance(value, str) else float(value)


def amounts(values: float | str | Iterable[float | str], name: str) -> np.ndarray:
    """Return one amount of a quantity, or several, shape (amount,), in the base unit: numbers, or text as people write it (100 PF-day).

    Raises
    ------
    InputError
        If a text is no such number, or there is more than a list of them.
    """
    given = cast(Any, values)
    listed = list(given) if np.ndim(given) else [given]
    if any(np.ndim(value) for value in listed):
        raise InputError(f"{name} must be one amount or a list of them")
    return np.array([amount(value, name) for value in listed])


def to_base(values: np.ndarray, quantity: str, unit: str) -> np.ndarray:
    """Convert values of a quantity from a unit to its base unit.

    Parameters
    ----------
    values : array of any shape
    quantity : a key of ``UNITS``
    unit : a key of ``UNITS[quantity]``; ``perplexity`` is converted by its logarithm

    Raises
    ------
    InputError
        If the quantity or the unit is unknown.
    """
    if quantity not in UNITS:
        raise InputError(f"no units are known for '{quantity}'{nearest(quantity, UNITS)}")
    if unit not in UNITS[quantity]:
        raise InputError(f"unknown unit '{unit}' for {quantity}{nearest(unit, UNITS[quantity])}")
    if unit == "perplexity":
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log(values)
    return values * UNITS[quantity][unit]


def standard_error_to_base(values: np.ndarray, unit: str, loss: np.ndarray) -> np.ndarray:
    """Convert standard errors of the loss to nats; loss is the converted loss (a perplexity's error is relative to it)."""
    return values / np.exp(loss) if unit == "perplexity" else to_base(values, "loss", unit)


def count_text(value: float) -> str:
    """Write a count with three digits and a suffix: ``72.2B``, ``1.33T``, ``2.84k``."""
    if not math.isfinite(value):
        return "unbounded" if value > 0 else str(value)
    for factor, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"), (1.0, "")):
        if value >= 0.9995 * factor or not suffix:
            digits = f"{value / factor:#.3g}".rstrip(".")
            return f"{value:.3g}".replace("e+", "e") if "e" in digits else digits + suffix
    raise AssertionError("unreachable: the last suffix takes every value")


def compute_text(value: float) -> str:
    """Write an amount of compute: ``5.76e23 FLOP``."""
    return re.sub(r"e\+0?", "e", f"{value:.3g}") + " FLOP" if math.isfinite(value) else "unbounded FLOP"


def tidy(text: str) -> str:
    """Return text with numbers such as 1.8e+07 written as 1.8e7."""
    return re.sub(r"(?<=\d)e\+0?(?=\d)", "e", text)


def quantity_text(value: float) -> str:
    """Write any number with four digits: ``0.4561``, ``72.2B`` for counts, ``5.76e23`` beyond them."""
    if not math.isfinite(value):
        return "out of reach" if value > 0 else str(value)
    if 1e4 <= abs(value) < 1e16:
        return count_text(value)
    return f"{value:.4g}".replace("e+", "e")
