"""Coordinates of pooled values, chosen while chains warm up: how far a group's own runs say what its value is, and how far the others do.

Only how well the sampler mixes depends on it. The mode is no guide: with many groups, the highest density is far from where the mass is.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine import programs
from bayes_scaling.engine.density import Centring, Density
from bayes_scaling.engine.modes import derivatives, whitening_of

_CHUNK = 200  # draws that are moved at once
_CURVED = 16  # draws at which a Hessian is taken


class Recentring:
    """From draws of a window of the warm-up to the coordinates of the next one.

    Parameters
    ----------
    density : with pooled values
    data : columns and weight, each (runs,), and a centring
    device : the jax device
    """

    def __init__(self, density: Density, data: tuple, device: Any) -> None:
        self.density, self.device = density, device

        def move(z: jax.Array, columns: Any, weight: Any, old: Centring, new: Centring) -> jax.Array:
            def moved(z: jax.Array) -> jax.Array:
                return density.flatten(density.unflatten(z, columns, weight, old), columns, weight, new)

            return jax.vmap(moved)(z)

        def curvature(z: jax.Array, data: tuple) -> jax.Array:
            return jnp.mean(jax.lax.map(lambda z: derivatives(lambda z: density.slope(z, *data), z)[2], z), axis=0)

        columns, weight, centring = data
        z = np.zeros((_CHUNK, density.size), weight.dtype)
        identity = (density.fingerprint,)
        self._move = programs.prepare("recentre", move, (z, columns, weight, centring, centring), identity, device)
        self._curvature = programs.prepare("curvature", curvature, (z[:_CURVED], data), identity, device)

    def __call__(self, data: tuple, draws: np.ndarray) -> tuple[tuple, np.ndarray, np.ndarray]:
        """Return data with the centring that suits draws, (chain, draw, size); the draws in its coordinates; a first whitening there.

        The whitening is by the mean Hessian at some of the draws: a window has too few draws for the covariance of many groups, and knows
        what is correlated with what within each.
        """
        *given, old = data
        standard = self.move(draws, data, (np.zeros_like(old[0]), np.zeros_like(old[1])))
        new = self._suited(standard.reshape(-1, draws.shape[-1]), old)
        moved, data = self.move(draws, data, new), (*given, new)
        flat = moved.reshape(-1, draws.shape[-1])
        some = flat[np.linspace(0, len(flat) - 1, _CURVED).astype(int)].astype(old[0].dtype)
        hessian = self._curvature.result()(*jax.device_put((some, data), self.device))
        return data, moved, whitening_of(np.asarray(hessian, float))

    def move(self, z: np.ndarray, data: tuple, new: Centring) -> np.ndarray:
        """Return points, (..., size), in the coordinates of another centring."""
        columns, weight, old = data
        flat, found = z.reshape(-1, z.shape[-1]), []
        for start in range(0, len(flat), _CHUNK):
            part = flat[np.arange(start, start + _CHUNK) % len(flat)].astype(weight.dtype)
            found.append(np.asarray(self._move.result()(*jax.device_put((part, columns, weight, old, new), self.device)), float))
        return np.concatenate(found)[: len(flat)].reshape(z.shape)

    def _suited(self, standard: np.ndarray, like: Centring) -> Centring:
        """Return the centring by draws, (draw, size), whose pooled values are distances from the centre in spreads.

        Given centre and spread, the variance of such a distance is 1 where a group's runs say nothing of its value, and 0 where they say
        all: 1 - variance is the weight that they have beside the other groups, and the fraction that leaves the coordinate independent of
        the spread where all is normal.
        """
        fraction, log_spread = (np.array(part) for part in like)
        for name, pool in self.density.pools.items():
            places = self.density.places[name]
            distances = standard[:, places]
            known = np.column_stack([standard[:, self.density.places[site].ravel()] for site in (pool.centre, pool.spread)])
            known -= known.mean(axis=0)
            distances = distances - distances.mean(axis=0)
            rest = distances - known @ np.linalg.lstsq(known, distances, rcond=None)[0]
            weight = np.clip(1 - rest.var(axis=0), 0.0, 1.0)
            mean = standard[:, self.density.places[pool.spread]].mean()
            if np.all(np.isfinite(weight)) and np.isfinite(mean):
                fraction[places], log_spread[places] = weight, mean
        return fraction, log_spread
