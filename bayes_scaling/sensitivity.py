"""What a posterior, and what is decided from it, rests on: priors, noise family, single runs, single budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.comparison import BAD_K, MOST_REFITS, leave_one_out
from bayes_scaling.errors import InputError
from bayes_scaling.fitted import Fit
from bayes_scaling.noise import get_noise, noise_names
from bayes_scaling.optimum import best_plan, problem_of
from bayes_scaling.parabola import FURTHER, same_compute
from bayes_scaling.prediction import predict
from bayes_scaling.progress import follow
from bayes_scaling.quantities import coordinate, quantity
from bayes_scaling.refitting import chosen_priors, refits
from bayes_scaling.runs import Runs
from bayes_scaling.units import compute_text

SENSITIVE = 0.05  # of power-scaling: above it a prior is informative, below it runs are weak (Kallioinen et al. 2024)
_MOST_BUDGETS = 8


def looked_at(fit: Fit, compute: float | None = None, runs: Runs | None = None) -> dict[str, np.ndarray]:
    """Return draws of what a fit is asked for, each of shape (chain, draw).

    The law's own parameters; where it can be allocated, ln of the best params at a budget (ten times the largest run by default); the
    curve at the largest value of every input.

    Parameters
    ----------
    runs : whose largest compute and inputs these are; by default the fit's own. Fits to a part of them are asked at the same places
    """
    runs = runs or fit.runs
    draws = fit.parameters()
    names = [name for name in (*fit.law.parameter_names, *fit.noise.parameter_names) if name not in fit.law.latent_names]
    found = {name: draws[name] for name in names if name not in fit.fixed}
    if set(fit.law.input_names) == {"params", "tokens"}:
        budget = float(compute or FURTHER * runs["compute"].max())
        found[f"ln best params at {compute_text(budget)}"] = np.log(best_plan(problem_of(fit.law), draws, budget).params)
    largest = {name: [runs[name].max()] for name in (*fit.law.input_names, *fit.noise.needs)}
    curve = np.asarray(predict(fit, largest)["expected"])[..., 0]
    label = f"{'ln ' if quantity(fit.law.output).on_log_scale else ''}{fit.law.output} at the largest inputs"
    found[label] = coordinate(fit.law.output, curve)
    return {name: drawn for name, drawn in found.items() if drawn.std() > 1e-9 * np.abs(drawn).max()}  # others follow from what is held


@dataclass(frozen=True)
class Power:
    """How much something moves when a prior or the likelihood is raised to a power (Kallioinen et al. 2024).

    Attributes
    ----------
    prior, likelihood : sensitivity: distance between posteriors over the logarithm of the power
    """

    prior: float
    likelihood: float

    @property
    def verdict(self) -> str:
        if not self.prior > SENSITIVE:
            return ""
        return "prior and runs disagree" if self.likelihood > SENSITIVE else "the prior decides: runs say little"


def power_scaling(fit: Fit, values: Mapping[str, np.ndarray] | None = None) -> dict[str, Power]:
    """Return the sensitivity of what a fit is asked for to its priors together, and to its likelihood; by arviz.

    Parameters
    ----------
    values : draws by name, shape (chain, draw); by default `looked_at`

    Raises
    ------
    InputError
        If the fit has groups, or so many runs that their log likelihoods are not kept.
    """
    import arviz_stats
    import xarray

    if "log_likelihood" not in fit.tree.children:
        raise InputError(f"{len(fit.runs)} runs are too many for power-scaling: their log likelihoods are not kept")
    values = values or looked_at(fit)
    tree: Any = fit.tree.copy()
    weighed = log_prior(fit)
    dims = ("chain", "draw")
    coords = {name: fit.posterior[name] for name in dims}
    tree["log_prior"] = xarray.DataTree(xarray.Dataset({"all": (dims, weighed)}, coords))
    # One name after another: arviz takes no name that is no identifier.
    tree["posterior"] = xarray.DataTree(xarray.Dataset({f"v{i}": (dims, drawn) for i, drawn in enumerate(values.values())}, coords))
    found = {}
    for group in ("prior", "likelihood"):
        if group == "prior" and np.ptp(weighed) == 0:
            found[group] = [0.0] * len(values)  # flat: no power changes it, and arviz cannot smooth weights that are all the same
            continue
        options = {"group_var_names": [fit.law.output]} if group == "likelihood" else {}
        result: Any = arviz_stats.psense(tree, group=group, **options)  # pyright: ignore[reportPrivateImportUsage]
        found[group] = [float(result[f"v{i}"]) for i in range(len(values))]
    return {name: Power(*both) for name, *both in zip(values, found["prior"], found["likelihood"], strict=True)}


def log_prior(fit: Fit) -> np.ndarray:
    """Return the log prior density of the draws, shape (chain, draw): of sampled parameters, without a law's latent ones."""
    import jax

    draws, chosen = fit.parameters(), chosen_priors(fit)
    total = np.zeros(next(iter(draws.values())).shape)
    with jax.enable_x64(True):
        for item in (*fit.law.parameters, *fit.noise.parameters):
            if item.name not in fit.fixed and not getattr(item, "latent", False):
                total = total + np.asarray(chosen.get(item.name, item.prior).log_prob(draws[item.name]))
    return total


@dataclass(frozen=True, eq=False)
class Left:
    """What leaving something out changes.

    Attributes
    ----------
    name : what was left out: a line, a budget; or the noise family that was used instead
    runs : how many runs that are
    shift : by quantity: its new posterior mean less the old one, over the old posterior standard deviation
    widening : by quantity: new over old standard deviation
    exact : by fitting again, not by importance sampling
    pareto_k : of importance sampling
    """

    name: str
    runs: int
    shift: Mapping[str, float]
    widening: Mapping[str, float]
    exact: bool
    pareto_k: float = float("nan")

    @property
    def largest(self) -> tuple[str, float]:
        """The quantity that moves most, for what it may move, and by how much."""
        name = max(self.shift, key=lambda name: abs(self.shift[name]) / self._allowed(name))
        return name, self.shift[name]

    @property
    def is_large(self) -> bool:
        """Whether what moves speaks against the fit: one measure for the terminal and the report."""
        name, shift = self.largest
        return abs(shift) > self._allowed(name)

    def _allowed(self, name: str) -> float:
        """How far a quantity may move, in old standard deviations: less than one, the intervals have room for.

        Where the law is right, the variance of the difference to a part of the runs is the difference of the variances (Hausman 1978, doi:
        10.2307/1913827): without runs that say much, a quantity moves, and is said to be wider.
        """
        return max(1.0, 2 * np.sqrt(max(self.widening[name] ** 2 - 1, 0.0)))


def _moved(old: Mapping[str, np.ndarray], new: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, float]]:
    same = [name for name in old if name in new]
    shift = {name: float((new[name].mean() - old[name].mean()) / old[name].std()) for name in same}
    return shift, {name: float(new[name].std() / old[name].std()) for name in same}


def leave_runs_out(fit: Fit, compute: float | None = None, refit: int = MOST_REFITS) -> list[Left]:
    """Return what leaving each run (or training curve, where rows are their points) out changes, largest shift first.

    By Pareto-smoothed importance sampling, or by fitting again where that fails.

    Parameters
    ----------
    refit : most runs to fit again without; those beyond are left to importance sampling, and not ``exact``
    """
    from arviz_stats.base.array import array_stats

    values = looked_at(fit, compute)
    flat = np.stack([drawn.ravel() for drawn in values.values()])
    density, units = fit.log_likelihood_of_units(), fit.runs.units
    weights, k = array_stats.psislw(density.reshape(-1, density.shape[-1]).T)  # it takes the sign for leaving out itself
    weights, k = np.exp(np.asarray(weights)), np.asarray(k)
    weights /= weights.sum(axis=1, keepdims=True)
    mean = weights @ flat.T
    sd = np.sqrt(np.maximum(weights @ (flat**2).T - mean**2, 0))
    shift, widening = (mean - flat.mean(axis=1)) / flat.std(axis=1), sd / flat.std(axis=1)
    large = np.flatnonzero(k > BAD_K)
    large = large[np.argsort(-k[large])][:refit]
    again = _without(fit, [units != unit for unit in large], compute)
    exact = {int(unit): _moved(values, new) for unit, new in zip(large, again, strict=True) if new}
    found = []
    for unit, (row, rows) in enumerate(zip(*np.unique(units, return_index=True, return_counts=True)[1:], strict=True)):
        sampled = dict(zip(values, shift[unit].tolist(), strict=True)), dict(zip(values, widening[unit].tolist(), strict=True))
        name = f"line {fit.runs.lines[row]}" if len(density[0, 0]) == len(units) else f"the curve from line {fit.runs.lines[row]} on"
        found.append(Left(name, int(rows), *exact.get(unit, sampled), exact=unit in exact, pareto_k=float(k[unit])))
    return sorted(found, key=lambda item: -abs(item.largest[1]))


def _without(fit: Fit, kept: list[np.ndarray], compute: float | None) -> list[dict[str, np.ndarray]]:
    """Return what fits to parts of the runs are asked for; nothing where a fit is of no use. All are asked at the whole fit's places."""
    found: list[dict[str, np.ndarray]] = [{} for _ in kept]
    for place, again in follow(refits(fit, [fit.runs.subset(part) for part in kept]), "fits without runs", len(kept)):
        if isinstance(again, Fit) and again.diagnosis.converged:
            found[place] = looked_at(again, compute, fit.runs)
    return found


def budgets_of(fit: Fit) -> list[tuple[str, np.ndarray]]:
    """Return runs by budget: those of about equal compute; eight parts by compute where there are more. Label and rows of each."""
    if "compute" not in fit.runs.columns:
        return []
    parts = same_compute(fit.runs["compute"])
    if len(parts) > _MOST_BUDGETS:  # by about as many runs each, without parting those of a budget
        before = np.cumsum([0, *map(len, parts)])[:-1]
        part = before * _MOST_BUDGETS // len(fit.runs)
        parts = [np.concatenate([rows for rows, of in zip(parts, part, strict=True) if of == each]) for each in np.unique(part)]
    if len(parts) < 2:
        return []

    def label(rows: np.ndarray) -> str:
        low, high = (float(end(fit.runs["compute"][rows])) for end in (np.min, np.max))
        return compute_text(low) if high < 1.2 * low else f"{compute_text(low)} to {compute_text(high)}"

    return [(label(rows), rows) for rows in parts]


def leave_budgets_out(fit: Fit, compute: float | None = None) -> list[Left]:
    """Return what leaving all runs of each budget out changes, by fitting again, smallest budget first."""
    parts = budgets_of(fit)
    values = looked_at(fit, compute)
    again = _without(fit, [~np.isin(np.arange(len(fit.runs)), rows) for _, rows in parts], compute)
    return [Left(label, len(rows), *_moved(values, new), exact=True) for (label, rows), new in zip(parts, again, strict=True) if new]


@dataclass(frozen=True, eq=False)
class OtherNoise:
    """What another noise family would change, and whether it forecasts runs left out better: elpd less that of the family used."""

    left: Left
    difference: float
    difference_se: float


def other_noises(fit: Fit, compute: float | None = None) -> list[OtherNoise]:
    """Return what each other noise family of the output would change, by fitting again.

    None where the scatter is what the law describes: with another one its parameters mean something else.
    """
    if fit.noise.spread:
        return []
    families = [get_noise(name, fit.law.output) for name in noise_names(fit.law.output) if name != fit.noise.name]
    values, own = looked_at(fit, compute), leave_one_out(fit, MOST_REFITS)
    found = []
    for family in follow(families, "fits with other noise", len(families)):
        if family.of_counts != fit.noise.of_counts or not family.takes(fit.runs.columns):
            continue
        if np.any(np.isin(fit.runs[fit.law.output], family.excludes)):
            continue
        ((_, again),) = refits(fit, [fit.runs], noise=family)
        if not isinstance(again, Fit) or not again.diagnosis.converged:
            continue
        gap = leave_one_out(again, MOST_REFITS).pointwise - own.pointwise
        moved = _moved({name: drawn for name, drawn in values.items() if name not in fit.noise.parameter_names}, looked_at(again, compute))
        left = Left(family.name, 0, *moved, exact=True)
        found.append(OtherNoise(left, float(gap.sum()), float(np.sqrt(len(gap)) * gap.std(ddof=1))))
    return found
