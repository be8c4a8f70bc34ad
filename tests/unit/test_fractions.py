"""Distributions of observed fractions against scipy's distributions of counts."""

import jax
import numpy as np
import pytest
from scipy import stats

import bayes_scaling as bs
from bayes_scaling.fractions import BetaBinomialFraction, BinomialFraction
from bayes_scaling.noise import noise_of
from bayes_scaling.suiting import usable_runs

N, COUNTS = 40.0, np.arange(41)


@pytest.mark.parametrize("p", [0.02, 0.3, 0.97])
def test_binomial(p):
    with jax.enable_x64(True):
        ours = BinomialFraction(N, p)
        theirs = stats.binom(int(N), p)
        assert np.asarray(ours.log_prob(COUNTS / N)) == pytest.approx(theirs.logpmf(COUNTS), rel=1e-9)
        assert np.asarray(ours.cdf(COUNTS / N)) == pytest.approx(theirs.cdf(COUNTS) - theirs.pmf(COUNTS) / 2, abs=1e-12)
        drawn = np.asarray(ours.sample(jax.random.PRNGKey(0), (20_000,)))
    assert np.allclose(drawn * N, np.round(drawn * N))
    assert drawn.mean() == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / N / 20_000))


@pytest.mark.parametrize("rho", [0.003, 0.1])
def test_beta_binomial(rho):
    p = 0.3
    with jax.enable_x64(True):
        ours = BetaBinomialFraction(N, p, rho)
        theirs = stats.betabinom(int(N), p / rho, (1 - p) / rho)
        assert np.asarray(ours.log_prob(COUNTS / N)) == pytest.approx(theirs.logpmf(COUNTS), rel=1e-8)
        drawn = np.asarray(ours.sample(jax.random.PRNGKey(0), (40_000,)))
    assert drawn.mean() == pytest.approx(p, abs=5 * theirs.std() / N / 200)
    assert drawn.std() == pytest.approx(theirs.std() / N, rel=0.03)


@pytest.mark.parametrize(("a", "b"), [(0.07, 99.0), (0.3, 2.0), (1.0, 1.0), (2.0, 0.1), (30.0, 70.0), (300.0, 15.0)])
@pytest.mark.parametrize("n", [1, 40, 3000])
def test_beta_binomial_cumulative(a, b, n):
    """Skewed and narrow ones alike: an error of 0.01 in a tail probability changes no diagnosis."""
    counts = np.arange(n + 1)
    with jax.enable_x64(True):
        ours = BetaBinomialFraction(float(n), a / (a + b), 1 / (a + b)).cdf(counts / n)
    masses = stats.betabinom(n, a, b).pmf(counts)
    assert ours == pytest.approx(np.cumsum(masses) - masses / 2, abs=0.01)


def test_scores_below_a_frontier():
    """The noise of `densing`, a mixture: its density integrates to its distribution function, and that to 1; its draws follow it."""
    law = bs.get_law("densing")
    p = {name: np.array(1.0) for name in law.parameter_names} | {"z_ref": np.array(2.0), "floor": np.array(0.25), "ceiling": np.array(0.95)}
    p |= {"rho": np.array(0.02), "growth": np.array(0.005), "level": np.array(0.0), "behind": np.array(0.7)}
    p |= law.derive(p)
    columns = {
        "params": np.array(2e9),
        "tokens": np.array(1e12),
        "day": np.array(100.0),
        "reference": np.array(0.0),
        "trials": np.array(500.0),
    }
    with jax.enable_x64(True):
        ours = noise_of(law).distribution(law.formula(columns, p), p, columns)
        scores = np.linspace(0, 1, 2001)
        density, below = np.exp(np.asarray(ours.log_prob(scores))), np.asarray(ours.cdf(scores))
        drawn = np.asarray(ours.sample(jax.random.PRNGKey(0), (20_000,)))
        mean = float(ours.mean)
    steps = (density[1:] + density[:-1]) / 2 / 2000
    assert below[[0, -1]] == pytest.approx([0, 1], abs=1e-9)
    assert np.cumsum(steps) == pytest.approx(below[1:], abs=1e-5)
    assert np.sum(steps * (scores[1:] + scores[:-1]) / 2) == pytest.approx(mean, abs=2e-3)  # what is cut off at 0 and 1 is not in it
    assert stats.kstest(drawn, lambda x: np.interp(x, scores, below)).pvalue > 1e-4


def test_rates_of_no_whole_number_of_successes_are_noted():
    """Half of a success is a mean of tries; what three digits of 0.4333 of 30 leave over is not."""
    law = bs.get_law("test_time_log_linear:test")
    columns = {"test_tokens": np.array([1e3, 2e3, 4e3]), "trials": np.full(3, 30.0)}
    whole, halves = (bs.runs_from_columns({**columns, "accuracy": np.array(rates)}) for rates in ([0.2, 0.433, 0.5], [0.2, 0.45, 0.675]))
    assert not usable_runs(law, noise_of(law, "beta-binomial"), whole).notes
    (note,) = usable_runs(law, noise_of(law, "beta-binomial"), halves).notes
    assert "2 rows have no whole number of successes (line 2: accuracy 0.45 of 30 is 13.5)" in note
