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
from bayes_scaling.engine.chains import Chains, Lanes, Sites, Work
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
    lanes: int = 1,
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
    lanes : data sets that are worked at side by side: bounds the memory, and changes draws by rounding alone
    """
    sets = [({name: values[i] for name, values in columns.items()}, weight[i]) for i in range(len(weight))]
    lanes = min(lanes, len(sets))
    moving = Lanes(density, sets[0], chains, lanes, device)
    sites = Sites(density, sets[0], chains, device)
    modes, hessians = _modes(density, columns, weight, starts, lanes, device)

    def work(i: int) -> Work[tuple]:
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*b"many", i)))
        whitening = whitening_of(hessians[i])
        position = modes[i] + generator.standard_normal((chains, density.size)) @ whitening.T
        own = Chains(sets[i], position, modes[i], whitening, generator, _DEEPEST)
        yield from own.warm_up(warmup, _TARGET)
        if begin is not None:
            own.position = np.repeat(begin[i][None], chains, axis=0)
            shared = own.steps.log_mean.mean()  # one kernel for all chains of a data set, as the argument needs
            own.steps = Steps.fresh(np.full(chains, shared))
        z, told = yield from own.draw(draws)
        return sites(z, sets[i]), z, int(told["diverging"].sum())

    found = dict(moving.run(work(i) for i in range(len(sets))))
    every, z, diverging = zip(*(found[i] for i in range(len(sets))), strict=True)
    return ManyDraws({name: np.stack([one[name] for one in every]) for name in every[0]}, np.stack(z), np.array(diverging))


def _modes(
    density: Density, columns: Mapping[str, np.ndarray], weight: np.ndarray, starts: np.ndarray, lanes: int, device: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return the best of the modes found, (data set, size), and the Hessian there; so many data sets at a time as there are lanes."""

    def search(starts: jax.Array, data: Any) -> tuple:
        def one(starts: jax.Array, data: Any) -> tuple:
            ends, values, _, hessian = locate(density, starts, *data, iterations=_SEARCH_ITERATIONS)
            return ends[values.argmin()], hessian

        return jax.vmap(one)(starts, data)

    sets, pieces = len(weight), []
    for begin in range(0, sets, lanes):
        of = np.minimum(np.arange(begin, begin + lanes), sets - 1)  # the last stretch is filled up with its last data set
        arguments = (np.asarray(starts[of], weight.dtype), ({name: values[of] for name, values in columns.items()}, weight[of]))
        arguments = jax.device_put(arguments, device)
        find = program("search", search, arguments, (density.fingerprint,), device)
        pieces.append([np.asarray(part) for part in find(*arguments)])
    modes, hessians = (np.concatenate(parts)[:sets] for parts in zip(*pieces, strict=True))
    return modes, hessians
