"""Fits on disk: NetCDF, read and written without pickle and without running code from the file."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from bayes_scaling.cache import known_law
from bayes_scaling.diagnose import Diagnosis
from bayes_scaling.errors import BayesScalingError, FileError, brief, option_text
from bayes_scaling.files import require_readable, require_writable, write_result
from bayes_scaling.fitted import Fit
from bayes_scaling.law import Law, get_law, packaged_law
from bayes_scaling.netcdf import netcdf, read_netcdf
from bayes_scaling.noise import Noise, noise_of
from bayes_scaling.quantities import quantity
from bayes_scaling.runs import Runs

_SEAL = b"bayes-scaling sha256 "
_NEEDED = ("posterior", "sample_stats", "observed_data", "constant_data")


def save_fit(fit: Fit, path: str | Path) -> None:
    """Write a fit to NetCDF. Readers see the old file or the new one, never a part.

    Raises
    ------
    FileError
        If the file cannot be written.
    """
    path = require_writable(path)
    content = netcdf(fit.tree)
    content += _seal(content)
    write_result(path, content)


def _seal(content: bytes) -> bytes:
    """Return what stands after the NetCDF in the file of a fit: its sha256. Readers of NetCDF do not look there; writers cut it off."""
    return _SEAL + hashlib.sha256(content).hexdigest().encode()


def _unsealed(content: bytes, name: str) -> bytes:
    """Return the NetCDF in the file of a fit; damage is found before the HDF5 library reads it, which may then never come back."""
    inner, seal = content[: -len(_seal(b""))], content[-len(_seal(b"")) :]
    if not seal.startswith(_SEAL):
        return content  # of another version, or of somebody who changed it
    if seal != _seal(inner):
        raise FileError(f"'{name}' is damaged: its content is not what was written; take a copy of it, or fit the runs again")
    return inner


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
    path = require_readable(path, "a fit that bayes-scaling fit --out wrote")
    try:
        tree = read_netcdf(_unsealed(path.read_bytes(), str(path)), str(path))
    except FileError:
        raise
    except Exception as error:  # the HDF5 stack raises many kinds for a file that is not one
        raise FileError(f"'{path}' cannot be read as NetCDF ({type(error).__name__}); write it with bayes-scaling fit --out") from None
    return fit_of_tree(tree, str(path), law, noise)


def fit_of_tree(tree: Any, name: str, law: str | Path | Law | None = None, noise: Noise | None = None) -> Fit:
    """Return the fit in a tree that was read from ``name``; see `load_fit`."""
    from bayes_scaling.engine import use_compile_cache

    use_compile_cache()  # what is asked of a fit compiles some forty small programs, half of a command's time
    missing = [part for part in _NEEDED if part not in tree.children]
    if missing or "law" not in tree.attrs:
        raise FileError(f"'{name}' is not a fit of bayes-scaling: {'no group ' + missing[0] if missing else 'it names no law'}")
    try:
        attributes = {str(key): json.loads(value) for key, value in tree.attrs.items()}
        found = _find_law(attributes, law, name)
        family = noise or noise_of(found, attributes["noise"])
        runs = _runs(tree, attributes["data"], found)
        diagnosis = Diagnosis.from_dict(attributes["diagnosis"])
        fixed = {str(key): float(value) for key, value in attributes["fixed"].items()}
        fit = Fit(found, family, runs, tree, diagnosis, fixed, tuple(attributes["groups"]))
        _require_sound(fit)
        return fit
    except FileError:
        raise
    except BayesScalingError as error:
        raise FileError(f"'{name}': {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        what = f"{type(error).__name__}: {brief(error)}"
        raise FileError(f"'{name}' is not a complete fit of bayes-scaling ({what}): fit the runs again") from None


def _require_sound(fit: Fit) -> None:
    """Raise what `fit_of_tree` turns into an error if draws or runs are not there, or are not what a fit has."""
    for column in fit.noise.columns(fit.law):
        values = fit.runs.columns[column]
        known = quantity(column).admits(values)
        given = next((item.default for item in fit.law.inputs if item.name == column), None)
        if not np.all(known | (values == given)):
            row = int(np.flatnonzero(~known)[0])
            raise ValueError(f"run {row + 1} has {column} = {values[row]:g}, which must be {quantity(column).range_text()}")
    if fit.law.model is not None:
        return
    for name in (*fit.law.parameter_names, *fit.noise.parameter_names):
        if name not in fit.fixed and not np.all(np.isfinite(fit.posterior[name].values)):
            raise ValueError(f"draws of {name} are not finite")
    for name in fit.law.derive(dict.fromkeys(fit.law.parameter_names, 1.0)):
        fit.posterior[name]


def _find_law(attributes: dict[str, Any], law: str | Path | Law | None, path: str) -> Law:
    name, origin, digest = (str(attributes[key]) for key in ("law", "law_file", "law_file_sha256"))
    if law is not None:
        found = get_law(law)
    elif origin:
        # The NetCDF must not choose what is executed: only code that this user has named before, and that has not changed since.
        if not _same_file(origin, digest):
            give = option_text(law="FILE.py")
            raise FileError(f"'{path}' was fitted with the law in '{origin}', which is gone or has changed; give it with {give}")
        if not known_law(digest):
            raise FileError(
                f"'{path}' was fitted with the law in '{origin}', which you have not run before: read it, and give it with "
                f"{option_text(law=origin)}"
            )
        found = get_law(origin)
    else:
        found = packaged_law(name)
    if found.name != name:
        raise FileError(f"'{path}' is a fit of law '{name}', not of '{found.name}'")
    return found.with_input(attributes["input"]) if attributes["input"] else found


def _same_file(origin: str, digest: str) -> bool:
    file = Path(origin)
    return os.path.isfile(file) and hashlib.sha256(file.read_bytes()).hexdigest() == digest


def _runs(tree: Any, data: dict[str, Any], law: Law) -> Runs:
    constant = {str(name): np.asarray(values) for name, values in tree["constant_data"].data_vars.items()}
    lines, group = constant.pop("line"), constant.pop("group_of_run", None)
    columns = {**constant, law.output: np.asarray(tree["observed_data"][law.output])}
    factors, reading = tuple(data.get("factors", ())), data.get("reading", {})
    notes, ignored = tuple(data["notes"]), tuple(data["ignored"])
    return Runs(columns, lines, data["source"], notes, group, ignored, factors=factors, reading=reading)
