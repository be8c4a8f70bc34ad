"""Coordinates of pooled values: the posterior is the same in all of them, and the engine's choice samples it well."""

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from scipy.special import logsumexp

from bayes_scaling.engine import Density, Sampler, Shear, Task, pad, sample_each
from bayes_scaling.engine.groups import Recentring
from bayes_scaling.model import POOL_SPREAD, _pooled

GROUPS = 16
#: Standard error of each group's value, beside a spread of 0.14 expected: known, unknown, half and half, everything between.
ERRORS = {
    "informed": np.full(GROUPS, 0.01),
    "uninformed": np.full(GROUPS, 1.0),
    "mixed": np.repeat([0.01, 1.0], GROUPS // 2),
    "graded": np.geomspace(0.01, 1.0, GROUPS),
}


def model(columns, weight):
    """Each run measures the value of its own group, with a known error."""
    values = _pooled("value", dist.Normal(0.0, 1.0), GROUPS)
    with numpyro.plate("run", len(weight)), numpyro.handlers.mask(mask=weight > 0):
        numpyro.sample("y", dist.Normal(values[columns["group"].astype(int)], columns["error"]), obs=columns["y"])


def measured(error, seed=0):
    rng = np.random.default_rng(seed)
    values = 0.5 + 0.2 * rng.normal(size=GROUPS)
    return pad({"group": np.arange(float(GROUPS)), "error": error, "y": values + error * rng.normal(size=GROUPS)})


def exact(columns):
    """Return ln(spread) on a grid, its posterior mass there, and the posterior mean of each group's value: sums over the grid."""
    y, error = columns["y"][:GROUPS], columns["error"][:GROUPS]
    grid = POOL_SPREAD[0] + POOL_SPREAD[1] * np.linspace(-6, 6, 2001)
    log_mass, means = [], []
    for log_spread in grid:
        variance = np.exp(2 * log_spread) + error**2
        covariance = np.diag(variance) + 1.0  # the centre is N(0, 1)
        solved = np.linalg.solve(covariance, y)
        log_mass.append(
            -0.5 * y @ solved - 0.5 * np.linalg.slogdet(covariance)[1] - 0.5 * ((log_spread - POOL_SPREAD[0]) / POOL_SPREAD[1]) ** 2
        )
        means.append((np.exp(2 * log_spread) * np.eye(GROUPS) + 1.0) @ solved)
    mass = np.exp(np.array(log_mass) - logsumexp(log_mass))
    return grid, mass, mass @ np.array(means)


@pytest.mark.parametrize("kind", ERRORS)
def test_spread_and_values_of_normal_groups_are_exact(kind):
    """Quantiles of the spread and means of the values, against sums over a grid (4 standard errors), at the first attempt."""
    with jax.enable_x64(True):
        columns, weight = measured(ERRORS[kind])
        density = Density(model, columns, weight)
        ((_, draws),) = sample_each(density, [Task(columns, weight, Sampler(persistent=False))], jax.devices("cpu")[0])
    found = draws.convergence
    assert found["rhat"].max() < 1.01
    assert min(found["ess_bulk"].min(), found["ess_tail"].min()) > 400
    assert not draws.stats["diverging"].any()
    grid, mass, means = exact(columns)
    log_spread = np.log(draws.sites["value_spread"])
    for p in (0.02, 0.1, 0.5, 0.9, 0.98):
        at = np.interp(p, np.cumsum(mass), grid)
        assert np.mean(log_spread < at) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400)), p
    values = draws.sites["value"].reshape(-1, GROUPS)
    assert np.all(np.abs(values.mean(axis=0) - means) < 4 * values.std(axis=0) / np.sqrt(400))


def test_groups_are_centred_as_far_as_their_runs_inform_them():
    """The fraction is the weight of a group's own measurement, spread^2 / (spread^2 + error^2), whatever coordinates the draws are in."""
    cpu, rng = jax.devices("cpu")[0], np.random.default_rng(3)
    with jax.enable_x64(True):
        columns, weight = measured(ERRORS["graded"])
        density = Density(model, columns, weight)
        own = 0.2**2 / (0.2**2 + ERRORS["graded"] ** 2)  # exact draws where centre and spread are known nearly
        sites = {"value_center": 0.5 + 0.01 * rng.normal(size=(2, 300)), "value_spread": 0.2 * np.exp(0.02 * rng.normal(size=(2, 300)))}
        middle = own * columns["y"][:GROUPS] + (1 - own) * sites["value_center"][..., None]
        sites["value"] = middle + np.sqrt(1 - own) * sites["value_spread"][..., None] * rng.normal(size=(2, 300, GROUPS))
        draws = np.asarray(jax.vmap(jax.vmap(lambda values: density.unconstrain(values, columns, weight)))(sites))
        recentre = Recentring(density, density.arguments(columns, weight), cpu)
        data, moved, whitening = recentre(density.arguments(columns, weight), draws)
        again, twice, _ = recentre(data, moved)
    assert data[2][0][density.places["value"]] == pytest.approx(own, abs=0.15)
    assert again[2][0] == pytest.approx(data[2][0])
    assert twice == pytest.approx(moved)
    # Centre and spread are nearly known here, so that the scale of a value is the one that it has given them.
    places = density.places["value"]
    precision = np.linalg.inv(whitening @ whitening.T)
    assert 1 / np.sqrt(np.diagonal(precision)[places]) == pytest.approx(moved.std(axis=(0, 1))[places], rel=0.2)


def sheared(columns, weight):
    a = _pooled("a", dist.LogNormal(0.0, 1.0), 3)
    p = _pooled("p", dist.LogNormal(-1.0, 0.5), 3)
    q = numpyro.sample("q", dist.Beta(2.0, 2.0))
    group = columns["group"].astype(int)
    with numpyro.plate("run", len(weight)), numpyro.handlers.mask(mask=weight > 0):
        numpyro.sample("y", dist.Normal(a[group] * columns["x"] ** -p[group] + q, 1.0), obs=columns["y"])


def test_the_density_of_a_point_is_the_same_in_all_coordinates():
    """Also along shears; up to the volume of the change, by automatic differentiation."""
    rng = np.random.default_rng(1)
    with jax.enable_x64(True):
        columns, weight = pad({"group": np.array([0.0, 1.0, 2.0, 2.0]), "x": np.array([10.0, 20.0, 30.0, 40.0]), "y": np.ones(4)})
        density = Density(sheared, columns, weight, (Shear("a", "p", "x", 1.0),))
        assert density.shears
        centring = rng.uniform(size=density.size), rng.normal(size=density.size)
        z = rng.normal(size=density.size)

        def to_centred(z):
            return density.flatten(density.unflatten(z, columns, weight, centring), columns, weight)

        there = to_centred(z)
        volume = np.linalg.slogdet(jax.jacfwd(to_centred)(z))[1]
        ours, theirs = density.potential(z, columns, weight, centring), density.potential(there, columns, weight)
        assert float(ours) == pytest.approx(float(theirs) - volume)
        again = density.flatten(density.unflatten(there, columns, weight), columns, weight, centring)
        assert np.asarray(again) == pytest.approx(z)
        values, same = density.constrain(z, columns, weight, centring), density.constrain(there, columns, weight)
        assert all(np.asarray(values[name]) == pytest.approx(np.asarray(same[name])) for name in same)
