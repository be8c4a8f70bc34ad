"""Many walkers side by side, which learn from each other where the posterior is: for bent posteriors, modes, funnels.

Half of the moves of a walker are to a point that a mixture of Student-t proposes, wherever it is now (independence Metropolis); the others
along differences between walkers of the other half of the ensemble, at all scales and in some or all coordinates (differential evolution:
ter Braak 2006, doi:10.1007/s11222-006-8769-1; coordinates: Vrugt et al. 2009, doi:10.1515/IJNSNS.2009.10.3.273). Mixture and moves are in
the coordinates of a `warp` that straightens what the walkers have seen. Windows of moves double in length; after each, warp and mixture
are fitted to its draws, and these are dropped unless they are good: within a window nothing adapts, so that each walker is a Markov chain
on the posterior. No gradients are needed, and hundreds of points are worked at together.

A chain of the result is the walks of some walkers, one after the other. Walkers that do not move show in its effective draws, walkers that
disagree in their own R-hat.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.engine import convergence, warp
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.importance import Kept
from bayes_scaling.engine.mixture import TAIL, Mixture, scattered
from bayes_scaling.engine.programs import program
from bayes_scaling.engine.warp import Warp

_WALKERS = 64  # about so many
_ROWS, _THIN = 64, 8  # rows of a block that are kept, and steps a row
_WINDOWS = (1, 1, 2, 4, 8, 16, 32)  # blocks
_FEWER = 5  # windows, where the runs cannot answer anyway
MOST_RHAT = 1.02  # over walkers: each has made some 25 independent moves. At 1.05 the neck of a funnel is missed
_COMPONENTS = 12  # of the mixture
_STRAIGHTENED, _FITTED = 8192, 4096  # points that a warp and a mixture are fitted to, at most
_ROUNDS = 4  # of fitting a mixture
_WIDER = 1.15  # variance of the mixture over that of the points
_SMALLEST = 1.5  # decades between the largest and the smallest moves
_WHOLE = 0.1  # share of moves by the whole difference between two walkers: from mode to mode
_BLUR = 0.05  # relative, of a difference


class Walkers:
    """The program of a block of moves, for data shaped as these.

    Parameters
    ----------
    density : the posterior
    data : columns and weight, each (runs,)
    chains : of the result
    device : the jax device
    """

    def __init__(self, density: Density, data: Any, chains: int, device: Any) -> None:
        self.density, self.data, self.chains, self.device = density, data, chains, device
        each = 2 * max(1, round(_WALKERS / chains / 2))  # of a chain; even, since the ensemble has halves
        self.number, self.dtype = each * chains, data[1].dtype

    @cached_property
    def block(self) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
        """The compiled program; that it is compiled only where it is needed spares most fits the seconds."""
        size = self.density.size
        mixture = _shares(Mixture(np.zeros(1), np.zeros((1, size)), np.eye(size)[None]), self.dtype)
        walkers, straight = np.zeros((self.number, size), self.dtype), warp.straight(np.zeros(size), np.eye(size))
        start = (np.zeros(2, np.uint32), walkers, mixture, self._cast(straight))
        return program("walkers", _block(self.density), (*start, self.data), (self.density.fingerprint,), self.device)

    def __call__(
        self,
        about: np.ndarray,
        draws: int,
        data: Any,
        rng: np.random.Generator,
        *,
        persistent: bool = True,
        progress: Callable[[int, int], None] | None = None,
    ) -> Kept:
        """Walk until the draws are good, or long enough; return so many a chain of the last window, good or not.

        Parameters
        ----------
        about : points about the posterior, (point, size)
        persistent : whether to walk long for good draws
        progress : called with (steps done, steps planned) of each window
        """
        z, points = about[np.arange(self.number) % len(about)], about
        held = jax.device_put(data, self.device)
        windows = _WINDOWS if persistent else _WINDOWS[:_FEWER]
        for number, window in enumerate(windows):
            map_ = warp.fitted(_some(points, _STRAIGHTENED, rng))
            mixture = self._mixture(map_, points, rng)
            pieces = []
            blocks = max(window, -(-draws * self.chains // (_ROWS * self.number)))
            for block in range(blocks):
                key = rng.integers(2**32, size=2, dtype=np.uint32)
                start = map_.backward(z).astype(self.dtype)
                pieces.append(
                    jax.tree.map(np.asarray, self.block(*jax.device_put((key, start, mixture, self._cast(map_)), self.device), held))
                )
                z = pieces[-1][0][-1].astype(float)
                if progress is not None:
                    progress((block + 1) * _ROWS * _THIN, blocks * _ROWS * _THIN)
            walked, log_density, taken = (np.concatenate(parts, axis=0) for parts in zip(*pieces, strict=True))
            points = walked.reshape(-1, z.shape[1]).astype(float)
            rhat = float(convergence.statistics(np.moveaxis(walked, 0, 1))["rhat"].max())
            kept = replace(self._kept(walked, log_density, taken, draws), walker_rhat=rhat)
            if number + 1 == len(windows):
                return kept
            if rhat < MOST_RHAT and convergence.good(convergence.statistics(kept.z), np.zeros(kept.potential.shape, bool)):
                return kept
        raise AssertionError("there is at least one window")

    def _mixture(self, map_: Warp, points: np.ndarray, rng: np.random.Generator) -> tuple:
        w = map_.backward(_some(points, _FITTED, rng))
        share = np.full(len(w), 1 / len(w))
        found = scattered(w, share, _COMPONENTS, rng)
        for _ in range(_ROUNDS):
            found = found.fitted(w, share)
        return _shares(found.widened(_WIDER).defended(w, share), self.dtype)

    def _cast(self, map_: Warp) -> tuple:
        return tuple(np.asarray(part, self.dtype) for part in map_)  # what is stored on disk knows no types of ours

    def _kept(self, walked: np.ndarray, log_density: np.ndarray, taken: np.ndarray, draws: int) -> Kept:
        """Return the walks (row, walker, ...) as chains, of so many draws spread over all rows."""
        each = self.number // self.chains
        rows = -(-draws // each)
        at = np.linspace(0, len(walked) - 1, rows).round().astype(int)

        def chained(values: np.ndarray) -> np.ndarray:
            walks = np.moveaxis(values[at], 0, 1)  # (walker, row, ...)
            return walks.reshape(self.chains, each * rows, *values.shape[2:])[:, :draws]

        return Kept(chained(walked), -chained(log_density), chained(taken), round(_THIN * len(walked) / rows))


def _some(points: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    return points[rng.choice(len(points), min(number, len(points)), replace=False)]


def _shares(mixture: Mixture, dtype: Any) -> tuple:
    """Return log shares, centres, factors, their inverses and log volumes of a mixture, filled up to its most components by empty ones."""
    empty = _COMPONENTS + 1 - len(mixture.centre)
    factor = np.concatenate([mixture.factor, np.repeat(mixture.factor[:1], empty, axis=0)])
    centre = np.concatenate([mixture.centre, np.repeat(mixture.centre[:1], empty, axis=0)])
    volume = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(1)
    parts = (np.append(mixture.log_share, np.full(empty, -1e9)), centre, factor, np.linalg.inv(factor), volume)
    return tuple(np.asarray(part, dtype) for part in parts)


def _block(density: Density) -> Callable[..., tuple[jax.Array, jax.Array, jax.Array]]:
    """Return the program of a block: (key, w of walkers, mixture, warp, data) to z, log density of z, and share of moves taken, by row."""
    size = density.size

    def log_mixture(w: jax.Array, mixture: tuple) -> jax.Array:
        log_share, centre, _, inverse, volume = mixture
        away = jnp.einsum("kij,knj->kni", inverse, w - centre[:, None])
        log = log_share[:, None] - volume[:, None] - (TAIL + size) / 2 * jnp.log1p((away**2).sum(-1) / TAIL)
        return jax.nn.logsumexp(log, axis=0)

    def proposed(key: jax.Array, number: int, mixture: tuple) -> jax.Array:
        log_share, centre, factor, *_ = mixture
        keys = jax.random.split(key, 3)
        part = jax.random.categorical(keys[0], log_share, shape=(number,))
        normal = jax.random.normal(keys[1], (number, size), centre.dtype)
        wide = jax.random.gamma(keys[2], TAIL / 2, (number, 1), centre.dtype) / (TAIL / 2)
        return centre[part] + jnp.einsum("nij,nj->ni", factor[part], normal) / jnp.sqrt(wide)

    def moved(key: jax.Array, w: jax.Array, others: jax.Array) -> jax.Array:
        number, keys = len(w), jax.random.split(key, 8)
        first = jax.random.randint(keys[0], (number,), 0, number)
        second = (first + jax.random.randint(keys[1], (number,), 1, number)) % number

        def uniform(at: int, *shape: int) -> jax.Array:
            return jax.random.uniform(keys[at], (number, *shape), w.dtype)

        some = uniform(3, size) < jnp.where(uniform(2, 1) < 0.5, 1.0, uniform(4, 1))
        some = some | ~some.any(axis=1, keepdims=True)
        step = 2.38 / jnp.sqrt(2 * some.sum(axis=1, keepdims=True)) * 10 ** (-_SMALLEST * uniform(5, 1) ** 2)
        step = jnp.where(uniform(6, 1) < _WHOLE, 1.0, step)
        blur = 1 + _BLUR * jax.random.normal(keys[7], (number, size), w.dtype)
        return w + jnp.where(some, step * blur * (others[first] - others[second]), 0.0)

    def block(key: jax.Array, w: jax.Array, mixture: tuple, parts: tuple, data: Any) -> tuple[jax.Array, jax.Array, jax.Array]:
        number, map_ = len(w) // 2, Warp(*parts)

        def at(w: jax.Array) -> dict[str, jax.Array]:
            def log_density(w: jax.Array) -> tuple[jax.Array, jax.Array]:
                z, volume = map_.forward(w)
                return -density.potential(z, *data), volume

            value, volume = jax.vmap(log_density)(w)
            # Where numbers cannot hold it, it has no weight.
            return {"w": w, "value": jnp.where(jnp.isfinite(value), value, -jnp.inf), "volume": volume, "own": log_mixture(w, mixture)}

        def half(key: jax.Array, mine: dict, others: jax.Array) -> tuple[dict, jax.Array]:
            keys = jax.random.split(key, 4)
            anywhere = jax.random.uniform(keys[0], (number,)) < 0.5
            there = at(jnp.where(anywhere[:, None], proposed(keys[1], number, mixture), moved(keys[2], mine["w"], others)))
            gain = there["value"] + there["volume"] - mine["value"] - mine["volume"]
            gain = gain + jnp.where(anywhere, mine["own"] - there["own"], 0.0)
            taken = jnp.log(jax.random.uniform(keys[3], (number,), gain.dtype)) < gain
            chosen = jax.tree.map(lambda new, old: jnp.where(taken.reshape(-1, *[1] * (new.ndim - 1)), new, old), there, mine)
            return chosen, taken

        def step(state: tuple, key: jax.Array) -> tuple[tuple, None]:
            # One half moves with the other held; the roles then change, so that the density appears once in the program.
            def turn(i: jax.Array, state: tuple) -> tuple:
                mine, others, moves, waiting = state
                mine, taken = half(jax.random.fold_in(key, i), mine, others["w"])
                return others, mine, waiting, moves + taken

            return jax.lax.fori_loop(0, 2, turn, state), None

        def row(state: tuple, key: jax.Array) -> tuple[tuple, tuple]:
            first, second = state
            none = jnp.zeros(number, w.dtype)
            (first, second, moves, waiting), _ = jax.lax.scan(step, (first, second, none, none), jax.random.split(key, _THIN))
            whole, value = (jnp.concatenate([first[name], second[name]]) for name in ("w", "value"))
            z = jax.vmap(lambda w: map_.forward(w)[0])(whole)
            return (first, second), (z, value, jnp.concatenate([moves, waiting]) / _THIN)

        start = jax.lax.map(at, jnp.stack(jnp.split(w, 2)))
        halves = jax.tree.map(lambda values: values[0], start), jax.tree.map(lambda values: values[1], start)
        return jax.lax.scan(row, halves, jax.random.split(key, _ROWS))[1]

    return block
