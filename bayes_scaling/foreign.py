"""Tables that other tools write: exports of Weights & Biases, and result folders of the lm-evaluation-harness."""

from __future__ import annotations

import ast
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.errors import FileError, InputError, option_text
from bayes_scaling.files import require_readable
from bayes_scaling.table import Table, is_frame, read_table, table_from_dataframe

_FINISHED = "State == 'finished'"
_PANEL = re.compile(r"(?P<run>.+) - (?P<metric>.+?)(?P<edge>__MIN|__MAX)?")
_LISTED = 5


def open_table(source: Any) -> Table:
    """Read a table from a path or a frame, and bring one that another tool wrote into rows of runs or of points of curves.

    Parameters
    ----------
    source : CSV, TSV or Parquet file; a folder of the lm-evaluation-harness's ``results*.json``, or one such file; a frame of pandas,
        polars or pyarrow

    Raises
    ------
    FileError, InputError
        As `read_table`, and if a folder or JSON file is not of that harness.
    """
    if is_frame(source):
        return _recognised(table_from_dataframe(source))
    path = Path(source)
    if os.path.isdir(path) or path.suffix.lower() == ".json":
        return read_harness(path)
    return _recognised(read_table(path)[0])


def _recognised(table: Table) -> Table:
    """Return a table that Weights & Biases exported as rows of runs or points; any other as it is."""
    names = list(table.columns)
    matches = [_PANEL.fullmatch(name) for name in names[1:]]
    if matches and all(matches) and (names[0].lower() in ("step", "_step") or any(match["edge"] for match in matches if match)):
        return _panel(table)
    if {"config", "summary"} <= set(names) and all(cell.startswith("{") for name in ("config", "summary") for cell in table.texts(name)):
        table = _spread(table)
    if {"Name", "State"} <= set(table.columns) and {"Created", "Runtime", "Sweep", "Tags", "User"} & set(table.columns):
        states = Counter(table.texts("State"))
        odd = ", ".join(f"{count} {state}" for state, count in states.items() if state != "finished")
        more = f"; of its runs, {odd} (leave them out with {option_text(where=_FINISHED)})" if odd else ""
        table = replace(table, notes=(*table.notes, f"read as a table of runs from Weights & Biases{more}"))
    return table


def _panel(table: Table) -> Table:
    """Return a row a point of a panel export, whose columns are ``step, run - metric, run - metric__MIN, ...``.

    A point is there where a cell is not empty; the smoothed range of a point (``__MIN``, ``__MAX``) is not of use here.
    """
    axis, *names = table.columns
    cells: dict[str, dict[str, list[str]]] = {}
    for name in names:
        found = _PANEL.fullmatch(name)
        assert found is not None  # _recognised has looked
        if not found["edge"] and found["metric"] != "_step":  # the axis again
            cells.setdefault(found["run"], {})[found["metric"]] = table.texts(name)
    metrics = list(dict.fromkeys(metric for of_run in cells.values() for metric in of_run))
    steps = table.texts(axis)
    points: list[list[str]] = []
    for run, of_run in cells.items():
        of_all = [of_run.get(metric, [""] * len(steps)) for metric in metrics]
        points += [[run, steps[row], *values] for row, values in enumerate(zip(*of_all, strict=True)) if any(values)]
    if not points:
        raise InputError(f"{table.source} is a panel of Weights & Biases without a single point")
    columns = dict(zip(["run", axis, *metrics], map(np.array, zip(*points, strict=True)), strict=True))
    note = f"read as a panel of Weights & Biases: {len(cells)} curves of {', '.join(metrics)} against {axis}; rows count its points"
    return Table(columns, np.arange(1, len(points) + 1), table.source, (note,), unique="run")


def _spread(table: Table) -> Table:
    """Return a table whose cells of config and summary are dictionaries, as the guide of Weights & Biases exports them, with their entries.

    An entry of both is the summary's, and an entry that goes by the name of a further column does not replace it.
    """
    columns: dict[str, np.ndarray] = {}
    for kind in ("config", "summary"):
        rows = [dict(_flat(_dictionary(table, kind, row))) for row in range(len(table))]
        for name in dict.fromkeys(name for row in rows for name in row):
            columns[name] = np.array([str(row.get(name, "")) for row in rows])
    kept = {name: cells for name, cells in table.columns.items() if name not in ("config", "summary")}
    note = "columns config and summary hold dictionaries, as exported from Weights & Biases: their entries are columns"
    return replace(table, columns={**columns, **kept}, notes=(*table.notes, note))


def _dictionary(table: Table, name: str, row: int) -> Mapping[str, Any]:
    cell = str(table.columns[name][row])
    try:
        try:
            found = json.loads(cell)
        except json.JSONDecodeError:
            # Python writes numbers that are not finite as names, which its own reader of literals refuses.
            found = ast.literal_eval(re.sub(r"(?<=[:\[,\s])(-?)(nan|inf)(?=[,}\]])", r"\1'\2'", cell))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{table.source}: line {table.lines[row]}, column '{name}': not a dictionary: {cell[:40]}")
    return found


def _flat(entries: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of nested dictionaries that are numbers or text, named by their path with dots."""
    for name, value in entries.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        elif isinstance(value, (int, float, str)):
            yield f"{before}{name}", value


def read_harness(path: Path) -> Table:
    """Read results of the lm-evaluation-harness: a row a model, task and metric, with counts where the metric is a share of items.

    Columns: model, task, metric, filter, shots, value, its stderr, n_samples, n_correct and accuracy (empty where the value is not a
    share of so many items), num_parameters where the harness knew them, and the file.

    Raises
    ------
    FileError
        If there is no ``results*.json``, or one is not JSON or not of the harness.
    """
    files = sorted(path.rglob("results*.json")) if path.is_dir() else [path]
    if not files:
        raise FileError(f"'{path}' is a folder without a results*.json of the lm-evaluation-harness; give a file, or such a folder")
    rows: list[dict[str, Any]] = []
    without: set[str] = set()
    for file in files:
        try:
            found = json.loads(require_readable(file, "results of the lm-evaluation-harness").read_bytes())
            results = {str(task): dict(values) for task, values in found["results"].items()}
            parts = ("n-samples", "n-shot", "config", "higher_is_better")
            counts, shots, config, better = (dict(found.get(part) or {}) for part in parts)
            counts, better = ({name: dict(value or {}) for name, value in part.items()} for part in (counts, better))
        except FileError:
            raise
        except OSError as error:
            raise FileError(f"cannot read '{file}': {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise FileError(f"'{file}' is not JSON with results of the lm-evaluation-harness") from None
        name = _model(found, config, file)
        params = config.get("model_num_parameters", "")
        for task, values in results.items():
            count = counts.get(task, {}).get("effective", "")
            if count == "":
                without.add(task)
            for key, value in values.items():
                metric, _, way = key.partition(",")
                if isinstance(value, bool) or not isinstance(value, (int, float)) or metric.endswith("_stderr"):
                    continue
                error = values.get(f"{metric}_stderr,{way}" if way else f"{metric}_stderr", "")
                rows.append(
                    {
                        "model": name,
                        "task": task,
                        "metric": metric,
                        "filter": way,
                        "shots": shots.get(task, ""),
                        "value": value,
                        "stderr": error if isinstance(error, (int, float)) else "",
                        **_counts(value, count, better.get(task, {}).get(metric, True)),
                        "num_parameters": params if isinstance(params, int) and params > 0 else "",
                        "file": str(file.relative_to(path)) if path.is_dir() else file.name,
                    }
                )
    if not rows:
        raise FileError(f"'{path}' holds no result of any task")
    notes = [f"read as results of the lm-evaluation-harness: {len(files)} files, {len({row['model'] for row in rows})} models"]
    if without:
        listed = ", ".join(sorted(without)[:_LISTED]) + (" ..." if len(without) > _LISTED else "")
        notes.append(f"no n-samples, and so no counts, for {listed} (averages over tasks have none)")
    # A column that is empty for all says nothing.
    names = [name for name in rows[0] if name in ("model", "value") or any(row[name] != "" for row in rows)]
    columns = {name: np.array([_written(row[name]) for row in rows]) for name in names}
    choices = tuple(name for name in ("task", "metric", "filter", "shots", "file") if name in columns)
    return Table(columns, np.arange(1, len(rows) + 1), str(path), tuple(notes), unique="model", choices=choices)


def _model(found: Mapping[str, Any], config: Mapping[str, Any], file: Path) -> str:
    """Return the model's name: as the harness gives it, as its arguments say, or the folder's."""
    if found.get("model_name"):
        return str(found["model_name"])
    arguments = config.get("model_args") or ""
    if isinstance(arguments, dict):
        return str(arguments.get("pretrained") or arguments.get("model") or file.parent.name)
    named = re.search(r"(?:^|,)(?:pretrained|model)=([^,]+)", str(arguments))
    return named[1] if named else file.parent.name


def _counts(value: float, count: Any, higher: Any) -> dict[str, Any]:
    """Return how many of how many items were right, where a value is such a share."""
    if not isinstance(count, int) or count < 1 or higher is False or not 0 <= value <= 1:
        return {"accuracy": "", "n_samples": "", "n_correct": ""}
    right = value * count
    whole = math.isclose(right, round(right), abs_tol=1e-6 * count + 1e-9)
    return {"accuracy": value, "n_samples": count, "n_correct": round(right) if whole else ""}


def _written(value: Any) -> str:
    return repr(float(value)) if isinstance(value, float) else str(value)
