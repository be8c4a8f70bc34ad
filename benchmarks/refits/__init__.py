"""Re-fits of published laws on the real runs behind them: what is read, how it is fitted, and the published values to compare with.

One file a family; ``all_refits()`` gathers them. The reference tests hold the tolerances, ``benchmarks/laws.py`` prints the table and
``benchmarks/figures.py`` draws the residuals, all from these entries.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import bayes_scaling as bs


@dataclass(frozen=True)
class Compare:
    """A published value: parameter (``alpha``, or ``alpha[label]`` of a group), value, and how far the posterior median may be from it."""

    parameter: str
    published: float
    tolerance: float
    source: str


@dataclass(frozen=True)
class Refit:
    """A law fitted to runs of the shared data folder.

    Attributes
    ----------
    law : name, with variant
    data : file in the folder
    read : arguments of ``bayes_scaling.read_runs``
    prepare : from the folder to runs, where reading alone is not enough
    options : arguments of ``bayes_scaling.fit``
    compare : published values
    given : what the law's question is asked with
    trusted : whether the diagnosis must be without serious problems; False (it need not) takes a note that says why
    note : what a reader should know
    label : tells entries of one law and file apart
    """

    law: str
    data: str
    read: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Path], bs.Runs] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    compare: tuple[Compare, ...] = ()
    given: Mapping[str, float] = field(default_factory=dict)
    trusted: bool = True
    note: str = ""
    label: str = ""

    @property
    def name(self) -> str:
        return "-".join(part for part in (self.law, Path(self.data).stem, self.label) if part)

    @property
    def shown(self) -> str:
        return Path(self.data).name + (f", {self.label}" if self.label else "")

    def runs(self, folder: Path) -> bs.Runs:
        return self.prepare(folder) if self.prepare else bs.read_runs(folder / self.data, **self.read)

    def fit(self, folder: Path, **more: Any) -> bs.Fit:
        return bs.fit(self.law, self.runs(folder), **{**self.options, **more})


def draws_of(fit: bs.Fit, parameter: str) -> np.ndarray:
    """Return the draws of ``alpha`` or ``alpha[label]``, (chain, draw)."""
    name, _, label = parameter.rstrip("]").partition("[")
    one = fit.select(label) if label else fit
    return one.parameters()[name] if label or not fit.groups else np.asarray(fit.posterior[name])


def all_refits() -> list[Refit]:
    """Return the entries of every family, in the order of the laws' names."""
    families = [importlib.import_module(f"{__name__}.{item.name}") for item in pkgutil.iter_modules(__path__)]
    found = sorted((refit for family in families for refit in family.REFITS), key=lambda refit: (refit.law, refit.data))
    names = [refit.name for refit in found]
    assert len(set(names)) == len(names), f"re-fits of one name: {sorted({name for name in names if names.count(name) > 1})}"
    return found
