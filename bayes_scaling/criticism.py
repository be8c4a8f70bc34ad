"""Posterior predictive checks suited to runs: what is left of them after the law, against scale, and where forecasts go."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.diagnose import SurprisingRun
from bayes_scaling.fitted import Fit
from bayes_scaling.identification import measured_inputs, most_draws, thinned
from bayes_scaling.pointwise import BELOW, CURVE, DENSITY, pointwise
from bayes_scaling.quantities import coordinate
from bayes_scaling.uniformity import Uniformity, spread_out, uniformity

#: What levels of measurements in their forecasts say, by where they are.
OF_LEVELS = {
    "low": "measurements lie low, forecasts are too high",
    "high": "measurements lie high, forecasts are too low",
    "outside": "too many in the tails, intervals are too narrow",
    "inside": "too few in the tails, intervals are too wide",
}
UNLIKELY = 0.01  # probability by chance below which something counts as found
OUTLYING = 10.0  # robust standard deviations of the residuals from the curve, beyond which a run is named, whatever the noise allows
_PERMUTATIONS = 1999
_FEWEST = 12  # runs from which on patterns are looked for
_LARGEST = 0.2  # share of the runs that lie towards extrapolation


@dataclass(frozen=True)
class Pattern:
    """Something that residuals do along an input.

    Attributes
    ----------
    kind : ``autocorrelation`` (neighbours err alike: the law bends otherwise), ``spread`` (scatter changes with the input) or ``largest``
        (the runs nearest to where forecasts go lie off the curve)
    along : the input
    size : correlation of neighbours; rank correlation of the size of residuals; mean standardised residual
    probability : of one so large by chance
    """

    kind: str
    along: str
    size: float
    probability: float

    @property
    def found(self) -> bool:
        return self.probability < UNLIKELY

    def __str__(self) -> str:
        chance = f"(probability by chance {max(self.probability, 0.0005):.1g})"
        if self.kind == "autocorrelation":
            return (
                f"residuals of neighbours in {self.along} are alike, correlation {self.size:.2f} {chance}: runs bend otherwise than the law"
            )
        if self.kind == "spread":
            word = "more" if self.size > 0 else "less"
            return f"runs scatter {word} at large {self.along}, rank correlation {self.size:.2f} {chance}: noise changes with scale"
        side = "above" if self.size > 0 else "below"
        by = f"by {abs(self.size):.1f} of its scatter {chance}"
        return f"the runs of largest {self.along} lie {side} the law {by}: forecasts beyond them will err so too"


@dataclass(frozen=True, eq=False)
class Criticism:
    """What runs do that the law and its noise do not.

    Attributes
    ----------
    level : probability of less than was measured, given all runs, shape (run,); of counts, as `spread_out` says
    residual : the same as a standard normal deviate
    levels : whether levels are uniform
    patterns : everything looked for, also what was not found
    unexplained : runs that the law hardly explains
    outlying : lines of runs far off the curve by the scatter of most: heavy-tailed noise explains them, and hides them
    """

    level: np.ndarray
    residual: np.ndarray
    levels: Uniformity
    patterns: tuple[Pattern, ...]
    unexplained: tuple[SurprisingRun, ...] = ()
    outlying: tuple[int, ...] = ()

    @property
    def found(self) -> tuple[Pattern, ...]:
        return tuple(pattern for pattern in self.patterns if pattern.found)


def levels_of(fit: Fit, seed: int = 0) -> np.ndarray:
    """Return the level of each measurement in its predictive distribution: the probability of less, given all runs, shape (run,).

    Of counts, at random within the probability of the same count (`spread_out`), by a seed.
    """
    flat = thinned(fit.parameters(), most_draws(fit.runs))
    below = pointwise(BELOW, fit.law, fit.noise, fit.runs, flat).mean(axis=0)
    if not fit.noise.of_counts:
        return below
    return spread_out(below, np.exp(pointwise(DENSITY, fit.law, fit.noise, fit.runs, flat)).mean(axis=0), seed)


def criticise(fit: Fit, seed: int = 0) -> Criticism:
    """Look for patterns in what the law leaves of its runs.

    Runs are part of the fit, so levels are a little too central and all tests a little mild. Autocorrelation and spread are against
    permutations of the residuals; the mean of the largest runs against a normal of its standard error.
    """
    from scipy.special import ndtr, ndtri

    runs = fit.runs
    flat = thinned(fit.parameters(), most_draws(runs))
    level = levels_of(fit, seed)
    residual = ndtri(np.clip(level, 1e-9, 1 - 1e-9))
    patterns = []
    along = measured_inputs(fit.law, runs)
    along += ["compute"] if "compute" in runs.columns and "compute" not in along else []
    rng = np.random.default_rng(seed)
    for name in along if len(runs) >= _FEWEST else []:
        place = coordinate(name, runs[name])
        if np.ptp(place) == 0:
            continue
        others = [runs[other] for other in along if other != name]
        order = np.lexsort([*others, place])
        patterns.append(_pattern("autocorrelation", name, residual[order], neighbours, rng))
        ranks = _ranks(place)
        patterns.append(_pattern("spread", name, _ranks(np.abs(residual)), lambda values, ranks=ranks: _correlation(values, ranks), rng))
        top = place >= np.quantile(place, 1 - _LARGEST)
        mean = float(residual[top].mean())
        patterns.append(Pattern("largest", name, mean, float(2 * ndtr(-abs(mean) * np.sqrt(top.sum())))))
    curve = np.median(pointwise(CURVE, fit.law, fit.noise, runs, flat), axis=0)
    off = np.abs(coordinate(fit.law.output, runs[fit.law.output]) - coordinate(fit.law.output, curve))
    far = runs.lines[off > OUTLYING * 1.4826 * np.median(off)] if not fit.noise.spread else []
    lines = tuple(int(line) for line in far)
    return Criticism(level, residual, uniformity(level), tuple(patterns), fit.diagnosis.surprising, lines)


def neighbours(values: np.ndarray) -> np.ndarray:
    """Return the correlation of each value with the next, along the last axis; by ranks, so that one outlier decides nothing."""
    ranks = _ranks(values)
    centred = ranks - ranks.mean(axis=-1, keepdims=True)
    return (centred[..., 1:] * centred[..., :-1]).sum(axis=-1) / (centred**2).sum(axis=-1)


def _ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    return rankdata(values, axis=-1)


def _correlation(values: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    a, b = values - values.mean(axis=-1, keepdims=True), ranks - ranks.mean()
    return (a * b).sum(axis=-1) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum())


def _pattern(kind: str, name: str, values: np.ndarray, statistic: Callable[[np.ndarray], Any], rng: np.random.Generator) -> Pattern:
    """Compare a statistic with that of permuted values: two-sided for spread, upwards for autocorrelation."""
    own = float(statistic(values))
    others = statistic(rng.permuted(np.broadcast_to(values, (_PERMUTATIONS, len(values))), axis=1))
    beyond = others >= own if kind == "autocorrelation" else np.abs(others) >= abs(own)
    return Pattern(kind, name, own, float((1 + beyond.sum()) / (1 + _PERMUTATIONS)))
