"""Training curves and tables that belong together: one row a run out of many, and columns joined from another table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from bayes_scaling.errors import InputError, counted, listed, nearest, option_text
from bayes_scaling.table import Table
from bayes_scaling.units import likely_columns

KINDS = ("last", "best", "all")
#: Columns of runs that are all points of training curves: which curve a point is of (a number), and how far along it lies.
CURVE, PROGRESS = "curve", "progress"
#: The columns of a table that become these: no header has them.
TIES = {CURVE: "[curve]", PROGRESS: "[progress]"}
#: What may say how far along its curve a point is, in this order; and what may be measured there, with whether less is better.
ALONG = ("tokens", "compute", "steps", "examples")
MEASURED = {"loss": True, "task_loss": True, "error": True, "accuracy": False, "coverage": False, "win_rate": False, "bleu": False}
_NAMES = ("run", "model", "name", "Name", "run_name", "model_name", "display_name")  # of a key column, where none is given
#: Columns that may label training curves, in lower case; Weights & Biases calls a run by its ``Name``.
_OF_RUNS = ("run", "run_id", "run_name", "runs", "name", "display_name", "experiment", "exp", "trial", "curve")
_WARM = 0.05  # of a run: a warm-up of the learning rate is mostly shorter
_POINTS_A_CURVE = 3  # on average, from which on rows may be points
_LISTED = 5


def points_of_curves(table: Table, curve: Mapping[str, str], found: Mapping[str, str]) -> Table:
    """Return the rows of training curves to use: one of each, or all in order, with the columns TIES.

    Parameters
    ----------
    curve : column of the runs' labels -> ``last`` (the furthest point: most tokens, compute or steps; of equal ones the later row) or
        ``best`` (the least loss), or ``all``
    found : quantity -> column

    A row whose cell of what is measured is empty is no point of the curve (a step without an evaluation); NaN is one, and stays an error.

    Raises
    ------
    InputError
        If there is no such column or way, a row has no label, a curve has no point, nothing orders or measures the points, or two points
        of one curve are at one place.
    """
    if len(curve) != 1:
        raise InputError(f"one column names the runs of the curves; given: {', '.join(curve) or 'none'}")
    ((column, kind),) = curve.items()
    if kind not in KINDS:
        raise InputError(f"cannot take '{kind}' of a curve{nearest(kind, KINDS)}")
    if column not in table.columns:
        runs = [name for name in table.columns if name.strip().lower() in _OF_RUNS]
        meant = f"; did you mean '{runs[0]}'?" if len(runs) == 1 else nearest(column, table.columns)
        raise InputError(f"{table.source} has no column '{column}' that could name the runs{meant}")
    labels = table.texts(column)
    if "" in labels:
        row = labels.index("")
        raise InputError(f"{table.source}: line {table.lines[row]}: no {column}, so the row is of no run ({labels.count('')} such rows)")
    measured = next((name for name in MEASURED if name in found), None)
    if measured is None:
        likely = {name: likely_columns(name, table.columns, within=True) for name in MEASURED}
        ways = [option_text(map={name: each}) for name, columns in likely.items() for each in columns][:_LISTED]
        how = " or ".join(ways) or f"{option_text(map={'loss': 'COLUMN'})} (columns: {listed(table.columns, 20)})"
        what = f"{table.source} has no column of {', '.join(MEASURED)} that says what a curve measures"
        raise InputError(f"{what}; name it{', perhaps' if ways else ''} with {how}")
    values = table.columns[found[measured]]
    empty = np.isnan(values) if values.dtype.kind == "f" else np.array([not text for text in table.texts(found[measured])])
    names, run = np.unique(labels, return_inverse=True)
    bare = sorted(set(names.tolist()) - set(np.array(labels)[~empty].tolist()))
    if bare:
        raise InputError(
            f"{table.source}: run '{bare[0]}' has no {found[measured]} in any row; leave it out with {option_text(where=None)}"
        )
    rows = np.flatnonzero(~empty)
    aside = f"; {empty.sum()} rows without a value are no points" if empty.any() else ""
    if kind in ("last", "all"):
        ordering = next((name for name in ALONG if name in found), None)
        if ordering is None:
            how = option_text(map=None)
            raise InputError(f"{table.source} has no column of {', '.join(ALONG)} that says how far along a point is; name it with {how}")
        key = table.numbers(found[ordering])
        said = f"the last of each by {found[ordering]}"
        if kind == "all":
            return _in_order(table, rows, run, key, labels, found[ordering], aside)
    else:
        key = table.numbers(found[measured]) * (-1 if MEASURED[measured] else 1)
        said = f"the best {found[measured]} of each, which lies beyond a noisy curve's own"
    order = rows[np.lexsort((rows, key[rows], run[rows]))]  # the last of a run's rows is the one to take
    kept = np.sort(order[np.append(run[order][1:] != run[order][:-1], True)])
    note = f"{len(rows)} points of {len(names)} training curves (column {column}): {said}{aside}"
    return replace(table.select(kept), notes=(*table.notes, note))


def suspected_curves(table: Table, found: Mapping[str, str]) -> str:
    """Return the column of the labels if rows that are read as runs look like points of training curves: many a label, all of one size."""
    along = next((name for name in ALONG if name in found), None)
    if along is None or CURVE in found or not set(MEASURED) & set(found):
        return ""
    for column in (name for name in table.columns if name.strip().lower() in _OF_RUNS and name not in found.values()):
        names, run = np.unique(table.texts(column), return_inverse=True)
        if len(table) < _POINTS_A_CURVE * len(names):
            continue
        place, size = table.numbers(found[along]), table.numbers(found["params"]) if "params" in found else np.zeros(len(table))
        order = np.lexsort((place, run))
        of_one = np.diff(run[order]) == 0  # a row and the next
        if np.all(np.diff(size[order])[of_one] == 0) and np.all(np.diff(place[order])[of_one] != 0):
            return column
    return ""


def _in_order(table: Table, rows: np.ndarray, run: np.ndarray, along: np.ndarray, labels: Sequence[str], name: str, aside: str) -> Table:
    """Return the points of all curves, curve by curve and in the order along it."""
    for row in rows[~(np.isfinite(along[rows]) & (along[rows] > 0))][:1]:
        what = f"{table.source}: line {table.lines[row]}: {name} = {along[row]:g} is no place along a training curve"
        raise InputError(f"{what}, which has a logarithm; leave such points out with {option_text(where=f'{name} > 0')}")
    order = rows[np.lexsort((along[rows], run[rows]))]
    same = np.flatnonzero((np.diff(run[order]) == 0) & (np.diff(along[order]) == 0))
    for place in same[:1].tolist():
        one, other = sorted(int(table.lines[row]) for row in order[place : place + 2])
        what = f"{table.source}: lines {one} and {other} are both of run '{labels[int(order[place])]}' at {name} = {along[order[place]]:g}"
        raise InputError(f"{what}: keep one, or name a column that tells the runs apart")
    ends = along[order][np.append(np.diff(run[order]) != 0, True)]
    warm = option_text(where=f"{name} > {_WARM * ends.min():.2g}")
    note = (
        f"all {len(rows)} points of {len(set(run[rows].tolist()))} training curves, in order of {name}{aside}: before the end of a "
        "schedule that lowers the learning rate they lie above what runs of that length reach, and while it is warmed up they follow no "
        f"law: leave these out, as with {warm}, {_WARM:.0%} of the shortest"
    )
    chosen = table.select(order)
    ties = {TIES[CURVE]: (run[order] + 1).astype(float), TIES[PROGRESS]: along[order]}
    return replace(chosen, columns={**chosen.columns, **ties}, notes=(*table.notes, note), unique="")


def refuse_repeats(table: Table, group: Sequence[str]) -> None:
    """Raise InputError if several rows are of one run or model within a group: which of them is meant must be said."""
    if not table.unique:
        return
    columns = [name for name in (table.unique, *group) if name in table.columns]
    keys = list(zip(*(table.texts(name) for name in columns), strict=True))
    if len(set(keys)) == len(keys):
        return
    of_one = np.array([key == max(set(keys), key=keys.count) for key in keys])
    open_choices = [name for name in table.choices if name not in group and len(set(table.select(of_one).texts(name))) > 1]
    if not open_choices:
        raise InputError(
            f"{table.source} has {len(keys)} points of {len(set(keys))} training curves: say which point of each to take, with "
            f"{option_text(curve={table.unique: 'last'})} (or best, or all, whose points err together)"
        )
    among = []
    for name in open_choices:
        labels = list(dict.fromkeys(table.texts(name)))
        among.append(f"{len(labels)} of {name} ({', '.join(labels[:_LISTED])}{' ...' if len(labels) > _LISTED else ''})")
    example = " and ".join(f"{name} == '{table.texts(name)[0]}'" for name in open_choices)
    raise InputError(
        f"{table.source} has several results of one {table.unique}: {', '.join(among)}. Choose with {option_text(where=example)}, or make "
        f"groups with {option_text(group=open_choices[0])}"
    )


def join(table: Table, other: Table, on: str | None = None) -> tuple[Table, np.ndarray]:
    """Return a table with the columns of another joined by the label of a run or model, and whether each row was found there.

    Parameters
    ----------
    on : column that both have, or ``left=right``; by default what the rows of the table are of (a run, a model)

    Raises
    ------
    InputError
        If a key column is missing, or a label repeats in the other table.
    """
    left, _, right = (on or table.unique).partition("=")
    if not left:
        how = f"{option_text(on='COLUMN')} or {option_text(on='COLUMN=COLUMN')}"
        raise InputError(f"which column of {table.source} names the rows of {other.source}? Say so with {how}")
    if not right:
        right = next((name for name in (left, *(() if on else _NAMES)) if name in other.columns), left)
    for one, name in ((table, left), (other, right)):
        if name not in one.columns:
            raise InputError(
                f"{one.source} has no column '{name}' to join by{nearest(name, one.columns)}; say {option_text(on='COLUMN=COLUMN')}"
            )
    labels = other.texts(right)
    place = {label: row for row, label in enumerate(labels)}
    if len(place) < len(labels):
        label = next(label for label in labels if labels.count(label) > 1)
        raise InputError(f"{other.source}: '{label}' stands in {labels.count(label)} rows of column '{right}'; a join needs one row each")
    rows = np.array([place.get(label, -1) for label in table.texts(left)])
    both = [name for name in other.columns if name in table.columns and name != right]
    added = {}
    for name, cells in other.columns.items():
        if name not in table.columns and name != right:
            values = cells.astype(float) if cells.dtype.kind in "iub" else cells
            nothing = np.nan if values.dtype.kind == "f" else ""
            added[name] = np.where(rows >= 0, values[rows], np.array(nothing, values.dtype))
    notes = [
        *table.notes,
        *other.notes,
        f"{counted(len(added), 'column')} joined from {other.source} by {left}{f' = {right}' if right != left else ''}",
    ]
    if both:
        notes.append(f"columns {', '.join(both)} of {other.source} are not used: {table.source} has its own")
    return replace(table, columns={**table.columns, **added}, notes=tuple(notes)), rows >= 0


def refuse_unmatched(table: Table, matched: np.ndarray, on: str | None, other: str) -> None:
    """Raise InputError if rows that would be used were not found in the table that was joined."""
    if matched.all():
        return
    left = (on or table.unique).partition("=")[0]
    absent = list(dict.fromkeys(np.array(table.texts(left))[~matched].tolist()))
    first = ", ".join(absent[:_LISTED]) + (" ..." if len(absent) > _LISTED else "")
    fewer = option_text(where=None)
    raise InputError(f"{other} has no row for {len(absent)} of column '{left}': {first}. Add them there, or leave these out with {fewer}")
