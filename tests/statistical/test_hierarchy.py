"""Parameters pooled over groups from a fit of each group by itself."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import Normal
from scipy.special import logsumexp

import bayes_scaling as bs
from bayes_scaling.model import POOL_SPREAD

GROUPS = 8
CENTRE, WIDTH = 2.0, 1.0  # prior of the level, and of the centre of all levels
ERRORS = np.geomspace(0.03, 1.5, GROUPS)  # of the one measurement of each group
LABELS = [f"g{number}" for number in range(GROUPS)]
LEVEL = bs.Law(
    name="level", title="the same everywhere", equation="loss = level", citation="none", use="tests", avoid="all else",
    inputs=(bs.Input("params", "count", "whatever was scaled", 10, 1e7),),
    parameters=(bs.Parameter("level", Normal(CENTRE, WIDTH), "the loss"),),
    formula=lambda inputs, p: p["level"] * jnp.ones_like(inputs["params"]),
)  # fmt: skip


@pytest.fixture(scope="module")
def measured():
    rng = np.random.default_rng(5)
    return np.abs(2.2 + 0.2 * rng.normal(size=GROUPS) + ERRORS * rng.normal(size=GROUPS))


def each_alone(measured, **options):
    runs = [bs.runs_from_columns({"params": [1e6], "loss": [y], "loss_se": [error]}) for y, error in zip(measured, ERRORS, strict=True)]
    return {LABELS[place]: fit for place, fit in bs.fit_many(LEVEL, runs, noise="known-se", fix={"sigma": 0.0}, **options)}


@pytest.fixture(scope="module")
def alone(measured):
    return each_alone(measured)


@pytest.fixture(scope="module")
def exact(measured):
    """ln(spread) on a grid, its posterior mass there, and the posterior means of centre and levels: sums over the grid."""
    grid = POOL_SPREAD[0] + POOL_SPREAD[1] * np.linspace(-6, 6, 2001)
    log_mass, means = [], []
    for log_spread in grid:
        # Levels and centre are jointly normal with the measurements.
        covariance = np.diag(np.exp(2 * log_spread) + ERRORS**2) + WIDTH**2
        solved = np.linalg.solve(covariance, measured - CENTRE)
        log_mass.append(
            -0.5 * (measured - CENTRE) @ solved
            - 0.5 * np.linalg.slogdet(covariance)[1]
            - 0.5 * ((log_spread - POOL_SPREAD[0]) / POOL_SPREAD[1]) ** 2
        )
        levels = CENTRE + (np.exp(2 * log_spread) * np.eye(GROUPS) + WIDTH**2) @ solved
        means.append([CENTRE + WIDTH**2 * solved.sum(), *levels])
    mass = np.exp(np.array(log_mass) - logsumexp(log_mass))
    return grid, mass, mass @ np.array(means)


def agrees(together, exact):
    """Compare quantiles of the spread, and means of centre and levels, with sums over a grid (4 standard errors)."""
    grid, mass, means = exact
    log_spread = np.log(together.sites["level_spread"])
    for p in (0.05, 0.25, 0.5, 0.75, 0.95):
        at = np.interp(p, np.cumsum(mass), grid)
        assert np.mean(log_spread < at) == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 400)), p
    found = np.concatenate([together.sites["level_center"].reshape(-1, 1), together.sites["level"].reshape(-1, GROUPS)], axis=1)
    assert np.all(np.abs(found.mean(axis=0) - means) < 4 * found.std(axis=0) / np.sqrt(400)), found.mean(axis=0) - means


def test_normal_groups_are_pooled_exactly(alone, exact):
    together = bs.pool_fits(alone, ["level"], seed=1)
    assert together.diagnosis.converged, together.diagnosis.problems
    assert together.groups == tuple(LABELS)
    agrees(together, exact)


def test_the_priors_of_the_single_fits_do_not_matter(measured, exact):
    wide = each_alone(measured, priors={"level": Normal(3.0, 2.5)}, seed=2)
    together = bs.pool_fits(wide, ["level"], priors={"level": Normal(CENTRE, WIDTH)}, seed=2)
    assert together.diagnosis.converged, together.diagnosis.problems
    assert together.attributes["priors"]["level"].startswith("Normal(loc=2")
    agrees(together, exact)


def test_groups_with_too_few_draws_where_the_others_place_them_are_fitted_again(measured, exact):
    """400 draws of a level that is known to 1.5 by itself, and to 0.3 beside the others."""
    few = each_alone(measured, draws=150, seed=3)
    as_they_are = bs.pool_fits(few, ["level"], refit=False)
    told = [problem for problem in as_they_are.diagnosis.problems if problem.serious and "effective draws of its own fit" in problem.text]
    assert LABELS[-1] in {problem.group for problem in told}
    assert not as_they_are.select(LABELS[-1]).diagnosis.converged
    again = bs.pool_fits(few, ["level"])
    assert again.diagnosis.min_ess > 1.5 * as_they_are.diagnosis.min_ess
    agrees(again, exact)


def test_a_bent_law_is_pooled_as_by_one_fit_of_all(tmp_path):
    """The same model by the no-U-turn sampler over all groups at once: medians within 6 standard errors of both, widths alike."""
    rng = np.random.default_rng(4)
    labels, parts = ["a", "b", "c", "d"], []
    for exponent in (0.30, 0.34, 0.36, 0.42):
        params = np.geomspace(1e7, 1e9, 14)
        loss = (1.5 + (params / 1e8) ** -exponent) * np.exp(0.01 * rng.normal(size=len(params)))
        parts.append(bs.runs_from_columns({"params": params, "loss": loss}))
    options = {"noise": "normal-log", "input": "params"}
    alone = {labels[place]: fit for place, fit in bs.fit_many("power_law_floor", parts, **options)}
    ours = bs.pool_fits(alone, ["c", "sigma"])
    theirs = bs.fit("power_law_floor", ours.runs, pool={"c": "partial", "sigma": "partial"}, **options)
    assert ours.attributes["pool"] == theirs.attributes["pool"]
    one, other = ours.summary(), theirs.summary()
    assert set(one) == set(other)
    for name, row in one.items():
        error = (row["sd"] + other[name]["sd"]) / 2 / np.sqrt(400)
        assert row["median"] == pytest.approx(other[name]["median"], abs=6 * error), name
        assert np.log((row["q95"] - row["q05"]) / (other[name]["q95"] - other[name]["q05"])) == pytest.approx(0, abs=0.35), name
    ours.save(tmp_path / "pooled.nc")
    loaded = bs.load_fit(tmp_path / "pooled.nc").select("b")
    assert loaded.parameters()["c"].shape == (4, 1000)
    assert loaded.parameters()["sigma"] == pytest.approx(ours.select("b").parameters()["sigma"])
    assert np.all(np.isfinite(bs.predict(loaded, {"params": [1e10]})["new"]))


def test_what_cannot_be_pooled_is_refused_in_one_line(alone):
    first = alone["g0"]
    with pytest.raises(bs.InputError, match="1 fits cannot be pooled"):
        bs.pool_fits({"g0": first}, ["level"])
    with pytest.raises(bs.InputError, match="cannot pool 'levle' of law 'level'.*level"):
        bs.pool_fits(alone, ["levle"])
    with pytest.raises(bs.InputError, match="cannot pool 'sigma' of law 'level': it is held at 0"):
        bs.pool_fits(alone, ["sigma"])
    with pytest.raises(bs.InputError, match="name the parameters to pool: some of level"):
        bs.pool_fits(alone, [])
    with pytest.raises(bs.InputError, match="cannot set a prior on the centre of 'sigma': it is not pooled"):
        bs.pool_fits(alone, ["level"], priors={"sigma": Normal(0.0, 1.0)})
    together = bs.pool_fits(alone, ["level"], refit=False)
    with pytest.raises(bs.InputError, match="the fit of 'g0' is from a fit by group"):
        bs.pool_fits({label: together.select(label) for label in LABELS}, ["level"])
    other = bs.fit(LEVEL, first.runs, noise="normal", draws=100)
    with pytest.raises(bs.InputError, match="the fits of 'a' and 'b' differ in noise: known-se and normal"):
        bs.pool_fits({"a": first, "b": other}, ["level"])
    narrow = bs.fit(LEVEL, first.runs, noise="known-se", fix={"sigma": 0.0}, priors={"level": Normal(2.0, 0.1)})
    with pytest.raises(bs.InputError, match="different priors of level .*say which its centre has"):
        bs.pool_fits({"a": first, "b": narrow}, ["level"])
