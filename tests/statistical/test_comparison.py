"""compare() against leave-one-out in closed form: known standard errors, one linear parameter, a flat prior."""

import numpy as np
import pytest
from conftest import simulated_runs
from scipy import stats

import bayes_scaling as bs

LAW = bs.get_law("chinchilla")
SE = np.linspace(0.01, 0.05, 24)


@pytest.fixture(scope="module")
def runs():
    found = simulated_runs(n=24)
    return bs.runs_from_columns({**found.columns, "loss_se": SE})


def fitted(runs, alpha):
    """A fit in which only E is free, and the exponent of params is held."""
    truth = {name: float(value) for name, value in LAW.sampled(LAW.published["besiroglu"].values).items()}
    fixed = {**{name: value for name, value in truth.items() if name != "E"}, "sigma": 0.0, "alpha": alpha}
    return bs.fit(LAW, runs, noise="known-se", fix=fixed, priors=dict([bs.parse_prior("E=Uniform(0, 10)")]), draws=2000), fixed


def exact(runs, fixed):
    """Log predictive density of each run given the others: normal about their weighted mean."""
    residual = runs["loss"] - LAW.predict(runs.columns, LAW.complete({**fixed, "E": 0.0}))
    found = []
    for i in range(len(runs)):
        weight = np.delete(SE**-2.0, i)
        mean, variance = np.average(np.delete(residual, i), weights=weight), 1 / weight.sum()
        found.append(stats.norm(mean, np.sqrt(variance + SE[i] ** 2)).logpdf(residual[i]))
    return np.array(found)


def test_against_the_closed_form(runs):
    (right, of_right), (wrong, of_wrong) = fitted(runs, 0.3478), fitted(runs, 0.5)
    comparison = bs.compare({"wrong": wrong, "right": right})
    first, second = exact(runs, of_right), exact(runs, of_wrong)
    assert [row.name for row in comparison.rows] == ["right", "wrong"]
    assert comparison["right"].elpd == pytest.approx(first.sum(), abs=0.15)  # Monte-Carlo error of importance sampling
    gap = second - first
    assert comparison["wrong"].difference == pytest.approx(gap.sum(), rel=0.02)
    assert comparison["wrong"].difference_se == pytest.approx(np.sqrt(len(runs)) * gap.std(ddof=1), rel=0.05)
    assert comparison["right"].difference == 0
    assert comparison["right"].probability > 0.95
    assert comparison["right"].probability + comparison["wrong"].probability == pytest.approx(1)
    assert comparison["right"].weight > 0.9
    assert "right very probably forecasts" in str(comparison) or "right almost certainly forecasts" in str(comparison)


def test_a_law_and_itself_cannot_be_told_apart(runs):
    """Two laws that forecast alike: hardly a difference, and words that say so, however sure its sign is."""
    fit, _ = fitted(runs, 0.3478)
    close, _ = fitted(runs, 0.3479)
    comparison = bs.compare({"a": fit, "b": close})
    assert abs(comparison.rows[1].difference) < 0.5
    assert "a and b forecast further runs of this kind about equally well: 24 runs cannot tell" in str(comparison)


def test_what_cannot_be_compared_is_refused(runs, small_fit):
    fit, _ = fitted(runs, 0.3478)
    with pytest.raises(bs.InputError, match="at least two fits; 1 given"):
        bs.compare({"a": fit})
    with pytest.raises(bs.InputError, match="'b' and 'a' were fitted to different runs"):
        bs.compare({"a": fit, "b": small_fit})
