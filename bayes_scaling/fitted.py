"""Fit: posterior draws of a law's parameters, and the evidence that they can be trusted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.diagnose import Diagnosis
from bayes_scaling.errors import InputError
from bayes_scaling.law import Law
from bayes_scaling.noise import Noise
from bayes_scaling.pointwise import DENSITY, pointwise
from bayes_scaling.runs import Runs

if TYPE_CHECKING:
    import pandas
    import xarray

#: Log likelihoods go into `Fit.tree` and into files up to this many values (runs x draws); beyond, `Fit.log_likelihood` computes them.
KEPT_LOG_LIKELIHOODS = 5_000_000


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws as the sampler left them, before anybody asks for them as a tree: to load xarray takes longer than many a fit.

    Attributes
    ----------
    sites : by name, shape (chain, draw), or (chain, draw, group)
    stats : of the sampler, by name, shape (chain, draw)
    attributes : how the fit was made
    """

    sites: Mapping[str, np.ndarray]
    stats: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any]

    def tree(self, law: Law, runs: Runs, groups: tuple[str, ...]) -> xarray.DataTree:
        """Return everything about a fit as a tree."""
        import xarray

        def draws(values: Mapping[str, np.ndarray]) -> xarray.Dataset:
            data = {name: (("chain", "draw", "group")[: array.ndim], array) for name, array in values.items()}
            return xarray.Dataset(data, {**coords, **({"group": list(groups)} if groups else {})})

        first = next(iter(self.sites.values()))
        coords = {"chain": np.arange(first.shape[0]), "draw": np.arange(first.shape[1])}
        constant: dict[str, Any] = {name: ("run", values) for name, values in runs.columns.items() if name != law.output}
        constant["line"] = ("run", runs.lines)
        if runs.group is not None:
            constant["group_of_run"] = ("run", runs.group.astype(str))
        parts = {
            "posterior": draws(self.sites),
            "sample_stats": draws(self.stats),
            "observed_data": xarray.Dataset({law.output: ("run", runs[law.output])}),
            "constant_data": xarray.Dataset(constant),
        }
        tree = xarray.DataTree.from_dict(parts)
        tree.attrs = {name: json.dumps(value) for name, value in self.attributes.items()}
        return tree


@dataclass(frozen=True, eq=False)
class Fit:
    """Posterior draws of a law's parameters given runs, and whether they can be trusted.

    Attributes
    ----------
    law, noise : what was fitted
    runs : the data
    drawn : a `Drawn`, or the tree ``draws`` itself
    diagnosis : convergence and identification
    fixed : parameters held fixed
    groups : labels, for a fit in which every group of runs has law parameters of its own; see `select`
    """

    law: Law
    noise: Noise
    runs: Runs
    drawn: Any
    diagnosis: Diagnosis
    fixed: Mapping[str, float]
    groups: tuple[str, ...] = ()

    @cached_property
    def draws(self) -> xarray.DataTree:
        """Groups ``posterior`` (dims chain, draw), ``sample_stats``, ``observed_data``, ``constant_data``; attributes say how it was made.

        For arviz, see ``tree``.
        """
        return self.drawn.tree(self.law, self.runs, self.groups) if isinstance(self.drawn, Drawn) else self.drawn

    @cached_property
    def sites(self) -> Mapping[str, np.ndarray]:
        """Draws of sampled and derived parameters by name, shape (chain, draw), or (chain, draw, group)."""
        if isinstance(self.drawn, Drawn):
            return self.drawn.sites
        return {str(name): np.asarray(values) for name, values in self.posterior.data_vars.items()}

    @cached_property
    def stats(self) -> Mapping[str, np.ndarray]:
        """Statistics of the sampler by name, shape (chain, draw): ``lp``, and by method ``diverging``, ``n_steps`` and others."""
        if isinstance(self.drawn, Drawn):
            return self.drawn.stats
        return {str(name): np.asarray(values) for name, values in self.draws["sample_stats"].to_dataset().data_vars.items()}

    @cached_property
    def tree(self) -> xarray.DataTree:
        """The fit as arviz takes it: ``draws`` and, for data that are not huge, ``log_likelihood`` (dims chain, draw, run).

        Computed when first asked for: of the fits of a batch, most are never asked.
        """
        import xarray

        sizes = self.posterior.sizes
        huge = sizes["chain"] * sizes["draw"] * len(self.runs) > KEPT_LOG_LIKELIHOODS
        if "log_likelihood" in self.draws.children or huge:
            return self.draws
        tree = self.draws.copy()
        dims = ("chain", "draw", "run")
        coords = {name: self.posterior[name] for name in dims[:2]}
        tree["log_likelihood"] = xarray.DataTree(xarray.Dataset({self.law.output: (dims, self.log_likelihood())}, coords))
        return tree

    @property
    def posterior(self) -> xarray.Dataset:
        return self.draws["posterior"].to_dataset()

    @property
    def attributes(self) -> dict[str, Any]:
        """How the fit was made: law, noise, priors, seed, versions, data hash, timing."""
        if isinstance(self.drawn, Drawn):
            return json.loads(json.dumps(self.drawn.attributes))  # as they are read from a file: lists for tuples
        return {str(name): json.loads(value) for name, value in self.draws.attrs.items()}

    def select(self, group: str) -> Fit:
        """Return the fit of one group: its runs, its parameters, and the problems that concern it."""
        import xarray

        runs = self.runs.of_group(group)
        rows = np.flatnonzero(self.runs.group == group) if self.runs.group is not None else []
        picked = {}
        for name, child in self.draws.children.items():
            part = child.to_dataset()
            part = part.sel(group=group, drop=True) if "group" in part.dims else part
            picked[name] = part.isel(run=rows) if "run" in part.dims else part
        tree = xarray.DataTree.from_dict(picked)
        tree.attrs = self.draws.attrs
        return Fit(self.law, self.noise, runs, tree, self.diagnosis.of_group(group), self.fixed)

    def parameters(self) -> dict[str, np.ndarray]:
        """Return draws of every parameter of the law and the noise, sampled, derived and fixed; each of shape (chain, draw).

        Raises
        ------
        InputError
            If the fit has groups: each has parameters of its own, see `select`.

        Examples
        --------
        >>> fit.parameters()["alpha"].shape  # chain, draw
        (4, 500)
        """
        if self.groups:
            raise InputError(f"the fit has groups, each with parameters of its own: select one of {', '.join(self.groups)}")
        shape = next(iter(self.sites.values())).shape[:2]
        return {**{name: np.full(shape, value) for name, value in self.fixed.items()}, **self.sites}

    def summary(self) -> dict[str, dict[str, float]]:
        """Return mean, sd, median, q05, q95, ess_bulk, ess_tail and rhat by parameter, the law's formula names first.

        Parameters of a group are named ``alpha[label]``.

        Examples
        --------
        >>> 0.3 < fit.summary()["alpha"]["median"] < 0.4  # the runs were simulated with 0.3478
        True
        """
        from bayes_scaling.engine.convergence import statistics

        draws = self.scalars()
        found = statistics(np.stack(list(draws.values()), axis=-1))
        rows = {}
        for i, (name, values) in enumerate(draws.items()):
            q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95])
            rows[name] = {
                "mean": float(values.mean()),
                "sd": _standard_deviation(values),
                "median": float(median),
                "q05": float(q05),
                "q95": float(q95),
                **{key: float(found[key][i]) for key in ("ess_bulk", "ess_tail", "rhat")},
            }
        return {name: rows[name] for name in sorted(rows, key=self._rank)}

    def scalars(self) -> dict[str, np.ndarray]:
        """Return draws of shape (chain, draw) by name, a group's parameters as ``alpha[label]``."""
        draws = {}
        for name, values in self.sites.items():
            if values.ndim == 2:
                draws[name] = values
            else:
                draws.update({f"{name}[{label}]": values[..., i] for i, label in enumerate(self.groups)})
        return draws

    def _rank(self, name: str) -> tuple[int, bool, int, str]:
        """Order for people: coefficients, exponents, then reference terms, then what describes the scatter or the pooling."""
        base = name.split("[")[0]
        kind = (
            3 if base in self.noise.parameter_names else 2 if base.endswith(("_center", "_spread")) else 1 if base.endswith("_ref") else 0
        )
        names = self.law.parameter_names
        return kind, len(base) > 1, names.index(base) if base in names else len(names), name

    def log_likelihood(self) -> np.ndarray:
        """Return log densities of the measured losses (density in nat/token), shape (chain, draw, run).

        Of points of training curves, each given those before it.
        """
        if not isinstance(self.drawn, Drawn) and "log_likelihood" in self.draws.children:
            return np.asarray(self.draws["log_likelihood"][self.law.output])
        return self.log_density(self.runs)

    def log_likelihood_of_units(self) -> np.ndarray:
        """Return log densities of what is independent: of each run, or of all points of a training curve; shape (chain, draw, unit)."""
        density, units = self.log_likelihood(), self.runs.units
        first = np.flatnonzero(np.diff(units, prepend=-1))
        return density if len(first) == len(units) else np.add.reduceat(density, first, axis=-1)

    def log_density(self, runs: Runs) -> np.ndarray:
        """Return log densities of the measured outputs of any runs under each draw, shape (chain, draw, run).

        Of a fit by group, the runs must be of its groups.
        """
        shape = next(iter(self.sites.values())).shape[:2]
        fixed = {name: np.full(shape, value) for name, value in self.fixed.items()}
        return log_likelihood(self.law, self.noise, runs, {**fixed, **self.sites}, self.groups)

    def to_frame(self, what: str = "draws") -> pandas.DataFrame:
        """Return draws, summary or runs as a pandas DataFrame; see `bayes_scaling.export.frame`."""
        from bayes_scaling.export import frame

        return frame(self, what)

    def save(self, path: Any) -> None:
        """Write the fit to NetCDF; see `bayes_scaling.load_fit`."""
        from bayes_scaling.storage import save_fit

        save_fit(self, path)

    def __str__(self) -> str:
        from bayes_scaling.text import fit_text

        return fit_text(self)

    def _repr_html_(self) -> str:
        from bayes_scaling.notebook import fit_html

        return fit_html(self)

    def __repr__(self) -> str:
        verdict = "ok" if self.diagnosis.ok else "NOT TRUSTWORTHY"
        return f"<Fit of {self.law.name} to {len(self.runs)} runs, {self.noise.name} noise, {verdict}>"


def log_likelihood(law: Law, noise: Noise, runs: Runs, parameters: Mapping[str, np.ndarray], groups: tuple[str, ...] = ()) -> np.ndarray:
    """Return the log density of each measured output under each draw, shape (chain, draw, run)."""
    shape = next(iter(parameters.values())).shape[:2]
    flat = {name: np.reshape(values, (-1, *values.shape[2:])) for name, values in parameters.items()}
    return pointwise(DENSITY, law, noise, runs, flat, groups).reshape(*shape, len(runs))


def _standard_deviation(values: np.ndarray) -> float:
    """Return it also where squares overflow: a coefficient may be 1e200 where its input is 1e-200 of the unit."""
    scale = float(np.abs(values).max()) or 1.0
    return scale * float((values / scale).std(ddof=1)) if np.isfinite(scale) else float("nan")
