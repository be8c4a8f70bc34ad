"""The no-U-turn sampler as a machine that takes one leapfrog step at a time.

A trajectory of the no-U-turn sampler is a tree within a loop within a loop (Hoffman & Gelman 2014). Run for many chains side by side, each
loop waits for the chain that needs it longest. Here every chain carries where it stands in its own tree, and one loop moves all of them by
one leapfrog step: no chain waits for another, the density appears once in the program (compiling it is most of what a first fit costs),
and a GPU sees one flat loop (Dance et al. 2025 on samplers as state machines).

Trajectories are sampled by multinomial weights, with biased progressive sampling between doublings and the generalised U-turn criterion
(Betancourt 2017, appendix A.3 and A.4.2), checked within a doubling at the ends of its balanced subtrees (Phan et al. 2019, section 3).
The metric is the identity: callers whiten. Random numbers come from outside, so that they are the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MAX_DEPTH = 10  # doublings a trajectory
BLOCK = 32  # leapfrog steps between two looks at who is done
_DIVERGED = 1000.0  # nats of energy error
_FIRST_STEP = 0.5  # in whitened coordinates

#: What is told of each draw, besides its position: see `advance`.
STATISTICS = ("potential", "energy", "n_steps", "acceptance_rate", "diverging", "step_size")


class Steps(NamedTuple):
    """Step size by dual averaging (Hoffman & Gelman 2014, equation 6; drawn to twice the first step, not to ten times): its state."""

    centre: Any
    log_step: Any
    log_mean: Any
    error: Any
    count: Any

    @staticmethod
    def fresh(log_step: Any) -> Steps:
        """Return the state before any iteration, for adaptation that starts from a step."""
        log_step = np.asarray(log_step)
        return Steps(log_step + np.log(2.0), log_step, log_step, np.zeros_like(log_step), np.zeros_like(log_step))

    @staticmethod
    def first(shape: tuple[int, ...]) -> Steps:
        return Steps.fresh(np.full(shape, np.log(_FIRST_STEP)))

    def after(self, acceptance: Any, target: Any) -> Steps:
        """Return the state after one more iteration."""
        count = self.count + 1
        error = self.error + (target - acceptance - self.error) / (count + 10)
        log_step = self.centre - error * jnp.sqrt(count) / 0.05
        return Steps(self.centre, log_step, self.log_mean + count**-0.75 * (log_step - self.log_mean), error, count)


class Randomness(NamedTuple):
    """Random numbers of a stretch of iterations of a chain.

    ``kicks`` are standard normal momenta, (iteration, size); ``luck`` uniform numbers in [0, 1), (iteration, MAX_DEPTH, 3): which point of
    a doubling is its candidate, whether it is taken, and where the doubling goes.
    """

    kicks: Any
    luck: Any

    @staticmethod
    def draw(rng: np.random.Generator, shape: tuple[int, ...], size: int, dtype: Any) -> Randomness:
        return Randomness(rng.standard_normal((*shape, size), dtype), rng.random((*shape, MAX_DEPTH, 3), dtype))


class Settings(NamedTuple):
    """Numbers that a compiled program takes as they come, for each data set.

    ``target`` acceptance that the step size is adapted to while ``adapting`` (otherwise it stays); ``length`` iterations to do, at most as
    many as there are random numbers for; ``depth`` doublings a trajectory at most, of MAX_DEPTH.
    """

    target: Any
    adapting: Any
    length: Any
    depth: Any


class _Chain(NamedTuple):
    """Where a chain stands. A point is position, gradient, potential and energy in one vector (2 size + 2)."""

    ends: Any  # left and right: position, momentum, gradient; (2, 3, size)
    chosen: Any  # point that the trajectory would return now
    candidate: Any  # point that its newest doubling would put forward
    sums: Any  # of momenta, over the trajectory and over its newest doubling, (2, size)
    weights: Any  # log of the summed weights of both, (2,)
    marks: Any  # momentum, and sum of momenta up to there, at the starts of open subtrees, (MAX_DEPTH, 2, size)
    luck: Any  # of the newest doubling, (2,)
    right: Any  # where it goes
    depth: Any  # doublings done; -1: the potential at the start is still unknown
    leaf: Any  # points of the newest doubling so far
    energy: Any  # at the start of the trajectory
    accepted: Any  # sum of acceptance probabilities
    taken: Any  # leapfrog steps of this trajectory
    steps: Steps
    count: Any  # draws done


def _turning(left: Any, right: Any, total: Any) -> Any:
    inner = total - (left + right) / 2  # the ends count half: a trajectory is as long as the way between its ends
    return (jnp.sum(left * inner, -1) <= 0) | (jnp.sum(right * inner, -1) <= 0)


def _start(position: Any, steps: Steps) -> _Chain:
    size, dtype = position.shape[-1], position.dtype
    at = jnp.stack([position, jnp.zeros_like(position), jnp.zeros_like(position)])
    point, zero = jnp.zeros(2 * size + 2, dtype), jnp.zeros((), dtype)
    return _Chain(
        ends=jnp.stack([at, at]),
        chosen=point,
        candidate=point,
        sums=jnp.zeros((2, size), dtype),
        weights=jnp.zeros(2, dtype),
        marks=jnp.zeros((MAX_DEPTH, 2, size), dtype),
        luck=jnp.full(2, 0.5, dtype),
        right=jnp.asarray(True),
        depth=jnp.asarray(-1),
        leaf=jnp.asarray(0),
        energy=zero,
        accepted=zero,
        taken=zero,
        steps=steps,
        count=jnp.asarray(0),
    )


def _step(slope: Callable, random: Randomness, how: Settings, chain: _Chain) -> tuple[_Chain, tuple]:
    """Take one leapfrog step; return the chain, a row (position and STATISTICS) and the iteration that it ends, or one too many if none."""
    size = chain.sums.shape[-1]
    unknown = chain.depth < 0  # a step of no length finds potential and gradient at the start
    log_step = jnp.where(how.adapting, chain.steps.log_step, chain.steps.log_mean)
    h = jnp.where(unknown, 0.0, jnp.where(chain.right, 1.0, -1.0) * jnp.exp(log_step))
    x, p, g = jnp.where(chain.right, chain.ends[1], chain.ends[0])
    p = p - h / 2 * g
    x = x + h * p
    potential, g = slope(x)
    p = p - h / 2 * g
    energy = potential + jnp.sum(p * p) / 2
    change = energy - chain.energy
    change = jnp.where(jnp.isnan(change), jnp.inf, change)
    diverging = change > _DIVERGED
    accepted = chain.accepted + jnp.exp(-jnp.maximum(change, 0.0))
    taken = chain.taken + 1
    point = jnp.concatenate([x, g, jnp.stack([potential, energy])])

    # The doubling grows by this point, which becomes its candidate in proportion to its weight. What is left of the uniform number is
    # uniform again, so that one serves a whole doubling.
    weight = jnp.logaddexp(chain.weights[1], -change)
    probability = jnp.exp(-change - weight)
    put_forward = (chain.leaf == 0) | (chain.luck[0] < probability)
    left_over = jnp.where(put_forward, chain.luck[0] / probability, (chain.luck[0] - probability) / (1 - probability))
    candidate = jnp.where(put_forward, point, chain.candidate)
    total = chain.sums[1] + p
    level = jnp.arange(MAX_DEPTH)
    deepest = jax.lax.population_count(chain.leaf >> 1)
    closed = jax.lax.population_count((~chain.leaf & (chain.leaf + 1)) - 1)  # subtrees that this point completes
    opens = (level == deepest) & (closed == 0)
    marks = jnp.where(opens[:, None, None], jnp.stack([p, total]), chain.marks)
    within = (level > deepest - closed) & (level <= deepest)
    turned = jnp.any(within & _turning(marks[:, 0], p, total - marks[:, 1] + marks[:, 0]))
    ends = jnp.where((jnp.arange(2) == chain.right)[:, None, None], jnp.stack([x, p, g]), chain.ends)

    # A doubling that is complete joins the trajectory, unless it turned or diverged.
    bad = turned | diverging
    complete = bad | (chain.leaf + 1 == 1 << jnp.maximum(chain.depth, 0))
    joins = complete & ~bad
    chosen = jnp.where(joins & (chain.luck[1] < jnp.exp(weight - chain.weights[0])), candidate, chain.chosen)
    whole = chain.sums[0] + jnp.where(joins, total, 0.0)
    whole_weight = jnp.where(joins, jnp.logaddexp(chain.weights[0], weight), chain.weights[0])
    ended = complete & (bad | _turning(ends[0, 1], ends[1, 1], whole) | (chain.depth + 1 >= how.depth))
    draws = ended & ~unknown
    ended = ended | unknown
    chosen = jnp.where(unknown, point, chosen)
    acceptance = accepted / taken
    told = jnp.stack([*chosen[-2:], taken, acceptance, diverging.astype(x.dtype), jnp.exp(log_step)])
    count = chain.count + draws
    adapted = chain.steps.after(acceptance, how.target)

    # What comes next: the next point, the next doubling, or the next trajectory.
    turn = ended | complete
    depth = jnp.where(ended, 0, chain.depth + complete)
    last = random.kicks.shape[0] - 1
    kick, luck = random.kicks[jnp.minimum(count, last)], random.luck[jnp.minimum(count, last), depth]
    start = jnp.stack([chosen[:size], kick, chosen[size : 2 * size]])
    energy = chosen[-2] + jnp.sum(kick * kick) / 2  # with the new momentum; it is this trajectory's if it returns where it began
    after = _Chain(
        ends=jnp.where(ended, start, ends),
        chosen=jnp.where(ended, chosen.at[-1].set(energy), chosen),
        candidate=candidate,
        sums=jnp.stack([jnp.where(ended, kick, whole), jnp.where(turn, 0.0, total)]),
        weights=jnp.stack([jnp.where(ended, 0.0, whole_weight), jnp.where(turn, -jnp.inf, weight)]),
        marks=marks,
        luck=jnp.where(turn, luck[:2], jnp.stack([left_over, chain.luck[1]])),
        right=jnp.where(turn, luck[2] < 0.5, chain.right),
        depth=depth,
        leaf=jnp.where(turn, 0, chain.leaf + 1),
        energy=jnp.where(ended, energy, chain.energy),
        accepted=jnp.where(ended, 0.0, accepted),
        taken=jnp.where(ended, 0.0, taken),
        steps=jax.tree.map(lambda new, old: jnp.where(draws & how.adapting, new, old), adapted, chain.steps),
        count=count,
    )
    # A chain that is done waits as it is: what it draws must not depend on how long others need.
    active = chain.count < how.length
    after = jax.tree.map(lambda new, old: jnp.where(active, new, old), after, chain)
    return after, (jnp.concatenate([chosen[:size], told]), jnp.where(draws & active, chain.count, last + 1))


def begin(position: Any, steps: Steps) -> Any:
    """Return the state of chains at a position, (data set, chain, size), before their first step. Traceable."""
    return jax.vmap(jax.vmap(_start))(position, steps)


def blank(random: Randomness, dtype: Any) -> Any:
    """Return an array for the rows of chains with so many random numbers: see `advance`."""
    sets, chains, most, size = random.kicks.shape
    return jnp.zeros((sets, chains, most + 1, size + len(STATISTICS)), dtype)  # one more, for steps that end no iteration


def done(state: Any, how: Settings) -> Any:
    """Return which data sets have all the draws that were asked for, (data set,)."""
    return jnp.all(state.count >= how.length[:, None], axis=1)


def advance(slope: Callable, data: Any, state: Any, rows: Any, random: Randomness, how: Settings, enough: Any) -> tuple[Any, Any]:
    """Move chains until so many data sets have ``how.length`` draws of each chain. Traceable.

    Parameters
    ----------
    slope : ``slope(data, x) -> (potential, gradient)`` of one data set at a position of shape (size,)
    data : passed to ``slope``; every array has a leading axis of data sets
    state : of the chains, see `begin`; or as this function returned it, to go on with those that are not done
    rows : position and STATISTICS of each iteration so far, (data set, chain, most iterations + 1, size + 6)
    random : of shape (data set, chain, most iterations, ...)
    how : settings of each data set, arrays of shape (data set,)
    enough : number of data sets that are done at which to return; the others are left where they are

    Returns
    -------
    state, rows : as they are now
    """

    def one(data: Any, how: Settings, random: Randomness, chain: _Chain) -> tuple[_Chain, tuple]:
        return _step(lambda x: slope(data, x), random, how, chain)

    every = jax.vmap(jax.vmap(one, in_axes=(None, None, 0, 0)))

    def block(carried: tuple) -> tuple:
        state, rows = carried
        state, (row, slot) = jax.lax.scan(lambda state, _: every(data, how, random, state), state, length=BLOCK)
        keep = jax.vmap(jax.vmap(lambda rows, slot, row: rows.at[slot].set(row), in_axes=(0, 1, 1)), in_axes=(0, 1, 1))
        return state, keep(rows, slot, row)

    def unfinished(carried: tuple) -> Any:
        return jnp.sum(done(carried[0], how)) < enough

    return jax.lax.while_loop(unfinished, block, (state, rows))
