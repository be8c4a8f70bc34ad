"""What measured values can be: rows that cannot, and whole columns that look like other units than those declared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bayes_scaling import units as units_module
from bayes_scaling.errors import InputError, brief, listed, option_text, together
from bayes_scaling.quantities import quantity as kind_of
from bayes_scaling.table import Table

# Values that no count of this kind can have all of: a whole column below means that it is in thousands, millions or billions.
_SMALLEST_PLAUSIBLE = {"params": 1e3, "tokens": 1e4, "compute": 1e8}
_PLAUSIBLE_RATIO = (1e-2, 1e5)  # tokens a param, median over the runs
_USUAL_RATIO = 0.2  # below it, such a median is worth a word
_LARGEST_LOSS = 20.0  # nat/token; uniform guessing over any real vocabulary is below 14


def fill_compute(columns: dict[str, np.ndarray]) -> list[str]:
    """Take compute as 6ND where its cell is empty but params and tokens are there; return the note that says so."""
    if not {"params", "tokens", "compute"} <= set(columns):
        return []
    empty = np.isnan(columns["compute"])
    if not empty.any():
        return []
    with np.errstate(over="ignore"):
        columns["compute"] = np.where(empty, 6 * columns["params"] * columns["tokens"], columns["compute"])
    return [f"compute is missing in {empty.sum()} rows: taken as 6 x params x tokens there"]


def refuse_implausible_units(table: Table, found: Mapping[str, str], columns: Mapping[str, np.ndarray], units: Mapping[str, str]) -> None:
    """Raise InputError that names every column whose values look like another unit than the declared one."""
    wrong: list[str] = []
    for quantity, smallest in _SMALLEST_PLAUSIBLE.items():
        values = columns.get(quantity, np.array([]))
        values = values[np.isfinite(values) & (values > 0)]
        if not len(values) or values.max() >= smallest:
            continue
        span = f"column '{found[quantity]}' of {table.source} has values from {values.min():.4g} to {values.max():.4g}"
        if quantity in units:
            wrong.append(f"{span} {units_module.base_unit(quantity)} even in the declared unit {units[quantity]}: check the unit")
            continue
        guess = "PF-day or EFLOP" if quantity == "compute" else "billions or millions"
        example = "PF-day" if quantity == "compute" else "billion"
        declared = option_text(units={quantity: example})
        wrong.append(f"{span}: they look like {guess}, not {quantity}; declare the unit, for example {declared}")
    if not wrong and "params" in columns and "tokens" in columns and not ("params" in units and "tokens" in units):
        with np.errstate(all="ignore"):
            ratio = columns["tokens"] / columns["params"]
        ratio = ratio[np.isfinite(ratio) & (ratio > 0)]
        if len(ratio) and not _PLAUSIBLE_RATIO[0] <= np.median(ratio) <= _PLAUSIBLE_RATIO[1]:
            wrong.append(
                f"{table.source} has a median of {np.median(ratio):.3g} tokens a param: is '{found['params']}' or '{found['tokens']}' in "
                f"millions or billions? Declare both units, for example {option_text(units={'params': 'million', 'tokens': 'count'})}"
            )
    loss = columns.get("loss", np.array([]))
    loss = loss[np.isfinite(loss)]
    if len(loss) and np.median(loss) > _LARGEST_LOSS:
        wrong.append(
            f"column '{found['loss']}' of {table.source} has a median of {np.median(loss):.4g}: it looks like perplexity, not nat/token; "
            f"declare the unit with {option_text(units={'loss': 'perplexity'})}"
        )
    if wrong:
        raise InputError(together(wrong, table.source))


def odd_rows(found: Mapping[str, str], columns: Mapping[str, np.ndarray], lines: np.ndarray) -> list[str]:
    """Return notes on tokens a param that are possible, but look like another unit: few in most rows, or absurd in single ones."""
    if not {"params", "tokens"} <= set(found):
        return []
    ratio, notes = columns["tokens"] / columns["params"], list[str]()
    middle, (low, high) = np.median(ratio), _PLAUSIBLE_RATIO
    if middle < _USUAL_RATIO:
        either, how = f"'{found['params']}' or '{found['tokens']}'", option_text(units={"tokens": "billion"})
        notes.append(
            f"a median of {middle:.2g} tokens a param is little: if {either} is in another unit than it was taken in, say so ({how}, say)"
        )
    far = np.flatnonzero((ratio < low) | (ratio > high))
    if len(far) and low <= middle <= high:
        these = listed([f"line {lines[row]} ({ratio[row]:.2g})" for row in far], 5)
        notes.append(f"tokens a param look as if in another unit than in the other rows (median {middle:.2g}): {these}")
    return notes


def bad_rows(found: Mapping[str, str], columns: Mapping[str, np.ndarray], units: Mapping[str, str]) -> dict[int, str]:
    """Return row index -> reason, in order. Where a fraction without a declared unit may be in percent, its first reason says so."""
    reasons: dict[int, str] = {}
    for name, values in columns.items():
        kind = kind_of(name)
        possible = kind.admits(values)
        if name == "loss":
            possible &= values <= _LARGEST_LOSS
        if name == "successes" and "trials" in columns:
            possible &= ~(values > columns["trials"])
        # Arithmetic on accelerators takes numbers below the smallest normal one for zero.
        percent = kind.is_fraction and name not in units and _looks_like_percent(values)
        tiny = kind.on_log_scale & (values > 0) & (values < np.finfo(float).tiny)
        for row in np.flatnonzero(~possible | tiny):
            value, column = values[row], brief(found[name])
            if np.isnan(value):
                reason = f"{column} is missing"
            elif tiny[row]:
                reason = f"{column} = {value:.6g} is too small for a number of 64 bits"
            elif kind.whole and value != np.round(value):
                reason = f"{column} = {value:.6g} must be a whole number"
            elif name == "loss" and value > _LARGEST_LOSS:
                reason = f"{column} = {value:.6g} is above {_LARGEST_LOSS:g} nat/token"
            elif name == "successes" and kind.admits(value):
                reason = f"{column} = {value:.6g} is more than {found['trials']} = {columns['trials'][row]:.6g}"
            elif kind.low == 1 and 0 < value < 1:
                reason = f"{column} = {value:.6g} is below 1"
            else:
                reason = f"{column} = {value:.6g} must be {'finite and positive' if kind.low == 1 else kind.range_text()}"
                if percent:
                    reason, percent = f"{reason} (in percent? Then {option_text(units={name: 'percent'})})", False
            reasons.setdefault(int(row), reason)
    if {"params", "tokens"} <= set(columns):
        with np.errstate(all="ignore"):
            product = 6 * columns["params"] * columns["tokens"]
        for row in np.flatnonzero(np.isposinf(product)):
            sizes = f"{columns['params'][row]:.6g} params and {columns['tokens'][row]:.6g} tokens"
            reasons.setdefault(int(row), f"6 x params x tokens of {sizes} is too large for a number of 64 bits")
    return dict(sorted(reasons.items()))


def _looks_like_percent(values: np.ndarray) -> bool:
    """Whether values of a fraction that are too large would all be possible in percent."""
    known = values[~np.isnan(values)]
    return bool(np.any(known > 1) and np.all((known >= 0) & (known <= 100)))


def compare_with_6nd(source: str, column: str, ratio: np.ndarray) -> list[str]:
    middle = float(np.median(ratio))
    if not 0.01 < middle < 100:
        raise InputError(
            f"{source}: column '{column}' is {middle:.3g} times 6 x params x tokens (median): units do not agree; "
            f"declare them with {option_text(units=None)} (params, tokens or compute)"
        )
    if np.max(np.abs(np.log(ratio))) > np.log(1.05):
        span = f"{ratio.min():.3g} to {ratio.max():.3g} times"
        return [f"column '{column}' is {span} 6 x params x tokens; fits use params and tokens, allocation counts 6ND"]
    return []
