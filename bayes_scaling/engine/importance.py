"""A posterior by importance: a proposal is fitted to it, and independence chains draw from the posterior through the proposal.

Rounds of particles come from mixtures of Student-t, the first about the modes, each further one fitted by weighted expectation maximisation
to all particles so far, which are weighted against the mixture of all proposals (adaptive multiple importance sampling: Cornuet et al.
2012, doi:10.1111/j.1467-9469.2011.00756.x; mixtures: Cappé et al. 2008, Statistics and Computing 18:447). Weights are tempered while few
particles count. The draws then are Metropolis chains whose candidates come from the last proposal, whatever went before: they are of the
posterior itself, R-hat and effective draws judge them like any others, and Pareto k of the candidates' weights certifies that the proposal
covers the posterior (Vehtari et al. 2024, JMLR 25:72). No gradients, and thousands of points side by side. Where no certificate is
reached, the particles tell an `ensemble` of walkers where to begin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from scipy.special import logsumexp

from bayes_scaling.engine import convergence
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.mixture import Mixture, effective_share, scattered, systematic, tempered
from bayes_scaling.engine.modes import NEARBY, Modes
from bayes_scaling.engine.programs import program

MOST_K = 0.7  # Pareto k up to which weights are relied on
_AIM = 0.5  # below, they have a variance: what candidates are to reach
MOST_COORDINATES = 24  # beyond, no mixture fits well enough
_BLOCK = 1024  # points that the program takes at a time
_CACHED = 2**17  # rows times points that are worked at together, so that they stay in a CPU's caches
_FIRST, _WIDER = 1.3, 1.1  # variance of the first proposal over the Hessian's, and of further ones over that of their particles
_ENOUGH = 0.6  # share of effective particles of a round's own at which the proposal needs no further round
_CANDIDATES, _MOST_CANDIDATES = 1.5, 64  # effective ones a kept draw, at first; and of any, at most
_ROUNDS, _COMPONENTS = 6, 4  # of particles, at most; of the mixture, at least
_TEMPERED = 40.0  # effective particles a coordinate, to which weights are tempered
_FITTED = 4096  # particles that a mixture is fitted to: of more, as many are drawn by their weights


@dataclass(frozen=True)
class Kept:
    """Draws that chains kept.

    Attributes
    ----------
    z : flat coordinates, (chain, draw, size)
    potential : negative log density of each up to a constant, (chain, draw)
    acceptance : share of the candidates since the draw before that were taken, (chain, draw)
    thin : candidates a kept draw
    pareto_k : of the weights of all candidates, of independence chains
    walker_rhat : largest R-hat over walkers, of an ensemble
    """

    z: np.ndarray
    potential: np.ndarray
    acceptance: np.ndarray
    thin: int
    pareto_k: float | None = None
    walker_rhat: float | None = None


class _Particles:
    """All particles so far, weighted against the mixture of the proposals that they came from."""

    def __init__(self, log_posterior: Callable[[np.ndarray], np.ndarray], size: int) -> None:
        self.log_posterior = log_posterior
        self.w, self.log_density, self._summed = np.empty((0, size)), np.empty(0), np.empty(0)
        self._proposals: list[tuple[float, Mixture]] = []

    def add(self, proposal: Mixture, w: np.ndarray) -> np.ndarray:
        """Add points of a proposal; return their log weights against it."""
        log_density = self.log_posterior(w)
        number, own = np.log(len(w)), proposal.log_density(w)
        self._summed = np.logaddexp(self._summed, number + proposal.log_density(self.w)) if len(self.w) else self._summed
        self._proposals.append((number, proposal))
        earlier = [count + other.log_density(w) for count, other in self._proposals[:-1]]
        self._summed = np.concatenate([self._summed, logsumexp([*earlier, number + own], axis=0)])
        self.w, self.log_density = np.concatenate([self.w, w]), np.concatenate([self.log_density, log_density])
        return log_density - own

    def fit(self, before: Mixture, components: int, rng: np.random.Generator, *, anew: bool) -> Mixture:
        """Return a mixture fitted to the particles: from the one before, or from components put among the particles."""
        share = self.share(_TEMPERED)
        w = self.w
        if len(w) > _FITTED:
            w = w[systematic(share, _FITTED, rng)]
            share = np.full(_FITTED, 1 / _FITTED)
        before = before if anew else before.undefended()
        if anew or len(before.centre) != components:
            before = scattered(w, share, components, rng)
        return before.fitted(w, share).widened(_WIDER).defended(w, share)

    def share(self, effective: float) -> np.ndarray:
        """Return shares of the particles, tempered so that so many a coordinate count."""
        return tempered(self.log_density - self._summed, effective * self.w.shape[1])


def pareto_k(log_weight: np.ndarray) -> float:
    """Return the shape of the generalised Pareto tail of importance weights (Vehtari et al. 2024)."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    lowest = log_weight[np.isfinite(log_weight)].min()
    return float(array_stats.psislw(-np.where(np.isfinite(log_weight), log_weight, lowest))[1])  # it takes the sign for leaving out itself


def may_serve(density: Density) -> bool:
    """Return whether a proposal may fit the posterior: of few coordinates, none of them a spread that others follow."""
    return not density.pools and density.size <= MOST_COORDINATES


def independence_chains(
    log_posterior: Callable[[np.ndarray], np.ndarray], modes: Modes, chains: int, draws: int, rng: np.random.Generator
) -> Kept | np.ndarray | None:
    """Draw from a posterior by independence chains; or return points about it, (point, size), where no proposal is certified to cover it.

    None where not even those are found.

    Parameters
    ----------
    log_posterior : log density of points (point, size), up to a constant
    modes : from where the search for a proposal begins
    chains, draws : to keep
    """
    whitening, centre = modes.whitening(), modes.points[0]
    nearby = np.linalg.solve(whitening, (modes.points[modes.potentials < modes.potentials[0] + NEARBY] - centre).T).T
    particles = _Particles(lambda w: log_posterior(centre + w @ whitening.T), len(centre))
    eye = np.eye(len(centre))
    proposal = Mixture(np.full(len(nearby), -np.log(len(nearby))), nearby, np.repeat(eye[None], len(nearby), axis=0)).widened(_FIRST)
    for at in range(_ROUNDS):
        own = particles.add(proposal, proposal.draw(rng, _BLOCK))
        if not np.any(np.isfinite(own)):
            return None
        good = effective_share(own) > _ENOUGH
        proposal = particles.fit(proposal, max(_COMPONENTS, len(nearby)), rng, anew=at < 2)
        if good:
            break
    w = proposal.draw(rng, -(-chains * draws // _BLOCK) * _BLOCK)
    log_weight = particles.add(proposal, w)
    log_density = particles.log_density[-len(w) :]
    thin = int(np.ceil(_CANDIDATES / max(effective_share(log_weight), 1e-3)))
    k = pareto_k(log_weight)
    while thin <= _MOST_CANDIDATES and k <= _AIM:
        used = thin * chains * draws
        if len(w) < used:
            further = proposal.draw(rng, -(-(used - len(w)) // _BLOCK) * _BLOCK)
            density = particles.log_posterior(further)
            w, log_density = np.concatenate([w, further]), np.concatenate([log_density, density])
            log_weight = np.concatenate([log_weight, density - proposal.log_density(further)])
            k = pareto_k(log_weight)
            continue  # the certificate is of all candidates
        kept, acceptance = _walk(log_weight[:used].reshape(chains, -1), rng, thin)
        of_all = kept + np.arange(chains)[:, None] * (draws * thin)
        z = centre + w[of_all] @ whitening.T
        if convergence.good(convergence.statistics(z), np.zeros((chains, draws), bool)):
            return Kept(z, -log_density[of_all], acceptance, thin, k)
        thin *= 2
    about = systematic(particles.share(_TEMPERED / 2), _BLOCK, rng)
    return centre + particles.w[rng.permutation(about)] @ whitening.T


def _walk(log_weight: np.ndarray, rng: np.random.Generator, thin: int) -> tuple[np.ndarray, np.ndarray]:
    """Move Metropolis chains through independent candidates, (chain, candidate); return places kept and shares accepted, (chain, draw)."""
    # Whether a candidate is taken depends on the weight of the last that was: a loop, over plain numbers.
    luck = np.log(rng.random(log_weight.shape))
    places, taken = np.empty(log_weight.shape, int), np.zeros(log_weight.shape)
    for chain, (weights, lucks) in enumerate(zip(log_weight.tolist(), luck.tolist(), strict=True)):
        current, at, path = -np.inf, 0, []
        for number, (weight, bound) in enumerate(zip(weights, lucks, strict=True)):
            if weight - current > bound or current == -np.inf:
                current, at = weight, number
            path.append(at)
        places[chain] = path
        taken[chain] = places[chain] == np.arange(len(path))
    return places[:, thin - 1 :: thin], taken.reshape(len(taken), -1, thin).mean(axis=2)


def log_density_at(density: Density, data: tuple, device: Any) -> Callable[[np.ndarray, tuple], np.ndarray]:
    """Return a function of points (point, size), any number of them, and data shaped as these, to the log posterior density of each."""
    rows, dtype = len(data[1]), data[1].dtype
    together = int(np.clip(_CACHED // rows, 1, _BLOCK))

    def potentials(z: jax.Array, data: tuple) -> jax.Array:
        return jax.lax.map(lambda one: density.potential(one, *data), z, batch_size=together)

    compiled = program("potentials", potentials, (np.zeros((_BLOCK, density.size), dtype), data), (density.fingerprint, together), device)

    def log_posterior(z: np.ndarray, data: tuple) -> np.ndarray:
        found = []
        for first in range(0, len(z), _BLOCK):
            part = z[first : first + _BLOCK].astype(dtype)
            filled = np.concatenate([part, np.repeat(part[:1], _BLOCK - len(part), axis=0)])
            found.append(np.asarray(compiled(jax.device_put(filled, device), data), float)[: len(part)])
        value = -np.concatenate(found) if found else np.empty(0)
        return np.where(np.isfinite(value), value, -np.inf)  # outside of what numbers can hold it has no weight

    return log_posterior
