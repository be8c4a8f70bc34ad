"""The sampler's transition leaves a distribution as it is, and chains do not feel each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bayes_scaling.engine import nuts

CHAINS, ITERATIONS = 10_000, 12


def banana(x):
    """x0 ~ N(0, 1), x1 given x0 ~ N(x0^2, 0.5)."""
    return x[0] ** 2 / 2 + (x[1] - x[0] ** 2) ** 2 / (2 * 0.5**2)


def exact_banana(rng):
    first = rng.normal(size=CHAINS)
    return np.stack([first, first**2 + 0.5 * rng.normal(size=CHAINS)], axis=1)


def funnel(x):
    """x0 ~ N(0, 0.8), x1 given x0 ~ N(0, exp(x0))."""
    return x[0] ** 2 / (2 * 0.8**2) + x[1] ** 2 * jnp.exp(-2 * x[0]) / 2 + x[0]


def exact_funnel(rng):
    first = 0.8 * rng.normal(size=CHAINS)
    return np.stack([first, np.exp(first) * rng.normal(size=CHAINS)], axis=1)


def truncated(x):
    """A standard normal cut off at 0, where the density is zero: proposals beyond have infinite potential."""
    return jnp.where(x[0] > 0, x[0] ** 2 / 2, jnp.inf) + x[1] ** 2 / 2


def exact_truncated(rng):
    return np.stack([np.abs(rng.normal(size=CHAINS)), rng.normal(size=CHAINS)], axis=1)


def draw(potential, start, steps, random, target=0.8, adapting=False, length=ITERATIONS, depth=nuts.MAX_DEPTH):
    """Return rows, (data set, chain, iteration, coordinates and statistics), and steps, (data set, chain)."""
    each = [np.full(len(start), value) for value in (target, adapting, length, depth)]

    def moved(start, steps, random):
        state, rows = nuts.begin(start, steps), nuts.blank(random, start.dtype)
        slope = lambda _, x: jax.value_and_grad(potential)(x)  # noqa: E731
        state, rows = nuts.advance(slope, (), state, rows, random, nuts.Settings(*each), len(start))
        return rows[:, :, :-1], state.steps

    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, jax.jit(moved)(start, steps, random))


def run(potential, start, step, depth=nuts.MAX_DEPTH, seed=0, iterations=ITERATIONS):
    rng = np.random.default_rng(seed)
    chains = len(start)
    random = nuts.Randomness.draw(rng, (1, chains, iterations), start.shape[1], float)
    steps = nuts.Steps.fresh(np.full((1, chains), np.log(step)))
    return draw(potential, start[None], steps, random, length=iterations, depth=depth)[0][0]


@pytest.mark.parametrize(
    ("potential", "exact", "step", "depth"),
    [
        (banana, exact_banana, 0.5, 10),
        (banana, exact_banana, 0.2, 10),
        (banana, exact_banana, 0.2, 2),  # trajectories that are cut off
        (funnel, exact_funnel, 0.7, 10),
        (truncated, exact_truncated, 0.8, 10),
    ],
)
def test_exact_draws_stay_exact(potential, exact, step, depth):
    """10 000 chains begin at independent exact draws; after 12 transitions they still are exact draws, whatever the step.

    Kolmogorov-Smirnov tests of both coordinates, their product and the potential; a right kernel fails one with probability 1e-3 (over
    seeds; the seed is fixed). Large steps, so that weights, rejected doublings and divergences matter.
    """
    start = exact(np.random.default_rng(1))
    rows = run(potential, start, step, depth)
    end = rows[:, -1, :2]
    assert np.mean(np.any(end != start, axis=1)) > 0.9  # they have moved
    other = exact(np.random.default_rng(2))
    heights = [np.asarray(jax.vmap(potential)(jnp.asarray(part))) for part in (end, other)]
    pairs = [*zip(end.T, other.T, strict=True), (end.prod(axis=1), other.prod(axis=1)), tuple(heights)]
    for mine, theirs in pairs:
        assert stats.ks_2samp(mine, theirs).pvalue > 1e-3 / len(pairs) / 5
    steps = rows[:, :, 2 + nuts.STATISTICS.index("n_steps")]
    assert steps.max() <= 2**depth - 1
    if depth > 2:
        assert len(np.unique(steps)) > 2  # trajectories of several lengths


def test_energies_are_of_the_point_and_its_momentum():
    """E-BFMI of a normal posterior is about 1, also where most proposals are refused; potential and energy differ by a momentum."""
    start = np.random.default_rng(1).normal(size=(50, 6))
    rows = run(lambda x: jnp.sum(x**2) / 2, start, 1.9, iterations=400)
    potential, energy = (rows[:, :, 6 + nuts.STATISTICS.index(name)] for name in ("potential", "energy"))
    assert potential == pytest.approx(np.sum(rows[:, :, :6] ** 2, axis=2) / 2)
    stayed = np.all(rows[:, 1:, :6] == rows[:, :-1, :6], axis=2)
    assert 0.3 < stayed.mean() < 0.95
    momentum = (energy - potential)[:, 1:][stayed]
    assert np.mean(momentum) == pytest.approx(3, rel=0.25)  # half of six squares, of those whose trajectory was refused
    assert np.all(energy > potential)
    change, spread = np.mean(np.diff(energy, axis=1) ** 2, axis=1), np.var(energy, axis=1)
    assert np.mean(change) / np.mean(spread) > 0.6


def test_a_chain_does_not_feel_the_others():
    start = exact_banana(np.random.default_rng(1))[:6]
    rng = np.random.default_rng(0)
    random = nuts.Randomness.draw(rng, (1, 6, 30), 2, float)
    steps = nuts.Steps.first((1, 6))
    every, after = draw(banana, start[None], steps, random, adapting=True, length=25)
    few, after_few = draw(banana, start[None, 2:4], *jax.tree.map(lambda values: values[:, 2:4], (steps, random)), adapting=True, length=25)
    assert np.asarray(every)[:, 2:4] == pytest.approx(np.asarray(few), rel=1e-9)
    assert np.asarray(after.log_mean)[:, 2:4] == pytest.approx(np.asarray(after_few.log_mean), rel=1e-9)
    assert not np.any(np.asarray(every)[:, :, 25:])
    assert np.all(np.asarray(every)[:, :, :25, 2 + nuts.STATISTICS.index("n_steps")] > 0)


def test_steps_reach_their_target():
    start = np.random.default_rng(1).normal(size=(200, 5))
    random = nuts.Randomness.draw(np.random.default_rng(0), (1, 200, 300), 5, float)
    for target in (0.7, 0.95):
        _, steps = draw(lambda x: jnp.sum(x**2) / 2, start[None], nuts.Steps.first((1, 200)), random, target, True, 300)
        rows = run(lambda x: jnp.sum(x**2) / 2, start, float(np.exp(np.mean(steps.log_mean))), iterations=100)
        reached = rows[:, :, 5 + nuts.STATISTICS.index("acceptance_rate")].mean()
        assert reached == pytest.approx(target, abs=0.08)  # averaged steps are a little shorter than the last ones
