"""Chains of one or many data sets: where they stand, in what coordinates they move, and the compiled program that moves them.

Everything has a leading axis of data sets; a single fit is a batch of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine import nuts, programs
from bayes_scaling.engine.density import Density

CHUNK = 200  # iterations a call of the compiled program at most: the grain of a progress bar
_WINDOW = 100  # iterations of the first and the last window of a warm-up


def windows(warmup: int) -> list[int]:
    """Return the lengths of a warm-up's windows: after each but the last, coordinates are whitened anew; the last sets the step size."""
    left, size, found = warmup, _WINDOW, []
    while left >= size + _WINDOW:
        found.append(size if left >= 3 * size + _WINDOW else left - _WINDOW)
        left -= found[-1]
        size = sum(found)
    return [*found, left] if left else found


def advance(
    density: Density, data: Any, centre: Any, whitening: Any, position: Any, steps: tuple, random: tuple, how: tuple
) -> tuple[Any, dict[str, Any], dict[str, Any], tuple]:
    """Move all chains; return coordinates, sites, statistics and state of the steps. Traceable; see `nuts.advance` for the arguments."""

    # Products are written out as sums: a product of such small matrices calls a library, which costs a CPU more than a gradient does,
    # and a GPU's default for 32-bit products keeps ten bits.
    def unwhitened(centre: Any, whitening: Any, w: Any) -> Any:
        return centre + jnp.sum(whitening * w, axis=1)

    def slope(frame: tuple, w: jax.Array) -> tuple[jax.Array, jax.Array]:
        data, centre, whitening = frame
        value, gradient = density.slope(unwhitened(centre, whitening, w), *data)
        return value, jnp.sum(gradient[:, None] * whitening, axis=0)

    frame = (data, centre, whitening)
    rows, steps = nuts.advance(slope, frame, position, nuts.Steps(*steps), nuts.Randomness(*random), nuts.Settings(*how))
    size = density.size
    each_chain = jax.vmap(jax.vmap(unwhitened, (None, None, 0)), (None, None, 0))
    z = jax.vmap(each_chain)(centre, whitening, rows[..., :size])
    constrain = jax.vmap(jax.vmap(lambda z, data: density.constrain(z, *data), (0, None)), (0, None))
    sites = jax.vmap(constrain)(z, data)
    return z, sites, {name: rows[..., size + i] for i, name in enumerate(nuts.STATISTICS)}, tuple(steps)


def prepare(density: Density, data: Any, chains: int, device: Any) -> Future[Callable[..., Any]]:
    """Begin to compile the program that moves so many chains of each data set of ``data``: columns and weight, each (data set, runs)."""
    sets, size = len(data[1]), density.size

    def shape(*lengths: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((sets, *lengths), data[1].dtype)

    random = shape(chains, CHUNK, size), shape(chains, CHUNK, nuts.MAX_DEPTH, 3)
    how = jax.ShapeDtypeStruct((), data[1].dtype), True, CHUNK, nuts.MAX_DEPTH
    arguments = (data, shape(size), shape(size, size), shape(chains, size), (shape(chains),) * len(nuts.Steps._fields), random, how)
    return programs.prepare("advance", lambda *given: advance(density, *given), arguments, (density.fingerprint,), device)


def _first(parts: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    return {name: values[:, :, :length] for name, values in parts.items()}


class Chains:
    """Chains that move.

    Parameters
    ----------
    size : number of flat coordinates
    data : (columns, weight), each array (data set, runs)
    position : flat coordinates, (data set, chain, size)
    centre, whitening : of each data set, (data set, size) and (data set, size, size): chains move in w, with z = centre + whitening @ w
    generators : a source of random numbers for each data set, so that its draws do not depend on the others
    device : the jax device
    step : the compiled program, see `prepare`
    depth : doublings a trajectory at most
    """

    def __init__(
        self,
        size: int,
        data: Any,
        position: np.ndarray,
        centre: np.ndarray,
        whitening: np.ndarray,
        generators: Sequence[np.random.Generator],
        device: Any,
        step: Callable[..., Any],
        depth: int = nuts.MAX_DEPTH,
    ) -> None:
        self.depth = depth
        self.size, self.device, self._step = size, device, step
        self.data = data
        self.dtype = data[1].dtype
        # In 64 bits here, whatever the device computes in: covariances of 32 bits need not be positive.
        self.position, self.centre, self.whitening = (np.array(part, float) for part in (position, centre, whitening))
        self.steps = nuts.Steps.first(position.shape[:2])
        self.generators = generators

    def warm_up(self, warmup: int, target: float) -> Iterator[int]:
        """Let the chains find where they belong, and adapt coordinates and steps; yield the number of iterations after each stretch."""
        plan = windows(warmup)
        for number, length in enumerate(plan):
            self.steps = nuts.Steps.fresh(self.steps.log_mean)
            seen = []
            for z, _, _ in self.draw(length, target, adapting=True):
                seen.append(z)
                yield z.shape[2]
            if number < len(plan) - 1:
                self._whiten(np.concatenate(seen, axis=2)[:, :, length // 4 :])

    def _whiten(self, draws: np.ndarray) -> None:
        """Whiten by the covariance of draws, (data set, chain, iteration, size), shrunk a little towards what was."""
        size = draws.shape[-1]
        for i, pooled in enumerate(draws.reshape(len(draws), -1, size).astype(float)):
            w = np.linalg.solve(self.whitening[i], (pooled - pooled.mean(axis=0)).T)
            covariance = (w @ w.T + (size + 5) * np.eye(size)) / (w.shape[1] + size + 5)
            if np.all(np.isfinite(covariance)):
                self.centre[i] = pooled.mean(axis=0)
                self.whitening[i] = self.whitening[i] @ np.linalg.cholesky(covariance)

    def draw(
        self, iterations: int, target: float = 0.0, *, adapting: bool = False
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]]:
        """Move all chains so many iterations; yield coordinates, sites and statistics of stretches, (data set, chain, iteration, ...)."""
        shape = (self.position.shape[1], CHUNK)
        for done in range(0, iterations, CHUNK):
            length = min(CHUNK, iterations - done)
            w = np.linalg.solve(self.whitening[:, None], (self.position - self.centre[:, None])[..., None])[..., 0]
            random = [nuts.Randomness.draw(generator, shape, self.size, self.dtype) for generator in self.generators]
            stacked = jax.tree.map(lambda *parts: np.stack(parts), *map(tuple, random))
            numbers = (self.centre, self.whitening, w, tuple(self.steps), stacked)
            numbers = jax.device_put(jax.tree.map(lambda values: np.asarray(values, self.dtype), numbers), self.device)
            arguments = (self.data, *numbers, (np.asarray(target, self.dtype), adapting, length, self.depth))
            z, sites, statistics, steps = jax.tree.map(np.asarray, self._step(*arguments))
            self.steps = nuts.Steps(*steps)
            self.position = z[:, :, length - 1].astype(float)
            yield z[:, :, :length], _first(sites, length), _first(statistics, length)
