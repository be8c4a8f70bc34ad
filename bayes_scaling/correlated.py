"""Residuals of training curves: points of one run err together, by an offset of the run and by fluctuations that fade along it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

_CLOSEST = 1e-6  # of two points in ln progress: nearer ones would leave the second no scatter of its own


def given_earlier_points(residual: Any, run: Any, progress: Any, sigma: Any, between: Any, memory: Any) -> tuple[jax.Array, jax.Array]:
    """Return mean and standard deviation of each point's residual, given the points of its run before it.

    The residual at ln progress x of run i is u_i + f_i(x), with u_i normal of standard deviation ``between``, and f_i an
    Ornstein-Uhlenbeck process (autoregression in continuous time) of standard deviation ``sigma`` and correlation exp(-|dx| / ``memory``).
    The densities of all points given those before multiply to the joint normal density, without a matrix: f_i is Markov, and the offset,
    given j points, is normal with moments that add up point by point. Leaving points out leaves the same process at the others.

    Parameters
    ----------
    residual : shape (*draws, point)
    run, progress : which run each point is of (its number) and how far along it lies, shape (point,); a run's points are in order, side by
        side
    sigma, between, memory : shapes that broadcast against ``residual``

    Returns
    -------
    two arrays of shape (*draws, point)
    """
    run, place = jnp.asarray(run), jnp.log(jnp.asarray(progress))
    first = jnp.concatenate([jnp.ones(1, bool), run[1:] != run[:-1]])
    start = jax.lax.cummax(jnp.where(first, jnp.arange(len(run)), 0))
    gap = jnp.concatenate([jnp.ones(1), jnp.maximum(jnp.abs(jnp.diff(place)), _CLOSEST)])  # rows that only fill up repeat each other
    fades = jnp.where(first, 1.0, -jnp.expm1(-gap / memory))  # one less the correlation with the point before
    variance = sigma**2 * jnp.where(first, 1.0, -jnp.expm1(-2 * gap / memory))
    before = jnp.concatenate([jnp.zeros_like(residual[..., :1]), residual[..., :-1]], axis=-1)
    carried = (1 - fades) * before  # nothing at a run's first point, where fades is 1

    def of_earlier(values: jax.Array) -> jax.Array:
        sums = jnp.cumsum(values, axis=-1) - values
        return sums - jnp.take(sums, start, axis=-1)

    precision = 1 / between**2 + of_earlier(fades**2 / variance)
    offset = of_earlier(fades * (residual - carried) / variance) / precision
    return carried + fades * offset, jnp.sqrt(variance + fades**2 / precision)
