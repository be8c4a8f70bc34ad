"""Many data sets side by side: right, and each by itself."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from conftest import simulated_runs

import bayes_scaling as bs
from bayes_scaling import engine

SETS, RUNS = 11, 16


def model(columns, weight):
    """The mean of normal runs, and their scatter: with a conjugate prior, so that the posterior of the mean is known."""
    precision = numpyro.sample("precision", dist.Gamma(3.0, 3.0))
    mean = numpyro.sample("mean", dist.Normal(0.0, 1 / np.sqrt(0.1) / precision**0.5))
    with numpyro.plate("run", len(weight)), numpyro.handlers.scale(scale=weight):
        numpyro.sample("y", dist.Normal(mean, precision**-0.5), obs=columns["y"])


def posterior_of_the_mean(y):
    """Student-t: degrees of freedom, centre, scale (Murphy 2007, equations 85 to 89 and 110)."""
    n, k = len(y), 0.1
    shape = 3 + n / 2
    rate = 3 + np.sum((y - y.mean()) ** 2) / 2 + k * n * y.mean() ** 2 / (2 * (k + n))
    return 2 * shape, n * y.mean() / (k + n), np.sqrt(rate / (shape * (k + n)))


def sampled(y, lanes, chains=4, **more):
    weight = np.ones_like(y)
    with jax.enable_x64(True):
        density = engine.Density(model, {"y": y[0]}, weight[0])
        starts = np.random.default_rng(1).normal(size=(len(y), 2, density.size))
        cpu = jax.devices("cpu")[0]
        return engine.sample_many(density, {"y": y}, weight, starts, cpu, chains=chains, lanes=lanes, **more)


@pytest.fixture(scope="module")
def y():
    rng = np.random.default_rng(0)
    return rng.normal(size=(SETS, 1)) * 3 + rng.normal(size=(SETS, RUNS)) * np.geomspace(0.1, 5, SETS)[:, None]


def test_every_data_set_has_its_posterior(y):
    found = sampled(y, 4, draws=1000)
    assert np.all(found.rhat < 1.01)
    for draws, own, ess in zip(found.sites["mean"], y, found.ess, strict=True):
        exact = dist.StudentT(*posterior_of_the_mean(own))
        assert draws.mean() == pytest.approx(float(exact.mean), abs=4 * float(exact.variance) ** 0.5 / np.sqrt(ess))
        assert draws.std() == pytest.approx(float(exact.variance) ** 0.5, rel=4 / np.sqrt(ess))


def test_draws_do_not_depend_on_how_many_are_worked_at(y):
    few, many = (sampled(y, lanes, draws=250) for lanes in (2, 5))
    # Each number of lanes is a program of its own, and a compiler may join a product and a sum into one rounding in one of them.
    np.testing.assert_allclose(few.unconstrained, many.unconstrained, rtol=1e-3, atol=1e-3)
    assert all(np.allclose(few.sites[name], many.sites[name], rtol=1e-3, atol=1e-3) for name in few.sites)


def test_draws_do_not_depend_on_the_neighbours(y):
    """The first data sets draw the same when others, of any difficulty, are worked at beside them."""
    other = y.copy()
    other[3:] = np.random.default_rng(5).standard_cauchy(size=other[3:].shape) * 100
    alone, beside = sampled(y, 4, draws=250), sampled(other, 4, draws=250)
    assert np.array_equal(alone.unconstrained[:3], beside.unconstrained[:3])
    assert not np.any(alone.unconstrained[3] == beside.unconstrained[3])


@pytest.fixture(scope="module")
def data():
    """Data sets of which one needs further attempts, and one has so many runs that it takes a program of its own."""
    return [simulated_runs(n=n, seed=n, scatter=scatter) for n, scatter in ((40, 0.005), (12, 0.03), (30, 0.005), (70, 0.005), (50, 0.01))]


def test_fits_of_many_data_sets_are_fits(data):
    """Each is the one that `fit` gives, bit for bit, also where it took further attempts or another program."""
    fits = dict(bs.fit_many("chinchilla", data, draws=500, lanes=2))
    assert sorted(fits) == list(range(len(data)))
    for place, runs in enumerate(data):
        assert fits[place].runs.data_hash == runs.data_hash
        assert fits[place].diagnosis.max_rhat < 1.01
    for place in (1, 3):
        alone = bs.fit("chinchilla", data[place], draws=500)
        for name, values in alone.posterior.data_vars.items():
            assert np.array_equal(fits[place].posterior[name], values), name
        assert alone.diagnosis == fits[place].diagnosis


def test_a_fit_depends_on_its_data_alone(data):
    """Not on how many are worked at, on the others and their order, or on what the caller does between two of them."""
    few = dict(bs.fit_many("chinchilla", data[:3], draws=250, lanes=1))
    many = {}
    for place, one in bs.fit_many("chinchilla", [*data[:2], data[4], data[2]], draws=250, lanes=3):
        assert not jax.config.jax_enable_x64  # the caller's
        many[place] = one
    for before, after in ((0, 0), (1, 1), (2, 3)):
        assert np.array_equal(few[before].posterior["alpha"], many[after].posterior["alpha"])
    assert not np.array_equal(few[0].posterior["alpha"], dict(bs.fit_many("chinchilla", data[:1], draws=250, seed=1))[0].posterior["alpha"])


def test_a_data_set_that_cannot_be_fitted_is_named(data):
    with pytest.raises(bs.InputError, match="data set 1 .*tokens"):
        bs.fit_many("chinchilla", [data[0], bs.runs_from_columns({"params": [1e8], "loss": [1.0]})])
    with pytest.raises(bs.InputError, match="lanes = 0"):
        bs.fit_many("chinchilla", data, lanes=0)


def test_a_data_set_that_cannot_be_fitted_fails_alone(data):
    """One lacks a column, which is seen at once; one law has no finite density at another's data, which the search finds."""

    def formula(inputs, p):
        return jax.numpy.where(inputs["params"] > 1e12, jax.numpy.nan, p["E"] + p["a"] * inputs["params"] ** -0.3)

    law = bs.Law(
        name="half", title="finite for small models only", equation="L = E + a N^-0.3", citation="none", use="", avoid="",
        inputs=(bs.Input("params", "count", "size"),), formula=formula,
        parameters=(bs.Parameter("E", dist.LogNormal(0.0, 1.0), ""), bs.Parameter("a", dist.LogNormal(3.0, 1.0), "")),
    )  # fmt: skip
    huge = bs.runs_from_columns({"params": np.geomspace(1e13, 1e15, 20), "loss": np.linspace(3, 2, 20)})
    lacking = bs.runs_from_columns({"tokens": [1e8], "loss": [1.0]})
    found = dict(bs.fit_many(law, [data[0], huge, lacking, data[2]], draws=100, errors="return"))
    assert isinstance(found[0], bs.Fit)
    assert isinstance(found[3], bs.Fit)
    assert "not finite" in str(found[1])
    assert "params" in str(found[2])
    with pytest.raises(bs.InputError, match="data set 1 .*not finite"):
        list(bs.fit_many(law, [data[0], huge], draws=100))


def test_data_sets_are_dealt_out_to_all_devices():
    """Four devices to jax in place of one: all of them work, and each fit is the one that `fit` gives, bit for bit."""
    code = """
import jax, numpy as np, bayes_scaling as bs
from bayes_scaling import engine
from conftest import simulated_runs

used, sample_each = [], engine.sample_each
engine.sample_each = lambda density, tasks, device, lanes: used.append(device) or sample_each(density, tasks, device, lanes)
data = [simulated_runs(n=30, seed=seed) for seed in range(6)]
fits = dict(bs.fit_many("chinchilla", data, draws=200))
assert set(used) == set(jax.devices()) and len(used) == 4, used
assert sorted(fits) == list(range(6))
assert all(np.array_equal(bs.fit("chinchilla", data[at], draws=200).posterior["alpha"], fits[at].posterior["alpha"]) for at in (1, 5))
first = next(some := bs.fit_many("chinchilla", data, draws=200))
some.close()  # whoever reads no further waits for nobody
"""
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
