"""Runs: a validated table of training runs, in base units.

What was done to the table that they were read from is in ``Runs.notes``; `bayes_scaling.reading` reads and checks it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bayes_scaling import units as units_module
from bayes_scaling.errors import InputError, close_to, listed, nearest, option_text
from bayes_scaling.quantities import QUANTITIES
from bayes_scaling.quantities import quantity as kind_of
from bayes_scaling.trajectories import CURVE, MEASURED, TIES

SEPARATOR = "/"  # between the parts of a label of several columns


@dataclass(frozen=True, eq=False)
class Runs:
    """Training runs.

    Attributes
    ----------
    columns : quantity -> float array of shape (runs,), in base units; every value finite and possible for its quantity
    group : labels of shape (runs,), or None; of several columns, their cells joined by a slash
    lines : line of the file (row number of a DataFrame) of each run, shape (runs,)
    source : where the runs came from
    notes : what a reader should know: columns used, rows left out, duplicates, units, compute that is not 6ND
    factors : the columns that the groups were made of
    reading : arguments of `read_runs`, where these are all the runs that it read from a file or data set
    unusable : why a column that is called like a quantity is not used as it
    curves : column of labels, where the rows look like points of training curves, which are not independent, and nobody has said so
    unused : cells of the columns that are not used, shape (runs,), as far as the table is at hand; a stored fit does not keep them
    """

    columns: Mapping[str, np.ndarray]
    lines: np.ndarray
    source: str
    notes: tuple[str, ...] = ()
    group: np.ndarray | None = None
    ignored: tuple[str, ...] = field(default=())
    factors: tuple[str, ...] = ()
    reading: Mapping[str, Any] = field(default_factory=dict[str, Any])
    unusable: Mapping[str, str] = field(default_factory=dict[str, str])
    curves: str = ""
    unused: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, name: str) -> np.ndarray:
        # A rate may have been meant to come from counts.
        reason = next((self.unusable[part] for part in (name, "successes", "trials") if part in self.unusable), None)
        if name not in self.columns and reason and (name in self.unusable or kind_of(name).is_fraction):
            fewer = f"leave rows out with {option_text(where=None)}"
            raise InputError(f"{self.source} has no usable column for '{name}': {reason}; mend it, or {fewer}")
        if name not in self.columns:
            raise self._absent([name], [name])
        return self.columns[name]

    def require(self, names: Iterable[str]) -> None:
        """Raise InputError that names all of some quantities which have no column."""
        names = list(names)
        missing = [name for name in dict.fromkeys(names) if name not in self.columns]
        if any(name in self.unusable for name in missing):
            for name in missing:
                self[name]
        if missing:
            raise self._absent(missing, names)

    def _absent(self, missing: Sequence[str], wanted: Iterable[str]) -> InputError:
        """Return the error about quantities without a column: what may be meant to be one, and how to say so."""
        what, them = (f"column for '{missing[0]}'", "one") if len(missing) == 1 else (f"columns for {quoted(missing)}", "them")
        known = f"columns not recognised: {listed(self.ignored, 20) or 'none'}"
        slips = self.slips(missing, wanted)
        if slips:
            known = f"{slips} {known[0].upper()}{known[1:]}"
        columns, units = dict.fromkeys(missing, "COLUMN"), dict[str, str]()
        wide = {name: units_module.likely_columns(name, self.ignored, within=True) for name in missing}
        for name in missing:
            likely = units_module.likely_columns(name, self.ignored) or (wide[name] if name in MEASURED else {})
            # A header that names several of them is not one column of any: the table may have another separator.
            likely = {column: unit for column, unit in likely.items() if sum(column in each for each in wide.values()) == 1}
            if len(likely) == 1:
                ((columns[name], unit),) = likely.items()
                units |= {name: unit} if unit else {}
        maybe = " perhaps" if set(columns.values()) != {"COLUMN"} else ""
        how = option_text(map=columns, **({"units": units} if units else {}))
        return InputError(f"{self.source} has no {what}; {known} (name {them}{maybe} with {how})")

    def slips(self, missing: Sequence[str], wanted: Iterable[str] = ()) -> str:
        """Say which columns are called nearly like a quantity that has none, and not like any that is known or wanted.

        Any name can be mapped, for laws of a user's own take any: a slip shows only where what was meant is missing.
        """
        strange = [name for name in self.columns if name not in (*QUANTITIES, *TIES, *wanted)]
        return " ".join(f"unknown quantity '{name}'{close_to(name, missing)}" for name in strange if close_to(name, missing))

    def __repr__(self) -> str:
        spans = [f"{name} {values.min():.4g} to {values.max():.4g}" for name, values in self.columns.items()]
        return "\n".join([f"{len(self)} runs from {self.source}: {', '.join(spans)}", *(f"  note: {note}" for note in self.notes)])

    def subset(self, keep: np.ndarray) -> Runs:
        """Return the runs at an index or boolean array, with the notes."""
        group = None if self.group is None else self.group[keep]
        columns, unused = ({name: values[keep] for name, values in part.items()} for part in (self.columns, self.unused))
        return replace(self, columns=columns, lines=self.lines[keep], group=group, unused=unused, reading={})

    @property
    def units(self) -> np.ndarray:
        """Number, from 0, of what each row is a part of: shape (runs,). Rows are independent of each other, but points of one curve."""
        return np.unique(self.columns[CURVE], return_inverse=True)[1] if CURVE in self.columns else np.arange(len(self))

    def apart(self) -> Runs:
        """Return points of training curves as runs by themselves, which nothing ties to others; any other runs as they are."""
        return replace(self, columns={name: values for name, values in self.columns.items() if name not in TIES}, reading={})

    @property
    def groups(self) -> tuple[str, ...]:
        """Labels of the groups, sorted; empty without a group column."""
        return () if self.group is None else tuple(sorted(set(self.group.tolist())))

    def of_group(self, label: str) -> Runs:
        """Return the runs of one group."""
        if label not in self.groups:
            raise InputError(f"no group '{label}'{nearest(label, self.groups)}")
        return self.subset(self.group == label)

    def model_columns(self, names: tuple[str, ...], groups: tuple[str, ...] = ()) -> dict[str, np.ndarray]:
        """Return columns as a model takes them; with group labels, the number of each run's group as ``group``."""
        columns = {name: self[name] for name in names}
        if groups and self.group is not None:
            number = {label: float(code) for code, label in enumerate(groups)}
            columns["group"] = np.array([number[label] for label in self.group])
        return columns

    @property
    def data_hash(self) -> str:
        """sha256 over the names and values of all columns (not over file names or notes)."""
        digest = hashlib.sha256()
        for name in sorted(self.columns):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(self.columns[name], dtype="<f8").tobytes())
        if self.group is not None:
            digest.update("\0".join(map(str, self.group)).encode())
        return digest.hexdigest()


def quoted(names: Sequence[str]) -> str:
    """Return two or more names as a sentence lists them, each in quotation marks."""
    *others, last = (f"'{name}'" for name in names)
    return f"{', '.join(others)} and {last}"
