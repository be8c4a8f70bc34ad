"""Minima and crossings against closed forms, element by element."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from bayes_scaling import numeric
from bayes_scaling.optimum import least_reaching


@pytest.fixture(autouse=True)
def _wide():
    with jax.enable_x64(True):
        yield


def test_minimum_of_many_at_once():
    centres = jnp.linspace(-3, 3, 50)
    assert np.asarray(numeric.minimum(lambda x: jnp.cosh(x - centres), -5.0 * jnp.ones(50), 5.0)) == pytest.approx(
        np.asarray(centres), abs=1e-8
    )


def test_minimum_at_an_end_and_of_two_valleys():
    assert float(numeric.minimum(lambda x: x, 2.0, 3.0)) == pytest.approx(2.0, abs=1e-9)
    two = numeric.minimum(lambda x: (x**2 - 1) ** 2 + 0.1 * x, -2.0, 2.0)
    assert float(two) == pytest.approx(np.roots([4, 0, -4, 0.1]).min(), abs=1e-9)


def test_crossing_and_out_of_reach():
    found = numeric.crossing(lambda x: jnp.exp(-x), jnp.array([0.5, 1e-9]), 0.0, 10.0)
    assert float(found[0]) == pytest.approx(np.log(2), abs=1e-9)
    assert np.isinf(found[1])
    assert float(numeric.crossing(lambda x: -x, 1.0, 0.0, 10.0)) == pytest.approx(0.0, abs=1e-9)


def test_power_neither_overflows_nor_loses_its_gradient():
    assert float(numeric.power(1e300, 40.0, 1e7)) == pytest.approx(1e20)
    slope = jax.grad(lambda c: numeric.power(2.0, c, 1e6))(0.3)
    assert float(slope) == pytest.approx(-np.log(1e6) * 2 * 1e6**-0.3)


@pytest.mark.parametrize("a", [1e-3, 0.4, 3.0, 5e3])
def test_log_gamma_ratio(a):
    """Against the product Gamma(x + n) / Gamma(x) = x (x + 1) ... where a is whole, and against scipy where that keeps its digits."""
    x = np.array([1e-3, 0.5, 7.99, 8.0, 8.01, 40.0, 900.0])
    ours = np.asarray(numeric.log_gamma_ratio(x, a))
    assert ours == pytest.approx(special.gammaln(x + a) - special.gammaln(x), rel=1e-10, abs=1e-11)
    slope = np.asarray(jax.vmap(jax.grad(numeric.log_gamma_ratio), (0, None))(jnp.asarray(x), a))
    assert slope == pytest.approx(special.digamma(x + a) - special.digamma(x), rel=1e-6)
    far = np.array([1e8, 1e15, 1e30])  # where the difference of two log gammas has no digits left
    if a == 3.0:
        assert np.asarray(numeric.log_gamma_ratio(far, a)) == pytest.approx(np.log(far) + np.log(far + 1) + np.log(far + 2), rel=1e-14)


def test_log_gamma_ratio_of_a_half():
    """Against scipy where its ln Gamma has digits left, and everywhere against ratio(x) ratio(x + 1/2) = Gamma(x + 1) / Gamma(x) = x."""

    def ratio(x):
        return numeric.log_gamma_ratio(x, 0.5)

    x = np.geomspace(1e-6, 1e6, 1001)
    low = x[x < 20]
    assert np.asarray(ratio(low)) == pytest.approx(special.gammaln(low + 0.5) - special.gammaln(low), abs=2e-13, rel=1e-13)
    assert np.asarray(ratio(x) + ratio(x + 0.5)) == pytest.approx(np.log(x), abs=2e-13, rel=1e-13)
    slope = np.asarray(jax.vmap(jax.grad(ratio))(jnp.asarray(x)))
    assert slope[x < 20] == pytest.approx(special.digamma(low + 0.5) - special.digamma(low), rel=1e-11)
    later = np.asarray(jax.vmap(jax.grad(ratio))(jnp.asarray(x + 0.5)))
    assert slope + later == pytest.approx(1 / x, rel=1e-11)


@pytest.mark.parametrize("x", [1e-3, 0.7, 30.0, 1e5])
def test_log_gamma_ratio_grows_with_its_step_as_digamma(x):
    a = np.array([0.0, 1e-3, 0.5, 7.0, 900.0])
    slope = np.asarray(jax.vmap(jax.grad(numeric.log_gamma_ratio, argnums=1), (None, 0))(x, jnp.asarray(a)))
    assert slope == pytest.approx(special.digamma(x + a), rel=1e-11, abs=1e-11)


_RNG = np.random.default_rng(1)
_E, _A, _ALPHA = _RNG.normal(1.8, 0.05, 500), np.exp(_RNG.normal(8, 1, 500)), _RNG.uniform(0.02, 0.6, 500)
_TARGETS = np.where(_RNG.random(500) < 0.2, 3.0, _RNG.uniform(1.7, 6, 500))


def _loss(x):
    return _E + _A * x**-_ALPHA


@pytest.mark.parametrize(
    ("falling", "smooth"),
    [
        (_loss, True),
        (lambda x: np.where(x < 1e15, np.inf, _loss(x)), False),  # no plan keeps the limits
        (lambda x: np.floor(10 * _loss(x)) / 10, False),  # a few sizes can be built
        (lambda x: np.maximum(_loss(x), 3.0), False),  # a plateau, at the target of some
        (lambda x: np.where(x < 1e22, _loss(x) + 1, _loss(x)), False),
    ],
)
def test_the_least_that_reaches_a_target(falling, smooth):
    """It is what bisection finds: also beyond jumps, at plateaus, below the interval and where nothing reaches the target."""
    seen = []
    low, high = 6e3, 1e40
    found = least_reaching(lambda x: seen.append(x) or falling(x), _TARGETS, low, high)
    lower, upper = np.full(500, np.log(low)), np.full(500, np.log(high))
    for _ in range(70):
        middle = (lower + upper) / 2
        enough = falling(np.exp(middle)) <= _TARGETS
        lower, upper = np.where(enough, lower, middle), np.where(enough, middle, upper)
    reached = falling(np.full(500, high)) <= _TARGETS
    assert 50 < reached.sum() < 500
    assert np.array_equal(np.isfinite(found), reached)
    assert np.log(found[reached]) == pytest.approx(upper[reached], abs=1e-13)
    assert len(seen) < (25 if smooth else 60)
