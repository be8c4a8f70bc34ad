"""Chains that begin at points of the prior: they begin that far out, forget it, and are told apart where they cannot."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

import bayes_scaling as bs
from bayes_scaling.engine import Density, Sampler, Task, sample_each
from bayes_scaling.engine.chains import Sites
from bayes_scaling.engine.sampler import _Clock, _points_of_prior

CHAINS, PRIOR, SCATTER = 16, 10.0, 0.1
COLUMNS, WEIGHT = {"y": np.full(8, 3.0)}, np.ones(8)


def density(of=lambda x: x):
    def model(columns, weight):
        x = numpyro.sample("x", dist.Normal(0.0, PRIOR))
        numpyro.sample("y", dist.Normal(of(x), SCATTER).mask(weight > 0), obs=columns["y"])

    return Density(model, COLUMNS, WEIGHT)


def drawn(of=lambda x: x, **settings):
    with jax.enable_x64(True):
        task = Task(COLUMNS, WEIGHT, Sampler(chains=CHAINS, draws=200, starts="prior", **settings))
        ((_, draws),) = sample_each(density(of), [task], jax.devices("cpu")[0])
    return draws


def test_chains_begin_as_wide_as_the_prior_where_the_density_is_finite():
    with jax.enable_x64(True):
        one = density(lambda x: jnp.where(x > 0, x, jnp.nan))
        sites = Sites(one, (COLUMNS, WEIGHT), CHAINS, jax.devices("cpu")[0])
        points = _points_of_prior(sites, (COLUMNS, WEIGHT), CHAINS, np.random.default_rng(0), _Clock())
    assert points.shape == (CHAINS, 1)
    assert points.min() > 0
    assert np.sqrt(np.mean(points**2)) == pytest.approx(PRIOR, rel=3 / np.sqrt(2 * CHAINS))  # where the posterior is 0.04 wide


def test_chains_forget_where_they_began():
    draws = drawn()
    width = (len(WEIGHT) / SCATTER**2 + 1 / PRIOR**2) ** -0.5  # conjugate
    assert draws.convergence["rhat"].max() < 1.01
    assert draws.sites["x"].mean() == pytest.approx(3.0, abs=0.1 * width)
    assert draws.sites["x"].std() == pytest.approx(width, rel=0.1)


def test_modes_that_are_not_joined_keep_chains_apart():
    draws = drawn(jnp.abs, method="nuts", persistent=False)
    assert draws.convergence["rhat"].max() > 1.2
    means = draws.sites["x"].mean(axis=1)
    assert (means.min(), means.max()) == (pytest.approx(-3, abs=0.1), pytest.approx(3, abs=0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"starts": "priors"}, "chains cannot start at 'priors'; did you mean 'prior'"),
        ({"starts": "prior", "method": "importance"}, "method 'importance' has no chains to start at the prior"),
    ],
)
def test_what_cannot_be_done_is_refused(options, message):
    with pytest.raises(bs.InputError, match=message):
        bs.fit("kaplan_nd", "ladder", **options)
