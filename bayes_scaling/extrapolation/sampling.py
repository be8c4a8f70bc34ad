"""Posteriors of many curves at once, by adaptive multiple importance sampling.

Six hyper-parameters and two laws remain once the filter has taken up level, slope and exponent. Rounds of particles come from the prior,
then from Student-t proposals fitted to all particles so far, tempered until enough of them count; every particle is weighted against the
mixture of all proposals (deterministic mixture weights: Cornuet et al. 2012, doi:10.1111/j.1467-9469.2011.00756.x). No chain has to cross
from one mode to another, and the evidence of each law comes with it. Effective draws and Pareto k (Vehtari et al. 2024, JMLR 25:72)
certify the result; curves that lack them are sampled again with more rounds.
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
from bayes_scaling.extrapolation.prior import LAWS, NAMES, CurvePrior
from bayes_scaling.extrapolation.state_space import AHEAD, CONTEXT, follow

PARTICLES, ROUNDS, MORE_ROUNDS = 1024, 6, 18
CHUNK = 16
LEAST_EFFECTIVE = 400.0
_TAIL, _NORMAL = 5.0, 200.0  # degrees of freedom of proposals, and of what is normal
_AHEAD = len(CONTEXT)  # where, in NAMES, those begin that the measured points do not speak of


@dataclass(frozen=True)
class Particles:
    """Weighted particles of one curve under both laws; arrays over law and particle.

    ``theta`` (law, particle, name) in the order of ``NAMES`` without the slope; ``log_weight`` (law, particle): unnormalised, with the
    evidence and prior probability of the law in it, so that their exponentials over both laws sum to the evidence.
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


def sample_once(curves: Sequence[Scaled], priors: Sequence[CurvePrior], keys: Sequence[int], rounds: int = ROUNDS) -> list[Particles]:
    """Sample without a second attempt; curves with points beyond their context are sampled in what lies beyond, too."""
    ahead = any(curve.ahead.any() for curve in curves)
    found: dict[int, Particles] = {}
    with jax.enable_x64(True):
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
                theta, log_weight, state = jax.device_get(_run(arrays, prior, seeds, rounds=rounds, ahead=ahead))
                for row, at in enumerate(rows):
                    found[at] = Particles(theta[row], log_weight[row], State(*(part[row] for part in state)))
    return [found[at] for at in range(len(curves))]


# At level 1 it compiles in half of the time, and runs no slower.
@partial(jax.jit, static_argnames=("rounds", "ahead"), compiler_options={"xla_backend_optimization_level": 1})
def _run(curves: Any, prior: Any, seeds: Any, *, rounds: int, ahead: bool) -> Any:
    def one_law(curve: Any, mean: Any, sd: Any, weight: Any, plateaus: Any, key: Any) -> Any:
        return _adapt(curve, mean, sd, weight, plateaus, key, rounds, (*CONTEXT, *AHEAD) if ahead else CONTEXT)

    def one_curve(curve: Any, mean: Any, sd: Any, weight: Any, seed: Any) -> Any:
        keys = jax.random.split(jax.random.key(seed), len(LAWS))
        return jax.vmap(one_law, in_axes=(None, 0, 0, 0, 0, 0))(curve, mean, sd, weight, jnp.arange(len(LAWS)) * 1.0, keys)

    return jax.vmap(one_curve)(curves, prior["mean"], prior["sd"], prior["weight"], seeds)


def _adapt(curve: Any, mean: Any, sd: Any, weight: Any, plateaus: Any, key: Any, rounds: int, names: tuple[str, ...]) -> Any:
    size = len(names)
    slope = mean[NAMES.index("slope")], sd[NAMES.index("slope")]

    def likelihood(z: Any) -> Any:
        theta = {name: mean[at] + sd[at] * z[:, at] for at, name in enumerate(names)}
        total, state = follow(theta, curve, slope, plateaus)
        possible = jnp.isfinite(total)
        total = jnp.where(possible, total, -jnp.inf)
        state = jax.tree.map(lambda part: jnp.where(possible, part, 0.0), state)  # it has no weight, but 0 * nan is nan
        return total - 0.5 * (z**2).sum(1) - size / 2 * jnp.log(2 * jnp.pi), state

    def proposal(z: Any, centre: Any, factor: Any, tail: Any) -> Any:
        y = jax.scipy.linalg.solve_triangular(factor, (z - centre).T, lower=True)
        constant = gammaln((tail + size) / 2) - gammaln(tail / 2) - size / 2 * jnp.log(tail * jnp.pi) - jnp.log(jnp.diag(factor)).sum()
        return constant - (tail + size) / 2 * jnp.log1p((y**2).sum(0) / tail)

    def mixture(z: Any, proposals: Any, upto: Any) -> Any:
        """Log of the summed densities of the first proposals; shape (particle,)."""
        each = jax.vmap(lambda centre, factor, tail: proposal(z, centre, factor, tail))(*proposals)
        return jax.nn.logsumexp(jnp.where(jnp.arange(rounds)[:, None] <= upto, each, -jnp.inf), axis=0)

    def one_round(at: Any, carry: Any) -> Any:
        z, posterior, summed, state, proposals = carry
        known = jnp.arange(len(z)) < at * PARTICLES
        log_weight = jnp.where(known, posterior - summed, jnp.where(at == 0, 0.0, -jnp.inf))
        share = jax.nn.softmax(_tempered(log_weight, 20.0 * size))
        centre = share @ z
        spread = (z - centre).T @ ((z - centre) * share[:, None]) * 1.1 + 1e-4 * jnp.eye(size)
        # The first round is from the prior: a t of so many degrees of freedom that it is normal.
        factor = jnp.where(at == 0, jnp.eye(size), jnp.linalg.cholesky(spread))
        tail = jnp.where(at == 0, _NORMAL, _TAIL)
        one, other = jax.random.split(jax.random.fold_in(key, at))
        scale = jnp.sqrt(2 * jax.random.gamma(other, tail / 2, (PARTICLES, 1)) / tail)
        new = centre + jax.random.normal(one, (PARTICLES, size)) / scale @ factor.T
        proposals = tuple(old.at[at].set(value) for old, value in zip(proposals, (centre, factor, tail), strict=True))
        summed = jnp.logaddexp(summed, proposal(z, centre, factor, tail))

        def put(old: Any, value: Any) -> Any:
            return jax.lax.dynamic_update_slice_in_dim(old, value, at * PARTICLES, 0)

        density, last = likelihood(new)
        return put(z, new), put(posterior, density), put(summed, mixture(new, proposals, at)), jax.tree.map(put, state, last), proposals

    empty = jnp.zeros(rounds * PARTICLES)
    proposals = jnp.zeros((rounds, size)), jnp.broadcast_to(jnp.eye(size), (rounds, size, size)), jnp.full(rounds, _TAIL)
    carry = jnp.zeros((rounds * PARTICLES, size)), empty, empty, State(*[empty] * len(State._fields)), proposals
    z, posterior, summed, state, _ = jax.lax.fori_loop(0, rounds, one_round, carry)
    theta = mean[:size] + sd[:size] * z
    return theta, posterior - summed + jnp.log(rounds) + jnp.log(weight) - jnp.log(len(z)), state


def _tempered(log_weight: Any, effective: float) -> Any:
    """Flatten log weights by the largest power not above 1 that leaves so many effective draws."""

    def enough(power: Any) -> Any:
        share = jax.nn.softmax(power * jnp.where(jnp.isfinite(log_weight), log_weight, -1e300))
        return 1 / (share**2).sum() >= effective

    def halve(_: int, bounds: Any) -> Any:
        low, high = bounds
        middle = (low + high) / 2
        good = enough(middle)
        return jnp.where(good, middle, low), jnp.where(good, high, middle)

    low, _ = jax.lax.fori_loop(0, 14, halve, (0.0, 1.0))
    return jnp.where(enough(1.0), 1.0, low) * jnp.where(jnp.isfinite(log_weight), log_weight, -1e300)


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
        found[name] = prior.mean[law, at] + prior.sd[law, at] * rng.standard_normal(number)
    plateau = 1 / (1 + np.exp(-found["plateau"]))
    found |= {name: np.asarray(part).reshape(-1)[chosen] for name, part in particles.state._asdict().items()}
    found["floor"] = np.exp(scaled.v.min()) / (1 + np.exp(-found["floor"]))
    found["plateau"] = np.where(law == 1, plateau / (np.exp(scaled.v.max()) - found["floor"]), 0.0)
    return found | {"law": law}
