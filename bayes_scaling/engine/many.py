"""Posteriors of many data sets of one model at once: one compiled program, data sets and chains side by side.

The same sampler as for a single fit, but one attempt for all: R-hat and ESS of every data set tell which results may be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import numpy as np

from bayes_scaling.engine import convergence
from bayes_scaling.engine.chains import Chains, prepare
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.modes import locate, whitening_of
from bayes_scaling.engine.nuts import Steps
from bayes_scaling.engine.programs import program

_SEARCH_ITERATIONS = 60
_TARGET = 0.85  # acceptance that step sizes are adapted to
_DEEPEST = 6  # doublings a trajectory: one data set's long ridge must not keep the others waiting


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
    warmup: int = 300,
    draws: int = 200,
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
    warmup, draws : iterations
    begin : flat coordinates, (data set, size), at which all chains are put after the warm-up, to go on from there with one fixed,
        reversible kernel (the warm-up, which chose it, has not seen them): for tests of exactness (Besag & Clifford 1989)
    """
    data = jax.device_put((dict(columns), weight), device)
    step = prepare(density, data, chains, device)

    def search(starts: jax.Array, data: Any) -> tuple:
        def one(starts: jax.Array, data: Any) -> tuple:
            ends, values, _, hessian = locate(density, starts, *data, iterations=_SEARCH_ITERATIONS)
            return ends[values.argmin()], hessian

        return jax.vmap(one)(starts, data)

    arguments = (jax.device_put(np.asarray(starts, weight.dtype), device), data)
    modes, hessians = (np.array(part) for part in program("search", search, arguments, (density.fingerprint,), device)(*arguments))
    whitening = np.stack([whitening_of(hessian) for hessian in hessians])
    generators = [np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*b"many", i))) for i in range(len(weight))]
    scattered = np.stack([generator.standard_normal((chains, density.size)) for generator in generators])
    position = modes[:, None] + np.einsum("sij,scj->sci", whitening, scattered)
    moving = Chains(density.size, data, position, modes, whitening, generators, device, step.result(), depth=_DEEPEST)
    for _ in moving.warm_up(warmup, _TARGET):
        pass
    if begin is not None:
        moving.position = np.repeat(begin[:, None], chains, axis=1)
        shared = moving.steps.log_mean.mean(axis=1, keepdims=True)  # one kernel for all chains of a data set, as the argument needs
        moving.steps = Steps.fresh(np.broadcast_to(shared, moving.steps.log_mean.shape))
    pieces = list(moving.draw(draws))
    z, sites, told = jax.tree.map(lambda *parts: np.concatenate(parts, axis=2), *pieces)
    return ManyDraws(sites, z, told["diverging"].sum(axis=(1, 2)).astype(int))
