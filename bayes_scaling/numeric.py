"""Numerical pieces that laws and decisions are built from. All work element by element on arrays, and can be traced and differentiated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

LEAST = 1e-6  # of what must be positive: a rate of exactly 0 or 1 has no logarithm or logit, and makes one surprise impossible
_HALVINGS = 60
_SHIFT = 8


def power(coefficient: Any, exponent: Any, x: Any) -> jax.Array:
    """Return ``coefficient * x^-exponent`` for a positive coefficient, in logs: neither factor over- nor underflows by itself."""
    return jnp.exp(jnp.log(coefficient) - exponent * jnp.log(x))


def kept_inside(rate: Any) -> jax.Array:
    """Return a rate kept off 0 and 1, by `LEAST`."""
    return jnp.clip(rate, LEAST, 1 - LEAST)


def softplus(x: Any) -> jax.Array:
    """Return ln(1 + e^x) to sixteen decimals.

    Digits enough for what is added up and exponentiated, at half the time of jax's, which keeps sixteen digits far below 0, too.
    """
    return jnp.maximum(x, 0.0) + jnp.log(1 + jnp.exp(-jnp.abs(x)))


@jax.custom_jvp
def log_gamma_ratio(x: Any, a: Any) -> jax.Array:
    """Return ln Gamma(x + a) - ln Gamma(x) for positive x and a >= 0, without the loss of digits of the difference at large x.

    The recurrence up to x + 8 and Stirling's series there, of which the first term left out is below 1e-12. The value and its derivatives
    are each one expression without branches, so that XLA makes one kernel of each; jax's ln Gamma and digamma become dozens, which take
    longer to compile than a fit takes to run. (``jax.scipy.special.betaln`` is off by up to 1e-6 where its larger argument is between 8
    and 20.)
    """
    steps = jnp.ones_like(x)
    for k in range(_SHIFT):
        steps = steps * ((x + k) / (x + a + k))
    near, far = x + _SHIFT, x + a + _SHIFT
    series = a * jnp.log(near) + (far - 0.5) * jnp.log1p(a / near) - a
    return jnp.log(steps) + series + _beyond_stirling(far) - _beyond_stirling(near)


def _beyond_stirling(z: Any) -> Any:
    s = 1 / (z * z)
    return (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188)))) / z


def _digamma_beyond_log(z: Any) -> Any:
    s = 1 / (z * z)
    return -0.5 / z - s * (1 / 12 - s * (1 / 120 - s * (1 / 252 - s * (1 / 240 - s / 132))))


def _log_gamma_ratio_jvp(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    x, a = primals
    dx, da = tangents
    near, far = x + _SHIFT, x + a + _SHIFT
    out = log_gamma_ratio(x, a)
    change = jnp.zeros_like(out)
    if not isinstance(dx, SymbolicZero):
        recurrence = sum(a / ((x + k) * (x + a + k)) for k in range(_SHIFT))
        change += (jnp.log1p(a / near) + _digamma_beyond_log(far) - _digamma_beyond_log(near) + recurrence) * dx
    if not isinstance(da, SymbolicZero):
        recurrence = sum(1 / (x + a + k) for k in range(_SHIFT))
        change += (jnp.log(far) + _digamma_beyond_log(far) - recurrence) * da
    return out, change


log_gamma_ratio.defjvp(_log_gamma_ratio_jvp, symbolic_zeros=True)


def minimum(f: Callable[[jax.Array], jax.Array], low: Any, high: Any, grid: int = 257) -> jax.Array:
    """Return where f is least between low and high: the best of a grid, then bisection of the slope in its neighbourhood.

    Parameters
    ----------
    f : element by element; it needs no single minimum, only one that a grid of this width can see
    low, high : arrays of one shape (or numbers), the shape of the result
    grid : number of grid points
    """
    low, high = jnp.broadcast_arrays(jnp.asarray(low, float), jnp.asarray(high, float))
    width = (high - low) / (grid - 1)

    def look(i: int, found: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        best, lowest = found
        candidate = f(low + i * width)
        return jnp.where(candidate < lowest, i, best), jnp.minimum(candidate, lowest)

    best, _ = jax.lax.fori_loop(0, grid, look, (jnp.zeros(low.shape, int), jnp.full(low.shape, jnp.inf)))

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        lower, upper = ends
        middle = (lower + upper) / 2
        falling = jax.jvp(f, (middle,), (jnp.ones_like(middle),))[1] < 0
        return jnp.where(falling, middle, lower), jnp.where(falling, upper, middle)

    ends = low + jnp.maximum(best - 1, 0) * width, low + jnp.minimum(best + 1, grid - 1) * width
    lower, upper = jax.lax.fori_loop(0, _HALVINGS, halve, ends)
    return (lower + upper) / 2


def crossing(falling: Callable[[jax.Array], jax.Array], target: Any, low: Any, high: Any) -> jax.Array:
    """Return the smallest x between low and high with ``falling(x) <= target``; infinite where there is none.

    Parameters
    ----------
    falling : element by element, falling in x
    target, low, high : arrays that broadcast to the shape of the result
    """
    target, low, high = jnp.broadcast_arrays(*(jnp.asarray(part, float) for part in (target, low, high)))

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        lower, upper = ends
        middle = (lower + upper) / 2
        enough = falling(middle) <= target
        return jnp.where(enough, lower, middle), jnp.where(enough, middle, upper)

    _, upper = jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))
    return jnp.where(falling(high) <= target, upper, jnp.inf)
