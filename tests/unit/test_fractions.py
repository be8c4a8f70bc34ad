"""Distributions of observed fractions against scipy's distributions of counts."""

import jax
import numpy as np
import pytest
from scipy import stats

from bayes_scaling.fractions import BetaBinomialFraction, BinomialFraction

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
