"""Student's t distribution, written so that its density and gradient compile and run fast."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

_SHIFT = 8


@jax.custom_jvp
def log_gamma_ratio(x: Any) -> jax.Array:
    """Return ln Gamma(x + 1/2) - ln Gamma(x) for x > 0, to 1e-13.

    The recurrence up to x + 8, and the asymptotic series there (Tricomi & Erdelyi 1951). The value and its derivative are each one
    expression whose parts are used once, so that XLA makes one kernel of each; jax's ln Gamma and digamma become thirty.
    """
    x = jnp.asarray(x)
    steps = jnp.ones_like(x)
    for k in range(_SHIFT):
        steps = steps * ((x + k) / (x + (k + 0.5)))
    y = x + _SHIFT
    u = 1 / (y * y)
    series = u * (1 / 192 - u * (1 / 640 - u * (17 / 14336 - u * (31 / 18432 - u * 691 / 180224))))
    return jnp.log(steps) + 0.5 * jnp.log(y) + (series - 1 / 8) / y


@log_gamma_ratio.defjvp
def _(primals: tuple, tangents: tuple) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    slope = sum(0.5 / ((x + k) * (x + (k + 0.5))) for k in range(_SHIFT))
    y = x + _SHIFT
    u = 1 / (y * y)
    series = u * (3 / 192 - u * (5 / 640 - u * (7 * 17 / 14336 - u * (9 * 31 / 18432 - u * 11 * 691 / 180224))))
    return log_gamma_ratio(x), (slope + 0.5 / y - (series - 1 / 8) * u) * dx


class StudentT(dist.StudentT):
    """numpyro's Student-t with the same density, in a form that XLA fuses."""

    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        nu, scale = jnp.asarray(self.df), jnp.asarray(self.scale)
        y = (value - self.loc) / scale
        q = y * y / nu
        # In 64 bits ln(1 + q) is exact enough for any nu below 1e12, and cheaper than log1p; 32 bits have no digits to give away.
        tail = (nu + 1) / 2 * (jnp.log(1 + q) if q.dtype == jnp.float64 else jnp.log1p(q))
        return log_gamma_ratio(nu / 2) - jnp.log(nu * jnp.pi) / 2 - jnp.log(scale) - tail
