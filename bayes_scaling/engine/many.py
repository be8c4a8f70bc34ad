"""Posteriors of many data sets of one model at once: one compiled program, data sets and chains side by side.

Every chain of a batch moves in step, so the sampler must cost each of them the same: Hamiltonian Monte Carlo in whitened coordinates with a
path length that is drawn anew at each iteration and shared by all (Neal 2011, section 5.4.2; Hoffman et al. 2021 on why NUTS wastes work in
lock-step). The single-fit sampler stays NUTS. R-hat and ESS of every data set tell which results may be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine import convergence
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.modes import locate
from bayes_scaling.engine.programs import program

_PHASE = 100  # iterations a phase; coordinates are whitened anew after each phase of the warm-up
_TARGET = 0.85  # acceptance that the step size is adapted to
_LONGEST = 48  # leapfrog steps an iteration
_PATHS = (0.25 * np.pi, 0.75 * np.pi)  # about a quarter turn, after which a normal posterior is drawn independently
_DIVERGED = 1000.0  # nats of energy error
_SEARCH_ITERATIONS = 60


@dataclass(frozen=True)
class ManyDraws:
    """Draws of many posteriors.

    Attributes
    ----------
    sites : site name -> array (data set, chain, draw, ...), latent and deterministic
    unconstrained : flat coordinates, (data set, chain, draw, size)
    diverging : number of diverging transitions, (data set,)
    """

    sites: dict[str, np.ndarray]
    unconstrained: np.ndarray
    diverging: np.ndarray

    @cached_property
    def _statistics(self) -> dict[str, np.ndarray]:
        """R-hat and ESS of every coordinate, (data set, size)."""
        z = self.unconstrained
        # (data set, chain, draw, size) -> (chain, draw, data set x size)
        found = convergence.statistics(np.moveaxis(z, 0, 2).reshape(*z.shape[1:3], -1))
        return {name: values.reshape(len(z), -1) for name, values in found.items()}

    @property
    def rhat(self) -> np.ndarray:
        """Worst over the coordinates, (data set,)."""
        return self._statistics["rhat"].max(axis=1)

    @property
    def ess(self) -> np.ndarray:
        """Bulk or tail, worst over the coordinates, (data set,)."""
        return np.minimum(self._statistics["ess_bulk"], self._statistics["ess_tail"]).min(axis=1)


def sample_many(
    density: Density,
    columns: Mapping[str, np.ndarray],
    weight: np.ndarray,
    starts: np.ndarray,
    device: Any,
    *,
    chains: int = 4,
    warmup_phases: int = 3,
    draw_phases: int = 2,
    seed: int = 0,
    begin: np.ndarray | None = None,
) -> ManyDraws:
    """Draw from the posterior of each data set.

    Must run under the caller's choice of ``jax.enable_x64`` and with arrays of that precision. A data set's draws depend on the seed, its
    place and its data, not on the other data sets.

    Parameters
    ----------
    density : the posterior of a data set of shape (runs,)
    columns, weight : padded data of shape (data set, runs)
    starts : flat coordinates from which modes are searched, (data set, start, size); draws from the prior serve
    warmup_phases, draw_phases : in phases of 100 iterations
    begin : flat coordinates, (data set, size), at which all chains are put after the warm-up, to go on from there with one fixed,
        reversible kernel (the warm-up, which chose it, has not seen them): for tests of exactness (Besag & Clifford 1989)
    """
    count, phases = len(weight), warmup_phases + draw_phases
    # Random numbers are made outside: a generator inside takes longer to compile than the sampler around it.
    kicks, luck = (np.empty((count, phases, _PHASE, chains, *more), weight.dtype) for more in ((density.size,), ()))
    for i, sequence in enumerate(np.random.SeedSequence(seed).spawn(count)):
        own = np.random.default_rng(sequence)
        kicks[i], luck[i] = own.standard_normal(kicks[i].shape), np.log(own.random(luck[i].shape))
    paths = np.random.default_rng(seed).uniform(*_PATHS, (phases, _PHASE)).astype(weight.dtype)
    if begin is not None:
        paths[warmup_phases:] = np.mean(_PATHS)
    batch = jax.device_put((dict(columns), np.asarray(weight), np.asarray(starts, weight.dtype), kicks, luck, begin), device)
    paths = jax.device_put(paths, device)

    def run(batch: Any, paths: jax.Array) -> Any:
        return jax.vmap(lambda one: _one(density, one, paths, warmup_phases))(batch)

    compiled = program("many", run, (batch, paths), (density.fingerprint, warmup_phases, begin is not None), device)
    return ManyDraws(*jax.tree.map(np.asarray, compiled(batch, paths)))


def _one(
    density: Density,
    data: tuple[Mapping[str, jax.Array], jax.Array, jax.Array, jax.Array, jax.Array, jax.Array | None],
    paths: jax.Array,
    warmup_phases: int,
) -> tuple[dict[str, jax.Array], jax.Array, jax.Array]:
    """Return (sites, flat draws, diverging transitions) of one data set.

    ``data`` are columns, weight, starts, kicks, luck and begin: ``kicks`` are standard normal momenta (phase, iteration, chain, size),
    ``luck`` logarithms of uniform numbers (phase, iteration, chain).
    """
    columns, weight, starts, kicks, luck, begin = data
    slope = jax.vmap(jax.value_and_grad(lambda z: density.potential(z, columns, weight)))
    ends, values, _, hessian = locate(density, starts, columns, weight, iterations=_SEARCH_ITERATIONS)
    curvature, vectors = jnp.linalg.eigh(hessian)
    whitening = vectors * jnp.where(curvature > 1e-2, 1 / jnp.sqrt(jnp.maximum(curvature, 1e-2)), 1.0)

    def iterate(frame: tuple, state: tuple, random: tuple) -> tuple[tuple, tuple]:
        whitening, adapting = frame
        z, value, gradient, step, mean_step, error, i = state
        kick, luck, path = random
        size = jnp.exp(jnp.where(adapting, step, mean_step))
        steps = jnp.clip(jnp.ceil(path / size), 1, _LONGEST)

        def leap(_: int, moving: tuple) -> tuple:
            z, p, _, gradient = moving
            p = p - size / 2 * gradient @ whitening
            z = z + size * p @ whitening.T
            value, gradient = slope(z)
            return z, p - size / 2 * gradient @ whitening, value, gradient

        proposed = jax.lax.fori_loop(0, steps.astype(int), leap, (z, kick, value, gradient))
        change = value - proposed[2] + (jnp.sum(kick**2, -1) - jnp.sum(proposed[1] ** 2, -1)) / 2
        change = jnp.where(jnp.isfinite(change), change, -jnp.inf)
        taken = luck < change
        z, gradient = (jnp.where(taken[:, None], new, old) for new, old in ((proposed[0], z), (proposed[3], gradient)))
        value = jnp.where(taken, proposed[2], value)
        # Dual averaging (Hoffman & Gelman 2014, equation 6), with their constants.
        i = i + 1
        error = error + (_TARGET - jnp.mean(jnp.exp(jnp.minimum(change, 0.0))) - error) / (i + 10)
        step = jnp.clip(jnp.log(2.0) - error * jnp.sqrt(i) / 0.05, jnp.log(1e-3), jnp.log(2.0))
        mean_step = jnp.where(adapting, mean_step + i**-0.75 * (step - mean_step), mean_step)
        return (z, value, gradient, step, mean_step, error, i), (z, change < -_DIVERGED)

    def phase(carried: tuple, random: tuple) -> tuple[tuple, tuple]:
        *place, whitening, mean_step = carried
        number, *rest = random
        adapting = number < warmup_phases
        if begin is not None:
            place = [jnp.where(number == warmup_phases, there, here) for there, here in zip(beginning, place, strict=True)]
        fresh = (*place, jnp.log(0.5), mean_step, jnp.asarray(0.0), jnp.asarray(0.0))
        state, (path, diverging) = jax.lax.scan(lambda s, r: iterate((whitening, adapting), s, r), fresh, tuple(rest))
        # Whiten by the draws, shrunk a little towards what was, where the chains have moved enough to tell.
        flat = jnp.linalg.solve(whitening, path.reshape(-1, density.size).T)
        covariance = jnp.cov(flat).reshape(density.size, density.size)
        better = whitening @ jnp.linalg.cholesky(0.95 * covariance + 0.05 * jnp.eye(density.size))
        whitening = jnp.where(adapting & jnp.all(jnp.isfinite(better)), better, whitening)
        return (*state[:3], whitening, state[4]), (path, diverging)

    phases, _, chains, size = kicks.shape
    # All chains leave from the best mode; the first trajectories of the warm-up scatter them. The gradient there is nearly nothing.
    start = jnp.tile(ends[jnp.argmin(values)], (chains, 1))
    if begin is not None:
        all_there = jnp.tile(begin, (chains, 1))
        beginning = (all_there, *slope(all_there))
    first = (start, jnp.full(chains, values.min()), jnp.zeros_like(start), whitening, jnp.log(0.5))
    _, (z, diverging) = jax.lax.scan(phase, first, (jnp.arange(phases), kicks, luck, paths))
    z = jnp.swapaxes(z[warmup_phases:].reshape(-1, chains, size), 0, 1)
    sites = jax.vmap(jax.vmap(lambda z: density.constrain(z, columns, weight)))(z)
    return sites, z, diverging[warmup_phases:].sum()
