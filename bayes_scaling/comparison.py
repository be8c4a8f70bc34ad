"""compare(): which law forecasts runs that it has not seen best, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit

BAD_K = 0.7  # Pareto k above which importance sampling cannot leave a run out (Vehtari, Simpson, Gelman, Yao & Gabry 2024)
BOOTSTRAPS = 10_000
ALIKE = 4.0  # nats of difference within which its standard error says little (Sivula, Magnusson, Matamoros & Vehtari 2020)


@dataclass(frozen=True)
class Compared:
    """One law's place in a comparison.

    Attributes
    ----------
    name : as given to `compare`
    elpd, se : expected log predictive density of a run left out, summed over runs, and its standard error; in nats
    difference, difference_se : elpd minus that of the first of the table, and its standard error
    probability : that it forecasts further runs of this kind better than every other law compared
    weight : stacking weight: its share in the average of the laws' forecasts that forecasts best (Yao et al. 2018)
    effective_parameters : p_loo
    bad : lines of runs that could not be left out by importance sampling (Pareto k above BAD_K)
    converged : whether its draws are of the posterior; a law whose parameters the runs do not determine can still forecast
    """

    name: str
    elpd: float
    se: float
    difference: float
    difference_se: float
    probability: float
    weight: float
    effective_parameters: float
    bad: tuple[int, ...]
    converged: bool


@dataclass(frozen=True)
class Comparison:
    """Laws compared, best first; ``str`` gives the table and what it says in words."""

    rows: tuple[Compared, ...]
    runs: int

    def __getitem__(self, name: str) -> Compared:
        return next(row for row in self.rows if row.name == name)

    def __str__(self) -> str:
        from bayes_scaling.text import comparison_text

        return comparison_text(self)


@dataclass(frozen=True, eq=False)
class LeftOut:
    """How well a fit forecasts each of its runs when that is left out.

    Attributes
    ----------
    elpd, se : expected log predictive density of a run left out, summed over runs, and its standard error; in nats
    pointwise : of each run, shape (run,)
    effective_parameters : p_loo
    bad : lines of runs that could not be left out by importance sampling (Pareto k above BAD_K)
    by_arviz : as arviz returned it
    """

    elpd: float
    se: float
    pointwise: np.ndarray
    effective_parameters: float
    bad: tuple[int, ...]
    by_arviz: Any


def leave_one_out(fit: Fit) -> LeftOut:
    """Leave each run out by Pareto-smoothed importance sampling, and forecast it (Vehtari, Gelman & Gabry 2017)."""
    import warnings

    import arviz_stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of large k: ``bad`` says which
        found: Any = arviz_stats.loo(fit.tree, pointwise=True, var_name=fit.law.output)  # pyright: ignore[reportPrivateImportUsage]
    each = np.asarray(found.elpd_i).ravel()
    bad = np.flatnonzero(np.asarray(found.pareto_k).ravel() > BAD_K)
    spread = float(np.sqrt(len(each)) * each.std(ddof=1)) if len(each) > 1 else float("nan")
    return LeftOut(float(each.sum()), spread, each, float(found.p), tuple(int(line) for line in fit.runs.lines[bad]), found)


def compare(fits: Mapping[str, Fit], *, seed: int = 0) -> Comparison:
    """Compare laws, or noise families, fitted to the same runs, by leave-one-out cross-validation.

    Each run is left out by Pareto-smoothed importance sampling (Vehtari, Gelman & Gabry 2017) and forecast. Which law forecasts best is
    uncertain, since runs are few: its probability is over Bayesian bootstraps of the runs (Rubin 1981; Yao et al. 2018).

    Parameters
    ----------
    fits : by the name to show
    seed : of the bootstraps

    Raises
    ------
    InputError
        If fewer than two fits are given, or they are of different runs, or one gives densities and another probabilities of counts.
    """
    if len(fits) < 2:
        raise InputError(f"a comparison needs at least two fits; {len(fits)} given")
    first_name, first = next(iter(fits.items()))
    for name, fit in fits.items():
        if len(fit.runs) != len(first.runs) or np.any(fit.runs.lines != first.runs.lines) or fit.runs.source != first.runs.source:
            raise InputError(f"'{name}' and '{first_name}' were fitted to different runs: fit both to the same")
        if fit.noise.of_counts != first.noise.of_counts:
            counts, density = (name, first_name) if fit.noise.of_counts else (first_name, name)
            raise InputError(f"'{counts}' gives probabilities of counts and '{density}' densities: they cannot be compared")

    import arviz_stats

    left_out = {name: leave_one_out(fit) for name, fit in fits.items()}
    each = {name: item.pointwise for name, item in left_out.items()}
    found = {name: item.by_arviz for name, item in left_out.items()}
    weights = arviz_stats.compare(found, method="stacking")["weight"]  # pyright: ignore[reportPrivateImportUsage]
    best = max(each, key=lambda name: each[name].sum())
    count = len(first.runs)
    draws = np.random.default_rng(seed).dirichlet(np.ones(count), BOOTSTRAPS)
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
                difference_se=float(np.sqrt(count) * gap.std(ddof=1)),
                probability=float(np.mean(winner == i)),
                weight=float(weights[name]),
                effective_parameters=item.effective_parameters,
                bad=item.bad,
                converged=fits[name].diagnosis.converged,
            )
        )
    return Comparison(tuple(sorted(rows, key=lambda row: -row.elpd)), count)
