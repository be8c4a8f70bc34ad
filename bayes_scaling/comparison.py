"""compare(): which law forecasts runs that it has not seen best, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.progress import follow
from bayes_scaling.refitting import refits
from bayes_scaling.runs import Runs
from bayes_scaling.scores import forecasts, log_mean, log_predictive, score, stacking_weights

BAD_K = 0.7  # Pareto k above which importance sampling cannot leave a run out (Vehtari, Simpson, Gelman, Yao & Gabry 2024)
BOOTSTRAPS = 10_000
MOST_REFITS = 20  # runs of a fit that are left out by fitting again
ALIKE = 4.0  # nats of difference within which its standard error says little (Sivula, Magnusson, Matamoros & Vehtari 2020)


@dataclass(frozen=True)
class HeldOut:
    """How well a fit forecast runs that it was not fitted to; means over these runs, with standard errors as if they were independent.

    Attributes
    ----------
    runs : how many
    rmsle : root mean squared error of ln of the median forecast (of the output itself, where that may be zero or negative)
    log_likelihood, log_likelihood_se : log predictive density of a run, in nats
    crps, crps_se : continuous ranked probability score, in the same unit as ``rmsle``
    coverage90, coverage90_se : share of runs inside their central 90 % interval
    """

    runs: int
    rmsle: float
    log_likelihood: float
    log_likelihood_se: float
    crps: float
    crps_se: float
    coverage90: float
    coverage90_se: float


@dataclass(frozen=True)
class Compared:
    """One law's place in a comparison.

    Attributes
    ----------
    name : as given to `compare`
    elpd, se : expected log predictive density of a run left out, summed over runs, and its standard error; in nats
    difference, difference_se : elpd minus that of the first of the table, and its standard error
    probability : that it forecasts further runs of this kind better than every other law compared
    weight : its share in the average of the laws' forecasts that forecasts best, with the doubt about that (`scores.stacking_weights`)
    effective_parameters : p_loo
    large_k : lines of runs that importance sampling cannot leave out (Pareto k above BAD_K)
    bad : those of them that were not left out by fitting again either
    converged : whether its draws are of the posterior; a law whose parameters the runs do not determine can still forecast
    holdout : how well it forecast runs that were held out, if any were
    """

    name: str
    elpd: float
    se: float
    difference: float
    difference_se: float
    probability: float
    weight: float
    effective_parameters: float
    large_k: tuple[int, ...]
    bad: tuple[int, ...]
    converged: bool
    holdout: HeldOut | None = None


@dataclass(frozen=True)
class Comparison:
    """Laws compared, best first; ``str`` gives the table and what it says in words."""

    rows: tuple[Compared, ...]
    runs: int

    @property
    def weights(self) -> dict[str, float]:
        """Stacking weight by name."""
        return {row.name: row.weight for row in self.rows}

    def __getitem__(self, name: str) -> Compared:
        return next(row for row in self.rows if row.name == name)

    def __str__(self) -> str:
        from bayes_scaling.text import comparison_text

        return comparison_text(self)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """How well a fit forecasts each of its runs when that is left out; where rows are points of training curves, each curve as a whole.

    Attributes
    ----------
    pointwise : log predictive density of each run (or curve) given the others, in nats, shape (run,)
    with_all : the same given all runs, itself among them
    pareto_k : of each run; above BAD_K importance sampling cannot leave it out (Vehtari, Simpson, Gelman, Yao & Gabry 2024)
    large_k : lines of runs with such a k; of curves, of their first points
    bad : lines of those that were not left out by fitting again either
    """

    pointwise: np.ndarray
    with_all: np.ndarray
    pareto_k: np.ndarray
    large_k: tuple[int, ...]
    bad: tuple[int, ...]

    @property
    def elpd(self) -> float:
        """Expected log predictive density of runs left out, summed over runs; in nats."""
        return float(self.pointwise.sum())

    @property
    def se(self) -> float:
        return _se_of_sum(self.pointwise)

    @property
    def effective_parameters(self) -> float:
        """p_loo: by how much more likely runs are to those that have seen them."""
        return float(np.sum(self.with_all - self.pointwise))


def _se_of_sum(values: np.ndarray) -> float:
    return float(np.sqrt(len(values)) * values.std(ddof=1)) if len(values) > 1 else float("nan")


def se_of_mean(values: np.ndarray) -> float:
    """Return the standard error of the mean of independent values."""
    return _se_of_sum(values) / len(values)


def leave_one_out(fit: Fit, refit: int = 0) -> LeftOut:
    """Leave each run out by Pareto-smoothed importance sampling, and forecast it (Vehtari, Gelman & Gabry 2017).

    Parameters
    ----------
    refit : most runs that are left out by fitting again, those with the largest Pareto k first, where importance sampling cannot
    """
    import warnings

    import arviz_stats

    if "log_likelihood" not in fit.tree.children:
        raise InputError(f"{len(fit.runs)} runs are too many to leave out one by one: hold some out instead")
    density = fit.log_likelihood_of_units()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of large k: ``bad`` says which
        found: Any = arviz_stats.loo(_with_units(fit, density), pointwise=True, var_name=fit.law.output)  # pyright: ignore[reportPrivateImportUsage]
    each, k = np.asarray(found.elpd_i).ravel(), np.asarray(found.pareto_k).ravel()
    large = np.flatnonzero(k > BAD_K)
    _, first = np.unique(fit.runs.units, return_index=True)
    lines = tuple(int(line) for line in fit.runs.lines[first[large]])
    units = large[np.argsort(-k[large], kind="stable")][:refit]
    exact = _left_out_by_refits(fit, units) if len(units) else {}
    each[list(exact)] = list(exact.values())
    bad = tuple(line for unit, line in zip(large.tolist(), lines, strict=True) if unit not in exact)
    return LeftOut(each, log_mean(density), k, lines, bad)


def _with_units(fit: Fit, density: np.ndarray) -> Any:
    """Return a fit's tree with the log densities of what is left out as a whole."""
    import xarray

    if density.shape[-1] == len(fit.runs):
        return fit.tree
    tree, dims = fit.tree.copy(), ("chain", "draw", "unit")
    tree["log_likelihood"] = xarray.DataTree(xarray.Dataset({fit.law.output: (dims, density)}))
    return tree


def _left_out_by_refits(fit: Fit, units: np.ndarray) -> dict[int, float]:
    """Return the log predictive density of some units, each under a fit to the others, by number; without those whose fit is of no use."""
    of_row = fit.runs.units
    data = [fit.runs.subset(of_row != unit) for unit in units]
    found = {}
    for place, again in follow(refits(fit, data), "fits without a run", len(data)):
        if isinstance(again, Fit) and again.groups == fit.groups and again.diagnosis.converged:
            density = again.log_density(fit.runs.subset(of_row == units[place])).sum(axis=-1, keepdims=True)
            found[int(units[place])] = float(log_mean(density)[0])
    return found


def held_out(fit: Fit, runs: Runs, seed: int = 0) -> HeldOut:
    """Score a fit's forecast of runs that it was not fitted to."""
    found = {**score(fit.law.output, forecasts(fit, runs, seed), runs[fit.law.output]), "log": log_predictive(fit, runs, seed)}
    mean = {name: float(values.mean()) for name, values in found.items()}
    error = {name: se_of_mean(values) for name, values in found.items()}
    return HeldOut(
        runs=len(runs),
        rmsle=float(np.sqrt(np.mean(found["error"] ** 2))),
        log_likelihood=mean["log"],
        log_likelihood_se=error["log"],
        crps=mean["crps"],
        crps_se=error["crps"],
        coverage90=mean["covered"],
        coverage90_se=error["covered"],
    )


def compare(fits: Mapping[str, Fit], *, holdout: Runs | None = None, refit: int = MOST_REFITS, seed: int = 0) -> Comparison:
    """Compare laws, or noise families, fitted to the same runs, by leave-one-out cross-validation.

    Each run is left out by Pareto-smoothed importance sampling (Vehtari, Gelman & Gabry 2017), or by fitting again where that cannot
    leave it out, and forecast. Which law forecasts best is uncertain, since runs are few: its probability is over Bayesian bootstraps of
    the runs (Rubin 1981; Yao et al. 2018).

    Parameters
    ----------
    fits : by the name to show
    holdout : runs that no fit has seen, to be forecast as well
    refit : most runs of a fit that are left out by fitting again
    seed : of the bootstraps and forecasts

    Raises
    ------
    InputError
        If fewer than two fits are given, or they are of different runs or outputs, or one gives densities and another probabilities of
        counts.

    Examples
    --------
    >>> sorted(bs.compare({"student-t": fit, "the same": fit}).weights)
    ['student-t', 'the same']
    """
    if not isinstance(fits, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("fits are compared by the names to show: give a dict, {'chinchilla': fit, 'kaplan_nd': other}")
    if len(fits) < 2:
        raise InputError(f"a comparison needs at least two fits; {len(fits)} given")
    first_name, first = next(iter(fits.items()))
    for name, fit in fits.items():
        _refuse_if_other(name, fit, first_name, first)
    left_out = {name: leave_one_out(fit, refit) for name, fit in fits.items()}
    each = {name: item.pointwise for name, item in left_out.items()}
    weights = stacking_weights(np.stack(list(each.values()), axis=1))
    best = max(each, key=lambda name: each[name].sum())
    draws = np.random.default_rng(seed).dirichlet(np.ones(len(each[best])), BOOTSTRAPS)
    winner = np.argmax(draws @ np.stack(list(each.values()), axis=1), axis=1)
    rows = []
    for i, (name, item) in enumerate(left_out.items()):
        gap = each[name] - each[best]
        rows.append(
            Compared(
                name=name,
                elpd=item.elpd,
                se=item.se,
                difference=float(gap.sum()),
                difference_se=_se_of_sum(gap),
                probability=float(np.mean(winner == i)),
                weight=float(weights[i]),
                effective_parameters=item.effective_parameters,
                large_k=item.large_k,
                bad=item.bad,
                converged=fits[name].diagnosis.converged,
                holdout=None if holdout is None else held_out(fits[name], holdout, seed),
            )
        )
    return Comparison(tuple(sorted(rows, key=lambda row: -row.elpd)), len(each[best]))


def _refuse_if_other(name: str, fit: Fit, first_name: str, first: Fit) -> None:
    """Refuse fits whose log densities are not of the same measurements."""
    if fit.law.output != first.law.output:
        raise InputError(f"'{name}' forecasts {fit.law.output} and '{first_name}' {first.law.output}: they cannot be compared")
    if len(fit.runs) != len(first.runs) or not np.array_equal(fit.runs.lines, first.runs.lines):
        raise InputError(f"'{name}' and '{first_name}' were fitted to different runs: fit both to the same")
    other = np.flatnonzero(fit.runs[fit.law.output] != first.runs[fit.law.output])
    if len(other):
        row, values = other[0], (fit.runs[fit.law.output], first.runs[fit.law.output])
        raise InputError(
            f"'{name}' and '{first_name}' were fitted to different runs: line {fit.runs.lines[row]} has {fit.law.output} "
            f"{values[0][row]:g} and {values[1][row]:g}; fit both to the same, in the same unit"
        )
    if fit.noise.of_counts != first.noise.of_counts:
        counts, density = (name, first_name) if fit.noise.of_counts else (first_name, name)
        raise InputError(f"'{counts}' gives probabilities of counts and '{density}' densities: they cannot be compared")


def names_of(fits: Sequence[Fit], files: Sequence[str]) -> dict[str, Fit]:
    """Return fits by the shortest names that tell them apart: law; law and noise; file."""
    for label in (lambda fit, _: fit.law.name, lambda fit, _: f"{fit.law.name}, {fit.noise.name}", lambda _, file: file):
        names = [label(fit, file) for fit, file in zip(fits, files, strict=True)]
        if len(set(names)) == len(names):
            return dict(zip(names, fits, strict=True))
    raise InputError(f"'{max(set(files), key=files.count)}' is given more than once")
