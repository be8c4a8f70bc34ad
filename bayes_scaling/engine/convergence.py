"""Whether draws can be trusted: rank-normalised split R-hat, bulk and tail ESS, divergences, E-BFMI (Vehtari et al. 2021).

R-hat and ESS of chains are numpyro's; ranks and quantiles are taken here. arviz-stats has the same (a test compares them), but importing it
takes as long as a whole fit from stored programs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

MAX_RHAT = 1.01
MIN_ESS = 400
MIN_EBFMI = 0.3
_TAILS = (0.05, 0.95)


def statistics(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``rhat``, ``ess_bulk`` and ``ess_tail``, each of shape (variables,), of draws of shape (chains, draws, variables).

    A variable that is constant, or not finite everywhere, has none: NaN.
    """
    values = np.asarray(values, dtype=float)
    found = {name: np.full(values.shape[2], np.nan) for name in ("rhat", "ess_bulk", "ess_tail")}
    usable = np.isfinite(values).all(axis=(0, 1)) & (np.ptp(values, axis=(0, 1)) > 0)
    if values.shape[1] < 4 or not usable.any():
        return found
    kept = values[:, :, usable]
    halves = _halves(kept)
    ranks = _normal_scores(halves)
    folded = _normal_scores(np.abs(halves - np.median(halves, axis=(0, 1))))
    found["rhat"][usable] = np.maximum(_rhat(ranks), _rhat(folded))
    found["ess_bulk"][usable] = _ess(ranks)
    found["ess_tail"][usable] = np.minimum(*(_ess((halves <= np.quantile(kept, p, axis=(0, 1))).astype(float)) for p in _TAILS))
    return found


def _halves(values: np.ndarray) -> np.ndarray:
    """Split each chain into its first and second half (the middle draw of an odd number is left out)."""
    half = values.shape[1] // 2
    return np.concatenate([values[:, :half], values[:, -half:]])


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Return normal scores of the ranks over all values, ties sharing their average rank (Vehtari et al. 2021, equation 14)."""
    from scipy.special import ndtri

    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    return ndtri((rank - 0.375) / (values.size + 0.25))[place.reshape(values.shape)]


def _normal_scores(values: np.ndarray) -> np.ndarray:
    """Return normal scores over all chains, for each coordinate."""
    scores = np.empty_like(values)  # also where there is none
    for i in range(values.shape[2]):
        scores[:, :, i] = normal_scores(values[:, :, i])
    return scores


def _rhat(chains: np.ndarray) -> np.ndarray:
    from numpyro.diagnostics import gelman_rubin

    with np.errstate(all="ignore"):
        return np.atleast_1d(gelman_rubin(chains))


def _ess(chains: np.ndarray) -> np.ndarray:
    from numpyro.diagnostics import effective_sample_size

    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = np.atleast_1d(effective_sample_size(chains))
    # Antithetic chains: as Stan and arviz do, no more than this is believed (below zero the estimate has passed infinity).
    total = chains[:, :, 0].size
    most = total * np.log10(total)
    found = np.where((found < 0) | (found > most), most, found)
    # An indicator that is the same everywhere (a tail of tied draws) has no autocorrelation to estimate; arviz says the same.
    return np.where(np.ptp(chains, axis=(0, 1)) == 0, total, found)


def ebfmi(energy: np.ndarray) -> float:
    """Return the smallest energy Bayesian fraction of missing information over chains; energy has shape (chains, draws)."""
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    spread = np.var(energy, axis=1)
    return float(np.min(change / np.where(spread > 0, spread, np.nan)))


def promising(found: Mapping[str, np.ndarray], diverging: np.ndarray, information: float | None, times: int) -> bool:
    """Whether draws with these statistics are not good yet, but would be after so many times as many iterations of the same kernel.

    The effective number of draws grows with the iterations, and R-hat - 1 falls with it (Vats & Knudson 2021).
    """
    if good(found, diverging, information) or diverging.any() or information is None or not information > MIN_EBFMI:
        return False
    enough = min(MIN_ESS, 0.25 * diverging.size)
    ess = np.minimum(found["ess_bulk"].min(), found["ess_tail"].min())
    return bool(0.7 * times * ess > enough and found["rhat"].max() - 1 < times * (MAX_RHAT - 1))


def good(found: Mapping[str, np.ndarray], diverging: np.ndarray, information: float | None = None) -> bool:
    """Whether draws with these statistics need no further attempt: bounds are met, or ESS is short since few draws were asked for.

    ``information`` is the E-BFMI, of draws that have energies.
    """
    enough = min(MIN_ESS, 0.25 * diverging.size)
    return bool(
        found["rhat"].max() < MAX_RHAT
        and np.minimum(found["ess_bulk"].min(), found["ess_tail"].min()) > enough  # of a NaN and a number, NaN
        and not diverging.any()
        and (information is None or information > MIN_EBFMI)
    )
