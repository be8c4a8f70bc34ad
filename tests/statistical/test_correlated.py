"""All points of training curves, which err together: the density against the joint normal one, and what intervals then hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from scipy.stats import multivariate_normal

import bayes_scaling as bs
from bayes_scaling.correlated import given_earlier_points

SIGMA, BETWEEN, MEMORY = 0.01, 0.02, 0.4
TRUTH = {"E": 1.8, "A": 480.0, "B": 2000.0, "alpha": 0.35, "beta": 0.37}


def covariance(run, place, sigma=SIGMA, between=BETWEEN, memory=MEMORY):
    apart = np.abs(place[:, None] - place[None])
    return np.where(run[:, None] == run[None], between**2 + sigma**2 * np.exp(-apart / memory), 0.0)


def loss(params, tokens):
    return TRUTH["E"] + TRUTH["A"] / params ** TRUTH["alpha"] + TRUTH["B"] / tokens ** TRUTH["beta"]


def curves(seed, runs=12, points=10, sizes=(3e7, 1.4e8, 6.5e8, 3e9)):
    """Return runs of some sizes, measured along the way, as a table; with residuals of the family's own."""
    rng = np.random.default_rng(seed)
    params = np.repeat(np.resize(sizes, runs), points)
    tokens = np.concatenate([np.geomspace(2e8, 10 ** rng.uniform(9.5, 11), points) for _ in range(runs)])
    run = np.repeat(np.arange(runs), points)
    residual = np.linalg.cholesky(covariance(run, np.log(tokens)) + 1e-14 * np.eye(len(run))) @ rng.standard_normal(len(run))
    measured = loss(params, tokens) * np.exp(residual)
    return pandas.DataFrame({"name": [f"run {i}" for i in run], "params": params, "tokens": tokens, "loss": measured})


@pytest.fixture(scope="module")
def table():
    return curves(0)


@pytest.fixture(scope="module")
def fit(table):
    shuffled = table.sample(frac=1, random_state=1)
    return bs.fit("chinchilla", bs.read_runs(shuffled, curve={"name": "all"}), draws=500)


@pytest.mark.parametrize("memory", [1e-3, 0.4, 30.0])  # independent points, and curves that hardly fluctuate
def test_density_is_the_joint_normal_one(memory):
    """The product of the conditional densities is the density of all points, run by run and with any points left out."""
    rng = np.random.default_rng(3)
    run, place = np.repeat([4.0, 9.0, 2.0], [5, 1, 7]), np.sort(rng.uniform(0, 4, 13))
    residual = rng.normal(0, 0.02, 13)
    for kept in (np.arange(13), np.array([0, 2, 3, 5, 8, 9, 12])):
        with jax.enable_x64(True):
            arguments = (residual[kept], run[kept], np.exp(place[kept]), SIGMA, BETWEEN, memory)
            mean, sd = map(np.asarray, given_earlier_points(*(jnp.asarray(value) for value in arguments)))
        found = -0.5 * (((residual[kept] - mean) / sd) ** 2 + np.log(2 * np.pi * sd**2)).sum()
        expected = multivariate_normal.logpdf(residual[kept], cov=covariance(run[kept], place[kept], memory=memory), allow_singular=True)
        assert found == pytest.approx(expected, rel=1e-8)


def test_points_of_curves_are_fitted_as_such(fit):
    """The noise is the one that knows, wherever the rows stood; points alone say where a run is, and curves are left out as a whole."""
    assert fit.noise.name == "correlated"
    assert fit.diagnosis.converged
    assert len(bs.leave_one_out(fit).pointwise) == 12
    assert any("120 points of 12 training curves" in note for note in fit.runs.notes)
    found = {name: row for name, row in fit.summary().items() if name in ("sigma", "between", "memory")}
    for name, truth in (("sigma", SIGMA), ("between", BETWEEN), ("memory", MEMORY)):
        assert found[name]["q05"] < truth < found[name]["q95"]
    new = bs.predict(fit, {"params": [1e9], "tokens": [2e10]})
    scatter = np.log(new["new"] / new["expected"]).values.std()
    assert scatter == pytest.approx(np.hypot(found["sigma"]["mean"], found["between"]["mean"]), rel=0.25)


def test_leaving_a_curve_out_agrees_with_fitting_again(fit):
    left_out = bs.leave_one_out(fit)
    unit = int(np.argmin(left_out.pareto_k))
    again = bs.fit("chinchilla", fit.runs.subset(fit.runs.units != unit), draws=500)
    density = again.log_density(fit.runs.subset(fit.runs.units == unit)).sum(axis=-1)
    assert left_out.pareto_k[unit] < 0.7
    assert left_out.pointwise[unit] == pytest.approx(np.log(np.exp(density).mean()), abs=0.3)


def test_stored_and_loaded(fit, tmp_path):
    fit.save(tmp_path / "fit.nc")
    again = bs.load_fit(tmp_path / "fit.nc")
    assert np.array_equal(again.log_likelihood(), fit.log_likelihood())
    assert "correlated: normal on ln loss, for all points of training curves" in bs.sheet(again)


def test_other_noise_is_refused(table):
    runs = bs.read_runs(table, curve={"name": "all"})
    with pytest.raises(bs.InputError, match="err together, and student-t noise"):
        bs.fit("chinchilla", runs, noise="student-t")
    with pytest.raises(bs.InputError, match="has none: curve={'COLUMN': 'all'} takes them"):
        bs.fit("chinchilla", bs.read_runs(table), noise="correlated")
    twice = pandas.concat([table, table.iloc[[5]]])
    with pytest.raises(bs.InputError, match="lines 6 and 121 are both of run 'run 0' at tokens"):
        bs.read_runs(twice, curve={"name": "all"})
    begun = table.assign(step=np.tile(np.arange(10), 12)).drop(columns="tokens")
    with pytest.raises(bs.InputError, match="line 1: step = 0 is no place"):
        bs.read_runs(begun, curve={"name": "all"})


def test_intervals_hold_the_truth():
    """Over simulated sets of seeds, 90 % intervals of a forecast hold it; those of rows taken as independent far too seldom."""
    sets = [curves(seed, runs=6, points=10, sizes=(1e15,)).drop(columns="params") for seed in range(1, 31)]  # tokens alone matter
    data = {"correlated": [bs.read_runs(item, curve={"name": "all"}) for item in sets], "normal-log": sets}
    truth, held = loss(1e15, 1e12), {}
    for noise, runs in data.items():
        fits = bs.fit_many("power_law_floor", runs, input="tokens", noise=noise, draws=250, fix={"E": TRUTH["E"]})
        drawn = [fit.parameters() for _, fit in fits]
        levels = np.array([(p["E"] + p["a"] * 1e12 ** -p["c"] < truth).mean() for p in drawn])
        held[noise] = np.mean(np.abs(levels - 0.5) < 0.45)
    assert held["correlated"] >= 0.75  # 27 +- 1.6 of 30 expected
    assert held["normal-log"] < 0.75
