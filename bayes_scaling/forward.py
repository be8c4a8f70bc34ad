"""forward_validation(): fit small runs, forecast large ones, over a sequence of cut-offs. What a scaling law is for, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_scaling.comparison import se_of_mean
from bayes_scaling.criticism import criticise
from bayes_scaling.drift import Drift, drift_of, told_by
from bayes_scaling.errors import InputError
from bayes_scaling.fitting import fit_many
from bayes_scaling.law import Law, get_law
from bayes_scaling.progress import follow
from bayes_scaling.reading import as_runs
from bayes_scaling.runs import Runs
from bayes_scaling.scores import choice, forecasts, log_predictive, score, stacking_weights

if TYPE_CHECKING:
    import xarray

AVERAGE = "average"
NOMINAL = 0.9
SCORES = ("log_score", "error", "crps", "covered", "level")
_SHARES = (0.4, 0.9)  # of the runs that the smallest and the largest fit have, by default
_FEWEST = 8  # runs in the smallest fit, by default
_REHEARSED = (0.5, 0.75)  # of the runs of the smallest fit: forecasts of the others, which are not scored, tell how it may be off
_NO_SHARE = 0.01  # weight up to which a law's defects are not the average's
_DOUBT = 0.05  # probability of so few runs inside their intervals, if these were right, from which on earlier forecasts warn


@dataclass(frozen=True, eq=False)
class Forward:
    """How laws forecast runs beyond those that they were fitted to.

    Attributes
    ----------
    scores : Dataset of dims law, split, run: ``log_score`` (nats), ``error`` of the median and ``crps`` (in ln of the output, where that is
        positive), ``covered`` by the 90 % interval, ``level`` (share of the forecast below the measurement); NaN where the run was fitted.
        Of dims law, split: ``trusted`` (the fit's own verdict), ``converged``, and ``warned`` (the fit noted that scatter about the law is
        misfit, `bayes_scaling.check` finds a pattern in what the law leaves of its runs, or runs that were known at that cut-off had fallen
        outside the intervals of earlier ones too often).
        Coordinates: ``split`` (cut-off), ``run`` (line), and the ``place`` of each run.
        The last law is the average of the others, each time with the weights that were best for the runs known by then.
    drift : by law, how far it may be off beyond its runs, as its forecasts have shown by now: for `bayes_scaling.predict`
    weights : by law, with which the average forecasts all held-out runs best, over all cut-offs (`scores.stacking_weights`)
    by : the column that the cut-offs are in
    """

    scores: xarray.Dataset
    weights: Mapping[str, float]
    by: str
    drift: Mapping[str, Drift]

    @property
    def laws(self) -> list[str]:
        return [str(name) for name in self.scores["law"].values]

    @cached_property
    def summary(self) -> dict[str, dict[str, float]]:
        """Means over all held-out runs and cut-offs by law, best log score first, with standard errors (`clustered`).

        ``difference`` is in log score, to the best of the laws (their average is not among these).
        """
        values = {name: self.scores[name].values for name in SCORES}
        log_score = {law: values["log_score"][i] for i, law in enumerate(self.laws)}
        best = max((law for law in self.laws if law != AVERAGE), key=lambda law: np.nanmean(log_score[law]))
        found = {}
        for i, law in enumerate(self.laws):
            square, square_se = clustered(values["error"][i] ** 2)
            row = {"rmsle": float(np.sqrt(square)), "rmsle_se": square_se / (2 * np.sqrt(square))}
            for name, shown in (("log_score", "log_score"), ("crps", "crps"), ("covered", "coverage90")):
                row[shown], row[f"{shown}_se"] = clustered(values[name][i])
            row["difference"], row["difference_se"] = clustered(log_score[law] - log_score[best])
            found[law] = {**row, "weight": self.weights.get(law, float("nan"))}
        return dict(sorted(found.items(), key=lambda item: -item[1]["log_score"]))

    def of_split(self, law: str, split: int) -> dict[str, float]:
        """Return the means over the runs held out at one cut-off, and what was known of the fit."""
        one = self.scores.sel(law=law).isel(split=split)
        covered, error = one["covered"].values, one["error"].values
        return {
            "cut": float(one["split"]),
            "fitted": int(np.isnan(covered).sum()),
            "held_out": int(np.isfinite(covered).sum()),
            "rmsle": float(np.sqrt(np.nanmean(error**2))),
            "log_score": float(np.nanmean(one["log_score"])),
            "crps": float(np.nanmean(one["crps"])),
            "coverage90": float(np.nanmean(covered)),
            "coverage90_se": se_of_mean(covered[np.isfinite(covered)]),
            "trusted": bool(one["trusted"]),
            "converged": bool(one["converged"]),
            "warned": bool(one["warned"]),
        }

    def __str__(self) -> str:
        from bayes_scaling.trust_text import forward_text

        return forward_text(self)


def clustered(values: np.ndarray) -> tuple[float, float]:
    """Return the mean of values of shape (split, run) and its standard error.

    The forecasts of one fit err together, and so do those of one run by several fits: clustered both ways (Cameron, Gelbach & Miller 2011).
    NaN marks what is not there. With one split, runs count as independent, for want of anything else.
    """
    known = np.isfinite(values)
    count = known.sum()
    mean = float(values[known].mean()) if count else float("nan")
    left = np.where(known, values - mean, 0.0)

    def variance(sums: np.ndarray, there: np.ndarray) -> float:
        groups = there.sum()
        return float(np.sum(sums**2)) / count**2 * groups / (groups - 1) if groups > 1 else 0.0

    single = variance(left.ravel(), known.ravel())
    of_runs, of_splits = variance(left.sum(axis=0), known.any(axis=0)), variance(left.sum(axis=1), known.any(axis=1))
    return mean, float(np.sqrt(max(single, of_runs + of_splits - single if of_splits else single, of_runs)))


def cut_offs(place: np.ndarray, count: int) -> np.ndarray:
    """Return so many cut-offs that leave 40 % to 90 % of the runs to fit, and at least one run beyond each."""
    ordered = np.sort(place)
    shares = np.linspace(*_SHARES, count)
    rows = np.clip(np.ceil(shares * len(place)).astype(int) - 1, min(_FEWEST, len(place)) - 1, len(place) - 2)
    found = np.unique(ordered[rows])
    return found[found < ordered[-1]]


def _rehearsals(place: np.ndarray, limit: float) -> np.ndarray:
    """Return cut-offs below the first one, from which the runs up to it are forecast first; none where these are too few."""
    ordered = np.sort(place[place <= limit])
    rows = [int(np.ceil(share * len(ordered))) - 1 for share in _REHEARSED]
    found = np.unique(ordered[[row for row in rows if row + 1 >= _FEWEST]])
    return found[found < limit]


def forward_validation(
    laws: Mapping[str, Any] | Sequence[str],
    runs: Runs | Any,
    *,
    by: str = "compute",
    cuts: int | Sequence[float] = 4,
    drift: float | None = None,
    seed: int = 0,
    **options: Any,
) -> Forward:
    """Fit laws to the runs up to a cut-off, forecast all beyond it, and score that; for a sequence of cut-offs.

    Before the first, half and three quarters of its runs forecast the others. That is not scored, but tells, as every earlier forecast
    does, how far the laws drift, which of them to follow, and when to warn.

    Parameters
    ----------
    laws : names, files or Law objects; as values by the name to show, or dicts of `bayes_scaling.fit` arguments with ``law`` among them
    runs : all of them, as `bayes_scaling.fit` takes them
    by : column of the runs that the cut-offs are in
    cuts : values of it; or how many, between 40 % and 90 % of the runs
    drift : how far laws may be off beyond their runs (`bayes_scaling.drift`): by default as far as their earlier forecasts of runs that are
        known at a cut-off have shown; a number for a size that is known, 0 to take laws for the truth
    options : further arguments of `bayes_scaling.fit_many`, for every law

    Raises
    ------
    InputError
        If a law or a cut-off cannot be used, or the laws forecast different outputs.
    """
    wanted = {str(item): item for item in laws} if not isinstance(laws, Mapping) else dict(laws)
    if isinstance(laws, str):
        raise InputError(f"laws = '{laws}' must be a list of laws: ['{laws}']")
    if not wanted or AVERAGE in wanted:
        raise InputError(f"name the laws to validate{f'; none may be called {AVERAGE}' if wanted else ''}")
    runs = as_runs(runs)
    place = runs[by]
    limits = cut_offs(place, cuts) if isinstance(cuts, int) else np.sort(np.asarray(cuts, float))
    if not len(limits):
        raise InputError(f"no cut-off in {by} leaves runs on both sides (cuts = {cuts}, {len(np.unique(place))} different values)")
    for limit in limits:
        if not 1 < np.sum(place <= limit) < len(runs):
            span = f"{place.min():.4g} to {place.max():.4g}"
            raise InputError(f"no runs on both sides of the cut-off {by} = {limit:g}; they have {span}")
    rehearsals = _rehearsals(place, limits[0])
    limits = np.concatenate([rehearsals, limits])
    known = place[None] <= limits[:, None]
    found, draws, drifts, output = {}, {}, {}, ""
    for name, item in wanted.items():
        arguments: dict[str, Any] = {**options, **(item if isinstance(item, Mapping) else {"law": item})}
        law: Law = get_law(arguments.pop("law"))
        if output not in ("", law.output):
            raise InputError(f"'{name}' forecasts {law.output} and the laws before it {output}: their scores cannot be compared")
        output = law.output
        found[name], draws[name], drifts[name] = _scores_of_law(law, runs, known, seed, drift, arguments)
    return _gathered(found, draws, drifts, runs, place, limits, known, output, by, len(rehearsals))


def _scores_of_law(
    law: Law, runs: Runs, known: np.ndarray, seed: int, drift: float | None, arguments: dict[str, Any]
) -> tuple[dict[str, np.ndarray], list[np.ndarray], Drift]:
    """Return a law's scores, shape (split, run), with its verdicts, shape (split,); draws of its forecasts at each split; and its drift.

    At each cut-off the drift is what the forecasts from earlier ones of the runs up to the next have shown. Runs of one such forecast err
    together: they count as one, by their mean log density.
    """
    scores = {name: np.full(known.shape, np.nan) for name in SCORES}
    scores |= {name: np.zeros(len(known)) for name in ("trusted", "converged", "warned")}
    draws = [np.empty(0)] * len(known)
    fits = fit_many(law, [runs.subset(part) for part in known], seed=seed, **arguments)
    found = dict(follow(fits, f"{law.name}: fits to small runs", len(known)))
    allowed = drift_of(drift)
    for split, fit in sorted(found.items()):
        apart = runs.subset(~known[split])
        draws[split] = forecasts(fit, apart, seed, drift=allowed)
        log_score = log_predictive(fit, apart, seed, allowed)
        for name, values in {**score(law.output, draws[split], apart[law.output]), "log_score": log_score}.items():
            scores[name][split, ~known[split]] = values
        if drift is None:
            soon = runs.subset(~known[split] & known[split + 1]) if split + 1 < len(known) else apart
            allowed = told_by(fit, soon, allowed, seed)
        scores["trusted"][split], scores["converged"][split] = fit.diagnosis.ok, fit.diagnosis.converged
        misfit = any(problem.kind == "misfit" for problem in fit.diagnosis.problems)
        scores["warned"][split] = misfit or bool(criticise(fit, seed).found)
    return scores, draws, allowed


def _gathered(
    found: dict[str, dict[str, np.ndarray]],
    draws: dict[str, list[np.ndarray]],
    drifts: dict[str, Drift],
    runs: Runs,
    place: np.ndarray,
    limits: np.ndarray,
    known: np.ndarray,
    output: str,
    by: str,
    rehearsed: int,
) -> Forward:
    import xarray

    names = list(found)
    log_scores = np.stack([found[name]["log_score"] for name in names], axis=-1)  # (split, run, law)
    if len(names) > 1:
        found[AVERAGE] = _average(found, draws, log_scores, runs, known, output)
    for scores in found.values():
        missed = [_too_often_outside(scores["covered"][:split, known[split]]) for split in range(len(limits))]
        scores["warned"] = np.maximum(scores["warned"], missed)
    dims = ("law", "split", "run")
    data = {name: (dims, np.stack([found[law][name] for law in found])) for name in SCORES}
    data |= {name: (dims[:2], np.stack([found[law][name] for law in found]).astype(bool)) for name in ("trusted", "converged", "warned")}
    coords = {"law": list(found), "split": limits, "run": runs.lines, "place": ("run", place)}
    weights = stacking_weights(log_scores[rehearsed:][~known[rehearsed:]])
    scores = xarray.Dataset(data, coords).isel(split=slice(rehearsed, None))
    return Forward(scores, dict(zip(names, weights.tolist(), strict=True)), by, drifts)


def _average(
    found: Mapping[str, Mapping[str, np.ndarray]],
    draws: Mapping[str, list[np.ndarray]],
    log_scores: np.ndarray,
    runs: Runs,
    known: np.ndarray,
    output: str,
) -> dict[str, np.ndarray]:
    """Score the average of laws, at each cut-off with the weights learned from earlier forecasts of runs that are known by then."""
    scores = {name: np.full(known.shape, np.nan) for name in SCORES}
    scores |= {name: np.zeros(len(known)) for name in ("trusted", "converged", "warned")}
    for split in range(len(known)):
        past = ~known[:split] & known[split]  # forecast then, known now
        weights = stacking_weights(log_scores[:split][past]) if past.any() else np.full(len(found), 1 / len(found))
        used = [item for item, weight in zip(found.values(), weights, strict=True) if weight > _NO_SHARE]
        for name, worst in (("trusted", min), ("converged", min), ("warned", max)):
            scores[name][split] = worst(item[name][split] for item in used)
        drawn = [of_law[split] for of_law in draws.values()]
        of_law = choice(weights, len(drawn[0]), seed=split)
        mixed = np.array(drawn)[of_law, np.arange(len(of_law))]
        apart = ~known[split]
        with np.errstate(divide="ignore"):
            scores["log_score"][split, apart] = np.logaddexp.reduce(log_scores[split, apart] + np.log(weights), axis=-1)
        for name, values in score(output, mixed, runs[output][apart]).items():
            scores[name][split, apart] = values
    return scores


def _too_often_outside(covered: np.ndarray) -> bool:
    """Return whether too few runs lay inside their 90 % intervals: by the latest forecast of each, as if they were independent."""
    from scipy.stats import binom

    latest = [column[np.isfinite(column)][-1] for column in covered.T if np.isfinite(column).any()]
    return bool(latest) and float(binom.cdf(np.sum(latest), len(latest), NOMINAL)) < _DOUBT
