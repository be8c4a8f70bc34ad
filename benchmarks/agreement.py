"""Whether two samplers' draws are of one posterior; and the runs that every law is fitted to for the comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from laws import simulated
from refits import Refit, all_refits

import bayes_scaling as bs
from bayes_scaling.engine import convergence

QUANTILES = (0.05, 0.5, 0.95)


def apart(first: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """Return the largest difference of quantiles of two samplers' draws, in standard errors, and of which parameter.

    Quantiles, since the standard errors of means are not to be trusted where tails are long: a few far draws make the variance. Draws are
    of shape (chain, draw), by name; values of groups are left out.
    """
    worst = 0.0, ""
    for name in first:
        both = [np.asarray(draws[name], float) for draws in (first, other)]
        if any(values.ndim > 2 or np.ptp(values) == 0 for values in both):
            continue
        for p in QUANTILES:
            middle = np.mean([np.quantile(values, p) for values in both])
            # Of the share of draws below the value: a mean of indicators, whose effective number is known.
            shares = [(values <= middle).astype(float)[..., None] for values in both]
            error = np.hypot(*(share.std() / np.sqrt(convergence.statistics(share)["ess_bulk"][0]) for share in shares))
            worst = max(worst, (float(abs(shares[0].mean() - shares[1].mean()) / error), str(name)))
    return worst


def laws_with_runs(folder: Path, names: Sequence[str] | None = None) -> Iterator[tuple[str, bs.Runs, Mapping[str, Any]]]:
    """Yield each law, by default all, with the real runs behind it, or simulated ones where none are public, and how they are fitted."""
    real: dict[str, Refit] = {}
    for refit in all_refits():
        if not {"grouped", "pool"} & set(refit.options):
            real.setdefault(refit.law, refit)
    for name in names or bs.law_names():
        refit = real.get(name)
        yield (name, refit.runs(folder), refit.options) if refit else (name, simulated(bs.get_law(name))[0], {})
