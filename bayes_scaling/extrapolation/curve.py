"""One learning or scaling curve: what was measured, against what, and the coordinates in which it is extrapolated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_scaling.errors import InputError

LEAST = 4
#: Points that the filter sees at most: more are binned, so that time does not grow with them.
POINTS = 64
#: Sizes that curves are padded to.
SIZES = (16, POINTS)
#: A bin of n points counts as SHARE * n independent ones: neighbours of one training run are correlated.
SHARE = 0.7
#: Points beyond the context that a prior is learned from, at most, in each curve.
BEYOND = 6


@dataclass(frozen=True)
class Curve:
    """A measured curve, in the order of x.

    Parameters
    ----------
    x : what was scaled or how long was trained (examples, tokens, steps, params, FLOP); positive
    y : loss or error rate, less is better; positive
    name : for messages and tables
    """

    x: np.ndarray
    y: np.ndarray
    name: str = "curve"

    def __post_init__(self) -> None:
        x, y = (np.asarray(values, float) for values in (self.x, self.y))
        if x.ndim != 1 or x.shape != y.shape:
            raise InputError(f"{self.name}: x and y must be of one length; they have shapes {x.shape} and {y.shape}")
        for label, values in (("x", x), ("y", y)):
            wrong = ~(np.isfinite(values) & (values > 0))
            if wrong.any():
                at = int(np.flatnonzero(wrong)[0])
                raise InputError(f"{self.name}: {label} of point {at + 1} is {values[at]:g}; a curve needs finite values above 0")
        if len(np.unique(x)) < LEAST:
            raise InputError(f"{self.name}: {len(np.unique(x))} different x; an extrapolation needs at least {LEAST}")
        if np.ptp(np.log(y)) == 0:
            raise InputError(f"{self.name}: every y is {y[0]:g}; a constant says nothing of a curve")
        order = np.argsort(x, kind="stable")
        object.__setattr__(self, "x", x[order])
        object.__setattr__(self, "y", y[order])

    @property
    def key(self) -> int:
        """A number that depends on the data alone: random numbers are keyed by it, not by a curve's place among others."""
        return int.from_bytes(hashlib.sha256(self.x.tobytes() + self.y.tobytes()).digest()[:4], "little")

    @property
    def last_x(self) -> float:
        return float(self.x[-1])

    def beyond(self, x: Any) -> np.ndarray:
        """Return where a forecast is asked for as an array of shape (point,); InputError unless all of it lies at the last x or beyond."""
        x = np.atleast_1d(np.asarray(x, float))
        wrong = ~(np.isfinite(x) & (x >= self.last_x))
        if x.ndim != 1 or wrong.any():
            text = f"x = {x[wrong][0]:g}" if x.ndim == 1 else f"x of shape {x.shape}"
            raise InputError(f"{text}: a forecast is of what lies beyond the last point, {self.last_x:g}")
        return x

    def scaled(self) -> Scaled:
        """Return the curve as the filter sees it: at most `POINTS` points, logarithms relative to the last of them."""
        u, v, weight = np.log(self.x), np.log(self.y), np.ones(len(self.x))
        if len(u) > POINTS:
            place = np.minimum(((u - u[0]) / (u[-1] - u[0]) * POINTS).astype(int), POINTS - 1)
            bins = [np.flatnonzero(place == at) for at in np.unique(place)]
            weight = np.array([max(1.0, SHARE * len(rows)) for rows in bins])
            u, v = np.array([u[rows].mean() for rows in bins]), np.array([np.log(np.median(self.y[rows])) for rows in bins])
        return Scaled(u - u[-1], v - v[-1], weight, float(u[-1]), float(v[-1]), np.zeros(len(u)))


@dataclass(frozen=True)
class Scaled:
    """A curve in ln x and ln y, relative to its last point.

    ``weight``: how many independent points each stands for; ``ahead``: 1 where a point lies beyond the context (for learning priors).
    """

    u: np.ndarray
    v: np.ndarray
    weight: np.ndarray
    last_u: float
    last_v: float
    ahead: np.ndarray

    @property
    def size(self) -> int:
        """What the context is padded to."""
        known = int((self.ahead == 0).sum())
        return next(size for size in SIZES if size >= known)

    def followed_by(self, x: np.ndarray, y: np.ndarray) -> Scaled:
        """Return the curve with points beyond it: single ones, evenly spread in ln x, since it is single points that will be forecast."""
        order = np.argsort(x, kind="stable")
        u, v = np.log(np.asarray(x, float)[order]) - self.last_u, np.log(np.asarray(y, float)[order]) - self.last_v
        if len(u) > BEYOND:
            places = u[0] + (u[-1] - u[0]) * (np.arange(BEYOND) + 0.5) / BEYOND
            chosen = np.unique([np.argmin(np.abs(u - place)) for place in places])
            u, v = u[chosen], v[chosen]
        return Scaled(
            np.concatenate([self.u, u]),
            np.concatenate([self.v, v]),
            np.concatenate([self.weight, np.ones(len(u))]),
            self.last_u,
            self.last_v,
            np.concatenate([self.ahead, np.ones(len(u))]),
        )


def padded(curves: list[Scaled]) -> dict[str, Any]:
    """Return curves of one size as arrays (curve, point), those beyond the last point masked."""
    shape = len(curves), max(curve.size for curve in curves) + (BEYOND if any(curve.ahead.any() for curve in curves) else 0)
    arrays: dict[str, Any] = {name: np.zeros(shape) for name in ("u", "v", "ahead")}
    arrays |= {"weight": np.ones(shape), "real": np.zeros(shape, bool)}
    for row, curve in enumerate(curves):
        n = len(curve.u)
        for name in ("u", "v", "weight", "ahead"):
            arrays[name][row, :n] = getattr(curve, name)
        arrays["real"][row, :n] = True
    arrays["least"] = np.array([curve.v[curve.ahead == 0].min() for curve in curves])
    arrays["most"] = np.array([curve.v[curve.ahead == 0].max() for curve in curves])
    return arrays
