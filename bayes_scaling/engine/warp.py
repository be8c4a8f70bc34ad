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
_PASSES = 2  # of fitting the polynomials and the scales that weight their errors in turn
_COMPARED = 4096  # points on which axes are compared
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
    size = z.shape[1]
    found = straight(z.mean(0), axes)
    y = (z - found.centre) @ found.inverse.T
    known = terms(y)
    middle, log_scale = found.middle.copy(), found.log_scale.copy()
    score = -found.volume
    for i in range(size):
        of_scale, of_middle = _places(i, size)
        at, spread = _conditional(known[:, of_middle], known[:, of_scale], y[:, i])
        middle[i, of_middle], log_scale[i, of_scale] = at, spread
        score -= np.mean(known[:, of_scale] @ spread)
    return found._replace(middle=middle, log_scale=log_scale), float(score)


def _conditional(of_middle: np.ndarray, of_scale: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients of the mean of values, and of the logarithm of their standard deviation, given terms (point, term) of either."""
    even = np.full(len(values), 1 / len(values))
    weight = even
    for _ in range(_PASSES):  # errors weigh by their scale, and the scale is of the errors
        middle = _ridge(of_middle, values, weight)
        away = values - of_middle @ middle
        log_scale = _ridge(of_scale, 0.5 * np.log(away**2 + 1e-6 * np.mean(away**2) + 1e-300), even)
        log = of_scale @ log_scale
        weight = np.exp(-2 * np.clip(log - log.min(), 0, 2 * _MOST_SCALE))
        weight /= weight.sum()
        # Logarithms of errors lie below the logarithm of their standard deviation.
        level = 0.5 * np.log(np.mean((away * np.exp(-log)) ** 2) + 1e-300)
    return middle, log_scale + level * np.eye(len(log_scale))[0]  # pyright: ignore[reportPossiblyUnboundVariable]


def _places(i: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the terms of the first i coordinates are: 1, u, u^2, of the scale; these, u^3 and products, of the middle."""
    _, second = np.triu_indices(size, 1)
    powers = [1 + power * size + np.arange(i) for power in range(3)]
    products = 1 + 3 * size + np.flatnonzero(second < i)
    return np.concatenate([[0], *powers[:2]]), np.concatenate([[0], *powers, products])


def _ridge(known: np.ndarray, values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return coefficients that fit values with weights of sum one, all but the constant's held towards zero as chance asks."""
    held = known.shape[1] / len(known)
    weighted = known * weight[:, None]
    diagonal = np.r_[_SMALL, np.full(known.shape[1] - 1, held)]
    return np.linalg.solve(weighted.T @ known + np.diag(diagonal), weighted.T @ values)
