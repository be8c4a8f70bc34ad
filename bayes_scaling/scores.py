"""How well forecasts of runs were: error of the median, log score, CRPS, coverage, run by run; and the weights that average laws best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp

from bayes_scaling.drift import Drift, drift_of, log_density
from bayes_scaling.engine import bucket
from bayes_scaling.fitted import Fit
from bayes_scaling.prediction import predict
from bayes_scaling.quantities import coordinate, quantity
from bayes_scaling.runs import Runs
from bayes_scaling.uniformity import spread_out

INTERVAL = (0.05, 0.95)
KEPT = 1000  # draws of a forecast that are kept
_QUANTILES = 100
_STEPS = 20_000
_CLOSE = 1e-9
_OF_WEIGHTS = 4000  # draws of each proposal


def forecasts(fit: Fit, runs: Runs, seed: int = 0, most: int = KEPT, drift: Drift | float | None = None) -> np.ndarray:
    """Return draws of new measurements where runs were made, shape (draw, run)."""
    needed = (*fit.law.input_names, *fit.noise.needs)
    # Filled to one of few sizes: every operation is compiled anew for every size.
    index = np.minimum(np.arange(bucket(len(runs))), len(runs) - 1)
    drawn = np.asarray(predict(fit, {name: runs[name][index] for name in needed}, drift=drift, seed=seed)["new"])[..., : len(runs)]
    flat = drawn.reshape(-1, len(runs))
    return flat[np.linspace(0, len(flat) - 1, min(most, len(flat))).astype(int)]


def log_predictive(fit: Fit, runs: Runs, seed: int = 0, drift: Drift | float | None = None) -> np.ndarray:
    """Return the log posterior predictive density of each measurement, shape (run,); also of points of a curve without those before."""
    known = drift_of(drift)
    if fit.groups or not known.mean:
        return log_mean(fit.log_density(runs.apart()))
    return log_mean(log_density(fit, runs, known, seed))


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
    (of counts, with a random part of what is the same: `spread_out`)
    """
    if quantity(output).on_log_scale:
        # Normal noise may forecast what cannot be, and very heavy tails what overflows.
        draws = np.clip(draws, np.finfo(float).tiny, np.finfo(float).max)
    low, middle, high = np.quantile(draws, (INTERVAL[0], 0.5, INTERVAL[1]), axis=0)
    place = coordinate(output, measured)
    same = (draws == measured).mean(axis=0)
    return {
        "error": coordinate(output, middle) - place,
        "crps": crps(coordinate(output, draws), place),
        "covered": ((low <= measured) & (measured <= high)).astype(float),
        "level": spread_out((draws < measured).mean(axis=0) + same / 2, same),
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
    """Return weights to average forecasts with: stacking (Yao, Vehtari, Simpson & Gelman 2018) under a prior on the weights.

    The weights that score best on the measurements at hand go to one law as soon as it is ahead in nearly all of them, however little:
    an average by them has forgotten the others. These are the posterior mean of the weights instead, whose likelihood is the score of
    the average and whose prior is Dirichlet(1/laws): a law ahead by 2 nats in all has 0.72 beside another, by 20 nats 0.97 (after Yao,
    Pirs, Vehtari & Gelman 2022, Bayesian Analysis 17:1043, who put priors on weights). Laws that forecast alike share evenly.

    Parameters
    ----------
    log_scores : log predictive densities of measurements that were not fitted, shape (run, law)

    Returns
    -------
    array of shape (law,): positive, of sum one; by importance sampling, about 1 % of Monte-Carlo error in the largest
    """
    log_scores = np.asarray(log_scores, float)
    density = np.exp(log_scores - log_scores.max(axis=1, keepdims=True))
    runs, laws = density.shape
    prior, best = np.full(laws, 1 / laws), best_weights(log_scores)
    # From the prior itself to what the runs would leave if each told its law: one of them is near the posterior.
    proposals = [prior + told * best for told in (0.0, runs / 30, runs / 3, float(runs))]
    rng = np.random.default_rng(0)
    drawn = np.concatenate([_log_dirichlet(rng, concentration) for concentration in proposals])
    proposed = logsumexp([_dirichlet_density(drawn, concentration) for concentration in proposals], axis=0)
    with np.errstate(divide="ignore"):  # of a draw that leaves a run impossible
        log_likelihood = np.log(np.exp(drawn) @ density.T).sum(axis=1)
    log_share = _dirichlet_density(drawn, prior) + log_likelihood - proposed
    found = np.exp(log_share - logsumexp(log_share)) @ np.exp(drawn)
    return found / found.sum()


def _log_dirichlet(rng: np.random.Generator, concentration: np.ndarray) -> np.ndarray:
    """Return logarithms of draws, (draw, law): of small concentrations, the draws themselves would be zero."""
    shape = _OF_WEIGHTS, len(concentration)
    logs = np.log(rng.gamma(concentration + 1, size=shape)) + np.log(1 - rng.random(shape)) / concentration
    return logs - np.asarray(logsumexp(logs, axis=1, keepdims=True))


def _dirichlet_density(logs: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    return gammaln(concentration.sum()) - gammaln(concentration).sum() + logs @ (concentration - 1)


def best_weights(log_scores: np.ndarray) -> np.ndarray:
    """Return the weights with which the average of forecasts, log scores (run, law), scores best.

    The score is concave in them; found by expectation-maximisation, which climbs.
    """
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
