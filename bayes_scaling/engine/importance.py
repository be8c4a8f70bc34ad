"""A posterior by importance: a proposal is fitted to it, and independence chains draw from the posterior through the proposal.

Rounds of particles come from mixtures of Student-t, the first about the modes, each further one fitted by weighted expectation maximisation
to all particles so far, which are weighted against the mixture of all proposals (adaptive multiple importance sampling: Cornuet et al.
2012, doi:10.1111/j.1467-9469.2011.00756.x; mixtures: Cappé et al. 2008, Statistics and Computing 18:447). Weights are tempered while few
particles count. The draws then are Metropolis chains whose candidates come from the last proposal, whatever went before: they are of the
posterior itself, R-hat and effective draws judge them like any others, and Pareto k of the candidates' weights certifies that the proposal
covers the posterior (Vehtari et al. 2024, JMLR 25:72). No gradients, and thousands of points side by side. Where no certificate is
reached, the caller has the no-U-turn sampler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import gammaln, logsumexp

from bayes_scaling.engine import convergence
from bayes_scaling.engine.density import Density
from bayes_scaling.engine.modes import NEARBY, Modes
from bayes_scaling.engine.programs import program

MOST_K = 0.7  # Pareto k up to which the candidates are relied on
_AIM = 0.5  # below, their weights have a variance: what efforts but the last are to reach
MOST_COORDINATES = 24  # beyond, no mixture fits well enough
_BLOCK = 1024  # points that the program takes at a time
_CACHED = 2**17  # rows times points that are worked at together, so that they stay in a CPU's caches
_TAIL = 5.0  # degrees of freedom of proposals
_FIRST, _WIDER = 1.3, 1.1  # variance of the first proposal over the Hessian's, and of further ones over that of their particles
_DEFENCE, _WIDE = 0.1, 3.0  # share of the component that bounds the weights, and its variance over that of all particles
_ENOUGH = 0.6  # share of effective particles of a round's own at which the proposal needs no further round
_CANDIDATES, _MOST_CANDIDATES = 1.5, 64  # effective ones a kept draw, at first; and of any, at most
_STEPS = 4  # of expectation maximisation a round
_FITTED = 4096  # particles that a mixture is fitted to: of more, as many are drawn by their weights


class _Effort(NamedTuple):
    """Rounds at most, particles a round, components of the mixture."""

    rounds: int
    particles: int
    components: int


_EFFORTS = (_Effort(6, _BLOCK, 4), _Effort(8, 2 * _BLOCK, 8), _Effort(10, 4 * _BLOCK, 16))


@dataclass(frozen=True)
class Candidates:
    """What independence chains kept.

    Attributes
    ----------
    z : flat coordinates, (chain, draw, size)
    potential : negative log density of each up to a constant, (chain, draw)
    acceptance : share of the candidates since the draw before that were taken, (chain, draw)
    thin : candidates a kept draw
    pareto_k : of the weights of all candidates
    """

    z: np.ndarray
    potential: np.ndarray
    acceptance: np.ndarray
    thin: int
    pareto_k: float


class Mixture(NamedTuple):
    """A mixture of Student-t: log shares, (component,), centres, (component, size), and Cholesky factors of the scale matrices."""

    log_share: np.ndarray
    centre: np.ndarray
    factor: np.ndarray

    def parts(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log density of each component with its share, and the squared distances, both (component, point)."""
        size = w.shape[1]
        distance = np.empty((len(self.centre), len(w)))
        for at, (centre, inverse) in enumerate(zip(self.centre, np.linalg.inv(self.factor), strict=True)):
            distance[at] = (((w - centre) @ inverse.T) ** 2).sum(1)
        constant = gammaln((_TAIL + size) / 2) - gammaln(_TAIL / 2) - size / 2 * np.log(_TAIL * np.pi)
        volume = np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(1)
        log = constant - (_TAIL + size) / 2 * np.log1p(distance / _TAIL) + (self.log_share - volume)[:, None]
        return log, distance

    def log_density(self, w: np.ndarray) -> np.ndarray:
        return np.asarray(logsumexp(self.parts(w)[0], axis=0))

    def draw(self, rng: np.random.Generator, number: int) -> np.ndarray:
        """Return independent points, (number, size)."""
        part = rng.choice(len(self.centre), number, p=np.exp(self.log_share))
        normal = rng.standard_normal((number, self.centre.shape[1])) / np.sqrt(rng.chisquare(_TAIL, (number, 1)) / _TAIL)
        found = np.empty_like(normal)
        for at, (centre, factor) in enumerate(zip(self.centre, self.factor, strict=True)):
            found[part == at] = centre + normal[part == at] @ factor.T
        return found

    def fitted(self, w: np.ndarray, share: np.ndarray) -> Mixture:
        """Return the mixture after steps of expectation maximisation on points with these shares of one."""
        _, whole = _moments(w, share)
        found = self
        for _ in range(_STEPS):
            log, distance = found.parts(w)
            member = np.exp(log - logsumexp(log, axis=0)) * share
            pull = member * (_TAIL + w.shape[1]) / (_TAIL + distance)
            total = member.sum(1) + 1e-12
            centre = pull @ w / (pull.sum(1)[:, None] + 1e-12)
            # A component of few effective points borrows its shape from the whole.
            few = 1 / (1 + total**2 / ((member**2).sum(1) + 1e-300) / w.shape[1])
            scale = []
            for at in range(len(centre)):
                away = w - centre[at]
                own = away.T @ (away * pull[at][:, None]) / total[at]
                scale.append((1 - few[at]) * own + few[at] * whole / 2)
            found = Mixture(np.log((total + 0.02) / (total + 0.02).sum()), centre, _factor(np.stack(scale), whole))
        return found

    def defended(self, w: np.ndarray, share: np.ndarray) -> Mixture:
        """Return the mixture with a wide component about all points: it bounds the weights where the others have thin tails."""
        middle, whole = _moments(w, share)
        factor = _factor(_WIDE * whole, whole)
        log_share = np.append(self.log_share + np.log1p(-_DEFENCE), np.log(_DEFENCE))
        return Mixture(log_share, np.concatenate([self.centre, middle[None]]), np.concatenate([self.factor, factor[None]]))

    def undefended(self) -> Mixture:
        return Mixture(self.log_share[:-1] - np.log1p(-_DEFENCE), self.centre[:-1], self.factor[:-1])

    def widened(self, by: float) -> Mixture:
        """Return the mixture with variances so many times as large."""
        return self._replace(factor=self.factor * np.sqrt(by))


def _moments(w: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of points with these shares of one."""
    middle = share @ w
    away = w - middle
    return middle, away.T @ (away * share[:, None])


def _factor(scale: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the Cholesky factor of a scale matrix, or of several, kept from collapsing by a little of the covariance of all points."""
    return np.linalg.cholesky(scale + 1e-6 * np.diag(np.diagonal(whole) + 1e-12))


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
        share = tempered(self.log_density - self._summed, 40.0 * self.w.shape[1])
        w = self.w
        if len(w) > _FITTED:
            w = w[systematic(share, _FITTED, rng)]
            share = np.full(_FITTED, 1 / _FITTED)
        before = before if anew else before.undefended()
        if anew or len(before.centre) != components:
            at = rng.permutation(systematic(share, components, rng))
            _, whole = _moments(w, share)
            factor = _factor(whole, whole)
            before = Mixture(np.full(components, -np.log(components)), w[at], np.repeat(factor[None], components, axis=0))
        return before.fitted(w, share).widened(_WIDER).defended(w, share)


def systematic(share: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return places drawn in proportion to shares, evenly spread."""
    upto = np.cumsum(share)
    return np.minimum(np.searchsorted(upto, (np.arange(number) + rng.uniform()) / number * upto[-1]), len(share) - 1)


def tempered(log_weight: np.ndarray, effective: float) -> np.ndarray:
    """Return shares of one, of weights to the largest power not above 1 that leaves so many effective points."""
    possible = np.where(np.isfinite(log_weight), log_weight, -np.inf)

    def share(power: float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            log = np.where(possible == -np.inf, -np.inf, power * possible)
        return np.exp(log - logsumexp(log))

    low, high, found = 0.0, 1.0, share(1.0)
    if 1 / (found**2).sum() >= effective:
        return found
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 / (share(middle) ** 2).sum() >= effective else (low, middle)
    return share(low)


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
) -> Candidates | None:
    """Draw from a posterior by independence chains, or return None where no proposal is certified to cover it.

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
    block = -(-chains * draws // _BLOCK) * _BLOCK
    for effort in _EFFORTS:
        components = max(effort.components, len(nearby))
        for at in range(effort.rounds):
            own = particles.add(proposal, proposal.draw(rng, effort.particles))
            if not np.any(np.isfinite(own)):
                return None
            good = effective_share(own) > _ENOUGH
            proposal = particles.fit(proposal, components, rng, anew=at < 2)
            if good:
                break
        w = proposal.draw(rng, block)
        log_weight = particles.add(proposal, w)
        log_density = particles.log_density[-block:]
        thin = int(np.ceil(_CANDIDATES / max(effective_share(log_weight), 1e-3)))
        most, k = MOST_K if effort is _EFFORTS[-1] else _AIM, pareto_k(log_weight)
        while thin <= _MOST_CANDIDATES and k <= most:
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
                return Candidates(z, -log_density[of_all], acceptance, thin, k)
            thin *= 2
    return None


def effective_share(log_weight: np.ndarray) -> float:
    """Return the effective number of weighted points over their number."""
    share = np.exp(log_weight - logsumexp(log_weight))
    return float(1 / (share**2).sum() / len(share))


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
