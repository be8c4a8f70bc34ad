"""How well forecasts of runs were: error of the median, log score, CRPS, coverage, run by run; and the weights that average laws best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import logsumexp

from bayes_scaling.engine import bucket
from bayes_scaling.fitted import Fit
from bayes_scaling.prediction import predict
from bayes_scaling.quantities import coordinate, quantity
from bayes_scaling.runs import Runs

INTERVAL = (0.05, 0.95)
KEPT = 1000  # draws of a forecast that are kept
_QUANTILES = 100
_STEPS = 20_000
_CLOSE = 1e-9


def forecasts(fit: Fit, runs: Runs, seed: int = 0, most: int = KEPT) -> np.ndarray:
    """Return draws of new measurements where runs were made, shape (draw, run)."""
    needed = (*fit.law.input_names, *fit.noise.needs)
    # Filled to one of few sizes: every operation is compiled anew for every size.
    index = np.minimum(np.arange(bucket(len(runs))), len(runs) - 1)
    drawn = np.asarray(predict(fit, {name: runs[name][index] for name in needed}, seed=seed)["new"])[..., : len(runs)]
    flat = drawn.reshape(-1, len(runs))
    return flat[np.linspace(0, len(flat) - 1, min(most, len(flat))).astype(int)]


def log_predictive(fit: Fit, runs: Runs) -> np.ndarray:
    """Return the log posterior predictive density of each measurement, shape (run,); also of points of a curve without those before."""
    return log_mean(fit.log_density(runs.apart()))


def log_mean(log_densities: np.ndarray) -> np.ndarray:
    """Return the logarithm of the mean over draws of densities, from (chain, draw, run) to (run,)."""
    return logsumexp(log_densities, axis=(0, 1)) - np.log(log_densities.shape[0] * log_densities.shape[1])


def score(output: str, draws: np.ndarray, measured: np.ndarray) -> dict[str, np.ndarray]:
    """Score forecasts of an output by their draws.

    Parameters
    ----------
    draws : new measurements, shape (draw, run)
    measured : shape (run,)

    Returns
    -------
    by name, of shape (run,): ``error`` (of the median) and ``crps``, both in the logarithm of the output where that is positive (relative
    error, for a loss), ``covered`` by the central 90 % interval, and ``level``: the share of the forecast below the measurement
    """
    if quantity(output).on_log_scale:
        # Normal noise may forecast what cannot be, and very heavy tails what overflows.
        draws = np.clip(draws, np.finfo(float).tiny, np.finfo(float).max)
    low, middle, high = np.quantile(draws, (INTERVAL[0], 0.5, INTERVAL[1]), axis=0)
    place = coordinate(output, measured)
    return {
        "error": coordinate(output, middle) - place,
        "crps": crps(coordinate(output, draws), place),
        "covered": ((low <= measured) & (measured <= high)).astype(float),
        "level": (draws < measured).mean(axis=0) + 0.5 * (draws == measured).mean(axis=0),
    }


def crps(draws: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return the continuous ranked probability score of forecasts: twice the mean pinball loss, over a hundred quantiles.

    Over quantiles up to 99.5 %, not over draws: under Student-t scatter of one degree of freedom or less the score itself is infinite.

    Parameters
    ----------
    draws : shape (draw, run)
    measured : shape (run,)

    References
    ----------
    Gneiting & Raftery 2007
    """
    levels = (np.arange(_QUANTILES) + 0.5)[:, None] / _QUANTILES
    ends = np.quantile(draws, levels[:, 0], axis=0)
    return 2 * np.mean(((measured < ends) - levels) * (ends - measured), axis=0)


def stacking_weights(log_scores: Any) -> np.ndarray:
    """Return the weights with which the average of forecasts scores best (Yao, Vehtari, Simpson & Gelman 2018).

    Parameters
    ----------
    log_scores : log predictive densities of measurements that were not fitted, shape (run, law)

    Returns
    -------
    array of shape (law,): not negative, of sum one. The score is concave in them; found by expectation-maximisation, which climbs.
    """
    log_scores = np.asarray(log_scores, float)
    density = np.exp(log_scores - log_scores.max(axis=1, keepdims=True))
    weights = np.full(density.shape[1], 1 / density.shape[1])
    for _ in range(_STEPS):
        gain = (density / (density @ weights)[:, None]).mean(axis=0)
        weights = weights * gain
        if np.max(gain) < 1 + _CLOSE:  # the duality gap: no direction gains more
            break
    return weights / weights.sum()


def choice(weights: Sequence[float] | np.ndarray, size: int, seed: int = 0) -> np.ndarray:
    """Return which of several laws each of ``size`` draws of their average is of: as near to the weights as can be, in random order."""
    edges = np.cumsum(weights) / np.sum(weights)
    places = np.minimum(np.searchsorted(edges, (np.arange(size) + 0.5) / size, side="right"), len(edges) - 1)
    return np.random.default_rng(seed).permutation(places)
