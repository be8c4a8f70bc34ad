"""Forecasts of curves: the filter against dense normal distributions, its posterior against plain sampling, coverage by simulation."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bayes_scaling as bs
from bayes_scaling.extrapolation import forecast as forecasting
from bayes_scaling.extrapolation import sampling, state_space
from bayes_scaling.extrapolation.motion import State, height, move
from bayes_scaling.extrapolation.prior import NAMES, prior_for, weak_prior
from bayes_scaling.extrapolation.state_space import CONTEXT, follow, tell

THETA = {"floor": -30.0, "noise": -3.5, "wander": -3.0, "swing": -1.5, "memory": 0.3, "plateau": -30.0}
SLOPE = (0.4, 0.2)


def arrays(u, v, weight=None):
    n = len(u)
    points = {"u": u, "v": v, "weight": np.ones(n) if weight is None else weight, "real": np.ones(n, bool), "ahead": np.zeros(n)}
    return points | {"least": v.min(), "most": v.max()}


def one(theta):
    return {name: jnp.array([value]) for name, value in theta.items()}


@pytest.fixture
def normal_noise(monkeypatch):
    monkeypatch.setattr(state_space, "NU", 1e7)
    with jax.enable_x64(True):
        yield


def test_likelihood_of_a_plain_power_law_is_that_of_a_dense_normal(normal_noise):
    """Without floor, plateau and heavy tails, all points but the first are jointly normal: covariances by the kernels' closed forms."""
    rng = np.random.default_rng(0)
    u = np.sort(rng.uniform(-4, 0, 12))
    v = -0.4 * u + 0.1 * rng.standard_normal(12)
    weight = rng.uniform(1, 3, 12)
    got = float(follow(one(THETA), arrays(u, v, weight), SLOPE, 0.0)[0][0])

    t, noise2 = u - u[0], np.exp(2 * THETA["noise"])
    length, swing, wander = np.exp(THETA["memory"]), np.exp(THETA["swing"]), np.exp(THETA["wander"])
    s, r = np.meshgrid(t, t)
    low = np.minimum(s, r)
    # Integral of the Ornstein-Uhlenbeck covariance over [0, s] x [0, r].
    integrated = swing**2 * length**2 * (2 * low / length - 1 + np.exp(-s / length) + np.exp(-r / length) - np.exp(-np.abs(s - r) / length))
    covariance = 4 * noise2 + integrated + wander**2 * low + SLOPE[1] ** 2 * s * r
    covariance += np.diag(noise2 / weight)
    expected = multivariate_normal(v[0] - SLOPE[0] * t[1:], covariance[1:, 1:]).logpdf(v[1:])
    assert got == pytest.approx(expected, abs=1e-4)


def test_forecast_moments_are_those_of_simulated_paths():
    curve = bs.Curve(np.geomspace(1, 100, 15), 0.2 + np.geomspace(1, 100, 15) ** -0.4)
    found = bs.extrapolate(curve, draws=4000)
    x = 1000.0
    u, paths = found._paths(np.log(x) - found.last_u)
    centre, width, *_ = found._components(x)
    assert u[-1] == pytest.approx(np.log(10))
    assert np.median(paths[:, -1]) == pytest.approx(np.median(centre), abs=0.01)
    spread = np.sqrt(centre.var() + (width**2).mean())
    assert paths[:, -1].std() == pytest.approx(spread, rel=0.1)


def test_step_by_step_is_one_step():
    d = {name: np.array([value]) for name, value in THETA.items()} | {"swing_ahead": np.zeros(1)}
    state = {
        name: np.array([value]) for name, value in zip(State._fields, (0.1, 0.2, 0.3, 0.05, 0.01, 0.0, 0.04, 0.002, 0.03), strict=True)
    }
    whole = forecasting._ahead(d | state, 0.7)
    with jax.enable_x64(True):
        halfway = State(*state.values())
        for _ in range(7):
            halfway = move(halfway, one(THETA), 0.1, jnp)
    np.testing.assert_allclose([part[0] for part in whole], [float(part[0]) for part in halfway], rtol=1e-9)


def test_posterior_is_that_of_plain_importance_sampling():
    """A million draws from the prior, weighted by the likelihood, have no way to be wrong; few points leave them enough weight."""
    x = np.array([1, 2, 4, 8, 16, 32.0])
    curve = bs.Curve(x, 2 + x**-0.5 * np.exp([0.02, -0.03, 0.01, 0.02, -0.02, 0.0]))
    prior, scaled = weak_prior(), curve.scaled()
    (got,) = sampling.sample([scaled], [prior], [1])
    assert got.ok
    rng = np.random.default_rng(1)
    evidence, means = [], []
    with jax.enable_x64(True):
        likelihood = jax.jit(lambda theta, plateaus: follow(theta, arrays(scaled.u, scaled.v), (0.3, 0.3), plateaus)[0])
        for law in (0, 1):
            theta = {name: rng.normal(prior.mean[law, at], prior.sd[law, at], 300_000) for at, name in enumerate(CONTEXT)}
            weight = np.exp(np.asarray(likelihood(theta, float(law))))
            assert weight.sum() ** 2 / (weight**2).sum() > 3000
            evidence.append(np.log(weight.mean() / 2))
            means.append([np.average(values, weights=weight) for values in theta.values()])
    np.testing.assert_allclose(got.log_evidence, evidence, atol=0.1)
    for law in (0, 1):
        share = np.exp(got.log_weight[law] - np.logaddexp.reduce(got.log_weight[law]))
        sd = prior.sd[law, : len(CONTEXT)]
        np.testing.assert_allclose((share @ got.theta[law] - means[law]) / sd, 0.0, atol=0.1)


def test_intervals_cover_curves_drawn_from_the_model():
    """Curves and what follows are drawn from prior and filter: 90 % intervals must hold 90 % of what comes, as must 50 % intervals."""
    rng = np.random.default_rng(2)
    prior = prior_for("training")
    count, known, beyond = 64, 15, 3
    u = np.concatenate([np.linspace(-4, 0, known), np.linspace(0.2, 1.0, beyond)])
    # Floor and plateau are relative to the smallest and largest point, so a curve cannot be drawn without knowing them: none of either.
    bare = replace(prior, mean=prior.mean.copy(), sd=prior.sd.copy(), weight=np.array([1 - 1e-9, 1e-9]))
    for name in ("floor", "plateau"):
        bare.mean[:, NAMES.index(name)], bare.sd[:, NAMES.index(name)] = -30.0, 1e-3
    bare.mean[1], bare.sd[1] = bare.mean[0], bare.sd[0]
    drawn = {name: rng.normal(bare.mean[0, at], bare.sd[0, at], count) for at, name in enumerate(NAMES)}
    with jax.enable_x64(True):
        v = [np.full(count, 1.0)]
        slope = (bare.mean[0, NAMES.index("slope")], bare.sd[0, NAMES.index("slope")])
        state = state_space.start(drawn, v[0], 0.0, 0.0, slope)
        for at in range(1, len(u)):
            ahead = at >= known
            changed = drawn | {name: drawn[name] + ahead * drawn["swing_ahead"] for name in ("swing", "wander")}
            state = move(state, changed, u[at] - u[at - 1], np)
            value, rate = height(state.r, 0.0, 0.0, np)
            scale2 = rate**2 * state.rr + np.exp(2 * (drawn["noise"] + ahead * drawn["noise_ahead"]))
            e = np.sqrt(scale2) * rng.standard_t(state_space.NU, count)
            v.append(np.asarray(value + ahead * drawn["offset"] + e))
            # What lies beyond is forecast point by point, from the same state.
            state = tell(state, rate, e, scale2) if not ahead else state
    v = np.stack(v, axis=1)
    curves = [bs.Curve(np.exp(u[:known]), np.exp(row[:known])) for row in v]
    found = list(bs.extrapolate_many(curves, bare))
    assert np.mean([each.ok for each in found]) >= 0.95
    inside = {0.5: [], 0.9: []}
    for each, row in zip(found, v, strict=True):
        edges = np.log(each.predict(np.exp(u[-1:]), [0.05, 0.25, 0.75, 0.95])["measured"].values[0])
        inside[0.9].append(edges[0] <= row[-1] <= edges[3])
        inside[0.5].append(edges[1] <= row[-1] <= edges[2])
    for level, hits in inside.items():
        assert abs(np.mean(hits) - level) < 3.3 * np.sqrt(level * (1 - level) / count)


def test_a_curve_among_many_is_the_curve_alone():
    curves = [bs.Curve(np.geomspace(1, 50, n), 1 + np.geomspace(1, 50, n) ** -0.3, str(n)) for n in (8, 12, 14)]
    together = list(bs.extrapolate_many(curves, seed=3))
    turned = list(bs.extrapolate_many(curves[::-1], seed=3))[::-1]
    alone = bs.extrapolate(curves[1], seed=3)
    for first, second in zip(together, turned, strict=True):
        np.testing.assert_array_equal(first.draws["r"], second.draws["r"])
    np.testing.assert_allclose(alone.predict(100.0)["curve"], together[1].predict(100.0)["curve"], rtol=1e-3)
    assert together[0].effective != bs.extrapolate(curves[0], seed=4).effective


def test_density_integrates_to_one_and_agrees_with_quantiles():
    x = np.geomspace(1, 100, 20)
    found = bs.extrapolate(x, 1 + x**-0.4)
    low, high = found.predict(300.0, [0.001, 0.999])["measured"].values[0]
    y = np.linspace(low * 0.9, high * 1.1, 4001)
    density = np.exp(found.log_density(np.full(len(y), 300.0), y))
    total = np.cumsum(density) * (y[1] - y[0])
    assert total[-1] == pytest.approx(1.0, abs=0.01)
    assert y[np.searchsorted(total, 0.5)] == pytest.approx(float(found.predict(300.0, [0.5])["measured"][0, 0]), rel=2e-3)


def test_a_target_is_reached_when_the_curve_is_there():
    x = np.geomspace(1, 100, 20)
    found = bs.extrapolate(x, x**-0.4)
    median = float(found.predict(1000.0, [0.5])["curve"][0, 0])
    reached = found.reach(median, upto=1000.0)
    assert float(reached["probability"][-1]) == pytest.approx(0.5, abs=0.07)
    assert float(found.reach(float(x[-1]) ** -0.4 * 2)["first"].sel(quantile=0.5)) == pytest.approx(100.0)
    assert not np.isfinite(float(found.reach(1e-9)["first"].sel(quantile=0.5)))
    assert np.all(np.diff(reached["probability"]) >= 0)


def test_priors_are_learned_towards_what_came():
    """Curves of one slope and noise: the prior of the slope must go there, and the forecast become more probable."""
    rng = np.random.default_rng(5)
    x = np.geomspace(1, 64, 13)
    curves, beyond = [], []
    for _ in range(6):
        y = np.exp(-0.8 * np.log(x) + 0.01 * rng.standard_normal(13)) + 0.05
        curves.append(bs.Curve(x[:9], y[:9]))
        beyond.append((x[9:], y[9:]))
    told = []
    learned = bs.learn_priors(curves, beyond, ["mine"] * 6, steps=1, told=lambda _, value: told.append(value))
    assert told[-1] > told[0] + 1
    assert set(learned) == {"mine", "generic"}
    at = NAMES.index("slope")
    assert abs(learned["mine"].weight @ learned["mine"].mean[:, at] - 0.8) < 0.4  # it was 0.3
    with pytest.raises(bs.InputError, match="no hyper-parameter 'slop'"):
        bs.learn_priors(curves, beyond, ["mine"] * 6, fixed=["slop"])


def test_forecasts_beat_least_squares_on_real_curves(shared_data):
    import sys
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    spec = spec_from_file_location("extrapolation_benchmark", Path(__file__).parents[2] / "benchmarks/extrapolation.py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    cases = [case for case in module.read(shared_data) if case.domain in ("Nano",)]
    found, _ = module.forecasts(cases, ["generic"] * len(cases))
    assert all(each.ok for each in found)
    ours = np.mean([module.score(case, each)["rmsle"] for case, each in zip(cases, found, strict=True)])
    theirs = np.mean([module._least_squares(case, *module.LEAST_SQUARES["M2"]) for case in cases])
    assert ours < theirs
