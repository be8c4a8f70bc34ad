"""Student's t distribution, written so that its density and gradient compile and run fast; and a prior of its degrees of freedom."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from bayes_scaling.numeric import log_gamma_ratio


class StudentT(dist.StudentT):
    """numpyro's Student-t with the same density, in a form that XLA fuses."""

    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        nu, scale = jnp.asarray(self.df), jnp.asarray(self.scale)
        y = (value - self.loc) / scale
        q = y * y / nu
        # In 64 bits ln(1 + q) is exact enough for any nu below 1e12, and cheaper than log1p; 32 bits have no digits to give away.
        tail = (nu + 1) / 2 * (jnp.log(1 + q) if q.dtype == jnp.float64 else jnp.log1p(q))
        return log_gamma_ratio(nu / 2, 0.5) - jnp.log(nu * jnp.pi) / 2 - jnp.log(scale) - tail


class ShiftedGamma(dist.Distribution):
    """A gamma distribution of what lies above ``low``.

    For degrees of freedom, from 1 up. Below 1, tails are heavier than Cauchy's: a curve through as many runs as it has parameters, with no
    scatter, and all others as outlying runs, then keeps a share of the posterior; it says nothing about the law, and no sampler finds its
    way among all such curves.
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive, "low": constraints.real}  # noqa: RUF012 (numpyro's form)

    def __init__(self, concentration: Any, rate: Any = 1.0, low: Any = 0.0, *, validate_args: bool | None = None) -> None:
        self.concentration, self.rate, self.low = concentration, rate, low
        self._above = dist.Gamma(concentration, rate)
        super().__init__(self._above.batch_shape, validate_args=validate_args)

    @property
    def support(self) -> Any:
        return constraints.greater_than_eq(self.low)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        return self.low + self._above.sample(key, sample_shape)

    @validate_sample
    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        return self._above.log_prob(value - self.low)

    @property
    def mean(self) -> Any:
        return self.low + self._above.mean

    @property
    def variance(self) -> Any:
        return self._above.variance
