"""Fits on disk: NetCDF, read and written without pickle and without running code from the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.diagnose import Diagnosis
from bayes_scaling.errors import FileError
from bayes_scaling.files import write_atomically
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law, get_law
from bayes_scaling.noise import Noise, noise_of
from bayes_scaling.runs import Runs

_NEEDED = ("posterior", "sample_stats", "observed_data", "constant_data")


def save_fit(fit: Fit, path: str | Path) -> None:
    """Write a fit to NetCDF. Readers see the old file or the new one, never a part.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    path = Path(path)
    if path.is_dir():
        raise FileError(f"'{path}' is a folder; give the path of a file to write")
    if not path.parent.is_dir():
        raise FileError(f"no folder '{path.parent}' to write '{path.name}' into")
    content = netcdf(fit.tree)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise FileError(f"cannot write '{path}': {error.strerror or error}") from None


def netcdf(tree: Any, **options: Any) -> bytes:
    """Return a tree as the content of a NetCDF file.

    Made in memory: the HDF5 library may crash the process where a disk is full.
    """
    return bytes(tree.to_netcdf(engine="h5netcdf", **options))


def load_fit(path: str | Path, law: str | Path | Law | None = None, noise: Noise | None = None) -> Fit:
    """Read a fit from NetCDF.

    Parameters
    ----------
    law : the law, for a fit of a user's law whose file has moved, or that was fitted from a Law object
    noise : the noise family, where it was not one of the package's own

    Raises
    ------
    FileError
        If the file is missing, damaged, not a fit of this package, or its law is not to be found.

    Examples
    --------
    >>> fit.save(folder / "fit.nc")
    >>> bs.load_fit(folder / "fit.nc").law.name
    'chinchilla'
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"no file '{path}'")
    import xarray

    try:
        with xarray.open_datatree(path, engine="h5netcdf") as opened:
            tree = opened.load()
    except Exception as error:  # the HDF5 stack raises many kinds for a file that is not one
        raise FileError(f"'{path}' cannot be read as NetCDF ({type(error).__name__}); write it with bayes-scaling fit --out") from None
    return fit_of_tree(tree, str(path), law, noise)


def fit_of_tree(tree: Any, name: str, law: str | Path | Law | None = None, noise: Noise | None = None) -> Fit:
    """Return the fit in a tree that was read from ``name``; see `load_fit`."""
    missing = [part for part in _NEEDED if part not in tree.children]
    if missing or "law" not in tree.attrs:
        raise FileError(f"'{name}' is not a fit of bayes-scaling: {'no group ' + missing[0] if missing else 'it names no law'}")
    try:
        attributes = {str(key): json.loads(value) for key, value in tree.attrs.items()}
        found = _find_law(attributes, law, name)
        family = noise or noise_of(found, attributes["noise"])
        runs = _runs(tree, attributes["data"], found)
        diagnosis = Diagnosis.from_dict(attributes["diagnosis"])
        return Fit(found, family, runs, tree, diagnosis, attributes["fixed"], tuple(attributes["groups"]))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise FileError(f"'{name}' is not a complete fit of bayes-scaling ({type(error).__name__}: {error})") from None


def _find_law(attributes: dict[str, Any], law: str | Path | Law | None, path: str) -> Law:
    name, origin, digest = attributes["law"], attributes["law_file"], attributes["law_file_sha256"]
    if law is None and origin:
        # A file with code is only run if it is the one that was fitted: the NetCDF must not choose what is executed.
        found = get_law(origin) if _same_file(origin, digest) else None
        if found is None:
            raise FileError(f"'{path}' was fitted with the law in '{origin}', which is gone or has changed; give it with --law FILE.py")
    else:
        found = get_law(law if law is not None else name)
    if found.name != name:
        raise FileError(f"'{path}' is a fit of law '{name}', not of '{found.name}'")
    return found.with_input(attributes["input"]) if attributes["input"] else found


def _same_file(origin: str, digest: str) -> bool:
    import hashlib

    file = Path(origin)
    return file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() == digest


def _runs(tree: Any, data: dict[str, Any], law: Law) -> Runs:
    constant = {str(name): np.asarray(values) for name, values in tree["constant_data"].data_vars.items()}
    lines, group = constant.pop("line"), constant.pop("group_of_run", None)
    columns = {**constant, law.output: np.asarray(tree["observed_data"][law.output])}
    about = {"factors": tuple(data.get("factors", ())), "reading": data.get("reading", {})}
    return Runs(columns, lines, data["source"], tuple(data["notes"]), group, tuple(data["ignored"]), **about)
