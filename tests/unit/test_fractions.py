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


# The cdf is a normal approximation: the more correlated, the more skewed, the coarser.
@pytest.mark.parametrize(("rho", "coarse"), [(0.003, 0.02), (0.1, 0.05)])
def test_beta_binomial(rho, coarse):
    p = 0.3
    with jax.enable_x64(True):
        ours = BetaBinomialFraction(N, p, rho)
        theirs = stats.betabinom(int(N), p / rho, (1 - p) / rho)
        assert np.asarray(ours.log_prob(COUNTS / N)) == pytest.approx(theirs.logpmf(COUNTS), rel=1e-8)
        drawn = np.asarray(ours.sample(jax.random.PRNGKey(0), (40_000,)))
        middle = np.arange(6, 19)
        assert np.asarray(ours.cdf(middle / N)) == pytest.approx(theirs.cdf(middle) - theirs.pmf(middle) / 2, abs=coarse)
    assert drawn.mean() == pytest.approx(p, abs=5 * theirs.std() / N / 200)
    assert drawn.std() == pytest.approx(theirs.std() / N, rel=0.03)
