"""Whether two samplers' draws are of one posterior."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

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
