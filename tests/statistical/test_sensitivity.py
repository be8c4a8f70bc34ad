"""Influence of runs and budgets in closed form, priors that weigh and that do not, patterns that are there and that are not."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import floor_fit, floor_only, simulated_runs
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.criticism import neighbours
from bayes_scaling.sensitivity import Left, budgets_of, leave_budgets_out, leave_runs_out, log_prior, looked_at, power_scaling
from bayes_scaling.uniformity import spread_out, uniformity

LAW = bs.get_law("chinchilla")


@pytest.fixture(scope="module")
def fit():
    """Only E is free, scatter is known, one run was measured a hundred times better than the others."""
    errors = np.full(24, 0.02)
    errors[7] = 0.0002
    return floor_fit(bs.runs_from_columns({**simulated_runs(n=24, scatter=0.01).columns, "loss_se": errors}), 0.3478)[0]


def floor(fit, kept):
    """Posterior mean and standard deviation of E from some runs: normal, flat prior."""
    residual = fit.runs["loss"] - LAW.predict(fit.runs.columns, LAW.complete({**fit.fixed, "E": 0.0}))
    weight = fit.runs["loss_se"][kept] ** -2.0
    return np.average(residual[kept], weights=weight), weight.sum() ** -0.5


def test_leaving_runs_out_against_the_closed_form(fit):
    everything = np.ones(24, bool)
    mean, sd = floor(fit, everything)
    found = leave_runs_out(fit)
    assert found[0].name == "line 8"
    assert found[0].exact
    for item in found:
        kept = fit.runs.lines != int(item.name.split()[1])
        without, wider = floor(fit, kept)
        assert item.shift["E"] == pytest.approx((without - mean) / sd, abs=max(0.05, 0.05 * wider / sd))
        assert item.widening["E"] == pytest.approx(wider / sd, rel=0.05)
    quick = leave_runs_out(fit, refit=0)
    assert next(item for item in quick if item.name == "line 8").pareto_k > 0.7
    assert not any(item.exact for item in quick)


def test_leaving_budgets_out_against_the_closed_form(fit):
    mean, sd = floor(fit, np.ones(24, bool))
    parts = budgets_of(fit)
    assert sorted(np.concatenate([rows for _, rows in parts]).tolist()) == list(range(24))
    for item, (label, rows) in zip(leave_budgets_out(fit), parts, strict=True):
        without, wider = floor(fit, ~np.isin(np.arange(24), rows))
        assert item.name == label
        assert item.shift["E"] == pytest.approx((without - mean) / sd, abs=max(0.08, 0.05 * wider / sd))
        # The curve at the largest inputs of all runs, also where these were left out, moves as the floor does.
        (curve,) = (name for name in item.shift if "largest inputs" in name)
        assert item.shift[curve] == pytest.approx(item.shift["E"], rel=0.01, abs=0.1)


def test_runs_of_one_compute_are_in_one_part():
    compute = np.repeat(np.geomspace(1e18, 1e21, 11), [3, 1, 3, 2, 3, 1, 3, 3, 2, 3, 3])
    runs = bs.runs_from_columns({"params": np.full(27, 1e8), "tokens": compute / 6e8, "loss": np.linspace(3, 2, 27)})
    parts = budgets_of(SimpleNamespace(runs=runs))
    assert len(parts) == 8
    assert sorted(np.concatenate([rows for _, rows in parts]).tolist()) == list(range(27))
    assert sum(len(np.unique(compute[rows])) for _, rows in parts) == 11


def test_what_widens_may_move():
    """By the difference of the variances: of means of normal values, exactly."""
    rng, moved = np.random.default_rng(0), []
    for _ in range(4000):
        values = rng.normal(size=20)
        moved.append((values[:5].mean() - values.mean()) * np.sqrt(20))  # in standard deviations of the mean of all
    item = Left("most of them", 15, {"mean": 1.9 * np.std(moved)}, {"mean": 2.0}, exact=True)
    assert np.std(moved) == pytest.approx(np.sqrt(2.0**2 - 1), rel=0.05)
    assert not item.is_large
    assert Left("most of them", 15, {"mean": 2.2 * np.std(moved)}, {"mean": 2.0}, exact=True).is_large
    assert Left("line 3", 1, {"mean": 1.1}, {"mean": 0.98}, exact=True).is_large


def test_priors_that_weigh_and_that_do_not(fit):
    """The flat prior has no weight. One as narrow as the likelihood and five of its widths away has as much as the runs."""
    flat = power_scaling(fit, {"E": looked_at(fit)["E"]})["E"]
    assert flat.prior < 0.01 < flat.likelihood
    assert flat.verdict == ""
    runs = bs.runs_from_columns({**fit.runs.columns, "loss_se": np.full(24, 0.02)})
    arguments = floor_only(0.3478) | {"priors": dict([bs.parse_prior("E=Normal(1.85, 0.004)")])}
    narrow = bs.fit(runs=runs, **arguments)
    found = power_scaling(narrow)["E"]
    assert found.prior > 0.05
    assert found.likelihood > 0.05
    assert found.verdict == "prior and runs disagree"
    assert log_prior(narrow) == pytest.approx(stats.norm(1.85, 0.004).logpdf(narrow.parameters()["E"]), rel=1e-6)


@pytest.mark.parametrize("count", [20, 200])
def test_the_band_holds_uniform_values(count):
    """In 95 % of samples everywhere at once; standard error of the share 0.5 %."""
    rng = np.random.default_rng(0)
    found = [uniformity(rng.uniform(size=count)) for _ in range(600)]
    assert np.mean([item.inside for item in found]) == pytest.approx(0.955, abs=0.02)  # counts are whole: at least 95 %
    assert np.mean([item.probability < 0.05 for item in found]) < 0.07


def test_the_band_sees_departures():
    rng = np.random.default_rng(1)
    narrow = uniformity(stats.norm.cdf(rng.normal(size=300) * 1.6))
    assert not narrow.inside
    assert narrow.shape == "outside"
    assert uniformity(stats.norm.cdf(rng.normal(size=300) / 1.6)).shape == "inside"
    assert uniformity(rng.beta(2, 1, size=300)).shape == "high"


def test_levels_of_counts_are_uniform_under_their_own_law():
    """Of problems many of which nothing solves: with one level for all of those they never are, spread out they nearly always."""
    scatter = stats.betabinom(100, 0.4, 6.0)
    counts = scatter.rvs((100, 120), random_state=0)
    same = scatter.pmf(counts)
    below = scatter.cdf(counts) - same / 2
    inside = [uniformity(spread_out(*rows)).inside for rows in zip(below, same, strict=True)]
    assert 0.89 <= np.mean(inside) <= 1.0
    assert not any(uniformity(rows).inside for rows in below[:20])
    assert np.array_equal(spread_out(below[0], same[0]), spread_out(below[0], same[0]))
    assert np.array_equal(spread_out(below[0], 0 * same[0]), below[0])  # what is continuous stays as it is


def test_patterns_are_found_where_they_are(small_fit):
    """The fit of the law that the runs are of; and the same draws beside runs that bend away from it at large compute."""
    from dataclasses import replace

    from bayes_scaling.criticism import criticise

    clean = criticise(small_fit)
    assert not [pattern for pattern in clean.found if pattern.probability < 0.002]
    assert clean.levels.inside
    assert clean.outlying == ()
    runs = small_fit.runs
    high = runs["loss"] * np.where(runs.lines == 17, 1.2, 1)
    assert criticise(replace(small_fit, runs=replace(runs, columns={**runs.columns, "loss": high}))).outlying == (17,)
    logs = np.log(runs["compute"])
    bent = runs["loss"] * np.exp(0.01 * ((logs - logs.mean()) / logs.std()) ** 2)
    found = criticise(replace(small_fit, runs=replace(runs, columns={**runs.columns, "loss": bent})))
    assert {"autocorrelation", "largest"} <= {pattern.kind for pattern in found.found if pattern.along == "compute"}
    assert "the runs of largest compute lie above the law by" in " ".join(map(str, found.found))


def test_neighbours():
    assert neighbours(np.arange(40.0)) > 0.8
    alternating = np.where(np.arange(40) % 2, 1.0, -1.0) + 0.001 * np.arange(40)
    assert neighbours(alternating) < -0.4  # ranks of two clouds: at least -1/2
    many = neighbours(np.random.default_rng(0).normal(size=(4000, 40)))
    assert many.mean() == pytest.approx(-1 / 40, abs=0.01)  # of values without order
