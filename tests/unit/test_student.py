"""Student's t against numpyro's and scipy's."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import special

from bayes_scaling.student import StudentT, log_gamma_ratio


def test_log_gamma_ratio():
    """Against scipy where its ln Gamma has digits left, and everywhere against ratio(x) ratio(x + 1/2) = Gamma(x + 1) / Gamma(x) = x."""
    x = np.geomspace(1e-6, 1e6, 1001)
    low = x[x < 20]
    with jax.enable_x64(True):
        assert np.asarray(log_gamma_ratio(low)) == pytest.approx(special.gammaln(low + 0.5) - special.gammaln(low), abs=2e-13, rel=1e-13)
        assert np.asarray(log_gamma_ratio(x) + log_gamma_ratio(x + 0.5)) == pytest.approx(np.log(x), abs=2e-13, rel=1e-13)
        slope = np.asarray(jax.vmap(jax.grad(log_gamma_ratio))(jnp.asarray(x)))
        assert slope[x < 20] == pytest.approx(special.digamma(low + 0.5) - special.digamma(low), rel=1e-11)
        later = np.asarray(jax.vmap(jax.grad(log_gamma_ratio))(jnp.asarray(x + 0.5)))
        assert slope + later == pytest.approx(1 / x, rel=1e-11)


@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1e-12), (False, 1e-5)])
def test_density_and_gradient_are_numpyros(x64, tolerance):
    """Both precisions against numpyro's in 64 bits: its ln Gamma has no digits left in 32 at 1000 degrees of freedom."""
    value = np.array([0.0, 1e-6, 0.3, -2.0, 50.0, 1e4])[:, None]
    nu = np.array([0.3, 1.0, 4.0, 30.0, 1000.0])

    def density_and_gradient(kind):
        def total(nu, loc, scale):
            return jnp.sum(kind(nu, loc, scale).log_prob(jnp.asarray(value)))

        gradient = jax.grad(total, argnums=(0, 1, 2))(jnp.asarray(nu), 0.2, 0.7)
        return [np.asarray(part) for part in (kind(nu, 0.2, 0.7).log_prob(value), *gradient)]

    with jax.enable_x64(x64):
        ours = density_and_gradient(StudentT)
    with jax.enable_x64(True):
        theirs = density_and_gradient(dist.StudentT)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=20 * tolerance, abs=20 * tolerance)
