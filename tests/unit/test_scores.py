"""Scores of forecasts and the weights that average them, against closed forms and a general optimiser."""

import numpy as np
import pytest
from scipy import optimize, stats

from bayes_scaling.scores import best_weights, choice, crps, score, stacking_weights


def test_crps_of_a_normal_forecast():
    """Gneiting & Raftery 2007: sd (z (2 F(z) - 1) + 2 f(z) - 1 / sqrt(pi))."""
    measured, centre, spread = np.array([0.0, 1.3, -4.0]), np.array([0.2, 0.0, 1.0]), np.array([1.0, 0.5, 2.0])
    draws = centre + spread * np.random.default_rng(0).normal(size=(200_000, 3))
    z = (measured - centre) / spread
    exact = spread * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert crps(draws, measured) == pytest.approx(exact, abs=0.01)


def test_crps_of_the_heaviest_tails_is_finite():
    with np.errstate(over="ignore"):
        draws = np.exp(1000 * np.random.default_rng(1).standard_t(0.5, size=(1000, 1)))
    assert np.isinf(draws).any()
    assert np.isfinite(score("loss", draws, np.array([2.0]))["crps"][0])


def test_scores_are_relative_for_what_is_positive():
    draws = 3.0 * np.exp(0.1 * np.random.default_rng(0).normal(size=(4000, 1)))
    for factor in (1.0, 10.0):
        found = score("loss", factor * draws, factor * np.array([3.6]))
        assert found["error"][0] == pytest.approx(-np.log(1.2), abs=0.01)
        assert found["covered"][0] == 0
        assert found["level"][0] == pytest.approx(stats.norm.cdf(np.log(1.2) / 0.1), abs=0.02)
    assert np.isfinite(score("loss", np.array([[-1.0], [1.0], [2.0]]), np.array([1.5]))["crps"][0])


def test_levels_of_counts_are_spread_over_what_is_the_same():
    """Of forecasts right about what is mostly zero, in the middle of which three quarters would have one level."""
    draws, measured = np.random.default_rng(0).binomial(3, 0.09, (2, 2000)).astype(float) / 3
    levels = score("accuracy", np.repeat(draws[:, None], 2000, axis=1), measured)["level"]
    assert stats.kstest(levels, "uniform").pvalue > 0.01


@pytest.mark.parametrize("laws", [2, 4])
def test_best_weights_are_the_best(laws):
    rng = np.random.default_rng(laws)
    scores = rng.normal(scale=1.5, size=(60, laws)) - np.linspace(0, 1, laws)
    weights = best_weights(scores)

    def lost(free):
        return -np.sum(np.log(np.exp(scores) @ (np.exp(free) / np.exp(free).sum())))

    best = optimize.minimize(lost, np.zeros(laws), method="BFGS", options={"gtol": 1e-8})
    assert weights.sum() == pytest.approx(1)
    assert weights == pytest.approx(np.exp(best.x) / np.exp(best.x).sum(), abs=1e-3)


def test_stacking_weights_of_hopeless_and_of_far_off_scores():
    assert best_weights(np.stack([np.zeros(20), np.full(20, -5.0)], axis=1)) == pytest.approx([1, 0], abs=1e-6)
    assert best_weights(np.full((20, 2), -1e6)) == pytest.approx([0.5, 0.5])
    assert stacking_weights(np.full((20, 2), -1e6)) == pytest.approx([0.5, 0.5], abs=0.01)
    far_off = np.stack([np.full(20, -1e4), np.zeros(20)], axis=1)
    assert stacking_weights(far_off) == pytest.approx([0, 1], abs=0.03)


@pytest.mark.parametrize("case", ["a little ahead", "far ahead", "each at its place", "one run"])
def test_stacking_weights_are_the_posterior_mean(case):
    """Of two laws: the weight's posterior by quadrature, under Beta(1/2, 1/2), with sin^2 as the coordinate that makes it flat."""
    rng = np.random.default_rng(3)
    second = {
        "a little ahead": np.full(70, -2 / 70),
        "far ahead": np.full(70, -0.5),
        "each at its place": np.where(rng.uniform(size=500) < 0.7, -2.0, 2.0),
        "one run": np.array([-1.0]),
    }[case]
    scores = np.stack([np.zeros(len(second)), second], axis=1)
    weight = np.sin(np.linspace(0, np.pi / 2, 20_001)) ** 2
    log_likelihood = np.log(weight[:, None] + (1 - weight[:, None]) * np.exp(second)).sum(axis=1)
    posterior = np.exp(log_likelihood - log_likelihood.max())
    exact = posterior @ weight / posterior.sum()
    assert stacking_weights(scores)[0] == pytest.approx(exact, abs=0.01)


def test_laws_that_forecast_alike_share():
    alike = stacking_weights(np.array([[0.0, 0.0, -3.0]] * 50))
    assert alike[0] == pytest.approx(alike[1], abs=0.03)
    assert alike[2] < 0.01


def test_draws_are_shared_out_by_weight():
    assert np.bincount(choice([0.2, 0.0, 0.8], 1000), minlength=3).tolist() == [200, 0, 800]
