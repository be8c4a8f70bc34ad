"""Modes of the posterior from several starts, by Newton steps with Levenberg damping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine.density import Density
from bayes_scaling.errors import InputError

SEARCHES = 16  # searches from points scattered as the prior is
ITERATIONS = 200
FEW_STARTS, FEW_ITERATIONS = 4, 25  # where all that is wanted is a place to begin
_DECREMENT = 1e-9  # predicted decrease of the negative log density at which a search stops
NEARBY = 8.0  # nats below the best mode within which another mode matters, and gets a chain of its own
_SAME_MODE = 0.5  # distance in posterior standard deviations below which two ends are one mode


@dataclass(frozen=True)
class Modes:
    """Where the searches ended.

    Attributes
    ----------
    points : distinct modes as flat vectors, best first, shape (modes, size)
    potentials : negative log density of each, tilted as `Density.tilted_slope`, shape (modes,)
    arrivals : how many starts ended at each, shape (modes,)
    starts : number of searches
    converged : how many of them ended at a stationary point
    hessian : of the negative log density at the best mode, shape (size, size)
    """

    points: np.ndarray
    potentials: np.ndarray
    arrivals: np.ndarray
    starts: int
    converged: int
    hessian: np.ndarray

    def whitening(self) -> np.ndarray:
        """Return W, shape (size, size), so that best mode + W @ (standard normal) has the Hessian's covariance."""
        return whitening_of(self.hessian)


def whitening_of(hessian: np.ndarray) -> np.ndarray:
    """Return W, shape (size, size), with W @ W.T the inverse of a Hessian."""
    if not np.all(np.isfinite(hessian)):
        return np.eye(len(hessian))
    values, vectors = np.linalg.eigh(np.asarray(hessian, float))
    # A direction without curvature at the mode (a corner, a ridge) gets a unit scale: adaptation has to find the right one. Where a search
    # was cut short the density may curve upwards: that fast it changes all the same.
    size = np.abs(values)
    return vectors * np.where(size > 1e-3, 1 / np.sqrt(np.maximum(size, 1e-3)), 1.0)


def locate(
    density: Density,
    starts: jax.Array,
    columns: Mapping[str, Any],
    weight: Any,
    *,
    one_by_one: bool = False,
    iterations: int = ITERATIONS,
) -> tuple[jax.Array, ...]:
    """Search from given starts; return (ends, potentials, slopes, Hessian at the best). Traceable.

    ``one_by_one`` searches in turn, with the memory of one search, instead of side by side.
    """

    def f(z: jax.Array) -> tuple[jax.Array, jax.Array]:
        return density.tilted_slope(z, columns, weight)

    eye = jnp.eye(density.size)

    def keep_going(state: tuple) -> jax.Array:
        *_, decrement, i = state
        return (decrement > _DECREMENT) & (i < iterations)

    def step(state: tuple) -> tuple:
        # The density appears once in the loop and nowhere else: compiling it is what a search costs.
        z, value, gradient, hessian, damping, decrement, i = state
        scale = damping * (1 + jnp.abs(jnp.diagonal(hessian)))
        factor = jnp.linalg.cholesky(hessian + eye * scale)
        move = -jax.scipy.linalg.cho_solve((factor, True), gradient)
        # A Hessian that is not positive definite gives NaN here, which is refused and answered with more damping.
        possible = jnp.all(jnp.isfinite(move))
        candidate = z + jnp.where(possible, move, 0.0)
        new = (candidate, *derivatives(f, candidate))
        better = (new[1] <= value) & possible & jnp.all(jnp.isfinite(new[2])) & jnp.all(jnp.isfinite(new[3]))
        decrement = jnp.where(better & (i > 0), -0.5 * gradient @ move * (1 + damping), decrement)
        decrement = jnp.where(~better & (damping > 1e12), 0.0, decrement)  # no step of any length helps: the end of the road
        damping = jnp.clip(jnp.where(better, damping * 0.2, damping * 8), 1e-12, 1e14)
        kept = (jnp.where(better, after, before) for after, before in zip(new, (z, value, gradient, hessian), strict=True))
        return *kept, damping, decrement, i + 1

    def search(start: jax.Array) -> tuple[jax.Array, ...]:
        # Nothing is known yet: the first step has no gradient to follow, stays where it is, and finds out.
        unknown = (start, jnp.asarray(jnp.inf), jnp.zeros_like(start), eye)
        z, value, gradient, hessian, *_ = jax.lax.while_loop(keep_going, step, (*unknown, jnp.asarray(1.0), jnp.asarray(jnp.inf), 0))
        return z, value, jnp.linalg.norm(gradient), hessian

    ends, values, slopes, hessians = jax.lax.map(search, starts) if one_by_one else jax.vmap(search)(starts)
    return ends, values, slopes, hessians[jnp.argmin(values)]


def derivatives(f: Callable[[jax.Array], tuple[jax.Array, jax.Array]], z: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return value, gradient and Hessian at z, of f that returns value and gradient.

    In 64 bits the Hessian is by central differences of the gradient, good to some nine digits: the third derivatives of a noise
    family's gamma functions would take longer to compile than the whole fit takes to run. 32 bits have no digits to difference.
    """
    if z.dtype != jnp.float64:
        return *f(z), jax.jacfwd(lambda z: f(z)[1])(z)
    step = 6e-6
    shifts = step * jnp.eye(z.size)
    # One after the other: side by side, the gradient of so many points would compile twice as long.
    values, gradients = jax.lax.map(lambda shift: f(z + shift), jnp.concatenate([jnp.zeros((1, z.size)), shifts, -shifts]))
    ahead, behind = jnp.split(gradients[1:], 2)
    hessian = (ahead - behind) / (2 * step)
    return values[0], gradients[0], (hessian + hessian.T) / 2


def distinct(ends: np.ndarray, values: np.ndarray, slopes: np.ndarray, hessian: np.ndarray) -> Modes:
    """Gather the ends of the searches into distinct modes, best first."""
    if np.any(values == -np.inf) or not np.any(np.isfinite(values)):
        raise InputError(
            f"the posterior density is not finite at the end of any of {len(values)} searches from prior draws: "
            "check priors and fixed values"
        )
    order = np.argsort(values)
    curved = bool(np.all(np.isfinite(hessian)) and np.all(np.linalg.eigvalsh(hessian) > 0))
    precision = np.linalg.cholesky(hessian) if curved else np.eye(len(hessian))
    # A search that got stuck on a slope is no mode. The bound is in nats a unit coordinate; a kink (Laplace noise) never gets lower.
    settled = np.isfinite(values) & (slopes < 1e-2 * (1 + np.sqrt(np.abs(np.diagonal(hessian)).max())))
    modes: list[int] = []
    arrivals: list[int] = []
    for end in order:
        if not settled[end] and modes:
            continue
        distances = [np.linalg.norm((ends[end] - ends[mode]) @ precision) for mode in modes]
        if distances and min(distances) < _SAME_MODE:
            arrivals[int(np.argmin(distances))] += 1
        else:
            modes.append(int(end))
            arrivals.append(1)
    return Modes(ends[modes], values[modes], np.array(arrivals), len(values), int(settled.sum()), hessian)
