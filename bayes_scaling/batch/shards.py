"""Shards: files with the outcomes of a chunk of fits, arrays stacked over fits; NetCDF that arviz reads, named by their checksum.

A shard appears whole, under its final name, or not at all: it is written beside, flushed to the disk and renamed. A byte that changes later
is found when the file is read, since its name is the hash of its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.batch.work import Outcome
from bayes_scaling.errors import FileError
from bayes_scaling.files import require_readable, write_atomically
from bayes_scaling.netcdf import netcdf, read_netcdf

_DIGITS = 32  # of the sha256 in a shard's name


def write_shard(folder: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write outcomes of one law into a folder; return the file.

    Raises
    ------
    FileError
        If it cannot be written (a full disk); nothing is left of it then.
    """
    tree = _tree(outcomes)
    packed = {"zlib": True, "complevel": 1, "shuffle": True}
    drawn = {name: child for name, child in tree.children.items() if name != "runs"}
    content = netcdf(tree, encoding={f"/{name}": {str(key): packed for key in child.data_vars} for name, child in drawn.items()})
    path = folder / f"{_digest(content)}.nc"
    try:
        write_atomically(path, content, durable=True)
    except OSError as error:
        raise FileError(f"cannot write a shard into '{folder}': {error.strerror or error}; what was done before is stored") from None
    return path


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def _tree(outcomes: Sequence[Outcome]) -> Any:
    import xarray

    keys = [one.key for one in outcomes]
    texts = {"record": [json.dumps(one.record) for one in outcomes], "attributes": [json.dumps(dict(one.attributes)) for one in outcomes]}
    parts = {"/": xarray.Dataset({name: ("fit", values) for name, values in texts.items()}, {"fit": keys})}
    drawn = [one for one in outcomes if one.draws]
    for part in drawn[0].draws if drawn else ():
        shape = next(iter(drawn[0].draws[part].values())).shape
        coords = {"fit": [one.key for one in drawn], "chain": np.arange(shape[0]), "draw": np.arange(shape[1])}
        every = {name: None for one in drawn for name in one.draws[part]}  # samplers differ in their statistics
        absent = np.full(shape, np.nan)
        stacked = {name: (tuple(coords), np.stack([one.draws[part].get(name, absent) for one in drawn])) for name in every}
        parts[f"/{part}"] = xarray.Dataset(stacked, coords)
    # Runs of all fits one after another, as many rows each as ``row_size`` says (CF conventions: a contiguous ragged array).
    every = [{**one.runs.columns, "line": one.runs.lines} for one in drawn]
    names = sorted({name for columns in every for name in columns})
    rows = {
        name: ("run", np.concatenate([columns.get(name, np.full(len(columns["line"]), np.nan)) for columns in every])) for name in names
    }
    if drawn:
        labels = [np.full(len(one.runs), "") if one.runs.group is None else one.runs.group for one in drawn]
        rows["group_of_run"] = ("run", np.concatenate(labels).astype(str))
        size = {"row_size": ("fit", [len(one.runs) for one in drawn]), "columns": ("fit", [json.dumps(sorted(one)) for one in every])}
        parts["/runs"] = xarray.Dataset({**rows, **size}, {"fit": [one.key for one in drawn]})
    return xarray.DataTree.from_dict(parts)


def read_shard(path: Path) -> Any:
    """Return the tree in a shard.

    Raises
    ------
    FileError
        If it is not, byte for byte, what was written.
    """
    with _reading(path):
        content = require_readable(path, "a shard").read_bytes()
        _verify(path, _digest(content))
        return read_netcdf(content, str(path))


def records(path: Path, *, verify: bool) -> list[dict[str, Any]]:
    """Return the records of the fits in a shard, and read no more of it than they need, unless all of it is to be verified.

    Raises
    ------
    FileError
        If it cannot be read, or is not what was written.
    """
    import h5py

    with _reading(path):
        require_readable(path, "a shard")
        if verify:
            _verify(path, _digest(path.read_bytes()))
        with h5py.File(path) as file:
            return [json.loads(text) for text in file["record"].asstr()[:]]  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn whatever goes wrong in reading a shard into one error that names it."""
    try:
        yield
    except FileError:
        raise
    except Exception as error:  # the HDF5 stack raises many kinds
        raise FileError(f"'{path}' cannot be read: {type(error).__name__}: {error}") from None


def _verify(path: Path, digest: str) -> None:
    if digest != path.stem:
        raise FileError(f"'{path}' is damaged: its content is not what was written")


def one_fit(tree: Any, key: str) -> Any:
    """Return the tree of one fit of a shard, as a single fit has it; None if its draws were not kept."""
    import xarray

    if "posterior" not in tree.children or key not in tree["posterior"]["fit"].values:
        return None
    parts = {name: tree[name].to_dataset().sel(fit=key, drop=True) for name in ("posterior", "sample_stats")}
    stats = parts["sample_stats"]
    parts["sample_stats"] = stats[[name for name, values in stats.items() if not np.isnan(values).all()]]  # another sampler's are absent
    runs = tree["runs"].to_dataset()
    place = runs["fit"].values.tolist().index(key)
    end = int(runs["row_size"].values[: place + 1].sum())
    rows = slice(end - int(runs["row_size"].values[place]), end)
    columns = {name: ("run", runs[name].values[rows]) for name in json.loads(str(runs["columns"].values[place]))}
    if np.all(runs["group_of_run"].values[rows] != ""):
        columns["group_of_run"] = ("run", runs["group_of_run"].values[rows].astype(str))
    attributes = json.loads(str(tree["attributes"].sel(fit=key).values))
    output = json.loads(attributes["output"])
    parts["observed_data"] = xarray.Dataset({output: columns.pop(output)})
    parts["constant_data"] = xarray.Dataset(columns)
    found = xarray.DataTree.from_dict(parts)
    found.attrs = attributes
    return found
