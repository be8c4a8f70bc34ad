"""Posteriors of many curves at once, by adaptive multiple importance sampling.

Seven hyper-parameters and three laws remain once the filter has taken up level, slope and exponent. Rounds of particles come from the
prior, then from Student-t proposals fitted to all particles so far, tempered until enough of them count; every particle is weighted
against the mixture of all proposals (deterministic mixture weights: Cornuet et al. 2012, doi:10.1111/j.1467-9469.2011.00756.x). No chain
has to cross from one mode to another, and the evidence of each law comes with it. Effective draws and Pareto k (Vehtari et al. 2024, JMLR
25:72) certify the result; curves that lack them are sampled again with more rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from bayes_scaling.engine.importance import MOST_K, pareto_k, systematic
from bayes_scaling.engine.programs import use_compile_cache
from bayes_scaling.extrapolation.curve import SIZES, Scaled, padded
from bayes_scaling.extrapolation.motion import State
from bayes_scaling.extrapolation.prior import DEGREES, LAWS, NAMES, PLATEAU, CurvePrior
from bayes_scaling.extrapolation.state_space import AHEAD, CONTEXT, follow

PARTICLES, ROUNDS, MORE_ROUNDS = 1024, 6, 18
CHUNK = 4
LEAST_EFFECTIVE = 400.0
_LEAST = -1e30  # a log weight of none, in 32 bits too
_TAIL = 5.0  # degrees of freedom of proposals
_AHEAD = len(CONTEXT)  # where, in NAMES, those begin that the measured points do not speak of


@dataclass(frozen=True)
class Particles:
    """Weighted particles of one curve under each law; arrays over law and particle.

    ``theta`` (law, particle, name) in the order of ``NAMES`` without the slope; ``log_weight`` (law, particle): unnormalised, with the
    evidence and prior probability of the law in it, so that their exponentials over all laws sum to the evidence.
    """

    theta: np.ndarray
    log_weight: np.ndarray
    state: State

    @cached_property
    def log_evidence(self) -> np.ndarray:
        """Of each law, its prior probability included; shape (law,)."""
        return np.logaddexp.reduce(self.log_weight, axis=1)

    @property
    def probability(self) -> np.ndarray:
        """Posterior probability of each law."""
        evidence = self.log_evidence
        return np.exp(evidence - np.logaddexp.reduce(evidence))

    @cached_property
    def weights(self) -> np.ndarray:
        """Shares of one of all particles, those of the first law first."""
        flat = self.log_weight.ravel()
        return np.exp(flat - np.logaddexp.reduce(flat))

    @cached_property
    def effective(self) -> float:
        return float(1 / (self.weights**2).sum())

    @cached_property
    def pareto_k(self) -> float:
        return pareto_k(self.log_weight.ravel())

    @property
    def ok(self) -> bool:
        return self.effective >= LEAST_EFFECTIVE and self.pareto_k <= MOST_K


def sample(curves: Sequence[Scaled], priors: Sequence[CurvePrior], keys: Sequence[int]) -> list[Particles]:
    """Sample every curve under its prior; ``keys`` seed them one by one, so that no curve depends on its neighbours."""
    found = sample_once(curves, priors, keys)
    again = [at for at, particles in enumerate(found) if not particles.ok]
    if again:
        longer = sample_once([curves[at] for at in again], [priors[at] for at in again], [keys[at] for at in again], MORE_ROUNDS)
        for at, particles in zip(again, longer, strict=True):
            found[at] = particles
    return found


def sample_once(
    curves: Sequence[Scaled],
    priors: Sequence[CurvePrior],
    keys: Sequence[int],
    rounds: int = ROUNDS,
    particles: int = PARTICLES,
    precision: int = 64,
) -> list[Particles]:
    """Sample without a second attempt; ``particles`` in each round, in 32 or 64 bits."""
    found: dict[int, Particles] = {}
    with jax.enable_x64(precision == 64):
        use_compile_cache()
        chunk = 1 if len(curves) == 1 else CHUNK  # one program for one curve, and one for many, of each size
        for size in SIZES:
            alike = [at for at, curve in enumerate(curves) if curve.size == size]
            for first in range(0, len(alike), chunk):
                rows = alike[first : first + chunk]
                filled = rows + [rows[-1]] * (chunk - len(rows))
                arrays = padded([curves[at] for at in filled])
                prior = {part: np.stack([getattr(priors[at], part) for at in filled]) for part in ("mean", "sd", "weight")}
                seeds = np.array([keys[at] for at in filled], np.uint32)
                drawn = jax.device_get(_run(jax.tree.map(jnp.asarray, (arrays, prior, seeds)), rounds=rounds, particles=particles))
                theta, log_weight, state = jax.tree.map(lambda part: np.asarray(part, float), drawn)
                for row, at in enumerate(rows):
                    found[at] = Particles(theta[row], log_weight[row], State(*(part[row] for part in state)))
    return [found[at] for at in range(len(curves))]


# At level 1 it compiles in half of the time, and runs no slower.
@partial(jax.jit, static_argnames=("rounds", "particles"), compiler_options={"xla_backend_optimization_level": 1})
def _run(given: Any, *, rounds: int, particles: int) -> Any:
    curves, prior, seeds = given

    def one_law(curve: Any, mean: Any, sd: Any, weight: Any, plateaus: Any, key: Any) -> Any:
        return _adapt(curve, mean, sd, weight, plateaus, key, rounds, particles)

    def one_curve(curve: Any, mean: Any, sd: Any, weight: Any, seed: Any) -> Any:
        keys = jax.random.split(jax.random.key(seed), len(LAWS))
        plateaus = jnp.where(jnp.arange(len(LAWS)) == PLATEAU, 1.0, 0.0)
        return jax.vmap(one_law, in_axes=(None, 0, 0, 0, 0, 0))(curve, mean, sd, weight, plateaus, keys)

    return jax.vmap(one_curve)(curves, prior["mean"], prior["sd"], prior["weight"], seeds)


def _adapt(curve: Any, mean: Any, sd: Any, weight: Any, plateaus: Any, key: Any, rounds: int, particles: int) -> Any:
    size = len(CONTEXT)
    degrees = jnp.asarray(DEGREES[:size])
    slope = mean[NAMES.index("slope")], sd[NAMES.index("slope")]

    def likelihood(z: Any) -> Any:
        theta = {name: mean[at] + sd[at] * z[:, at] for at, name in enumerate(CONTEXT)}
        total, state = follow(theta, curve, slope, plateaus)
        possible = jnp.isfinite(total)
        total = jnp.where(possible, total, -jnp.inf)
        state = jax.tree.map(lambda part: jnp.where(possible, part, 0.0), state)  # it has no weight, but 0 * nan is nan
        return total + prior_density(z), state

    def prior_density(z: Any) -> Any:
        constant = gammaln((degrees + 1) / 2) - gammaln(degrees / 2) - 0.5 * jnp.log(degrees * jnp.pi)
        return (constant - (degrees + 1) / 2 * jnp.log1p(z**2 / degrees)).sum(1)

    def proposal(z: Any, at: Any, centre: Any, factor: Any) -> Any:
        """Log density of the proposal of one round: the prior, then Student-t."""
        y = jax.scipy.linalg.solve_triangular(factor, (z - centre).T, lower=True)
        constant = gammaln((_TAIL + size) / 2) - gammaln(_TAIL / 2) - size / 2 * jnp.log(_TAIL * jnp.pi) - jnp.log(jnp.diag(factor)).sum()
        return jnp.where(at == 0, prior_density(z), constant - (_TAIL + size) / 2 * jnp.log1p((y**2).sum(0) / _TAIL))

    def mixture(z: Any, proposals: Any, upto: Any) -> Any:
        """Log of the summed densities of the first proposals; shape (particle,)."""
        each = jax.vmap(lambda at, centre, factor: proposal(z, at, centre, factor))(jnp.arange(rounds), *proposals)
        return jax.nn.logsumexp(jnp.where(jnp.arange(rounds)[:, None] <= upto, each, -jnp.inf), axis=0)

    def one_round(at: Any, carry: Any) -> Any:
        z, posterior, summed, state, proposals = carry
        known = jnp.arange(len(z)) < at * particles
        log_weight = jnp.where(known, posterior - summed, jnp.where(at == 0, 0.0, -jnp.inf))
        share = jax.nn.softmax(_tempered(log_weight, 20.0 * size))
        centre = share @ z
        spread = (z - centre).T @ ((z - centre) * share[:, None]) * 1.1 + 1e-4 * jnp.eye(size)
        factor = jnp.linalg.cholesky(spread)
        one, other = jax.random.split(jax.random.fold_in(key, at))
        scale = jnp.sqrt(2 * jax.random.gamma(other, _TAIL / 2, (particles, 1)) / _TAIL)
        new = jnp.where(at == 0, first, centre + jax.random.normal(one, (particles, size)) / scale @ factor.T)
        proposals = tuple(old.at[at].set(value) for old, value in zip(proposals, (centre, factor), strict=True))
        summed = jnp.logaddexp(summed, proposal(z, at, centre, factor))

        def put(old: Any, value: Any) -> Any:
            return jax.lax.dynamic_update_slice_in_dim(old, value, at * particles, 0)

        density, last = likelihood(new)
        return put(z, new), put(posterior, density), put(summed, mixture(new, proposals, at)), jax.tree.map(put, state, last), proposals

    first = jax.random.t(jax.random.fold_in(key, rounds), degrees, (particles, size))
    empty = jnp.zeros(rounds * particles)
    proposals = jnp.zeros((rounds, size)), jnp.broadcast_to(jnp.eye(size), (rounds, size, size))
    carry = jnp.zeros((rounds * particles, size)), empty, empty, State(*[empty] * len(State._fields)), proposals
    z, posterior, summed, state, _ = jax.lax.fori_loop(0, rounds, one_round, carry)
    theta = mean[:size] + sd[:size] * z
    return theta, posterior - summed + jnp.log(rounds) + jnp.log(weight) - jnp.log(len(z)), state


def _tempered(log_weight: Any, effective: float) -> Any:
    """Flatten log weights by the largest power not above 1 that leaves so many effective draws."""

    def enough(power: Any) -> Any:
        share = jax.nn.softmax(power * jnp.where(jnp.isfinite(log_weight), log_weight, _LEAST))
        return 1 / (share**2).sum() >= effective

    def halve(_: int, bounds: Any) -> Any:
        low, high = bounds
        middle = (low + high) / 2
        good = enough(middle)
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    low, _ = jax.lax.fori_loop(0, 14, halve, (0.0, 1.0))
    return jnp.where(enough(1.0), 1.0, low) * jnp.where(jnp.isfinite(log_weight), log_weight, _LEAST)


def draws_of(particles: Particles, scaled: Scaled, prior: CurvePrior, key: int, number: int) -> dict[str, np.ndarray]:
    """Return equally weighted draws, name -> (draw,): hyper-parameters, the state at the last point, ``floor``, ``plateau`` and ``law``.

    Particles are resampled systematically; what the points do not speak of is drawn from its prior.
    """
    rng = np.random.default_rng([key, 1])
    chosen = rng.permutation(systematic(particles.weights, number, rng))  # they come sorted
    law = chosen // particles.log_weight.shape[1]
    flat = particles.theta.reshape(-1, particles.theta.shape[-1])[chosen]
    found = {name: flat[:, at] for at, name in enumerate(CONTEXT)}
    for at, name in enumerate(AHEAD, start=_AHEAD):
        found[name] = prior.mean[law, at] + prior.sd[law, at] * rng.standard_t(DEGREES[at], number)
    plateau = 1 / (1 + np.exp(-found["plateau"]))
    found |= {name: np.asarray(part).reshape(-1)[chosen] for name, part in particles.state._asdict().items()}
    found["floor"] = np.exp(scaled.v.min()) / (1 + np.exp(-found["floor"]))
    found["plateau"] = np.where(law == PLATEAU, plateau / (np.exp(scaled.v.max()) - found["floor"]), 0.0)
    return found | {"law": law}
