"""Whether draws can be trusted: rank-normalised split R-hat, bulk and tail ESS, divergences, E-BFMI (Vehtari et al. 2021).

The statistics are arviz-stats' own.
"""

from __future__ import annotations

import numpy as np

MAX_RHAT = 1.01
MIN_ESS = 400
MIN_EBFMI = 0.3


def statistics(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return ``rhat``, ``ess_bulk`` and ``ess_tail``, each of shape (variables,), of draws of shape (chains, draws, variables)."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    values = np.asarray(values, dtype=float)
    with np.errstate(all="ignore"):
        result = {
            "rhat": array_stats.rhat(values, chain_axis=0, draw_axis=1),
            "ess_bulk": array_stats.ess(values, chain_axis=0, draw_axis=1, method="bulk"),
            "ess_tail": array_stats.ess(values, chain_axis=0, draw_axis=1, method="tail", prob=(0.05, 0.95)),
        }
    return {name: np.atleast_1d(np.asarray(part, dtype=float)) for name, part in result.items()}


def ebfmi(energy: np.ndarray) -> float:
    """Return the smallest energy Bayesian fraction of missing information over chains; energy has shape (chains, draws)."""
    change = np.mean(np.diff(energy, axis=1) ** 2, axis=1)
    spread = np.var(energy, axis=1)
    return float(np.min(change / np.where(spread > 0, spread, np.nan)))


def good(monitored: np.ndarray, diverging: np.ndarray, information: float) -> bool:
    """Whether draws need no further attempt: every bound is met, or ESS is short only because few draws were asked for."""
    found = statistics(monitored)
    enough = min(MIN_ESS, 0.25 * diverging.size)
    return bool(
        found["rhat"].max() < MAX_RHAT
        and min(found["ess_bulk"].min(), found["ess_tail"].min()) > enough
        and not diverging.any()
        and information > MIN_EBFMI
    )
