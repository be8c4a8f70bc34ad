"""Mixtures of Student-t as proposals, fitted to weighted points by expectation maximisation.

Cappé et al. 2008, Statistics and Computing 18:447.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

TAIL = 5.0  # degrees of freedom
_DEFENCE, _WIDE = 0.1, 3.0  # share of the component that bounds the weights, and its variance over that of all particles
_STEPS = 4  # of expectation maximisation a fit


class Mixture(NamedTuple):
    """A mixture of Student-t: log shares, (component,), centres, (component, size), and Cholesky factors of the scale matrices."""

    log_share: np.ndarray
    centre: np.ndarray
    factor: np.ndarray

    def parts(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density of each component with its share, and the squared distances, both (component, point)."""
        size = w.shape[1]
        distance = np.empty((len(self.centre), len(w)))
        for at, (centre, inverse) in enumerate(zip(self.centre, np.linalg.inv(self.factor), strict=True)):
            distance[at] = (((w - centre) @ inverse.T) ** 2).sum(1)
        constant = gammaln((TAIL + size) / 2) - gammaln(TAIL / 2) - size / 2 * np.log(TAIL * np.pi)
        volume = np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(1)
        log = constant - (TAIL + size) / 2 * np.log1p(distance / TAIL) + (self.log_share - volume)[:, None]
        return log, distance

    def log_density(self, w: np.ndarray) -> np.ndarray:
        return np.asarray(logsumexp(self.parts(w)[0], axis=0))

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Return independent points, (number, size)."""
        part = rng.choice(len(self.centre), number, p=np.exp(self.log_share))
        normal = rng.standard_normal((number, self.centre.shape[1])) / np.sqrt(rng.chisquare(TAIL, (number, 1)) / TAIL)
        found = np.empty_like(normal)
        for at, (centre, factor) in enumerate(zip(self.centre, self.factor, strict=True)):
            found[part == at] = centre + normal[part == at] @ factor.T
        return found

    def fitted(self, w: np.ndarray, share: np.ndarray) -> Mixture:
        """Return the mixture after steps of expectation maximisation on points with these shares of one."""
        _, whole = moments(w, share)
        found = self
        for _ in range(_STEPS):
            log, distance = found.parts(w)
            member = np.exp(log - logsumexp(log, axis=0)) * share
            pull = member * (TAIL + w.shape[1]) / (TAIL + distance)
            total = member.sum(1) + 1e-12
            centre = pull @ w / (pull.sum(1)[:, None] + 1e-12)
            # A component of few effective points borrows its shape from the whole.
            few = 1 / (1 + total**2 / ((member**2).sum(1) + 1e-300) / w.shape[1])
            scale = []
            for at in range(len(centre)):
                away = w - centre[at]
                own = away.T @ (away * pull[at][:, None]) / total[at]
                scale.append((1 - few[at]) * own + few[at] * whole / 2)
            found = Mixture(np.log((total + 0.02) / (total + 0.02).sum()), centre, factor_of(np.stack(scale), whole))
        return found

    def defended(self, w: np.ndarray, share: np.ndarray) -> Mixture:
        """Return the mixture with a wide component about all points: it bounds the weights where the others have thin tails."""
        middle, whole = moments(w, share)
        factor = factor_of(_WIDE * whole, whole)
        log_share = np.append(self.log_share + np.log1p(-_DEFENCE), np.log(_DEFENCE))
        return Mixture(log_share, np.concatenate([self.centre, middle[None]]), np.concatenate([self.factor, factor[None]]))

    def undefended(self) -> Mixture:
        return Mixture(self.log_share[:-1] - np.log1p(-_DEFENCE), self.centre[:-1], self.factor[:-1])

    def widened(self, by: float) -> Mixture:
        """Return the mixture with variances so many times as large."""
        return self._replace(factor=self.factor * np.sqrt(by))


def scattered(w: np.ndarray, share: np.ndarray, components: int, rng: np.random.Generator) -> Mixture:
    """Return a mixture to begin a fit from: components as wide as all points, at some of them."""
    at = rng.permutation(systematic(share, components, rng))
    whole = moments(w, share)[1]
    factor = factor_of(whole, whole)
    return Mixture(np.full(components, -np.log(components)), w[at], np.repeat(factor[None], components, axis=0))


def moments(w: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of points with these shares of one."""
    middle = share @ w
    away = w - middle
    return middle, away.T @ (away * share[:, None])


def factor_of(scale: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor of a scale matrix, or of several, kept from collapsing by a little of the covariance of all points."""
    return np.linalg.cholesky(scale + 1e-6 * np.diag(np.diagonal(whole) + 1e-12))


def systematic(share: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return places drawn in proportion to shares, evenly spread."""
    upto = np.cumsum(share)
    return np.minimum(np.searchsorted(upto, (np.arange(number) + rng.uniform()) / number * upto[-1]), len(share) - 1)


def tempered(log_weight: np.ndarray, effective: float) -> np.ndarray:
    """Return shares of one, of weights to the largest power not above 1 that leaves so many effective points."""
    possible = np.where(np.isfinite(log_weight), log_weight, -np.inf)

    def share(power: float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            log = np.where(possible == -np.inf, -np.inf, power * possible)
        return np.exp(log - logsumexp(log))

    low, high, found = 0.0, 1.0, share(1.0)
    if 1 / (found**2).sum() >= effective:
        return found
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (share(middle) ** 2).sum() >= effective else (low, middle)
    return share(low)


def effective_share(log_weight: np.ndarray) -> float:
    """Return the effective number of weighted points over their number."""
    share = np.exp(log_weight - logsumexp(log_weight))
    return float(1 / (share**2).sum() / len(share))
