"""The store: a folder with the outcomes of a job, safe against a crash at any moment; it knows each fit by what decides its result."""

from __future__ import annotations

import csv
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bayes_scaling.batch.plan import Plan
from bayes_scaling.batch.shards import one_fit, read_shard, records, write_shard
from bayes_scaling.batch.work import FAILED, Outcome
from bayes_scaling.errors import FileError, InputError, nearest
from bayes_scaling.files import PART, write_atomically
from bayes_scaling.fitted import Fit
from bayes_scaling.runs import SEPARATOR
from bayes_scaling.storage import fit_of_tree

_SHARDS, _DAMAGED, _LOCK = "shards", "damaged", "lock"
_OTHERS = ("summary.csv", "summary.parquet", "manifest.json", "log.txt", "writer.txt")  # files that a store has


class Store:
    """Outcomes of a job in a folder.

    ``manifest.json`` says what was asked for and with which versions, ``summary.csv`` (and ``summary.parquet``) has a row a fit,
    ``log.txt`` what happened, ``shards/`` the outcomes themselves. Opened for reading here; `run_job` writes.

    Parameters
    ----------
    verify : read every byte of the shards now, to list those that are ``damaged``; otherwise one is verified when its draws are asked for

    Raises
    ------
    FileError
        If there is no store in the folder.
    """

    def __init__(self, folder: str | Path, *, verify: bool = False) -> None:
        self.folder = Path(folder)
        if not (self.folder / _SHARDS).is_dir():
            raise FileError(f"no results of a job in '{folder}'")
        self.found: dict[str, tuple[dict[str, Any], Path]] = {}  # by key: record and shard
        self.damaged: list[Path] = []
        self._look(verify)

    def _look(self, verify: bool) -> None:
        """Read the records of shards that are not known."""
        known = {path for _, path in self.found.values()} | set(self.damaged)
        for path in sorted((self.folder / _SHARDS).glob("*.nc")):
            if path.name.startswith(PART) or path in known:
                continue
            try:
                self._know(records(path, verify=verify), path)
            except FileError:
                self.damaged.append(path)

    def _know(self, told: Sequence[dict[str, Any]], path: Path) -> None:
        for record in told:
            known = self.found.get(record["key"])
            if known is None or known[0]["status"] == FAILED:  # a fit that was tried again
                self.found[record["key"]] = record, path

    def __len__(self) -> int:
        return len(self.found)

    def records(self) -> list[dict[str, Any]]:
        """Return the record of every stored fit: law, group, status, parameters, diagnostics, timing."""
        return [record for record, _ in self.found.values()]

    def fit(self, law: str, group: str = "all") -> Fit:
        """Return the fit of a law to a group, with its draws.

        Raises
        ------
        InputError
            If there is none, or more than one (of earlier data or options: see `records`), or its draws were not kept.
        FileError
            If its shard is damaged.
        """
        keys = [key for key, (record, _) in self.found.items() if (record["law"], record["group"]) == (law, group)]
        if (self.folder / "manifest.json").is_file():
            wanted = set(json.loads((self.folder / "manifest.json").read_text())["keys"])
            keys = [key for key in keys if key in wanted] or keys
        if not keys:
            known = [f"{record['law']} {record['group']}" for record in self.records()]
            raise InputError(f"'{self.folder}' has no fit of '{law}' to '{group}'{nearest(f'{law} {group}', known[:1000])}")
        if len(keys) > 1:
            raise InputError(f"'{self.folder}' has {len(keys)} fits of '{law}' to '{group}', of different data or options; take one by_key")
        return self.by_key(keys[0])

    def by_key(self, key: str) -> Fit:
        """Return the fit with a key (see `records`)."""
        if key not in self.found:
            raise InputError(f"'{self.folder}' has no fit with key '{key}'")
        record, path = self.found[key]
        tree = one_fit(read_shard(path), key)
        if tree is None:
            why = "; ".join(record["reasons"]) if record["status"] == FAILED else "the job did not keep draws (keep_draws = false)"
            raise InputError(f"no draws of '{record['law']}' for '{record['group']}': {why}")
        return fit_of_tree(tree, str(path))


class Writer(Store):
    """A store being written, by one process; see `open_writer`."""

    def __init__(self, folder: Path) -> None:
        for place in (folder, folder / _SHARDS):  # and nowhere below: the folder may be one of the user's with more in it
            for left in place.glob(f"{PART}*"):
                left.unlink()  # of a writer that died
        super().__init__(folder, verify=True)
        for path in self.damaged:
            (folder / _DAMAGED).mkdir(exist_ok=True)
            os.replace(path, folder / _DAMAGED / path.name)

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Keep outcomes of one law; when this returns, no crash can lose them."""
        path = write_shard(self.folder / _SHARDS, outcomes)
        self._know([one.record for one in outcomes], path)

    def conclude(self, plan: Plan, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Write summary and manifest of what a plan asks for, as far as it is there; return the rows of the summary."""
        self._look(verify=False)  # an interruption may have come after a shard was written and before it was known
        rows = summary_rows(plan, self.found)
        names = list(dict.fromkeys(name for row in rows for name in row))
        lines = _csv_text(rows, names)
        kept = [key for key in plan.possible if key in self.found]
        shards = sorted({self.found[key][1].name for key in kept})
        manifest = {
            **about,
            "fits": {name: sum(row["status"] == name for row in rows) for name in ("ok", "attention", "failed", "missing")},
            "shards": [{"file": f"{_SHARDS}/{name}", "bytes": (self.folder / _SHARDS / name).stat().st_size} for name in shards],
            "keys": kept,
        }
        try:
            write_atomically(self.folder / "summary.csv", lines.encode())
            _write_parquet(self.folder / "summary.parquet", rows, names)
            write_atomically(self.folder / "manifest.json", json.dumps(manifest, indent=1).encode())
        except OSError as error:
            raise FileError(f"cannot write the summary into '{self.folder}': {error.strerror or error}") from None
        return rows


@contextmanager
def open_writer(folder: Path) -> Iterator[Writer]:
    """Open a store for writing, made if it is not there; while it is open, no other process can.

    Raises
    ------
    FileError
        If another process writes it, or the folder cannot be made.
    """
    import filelock

    theirs = [name for name in _OTHERS if (folder / name).exists()] if not (folder / _SHARDS).is_dir() else []
    if theirs:
        raise FileError(f"'{folder}' holds a {theirs[0]} that is of no job: give the job another [output] path")
    try:
        (folder / _SHARDS).mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except filelock.Timeout:
        holder = folder / "writer.txt"
        by = f" ({holder.read_text().strip()})" if holder.is_file() else ""
        raise FileError(f"another process writes to '{folder}'{by}: wait for it, or give the job another [output] path") from None
    except OSError as error:
        raise FileError(f"cannot use the folder '{folder}': {error.strerror or error}") from None
    try:
        write_atomically(folder / "writer.txt", f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield Writer(folder)
        (folder / "writer.txt").unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"cannot write into '{folder}': {error.strerror or error}") from None
    finally:
        lock.release()


def summary_rows(plan: Plan, found: Mapping[str, tuple[dict[str, Any], Path]]) -> list[dict[str, Any]]:
    """Return a row for each fit that a plan asks for, in its order: stored, impossible, or missing still."""
    rows = []
    for one in plan.fits:
        record, path = found.get(one.key, ({}, None))
        factors = plan.job.group
        row: dict[str, Any] = {"law": one.law, "group": one.group}
        if len(factors) > 1:
            row.update(zip(factors, one.group.split(SEPARATOR), strict=True))
        reasons = record.get("reasons", [one.reason] if one.reason else [])
        row["n_runs"] = record.get("n_runs", None if one.runs is None else len(one.runs))
        row["status"] = record.get("status", FAILED if one.runs is None else "missing")
        row["reasons"] = " | ".join(reasons)
        row.update(record.get("diagnostics", {}))
        row["method"], row["attempts"] = record.get("method"), record.get("attempts")
        row.update({f"loo_{name}": value for name, value in record.get("loo", {}).items()})
        row.update(record.get("timing", {}))
        for name, values in record.get("parameters", {}).items():
            row.update({f"{name}_{key}": value for key, value in values.items()})
        rows.append({**row, "key": one.key, "shard": path.name if path is not None else ""})
    return rows


def _csv_text(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if (value := row.get(name)) is None else value for name in names])
    return text.getvalue()


def _write_parquet(path: Path, rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Write rows to Parquet, if pyarrow is there to do it; the CSV has the same."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return
    columns = {name: [row.get(name) for row in rows] for name in names}
    buffer = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), buffer)
    write_atomically(path, buffer.getvalue().to_pybytes())
