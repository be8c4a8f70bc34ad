"""Whether values are uniform between 0 and 1: the empirical distribution inside a band that holds it everywhere at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

LEVEL = 0.95
_POINTS = 20
_SIMULATED = 4000
_STREAM = 1254  # of random numbers


@dataclass(frozen=True, eq=False)
class Uniformity:
    """An empirical distribution function with its band.

    Attributes
    ----------
    points : where it is looked at, shape (point,)
    share : of values up to each point
    low, high : simultaneous band of shares of uniform values
    probability : of a departure from uniform as large as this one, anywhere, if values are uniform
    """

    points: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    probability: float

    @property
    def inside(self) -> bool:
        return bool(np.all((self.low <= self.share) & (self.share <= self.high)))

    @property
    def shape(self) -> str:
        """Where the values are: ``low``, ``high``, ``outside`` (at both ends) or ``inside`` (in the middle)."""
        middle = np.mean(self.share - self.points)
        tails = self.share[0] - self.points[0] + self.points[-1] - self.share[-1]
        if abs(middle) > abs(tails) / 2:
            return "low" if middle > 0 else "high"
        return "outside" if tails > 0 else "inside"


def uniformity(values: np.ndarray, points: int = _POINTS) -> Uniformity:
    """Compare values between 0 and 1 with uniform ones.

    The band is of pointwise binomial intervals, widened until all hold at once with probability 0.95 (found by simulation).

    Parameters
    ----------
    values : shape (value,); of ranks among L draws, ``(rank + 1/2) / (L + 1)`` with L + 1 a multiple of ``points``
    points : number of places to look at, the last one at 1 left out

    References
    ----------
    Saeilynoja, Buerkner & Vehtari 2022, Statistics and Computing 32:32
    """
    from scipy.stats import binom

    places = np.arange(1, points) / points
    count = len(values)
    depths = _depths(count, points)
    own = _depth(np.asarray([(values <= place).sum() for place in places])[None], count, places)[0]
    least = np.quantile(depths, 1 - LEVEL)
    low, high = binom.ppf(least / 2, count, places), binom.ppf(1 - least / 2, count, places)
    share = np.array([(values <= place).mean() for place in places])
    return Uniformity(places, share, low / count, high / count, float(np.mean(depths <= own)))


def spread_out(below: np.ndarray, same: np.ndarray, seed: int = 0) -> np.ndarray:
    """Return levels that are uniform where forecasts are right, also of counts: each at random within the probability of the same value.

    In the middle of it instead, levels of counts crowd: where half of them are zero, half of them are one level, and no forecast is right.

    Parameters
    ----------
    below : probability of less than was measured, and half that of the same, shape (run,)
    same : probability of the same, shape (run,); zero of what is continuous, which stays as it is

    References
    ----------
    Czado, Gneiting & Held 2009, Biometrics 65:1254 (the randomised PIT)
    """
    # A stream of its own: runs simulated with the same seed would be tied to it.
    at = np.random.default_rng([seed, _STREAM]).uniform(-0.5, 0.5, len(below))
    return np.clip(below + at * same, 0, 1)


def _depth(counts: np.ndarray, count: int, places: np.ndarray) -> np.ndarray:
    """Return the smallest two-sided binomial probability over all places, of counts of shape (sample, place)."""
    from scipy.stats import binom

    two_sided = 2 * np.minimum(binom.cdf(counts, count, places), binom.sf(counts - 1, count, places))
    return np.minimum(two_sided, 1).min(axis=1)


@lru_cache(maxsize=64)
def _depths(count: int, points: int) -> np.ndarray:
    """Return that of many samples of uniform values: its distribution where all is well."""
    cells = np.random.default_rng(0).multinomial(count, np.full(points, 1 / points), _SIMULATED)
    return _depth(cells.cumsum(axis=1)[:, :-1], count, np.arange(1, points) / points)
