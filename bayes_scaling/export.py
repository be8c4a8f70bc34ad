"""Fits as tables for other tools: draws, summary or runs as a DataFrame, Parquet, CSV, TSV or JSON."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.errors import FileError, InputError, nearest
from bayes_scaling.files import require_writable, write_result
from bayes_scaling.fitted import Fit

if TYPE_CHECKING:
    import pandas

WHAT = ("draws", "summary", "runs")
SUFFIXES = (".parquet", ".pq", ".csv", ".tsv", ".json", ".nc")


def frame(fit: Fit, what: str = "draws") -> pandas.DataFrame:
    """Return a fit's draws, summary or runs as a pandas DataFrame.

    Parameters
    ----------
    what : ``draws``, a row a draw: chain, draw, every parameter (a group's as ``alpha[label]``), lp (log density), diverging;
        ``summary``, a row a parameter: mean, sd, median, q05, q95, ess_bulk, ess_tail, rhat;
        ``runs``, a row a run: the quantities that were fitted, in base units, line and group

    Raises
    ------
    InputError
        If it is none of these.
    """
    import pandas

    if what not in WHAT:
        raise InputError(f"a fit has no table of '{what}'{nearest(what, WHAT)}")
    if what == "summary":
        rows = [{"parameter": name, **row} for name, row in fit.summary().items()]
        return pandas.DataFrame(rows)
    if what == "runs":
        columns: dict[str, Any] = {"line": fit.runs.lines, **fit.runs.columns}
        return pandas.DataFrame({**columns, **({} if fit.runs.group is None else {"group": fit.runs.group.astype(str)})})
    scalars = fit.scalars()
    known = {name: scalars[name] for name in fit.summary()}  # in the order for people
    held = {name: np.full_like(next(iter(known.values())), value) for name, value in fit.fixed.items()}
    extra = {name: values for name, values in fit.stats.items() if name in ("lp", "diverging")}
    chains, draws = next(iter(known.values())).shape
    place = {"chain": np.repeat(np.arange(chains), draws), "draw": np.tile(np.arange(draws), chains)}
    return pandas.DataFrame({**place, **{name: values.ravel() for name, values in {**known, **held, **extra}.items()}})


def export(fit: Fit, path: str | Path, what: str = "draws") -> None:
    """Write a fit's draws, summary or runs; the name of the file says the format: .parquet, .csv, .tsv, .json, or .nc for the whole fit.

    JSON is one object with law, noise, verdict and ``columns``, a list for each column; what is not finite is null there, and an empty cell
    in CSV. Numbers have all their digits.

    Raises
    ------
    InputError
        If there is no such table, or the name of the file says no format.
    FileError
        If the file cannot be written, or Parquet needs pyarrow.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"'{path.name}' does not say its format: let its name end with {', '.join(SUFFIXES)}")
    if suffix == ".nc":
        if what != "draws":
            raise InputError(f"NetCDF holds the whole fit; for its {what}, let the name of the file end with .csv, .parquet or .json")
        fit.save(path)
        return
    require_writable(path)
    table = frame(fit, what)
    write_result(path, _parquet(table, path) if suffix in (".parquet", ".pq") else _text(fit, table, what, suffix).encode())


def _parquet(table: pandas.DataFrame, path: Path) -> bytes:
    content = io.BytesIO()
    try:
        table.to_parquet(content, index=False)
    except ImportError:
        raise FileError(f"writing '{path.name}' needs pyarrow: pip install 'bayes-scaling[parquet]'") from None
    return content.getvalue()


def _text(fit: Fit, table: pandas.DataFrame, what: str, suffix: str) -> str:
    if suffix != ".json":
        return table.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",", lineterminator="\n")
    about = {"law": fit.law.name, "noise": fit.noise.name, "trustworthy": fit.diagnosis.ok, "n_runs": len(fit.runs), "table": what}
    columns = {str(name): [_plain(value) for value in table[name].tolist()] for name in table.columns}
    return json.dumps({**about, "columns": columns}, allow_nan=False)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
