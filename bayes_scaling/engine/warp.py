"""Coordinates in which a bent posterior is nearly normal: a triangular map, fitted to points of the posterior.

Along some axes, each coordinate is a polynomial of the ones before it plus a scale, which depends on them too, times a new coordinate (a
transport map: Parno & Marzouk 2018, doi:10.1137/17M1134640). Ridges and funnels of scaling laws, such as floor against exponent, come out
straight. Polynomials are held beyond three standard deviations, so that the map stays tame where no points were. It is one to one whatever
was fitted, so that draws in the new coordinates, weighted by its determinant, are exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine.mixture import moments

_BOUND = 3.0  # standard deviations beyond which a polynomial stays as it is there
_MOST_SCALE = 4.0  # of the logarithm of a coordinate's scale
_COMPARED = 2048  # points on which axes are compared
_SMALL = 1e-12


class Warp(NamedTuple):
    """The map w -> z: y_i = middle_i(y_<i) + scale_i(y_<i) w_i, z = centre + axes @ y.

    ``middle`` and ``log_scale`` are coefficients (coordinate, term) of `terms`; ``inverse`` is that of ``axes``, ``volume`` the logarithm
    of its determinant's size.
    """

    centre: Any
    axes: Any
    inverse: Any
    volume: Any
    middle: Any
    log_scale: Any

    def forward(self, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return a point z and the log determinant there, of one w, (size,). Traceable."""
        size, middle, log_scales = len(w), jnp.asarray(self.middle), jnp.asarray(self.log_scale)

        def step(i: jax.Array, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            # Coefficients of what is not known yet are zero.
            y, volume = state
            known = terms(y)
            log_scale = jnp.clip(log_scales[i] @ known, -_MOST_SCALE, _MOST_SCALE)
            return y.at[i].set(middle[i] @ known + jnp.exp(log_scale) * w[i]), volume + log_scale

        y, volume = jax.lax.fori_loop(0, size, step, (jnp.zeros(size, w.dtype), jnp.asarray(self.volume, w.dtype)))
        return self.centre + self.axes @ y, volume

    def backward(self, z: np.ndarray) -> np.ndarray:
        """Return the w of points z, both (point, size)."""
        y = (z - self.centre) @ self.inverse.T
        known = terms(y)
        return (y - known @ self.middle.T) * np.exp(-np.clip(known @ self.log_scale.T, -_MOST_SCALE, _MOST_SCALE))


def terms(y: Any) -> Any:
    """Return 1, u, u^2, u^3 and u_i u_j, of u = y held within its bounds, along the last axis: (..., 1 + 3 size + size (size - 1) / 2)."""
    xp = np if isinstance(y, np.ndarray) else jnp
    u = xp.clip(y, -_BOUND, _BOUND)
    first, second = np.triu_indices(u.shape[-1], 1)
    return xp.concatenate([xp.ones((*u.shape[:-1], 1), u.dtype), u, u**2, u**3, u[..., first] * u[..., second]], axis=-1)


def straight(centre: np.ndarray, axes: np.ndarray) -> Warp:
    """Return the linear map z = centre + axes @ w."""
    size = len(centre)
    none = np.zeros((size, terms(np.zeros(size)).size))
    return Warp(centre, axes, np.linalg.inv(axes), np.linalg.slogdet(axes)[1], none, none)


def fitted(z: np.ndarray) -> Warp:
    """Return the map fitted to points (point, size): along those axes, in that order, in which they look most normal."""
    covariance = moments(z, np.full(len(z), 1 / len(z)))[1]
    values, vectors = np.linalg.eigh(covariance)
    least = _SMALL * values.max() + 1e-300
    own = np.argsort(np.diagonal(covariance))
    choices = [vectors * np.sqrt(np.maximum(values, least)), np.diag(np.sqrt(np.maximum(np.diagonal(covariance), least)))[:, own]]
    choices += [axes[:, ::-1] for axes in choices]
    some = z[:: max(1, len(z) // _COMPARED)]
    best = max(choices, key=lambda axes: _along(some, axes)[1])
    return _along(z, best)[0]


def _along(z: np.ndarray, axes: np.ndarray) -> tuple[Warp, float]:
    """Return the map fitted along axes, and the mean log density of the points by it, normal in its coordinates, up to a constant."""
    points, size = z.shape
    found = straight(z.mean(0), axes)
    y = (z - found.centre) @ found.inverse.T
    known = terms(y)
    products = known.T @ known / points
    middle, log_scale = found.middle.copy(), found.log_scale.copy()
    score = -found.volume
    for i in range(size):
        of_scale, of_middle = _places(i, size)
        first = known[:, of_middle]
        at = _ridge(products[np.ix_(of_middle, of_middle)], first.T @ y[:, i] / points, points)
        spread = _log_scale(known[:, of_scale], products[np.ix_(of_scale, of_scale)], y[:, i] - first @ at)
        # Again, each error by its scale.
        log = known[:, of_scale] @ spread
        weight = np.exp(-2 * np.clip(log - log.min(), 0, 2 * _MOST_SCALE))
        weighted = first * (weight / weight.sum())[:, None]
        at = _ridge(weighted.T @ first, weighted.T @ y[:, i], points)
        spread = _log_scale(known[:, of_scale], products[np.ix_(of_scale, of_scale)], y[:, i] - first @ at)
        middle[i, of_middle], log_scale[i, of_scale] = at, spread
        score -= np.mean(known[:, of_scale] @ spread)
    return found._replace(middle=middle, log_scale=log_scale), float(score)


def _log_scale(known: np.ndarray, products: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Return coefficients of the logarithm of the standard deviation of errors, given terms (point, term) and their mean products."""
    squared = away**2
    found = _ridge(products, known.T @ (0.5 * np.log(squared + 1e-6 * squared.mean() + 1e-300)) / len(away), len(away))
    # Logarithms of errors lie below the logarithm of their standard deviation.
    found[0] += 0.5 * np.log(np.mean(squared * np.exp(-2 * known @ found)) + 1e-300)
    return found


def _places(i: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the terms of the first i coordinates are: 1, u, u^2, of the scale; these, u^3 and products, of the middle."""
    _, second = np.triu_indices(size, 1)
    powers = [1 + power * size + np.arange(i) for power in range(3)]
    products = 1 + 3 * size + np.flatnonzero(second < i)
    return np.concatenate([[0], *powers[:2]]), np.concatenate([[0], *powers, products])


def _ridge(products: np.ndarray, with_values: np.ndarray, points: int) -> np.ndarray:
    """Return least-squares coefficients from mean products of terms, all but the constant's held towards zero as chance asks."""
    held = np.full(len(products), len(products) / points)
    held[0] = 0
    return np.linalg.solve(products + np.diag(held + _SMALL), with_values)
