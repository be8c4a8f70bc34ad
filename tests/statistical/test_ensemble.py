"""An ensemble of walkers draws from posteriors whose distribution is known, however bent; the engine turns to it by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy import stats

from bayes_scaling import engine
from bayes_scaling.engine import warp
from bayes_scaling.engine.ensemble import MOST_RHAT, Walkers

CHAINS, DRAWS = 4, 1000
COLUMNS, WEIGHT = {"y": np.ones(64)}, np.ones(64)


def two_modes(z):
    """Weights 0.8 and 0.2, eight standard deviations apart."""
    both = jnp.log(0.8) + dist.Normal(-2, 0.5).log_prob(z[0]), jnp.log(0.2) + dist.Normal(2, 0.5).log_prob(z[0])
    return jnp.logaddexp(*both) - z[1] ** 2 / 2


def banana(z):
    """z0 ~ N(0, 1), z1 given z0 ~ N(z0^2, 0.05)."""
    return -(z[0] ** 2) / 2 - (z[1] - z[0] ** 2) ** 2 / (2 * 0.05**2)


def half_normal(z):
    """ln of a half-normal number: a parameter at its bound."""
    return z[0] - jnp.exp(2 * jnp.minimum(z[0], 300.0)) / 2 - z[1] ** 2 / 2


def funnel(z):
    """z0 ~ N(0, 3), the others ~ N(0, exp(z0 / 2)) (Neal 2003)."""
    return dist.Normal(0, 3).log_prob(z[0]) + dist.Normal(0, jnp.exp(z[0] / 2)).log_prob(z[1:]).sum()


KNOWN = {
    two_modes: lambda x: 0.8 * stats.norm.cdf(x, -2, 0.5) + 0.2 * stats.norm.cdf(x, 2, 0.5),
    banana: stats.norm.cdf,
    half_normal: lambda x: stats.halfnorm.cdf(np.exp(x)),
    funnel: lambda x: stats.norm.cdf(x, 0, 3),
}


def model_of(log_density, size):
    """Return a model whose posterior has this density."""

    def model(columns, weight):
        # A wide prior to begin somewhere, taken out again.
        prior = dist.Normal(0.0, 3.0).expand([size]).to_event(1)
        z = numpyro.sample("z", prior)
        numpyro.factor("density", log_density(z) - prior.log_prob(z) + 0.0 * (columns["y"] * weight).sum())

    return model


def distance(values, cdf, effective):
    """Kolmogorov-Smirnov distance of draws from a distribution, in units of what chance makes of so many."""
    level = np.sort(cdf(np.ravel(values)))
    return np.abs(level - (np.arange(len(level)) + 0.5) / len(level)).max() * np.sqrt(effective)


@pytest.mark.parametrize("log_density", KNOWN, ids=lambda f: f.__name__)
def test_known_posteriors(log_density):
    """The first coordinate has its exact distribution: a wrong one fails; a right one does so with probability 1e-3."""
    size = 5 if log_density is funnel else 2
    rng = np.random.default_rng(3)
    with jax.enable_x64(True):
        density = engine.Density(model_of(log_density, size), COLUMNS, WEIGHT)
        data = density.arguments(COLUMNS, WEIGHT)
        walkers = Walkers(density, data, CHAINS, jax.devices("cpu")[0])
        found = walkers(2 * rng.standard_normal((500, size)), DRAWS, data, rng)
        assert found.z.shape == (CHAINS, DRAWS, size)
        assert found.walker_rhat < MOST_RHAT
        potential = jax.vmap(lambda z: density.potential(z, *data))(found.z.reshape(-1, size))
    assert np.allclose(found.potential.ravel(), potential)
    assert 0.1 < found.acceptance.mean() < 0.9
    ess = engine.convergence.statistics(found.z)
    assert distance(found.z[..., 0], KNOWN[log_density], ess["ess_bulk"][0]) < 1.95


def test_the_engine_turns_to_it_where_trajectories_have_trouble():
    """Trajectories diverge in a funnel, and miss its neck."""
    size = 6
    with jax.enable_x64(True):
        density = engine.Density(model_of(funnel, size), COLUMNS, WEIGHT)
        tasks = [engine.Task(COLUMNS, WEIGHT, engine.Sampler(draws=DRAWS, method=method)) for method in ("auto", "importance")]
        found = dict(engine.sample_each(density, tasks, jax.devices("cpu")[0]))
    assert (found[0].method, found[0].attempts, found[0].ebfmi) == ("ensemble", 2, None)
    assert (found[1].method, found[1].attempts) == ("ensemble", 1)
    for draws in found.values():
        assert draws.walker_rhat < MOST_RHAT
        cdf = KNOWN[funnel]
        assert distance(draws.sites["z"][..., 0], cdf, draws.convergence["ess_bulk"][0]) < 1.95


def test_few_draws_to_begin_from_are_enough():
    """Fewer than walkers, and all that is wanted are a few."""
    told = []
    with jax.enable_x64(True):
        density = engine.Density(model_of(banana, 2), COLUMNS, WEIGHT)
        data = density.arguments(COLUMNS, WEIGHT)
        walkers = Walkers(density, data, 3, jax.devices("cpu")[0])
        found = walkers(
            np.random.default_rng(0).standard_normal((5, 2)), 7, data, np.random.default_rng(1),
            progress=lambda *counts: told.append(counts),
        )  # fmt: skip
    assert found.z.shape == (3, 7, 2)
    assert told[-1][0] == told[-1][1]


@pytest.fixture(scope="module")
def bent():
    """Points about a banana and a funnel on it."""
    rng = np.random.default_rng(0)
    first = rng.standard_normal(4000)
    second = first**2 + 0.1 * rng.standard_normal(4000)
    third = np.exp(0.5 * first) * rng.standard_normal(4000)
    return np.stack([10 + 3 * first, second, third], axis=1)


def test_a_warp_is_one_to_one_and_knows_its_volume(bent):
    map_ = warp.fitted(bent)
    w = np.random.default_rng(1).standard_normal((20, 3)) * 3
    with jax.enable_x64(True):
        z, volume = jax.vmap(map_.forward)(jnp.asarray(w))
        jacobian = jax.vmap(jax.jacobian(lambda w: map_.forward(w)[0]))(jnp.asarray(w))
    assert np.allclose(map_.backward(np.asarray(z)), w, atol=1e-9)
    assert np.allclose(np.linalg.slogdet(np.asarray(jacobian))[1], volume, atol=1e-9)


def test_a_warp_straightens(bent):
    """The new coordinates are hardly correlated, nor are their squares."""
    w = warp.fitted(bent).backward(bent)
    assert np.allclose(np.cov(w.T), np.eye(3), atol=0.2)
    before = np.abs(np.corrcoef((((bent - bent.mean(0)) / bent.std(0)) ** 2).T) - np.eye(3)).max()
    after = np.abs(np.corrcoef((w**2).T) - np.eye(3)).max()
    assert before > 0.4
    assert after < 0.3
