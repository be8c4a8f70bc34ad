"""Student's t against numpyro's and scipy's."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

from bayes_scaling.student import StudentT


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
