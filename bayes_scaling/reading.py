"""Reading runs: from files, data sets and frames into a validated table in base units.

Nothing is guessed, dropped or coerced in silence: what was done to the table is in ``Runs.notes``, and what cannot be used is an error
that names the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from bayes_scaling import units as units_module
from bayes_scaling.errors import InputError, counted, listed, nearest, option_text, together
from bayes_scaling.foreign import open_table
from bayes_scaling.plausibility import bad_rows, compare_with_6nd, fill_compute, odd_rows, refuse_implausible_units
from bayes_scaling.quantities import QUANTITIES
from bayes_scaling.runs import SEPARATOR, Runs, quoted
from bayes_scaling.table import Table, is_frame, read_table
from bayes_scaling.trajectories import TIES, points_of_curves, refuse_repeats, refuse_unmatched, suspected_curves
from bayes_scaling.trajectories import join as join_tables

_LISTED = 8  # bad rows that an error message spells out


def read_runs(
    source: str | Path | Any,
    *,
    map: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    where: str | None = None,
    curve: Mapping[str, str] | None = None,
    join: str | Path | Any | None = None,
    on: str | None = None,
    drop_invalid: bool = False,
    drop_duplicates: bool = False,
) -> Runs:
    """Read training runs from a file or folder, a named data set, or a DataFrame.

    Parameters
    ----------
    source : CSV, TSV or Parquet file (exports of Weights & Biases among them), folder of results of the lm-evaluation-harness, name of a
        data set (``ladder``, ``chinchilla``), or frame of pandas, polars or pyarrow
    map : quantity -> column, where a column has no common name; or arithmetic over columns (``{"tokens": "step * batch_tokens"}``, with
        names that are no words in backquotes)
    units : quantity -> unit, where a column is not in base units (``{"params": "billion", "compute": "PF-day"}``)
    where : condition on the file's columns that a row must meet
    curve : for training curves, with many rows a run: column that names the run -> which point to take, ``last`` or ``best``; or ``all``,
        whose points err together: they are fitted with noise that knows so (``correlated``)
    join : a further table with a row for each run (or model, of results of the harness), whose columns are added
    on : column that both tables are joined by, or ``left=right``; by default the run, or the model
    drop_invalid : leave out rows with a missing or impossible value, with a note, instead of refusing the file
    drop_duplicates : leave out rows that repeat an earlier one in every column of the table

    Raises
    ------
    InputError
        If a column is ambiguous, a value missing or impossible, or a whole column implausible in its unit.
    FileError
        If the file cannot be read.

    Examples
    --------
    >>> runs = bs.read_runs("ladder", where="tokens >= 4e5")
    >>> len(runs), sorted(runs.columns)[:3]
    (51, ['compute', 'loss', 'params'])
    """
    table, mapping, notes = _open(source, map or {}, where, curve, join, on)
    runs = _validate(table, mapping, units or {}, notes, drop_invalid, drop_duplicates)
    if is_frame(source) or (join is not None and is_frame(join)):
        return runs
    options = {"map": dict(map or {}), "units": dict(units or {}), "where": where}
    shape = {"curve": dict(curve or {}), "join": None if join is None else str(join), "on": on}
    dropping = {"drop_invalid": drop_invalid, "drop_duplicates": drop_duplicates}
    return replace(runs, reading={"source": str(source), **options, **shape, **dropping})


def as_runs(source: Any) -> Runs:
    """Return runs as they are, and anything else as `read_runs` reads it with nothing declared; a dict of arrays by `runs_from_columns`.

    Raises
    ------
    InputError, FileError
        As these, and if it is nothing that holds runs.
    """
    if isinstance(source, Runs):
        return source
    return runs_from_columns(cast(Mapping[str, Any], source)) if isinstance(source, Mapping) else read_runs(source)


def read_split(source: str | Path | Any, holdout: str, **reading: Any) -> tuple[Runs, Runs]:
    """Read training runs in two parts: those to fit, and those that a condition holds out.

    Parameters
    ----------
    holdout : condition as in ``where``, over the file's columns and the quantities that were read from them (``compute > 1e21``)
    reading : as in `read_runs`

    Raises
    ------
    InputError
        As `read_runs`, and if the condition holds out no run or every run.
    """
    shape = (reading.pop(name, None) for name in ("where", "curve", "join", "on"))
    table, mapping, notes = _open(source, reading.pop("map", None) or {}, *shape)
    units, invalid, duplicates = (reading.pop(name, None) for name in ("units", "drop_invalid", "drop_duplicates"))
    runs = _validate(table, mapping, units or {}, notes, bool(invalid), bool(duplicates))
    order = np.argsort(table.lines)  # points of training curves are in another order than the lines
    used = table.select(order[np.searchsorted(table.lines, runs.lines, sorter=order)])
    known = {name: values for name, values in runs.columns.items() if name not in used.columns}
    apart = replace(used, columns={**known, **used.columns}).where(holdout)
    if not apart.any() or apart.all():
        raise InputError(f"the condition '{holdout}' holds out {'every run' if apart.all() else 'no run'} of {runs.source}")
    note = f"{apart.sum()} runs held out: {holdout}"
    return replace(runs.subset(~apart), notes=(*runs.notes, note)), runs.subset(apart)


def read_groups(
    source: str | Path | Any,
    group: Sequence[str],
    *,
    map: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    where: str | None = None,
    curve: Mapping[str, str] | None = None,
    join: str | Path | Any | None = None,
    on: str | None = None,
    drop_invalid: bool = False,
    drop_duplicates: bool = False,
) -> dict[str, Runs | InputError]:
    """Read the runs of each group by itself: runs by label, or what is wrong with them, where the others are not concerned.

    Parameters
    ----------
    group : columns; rows that agree in all of them are a group, labelled by their cells, joined by a slash
    others : as in `read_runs`

    Raises
    ------
    InputError
        If the table as a whole cannot be used: a column is missing or ambiguous, a row has no label, or every group fails alike.
    FileError
        If the file cannot be read.
    """
    table, mapping, notes = _open(source, {**(map or {}), "group": ",".join(group)}, where, curve, join, on)
    _find_columns(table, mapping)
    for column in group:
        empty = [line for line, cell in zip(table.lines, table.columns[column], strict=True) if not str(cell).strip()]
        if empty:
            raise InputError(f"{table.source}: line {empty[0]}: no {column}, so the row is in no group ({len(empty)} such rows)")
    labels = _labels(table, list(group))
    names, of_row = np.unique(labels, return_inverse=True)
    rows = np.split(np.argsort(of_row, kind="stable"), np.cumsum(np.bincount(of_row))[:-1])
    found: dict[str, Runs | InputError] = {}
    for name, own in zip(names.tolist(), rows, strict=True):
        try:
            found[name] = _validate(table.select(own), mapping, units or {}, list(notes), drop_invalid, drop_duplicates)
        except InputError as error:
            found[name] = error
    reasons = {str(error) for error in found.values() if isinstance(error, InputError)}
    if len(reasons) == 1 and not any(isinstance(item, Runs) for item in found.values()):
        raise InputError(reasons.pop())
    return found


def _open(
    source: Any, mapping: Mapping[str, str], where: str | None, curve: Mapping[str, str] | None, other: Any, on: str | None
) -> tuple[Table, Mapping[str, str], list[str]]:
    """Return the table with the rows to use, the mapping with the data set's own, and notes."""
    notes: list[str] = []
    if is_frame(source):
        table = open_table(source)
    elif not isinstance(source, (str, Path)):
        remedy = "give a file, a data set's name, a DataFrame, a dict of arrays by quantity, or what bs.read_runs returned"
        raise InputError(f"runs cannot be read from {_kind(source)}: {remedy}")
    else:
        from bayes_scaling.datasets import resolve

        found = resolve(source)
        mapping = {**found.map, **mapping}
        if found.where and where is None:
            where = found.where
            notes.append(f"rows of the data set's own choice: {where}")
        table = replace(open_table(found.path), source=found.label)
    matched = np.ones(len(table), bool)
    joined = None if other is None else open_table(other)
    if joined is not None:
        table, matched = join_tables(table, joined, on)
    elif on:
        raise InputError(f"{option_text(on=on)} goes with {option_text(join=None)}: which table should be joined?")
    if where is not None:
        keep = table.where(where)
        notes.append(f"{keep.sum()} of {len(table)} rows meet the condition {where}")
        if not keep.any():
            raise InputError(f"no row of {table.source} meets the condition '{where}'")
        table, matched = table.select(keep), matched[keep]
    if joined is not None:
        refuse_unmatched(table, matched, on, joined.source)
    # A quantity may be arithmetic over columns, which is then a column called by it.
    for name, text in mapping.items():
        if name != "group" and text not in table.columns and _is_arithmetic(text):
            table = replace(table, columns={**table.columns, text: table.compute(text)})
    if curve:
        table = points_of_curves(table, curve, _find_columns(table, mapping))
        if "all" in curve.values():
            mapping = {**mapping, **TIES}
    group = mapping.get("group", "group").split(",")
    refuse_repeats(table, group)
    return table, mapping, [*table.notes, *notes]


def _is_arithmetic(text: str) -> bool:
    return any(sign in text for sign in "*/+`")


def _kind(source: Any) -> str:
    """Say what something is that holds no runs."""
    if isinstance(source, Runs):
        return "Runs, which are read already"
    return "None" if source is None else f"an object of type {type(source).__name__}"


def _labels(table: Table, factors: Sequence[str]) -> np.ndarray:
    """Return the label of each row's group: the cells of some columns, joined."""
    cells = [[str(cell) for cell in table.columns[factor]] for factor in factors]
    if len(factors) > 1 and any(SEPARATOR in cell for column in cells for cell in column):
        raise InputError(f"{table.source}: labels of {', '.join(factors)} hold a '{SEPARATOR}', which joins them; rename them")
    return np.array([SEPARATOR.join(parts) for parts in zip(*cells, strict=True)])


def runs_from_columns(columns: Mapping[str, Any], source: str = "arrays") -> Runs:
    """Make Runs from arrays by quantity, in base units, under the same checks as a file.

    Examples
    --------
    >>> bs.runs_from_columns({"params": [1e6, 2e6], "tokens": [2e7, 4e7], "loss": [4.1, 3.7]})["loss"]
    array([4.1, 3.7])
    """
    arrays = {name: np.atleast_1d(np.asarray(values)) for name, values in columns.items()}
    lengths = {name: len(values) for name, values in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(f"columns differ in length: {lengths}")
    rows = next(iter(lengths.values()), 0)
    if not rows:
        raise InputError("no runs given")
    # A name that no quantity goes by is a quantity of a user's law.
    known = {"group", *(column for item in QUANTITIES.values() for column in (*item.columns, *item.instead))}
    own = {name: name for name in arrays if _canonical(name) not in known or name in QUANTITIES}
    return _validate(Table(arrays, np.arange(1, rows + 1), source), own, {}, [], False, False)


def read_points(
    path: str | Path,
    quantities: Sequence[str],
    *,
    optional: Sequence[str] = (),
    map: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    like: Runs | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> dict[str, np.ndarray]:
    """Read quantities (without a measured loss) from a CSV file, by common column names or ``map``; ``units`` as in `read_runs`.

    Of ``optional`` those are read that have a column, or are given one or a unit. A quantity that has none is read as it was for ``like``,
    from the column of the same name in the same unit; ``told`` is called with each such column and unit, in words.

    Raises
    ------
    InputError
        If a quantity has no column, a value is missing or not positive, or a whole column implausible in its unit.
    """
    table, _ = read_table(path)
    found, units = dict(_find_columns(table, map or {})), dict(units or {})
    before: Mapping[str, Any] = {} if like is None else like.reading
    for name, column in before.get("map", {}).items():
        if name in (*quantities, *optional) and name not in found and column in table.columns:
            found[name] = column
            if name in before["units"]:
                units.setdefault(name, before["units"][name])
            told(f"{name} from column '{column}'{f' in {units[name]}' if name in units else ''}")
    quantities = list(dict.fromkeys([*quantities, *(name for name in optional if name in found or name in units)]))
    missing = [quantity for quantity in quantities if quantity not in found]
    if missing:
        what, them = (f"column for '{missing[0]}'", "one") if len(missing) == 1 else (f"columns for {quoted(missing)}", "them")
        how = option_text(map=dict.fromkeys(missing, "COLUMN"))
        raise InputError(f"{table.source} has no {what} (columns: {listed(table.columns, 20)}); name {them} with {how}")
    for quantity in units:
        if quantity not in quantities:
            raise InputError(f"a unit is given for '{quantity}', which is not asked for{nearest(quantity, quantities)}")
    columns = table.all_measured({quantity: found[quantity] for quantity in quantities})
    columns.update({quantity: units_module.to_base(columns[quantity], quantity, unit) for quantity, unit in units.items()})
    refuse_implausible_units(table, found, columns, units)
    bad = bad_rows(found, columns, units)
    if bad:
        raise InputError(f"{table.source}: {_bad_text(table, bad)}")
    return columns


def _bad_text(table: Table, bad: Mapping[int, str]) -> str:
    """Say why rows cannot be used: the first of them, and how many there are."""
    listed = "; ".join(f"line {table.lines[row]}: {reason}" for row, reason in list(bad.items())[:_LISTED])
    return listed + (f"; and {len(bad) - _LISTED} more" if len(bad) > _LISTED else "")


def _canonical(name: str) -> str:
    """Return a column's name as quantities spell theirs: ``val/loss`` and ``summary.val_loss`` are ``val_loss``."""
    name = name.strip().lower()
    for kind in ("config.", "summary.", "config/", "summary/"):
        name = name.removeprefix(kind)
    return name.translate(str.maketrans(" -/", "___"))


def _find_columns(table: Table, mapping: Mapping[str, str]) -> dict[str, str]:
    """Return quantity -> column of the table."""
    found: dict[str, str] = {}
    unclear: list[str] = []
    for name, column in mapping.items():
        if not name.isidentifier():
            raise InputError(f"cannot map to '{name}': it is no quantity{nearest(name, QUANTITIES)}")
        for part in column.split(",") if name == "group" else [column]:
            if part not in table.columns:
                unclear.append(f"{table.source} has no column '{part}' (mapped to {name}){nearest(part, table.columns)}")
        found[name] = column
    taken = set(found.values())
    columns = {column: _canonical(column) for column in table.columns}
    choices = {"group": (("group",),), **{item.name: (item.columns, item.instead) for item in QUANTITIES.values()}}
    for name, preferred in choices.items():
        if name in found:
            continue
        each = ([column for column, spelled in columns.items() if spelled in names and column not in taken] for names in preferred)
        candidates = next(filter(None, each), list[str]())
        exact = [column for column in candidates if column == name]
        if len(candidates) > 1 and not exact:
            if name != "group" and not QUANTITIES[name].core:
                continue  # few laws take it; where one does, the error lists the columns
            choice = option_text(map={name: candidates[0]})
            unclear.append(f"{table.source}: columns {', '.join(candidates)} could each be {name}; choose with {choice}")
            continue
        if candidates:
            found[name] = (exact or candidates)[0]
    if unclear:
        raise InputError(together(unclear, table.source))
    return found


def _leave_out_unusable(table: Table, found: dict[str, str], mapping: Mapping[str, str]) -> dict[str, str]:
    """Leave columns out that only look like a quantity that few laws use, and that nobody asked for; return why, by quantity."""
    reasons: dict[str, str] = {}
    for name in [name for name in found if name not in mapping and name != "group"]:
        if QUANTITIES[name].core and _canonical(found[name]) not in QUANTITIES[name].instead:
            continue
        try:
            needed = ("successes", "trials") if name == "successes" and "trials" in found else (name,)
            columns = {each: table.measured(found[each]) for each in needed}
        except InputError as error:
            reason = str(error)
        else:
            bad = bad_rows(found, columns, {})
            if not bad:
                continue
            row, reason = next(iter(bad.items()))
            reason = f"line {table.lines[row]}: {reason}"
        reasons[name] = f"column '{found.pop(name)}' is not used as {name}: {reason}"
    return reasons


def _validate(
    table: Table, mapping: Mapping[str, str], units: Mapping[str, str], notes: list[str], drop_invalid: bool, drop_duplicates: bool
) -> Runs:
    found = _find_columns(table, mapping)
    unusable = _leave_out_unusable(table, found, {**mapping, **units})
    notes += unusable.values()
    for name in units:
        if name not in found:
            raise InputError(f"a unit is given for '{name}', but {table.source} has no such column{nearest(name, found)}")
    columns = table.all_measured({name: column for name, column in found.items() if name != "group"})
    loss_unit = units.get("loss", units_module.base_unit("loss"))
    for name, unit in units.items():
        columns[name] = units_module.to_base(columns[name], name, unit)
        notes.append(f"{name} converted from {unit} to {units_module.base_unit(name)}")
    if "loss_se" in columns and loss_unit != "nat":
        columns["loss_se"] = units_module.standard_error_to_base(columns["loss_se"], loss_unit, columns["loss"])

    refuse_implausible_units(table, found, columns, units)
    notes += fill_compute(columns)
    bad = bad_rows(found, columns, units)
    if bad and not drop_invalid:
        raise InputError(
            f"{table.source}: {len(bad)} of {len(table)} rows cannot be used: {_bad_text(table, bad)}. "
            f"Mend them, or leave them out with {option_text(drop_invalid=True)}"
        )
    keep = np.ones(len(table), bool)
    if bad:
        keep[list(bad)] = False
        listed = "; ".join(f"line {table.lines[row]}: {reason}" for row, reason in bad.items())
        notes.append(f"{counted(len(bad), 'row')} left out as asked: {listed}")
    if not keep.any():
        raise InputError(f"{table.source}: no row is left")

    duplicates = table.duplicates(keep)
    if duplicates:
        text = "; ".join(f"line {table.lines[b]} repeats line {table.lines[a]}" for a, b in duplicates[:_LISTED])
        more = f"; and {len(duplicates) - _LISTED} more" if len(duplicates) > _LISTED else ""
        done = "left out as asked" if drop_duplicates else f"kept; {option_text(drop_duplicates=True)} leaves them out"
        notes.append(f"{counted(len(duplicates), 'exact duplicate')} ({done}): {text}{more}")
        if drop_duplicates:
            keep[[b for _, b in duplicates]] = False

    columns = {name: values[keep] for name, values in columns.items()}
    given = "compute" in columns
    if given and "params" in columns and "tokens" not in columns:
        columns["tokens"] = columns["compute"] / (6 * columns["params"])
        notes.append("no column of tokens: taken as compute / (6 x params)")
    elif "params" in columns and "tokens" in columns:
        product = 6 * columns["params"] * columns["tokens"]
        if given:
            notes += compare_with_6nd(table.source, found["compute"], columns["compute"] / product)
        else:
            columns["compute"] = product
            notes.append("no column of training compute: taken as 6 x params x tokens")
    renamed = [f"{name} from column '{column}'" for name, column in found.items() if name != column and name not in TIES]
    if renamed:
        notes.insert(0, ", ".join(renamed))
    used = table.select(keep)
    notes += odd_rows(found, columns, used.lines)
    curves = suspected_curves(used, found)
    if curves:
        count = len(np.unique(used.texts(curves)))
        notes.append(f"these look like {len(used)} points of {count} training curves (column '{curves}'), and are taken as runs")
    factors = found["group"].split(",") if "group" in found else []
    group = _labels(used, factors) if factors else None
    within = {column for text in mapping.values() if text in found.values() and _is_arithmetic(text) for column in table.named_in(text)}
    ignored = tuple(column for column in table.columns if column not in {*found.values(), *within, *factors})
    unused = {column: used.columns[column] for column in ignored}
    return Runs(
        columns, used.lines, used.source, tuple(notes), group, ignored, tuple(factors), unusable=unusable, unused=unused, curves=curves
    )
