"""NUTS in whitened coordinates: numpyro's kernel in one compiled program, chains side by side, in chunks of iterations.

The first attempt trusts the geometry at the mode: coordinates whitened by the Hessian there, and a short warm-up. The draws decide
whether that was enough; where it was not, the next attempt whitens by the covariance of the draws and pays for a longer warm-up and
smaller steps. Speed never buys a worse posterior: the last attempt's diagnostics are reported, good or bad.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.infer.hmc import hmc
from numpyro.infer.hmc_util import euclidean_kinetic_energy
from numpyro.infer.util import ParamInfo

from bayes_scaling.engine import convergence
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.modes import NEARBY, Modes, distinct, draw_starts, locate
from bayes_scaling.engine.programs import program

CHUNK = 100  # iterations a call of the compiled program: the grain of the progress bar
_MAX_TREE_DEPTH = 10
_SEARCHED_ROWS = 4096  # modes are searched for on so many rows at most, and then followed on all
_FOLLOWED = 4  # modes that are followed


@dataclass(frozen=True)
class Attempt:
    """How hard to try: warm-up iterations, target acceptance, dense or diagonal mass matrix, iterations a kept draw."""

    warmup: int
    target: float
    dense: bool
    thin: int = 1


ATTEMPTS = (Attempt(200, 0.9, False), Attempt(1000, 0.95, True), Attempt(1000, 0.99, True, 4))


@dataclass(frozen=True)
class Sampler:
    """Settings of the sampler.

    Parameters
    ----------
    chains, draws : kept draws are chains x draws
    warmup : iterations before the first kept draw; None lets the engine choose, and choose again if the draws are not good
    seed : of everything random
    persistent : whether to try again, more carefully, while the draws are not good
    """

    chains: int = 4
    draws: int = 1000
    warmup: int | None = None
    seed: int = 0
    persistent: bool = True

    def attempts(self) -> tuple[Attempt, ...]:
        first, *further = ATTEMPTS if self.persistent else ATTEMPTS[:1]
        if self.warmup is None:
            return first, *further
        return replace(first, warmup=self.warmup), *(replace(attempt, warmup=max(self.warmup, attempt.warmup)) for attempt in further)


@dataclass(frozen=True)
class Draws:
    """What the sampler returns.

    Attributes
    ----------
    sites : site name -> array (chains, draws, ...), latent and deterministic
    unconstrained : flat coordinates, (chains, draws, size)
    stats : name -> (chains, draws): diverging, energy, lp, n_steps, acceptance_rate, step_size
    ebfmi : energy Bayesian fraction of missing information, the smallest over chains, of all iterations (thinned or not)
    modes : where the optimiser's searches ended
    attempt : the settings of the attempt that these draws are from
    attempts : how many attempts were made
    compile_seconds, sample_seconds : wall time spent on getting programs, and on running them
    """

    sites: dict[str, np.ndarray]
    unconstrained: np.ndarray
    stats: dict[str, np.ndarray]
    ebfmi: float
    modes: Modes
    attempt: Attempt
    attempts: int
    compile_seconds: float
    sample_seconds: float

    def monitored(self) -> np.ndarray:
        """Return everything whose convergence matters, (chains, draws, variables): sampled coordinates, and derived values as read."""
        shape = self.unconstrained.shape[:2]
        derived = [np.reshape(values, (*shape, -1)) for values in self.sites.values()]
        every = np.concatenate([self.unconstrained, *derived], axis=-1)
        return every[..., np.ptp(every, axis=(0, 1)) > 0]


@dataclass
class _Clock:
    compile_seconds: float = 0.0
    start: float = field(default_factory=time.perf_counter)

    def program(self, *arguments: Any) -> Callable[..., Any]:
        begin = time.perf_counter()
        try:
            return program(*arguments)
        finally:
            self.compile_seconds += time.perf_counter() - begin

    def sample_seconds(self) -> float:
        return time.perf_counter() - self.start - self.compile_seconds


def sample(
    density: Density,
    columns: Mapping[str, np.ndarray],
    weight: np.ndarray,
    settings: Sampler,
    device: Any,
    progress: Callable[[int, int], None] | None = None,
) -> Draws:
    """Draw from the posterior.

    Must run under the caller's choice of ``jax.enable_x64`` and with arrays of that precision.

    Parameters
    ----------
    density : the posterior
    columns, weight : padded data of shape (runs,)
    progress : called with (iterations done, iterations planned) after every chunk
    """
    clock = _Clock()
    data = jax.device_put((dict(columns), weight), device)
    key = jax.device_put(jax.random.PRNGKey(settings.seed), device)
    mode_key, chain_key = jax.random.split(key)
    modes = _find_modes(density, columns, weight, data, mode_key, device, clock)
    centre, whitening = modes.points[0], modes.whitening()
    attempts = settings.attempts()
    number = 0
    while True:
        attempt = attempts[number]
        keys = jax.random.split(jax.random.fold_in(chain_key, number), settings.chains)
        start = _starting_points(modes, centre, whitening, settings, number)
        found = _run(density, data, keys, centre, whitening, start, attempt, settings.draws, device, clock, progress)
        number += 1
        draws = Draws(*found, modes, attempt, number, clock.compile_seconds, clock.sample_seconds())
        if number == len(attempts) or convergence.good(draws.monitored(), draws.stats["diverging"], draws.ebfmi):
            return draws
        pooled = draws.unconstrained.reshape(-1, density.size)
        centre = pooled.mean(axis=0)
        covariance = np.atleast_2d(np.cov(pooled.T))
        whitening = np.linalg.cholesky(covariance + 1e-8 * np.diag(np.diagonal(covariance) + 1e-300))


def _find_modes(
    density: Density, columns: Mapping[str, np.ndarray], weight: np.ndarray, data: Any, key: jax.Array, device: Any, clock: _Clock
) -> Modes:
    """Search from prior draws; with many rows on some of them first, then on all from where that ended."""
    rows = len(weight)
    if rows <= _SEARCHED_ROWS:
        search = clock.program(
            "locate", lambda k, d: locate(density, draw_starts(density, k, *d), *d), (key, data), (density.fingerprint,), device
        )
        return distinct(*(np.asarray(part) for part in search(key, data)))
    chosen = np.sort(np.random.default_rng(0).choice(int(weight.sum()), _SEARCHED_ROWS, replace=False))
    some = {name: values[chosen] for name, values in columns.items()}
    smaller = Density(density.model, some, weight[chosen], density.shears)
    first = _find_modes(smaller, some, weight[chosen], jax.device_put((some, weight[chosen]), device), key, device, clock)
    starts = jax.device_put(first.points[np.arange(_FOLLOWED) % len(first.points)], device)
    follow = clock.program("follow", lambda z, d: locate(density, z, *d, one_by_one=True), (starts, data), (density.fingerprint,), device)
    return distinct(*(np.asarray(part) for part in follow(starts, data)))


def _starting_points(modes: Modes, centre: np.ndarray, whitening: np.ndarray, settings: Sampler, number: int) -> np.ndarray:
    """Return whitened starting points, (chains, size): scattered about the modes, so that chains disagree if modes are not joined."""
    rng = np.random.default_rng([settings.seed, number])
    nearby = modes.points[modes.potentials < modes.potentials[0] + NEARBY]
    at = np.array([nearby[chain % len(nearby)] for chain in range(settings.chains)])
    return np.linalg.solve(whitening, (at - centre).T).T + rng.normal(size=at.shape)


def _kernel(density: Density, data: Any, centre: Any, whitening: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def potential(w: jax.Array) -> jax.Array:
        # Full precision: a GPU's default for 32-bit products keeps ten bits, and the whitened coordinates would jitter.
        return density.potential(centre + jnp.matmul(whitening, w, precision="highest"), *data)

    return hmc(potential, kinetic_fn=euclidean_kinetic_energy, algo="NUTS")


def _run(
    density: Density,
    data: Any,
    keys: jax.Array,
    centre: np.ndarray,
    whitening: np.ndarray,
    start: np.ndarray,
    attempt: Attempt,
    draws: int,
    device: Any,
    clock: _Clock,
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, np.ndarray], float]:
    """Return (sites, unconstrained draws, stats, E-BFMI) of one attempt."""
    options = {"dense_mass": attempt.dense, "max_tree_depth": _MAX_TREE_DEPTH, "step_size": 0.5}

    def begin(keys: jax.Array, data: Any, centre: jax.Array, whitening: jax.Array, target: jax.Array, start: jax.Array) -> Any:
        def one(key: jax.Array, w: jax.Array) -> Any:
            initialise, _ = _kernel(density, data, centre, whitening)
            return initialise(w, attempt.warmup, rng_key=key, target_accept_prob=target, **options)

        return jax.vmap(one)(keys, start)

    def advance(state: Any, data: Any, centre: jax.Array, whitening: jax.Array, target: jax.Array) -> Any:
        initialise, step = _kernel(density, data, centre, whitening)

        def one(state: Any, _: None) -> Any:
            state = jax.vmap(step)(state)
            kept = (state.z, state.potential_energy, state.energy, state.num_steps, state.accept_prob, state.diverging)
            return state, (*kept, state.adapt_state.step_size)

        # Only configures the kernel's closures (schedule, tree depth); with the energies given nothing is computed.
        first = jax.tree.map(lambda leaf: leaf[0], state)
        at_start = ParamInfo(first.z, first.potential_energy, first.z_grad)
        initialise(at_start, attempt.warmup, rng_key=first.rng_key, target_accept_prob=target, **options)
        state, (w, potential, energy, steps, acceptance, diverging, step_size) = jax.lax.scan(one, state, length=CHUNK)
        z = centre + jnp.matmul(w, whitening.T, precision="highest")
        sites = jax.vmap(jax.vmap(lambda z: density.constrain(z, *data)))(z)
        stats = {
            "lp": -potential,
            "energy": energy,
            "n_steps": steps,
            "acceptance_rate": acceptance,
            "diverging": diverging,
            "step_size": step_size,
        }
        return state, z, sites, stats

    dtype = np.asarray(data[1]).dtype
    # The target is an argument, so that attempts that differ in it alone share a program.
    target: Any = attempt.target
    centre, whitening, target, start = jax.device_put(tuple(np.asarray(part, dtype) for part in (centre, whitening, target, start)), device)
    identity = (density.fingerprint, attempt.warmup, attempt.dense, _MAX_TREE_DEPTH, CHUNK)
    frame = (data, centre, whitening, target)
    state = clock.program("begin", begin, (keys, *frame, start), identity, device)(keys, *frame, start)
    step = clock.program("advance", advance, (state, *frame), identity, device)
    total = attempt.warmup + draws * attempt.thin
    pieces = []
    for done in range(0, total, CHUNK):
        state, *piece = step(state, *frame)
        if done + CHUNK > attempt.warmup:
            pieces.append(jax.tree.map(np.asarray, piece))
        if progress is not None:
            jax.block_until_ready(state.z)
            progress(min(done + CHUNK, total), total)
    dropped = attempt.warmup - (attempt.warmup // CHUNK) * CHUNK  # of the first chunk that was kept
    # (iterations, chains, ...) in chunks -> (chains, iterations, ...)
    every = slice(dropped, dropped + draws * attempt.thin)
    z, sites, stats = jax.tree.map(lambda *parts: np.swapaxes(np.concatenate(parts)[every], 0, 1), *pieces)
    # Of all iterations: what happens between kept draws counts.
    information = convergence.ebfmi(stats["energy"])
    diverging = stats["diverging"].reshape(len(z), draws, attempt.thin).any(axis=2)
    z, sites, stats = jax.tree.map(lambda values: values[:, :: attempt.thin], (z, sites, stats))
    return sites, z, {**stats, "diverging": diverging}, information
