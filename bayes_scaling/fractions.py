"""Distributions of observed fractions k / n of counted events, for error rates with known numbers of test items."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import betainc, betaln, gammaln
from numpyro.distributions import constraints


def _log_choose(n: Any, k: Any) -> jax.Array:
    return gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)


class BinomialFraction(dist.Distribution):
    """The fraction k / n of n independent trials that are events, each with probability ``mean``.

    ``log_prob`` is the log probability of the count ``k = round(value * n)``.
    """

    arg_constraints = {"trials": constraints.positive, "mean": constraints.unit_interval}  # noqa: RUF012 (numpyro's own form)
    support: Any = constraints.unit_interval

    def __init__(self, trials: Any, mean: Any, *, validate_args: bool | None = None) -> None:
        self.trials, self.probability = jnp.asarray(trials, float), jnp.asarray(mean, float)
        shape = jax.lax.broadcast_shapes(jnp.shape(self.trials), jnp.shape(self.probability))
        super().__init__(shape, validate_args=validate_args)

    @property
    def mean(self) -> jax.Array:
        return jnp.broadcast_to(self.probability, self.batch_shape)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        n, p = jnp.broadcast_to(self.trials, self.batch_shape), self.mean
        return jax.random.binomial(key, n, p, shape=(*sample_shape, *self.batch_shape), dtype=n.dtype) / n

    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        n, k = self.trials, jnp.round(value * self.trials)
        return _log_choose(n, k) + k * jnp.log(self.probability) + (n - k) * jnp.log1p(-self.probability)

    def cdf(self, value: Any) -> jax.Array:
        """Probability of a smaller count and half that of the same: uniform, as near as a count can be, if the law is right."""
        n, k = self.trials, jnp.round(value * self.trials)
        inside = jnp.minimum(k, n - 1)  # betainc needs positive arguments
        upto = jnp.where(k >= n, 1.0, betainc(n - inside, inside + 1, 1 - self.probability))
        return upto - jnp.exp(self.log_prob(value)) / 2


class BetaBinomialFraction(dist.Distribution):
    """The same with outcomes that are correlated within a run, by ``r = rho / (1 + rho)``: variance p (1 - p) (1 + (n - 1) r) / n."""

    arg_constraints = {  # noqa: RUF012 (numpyro's own form)
        "trials": constraints.positive,
        "mean": constraints.unit_interval,
        "rho": constraints.positive,
    }
    support: Any = constraints.unit_interval

    def __init__(self, trials: Any, mean: Any, rho: Any, *, validate_args: bool | None = None) -> None:
        self.trials, self.probability, self.rho = (jnp.asarray(part, float) for part in (trials, mean, rho))
        shape = jax.lax.broadcast_shapes(*(jnp.shape(part) for part in (self.trials, self.probability, self.rho)))
        super().__init__(shape, validate_args=validate_args)

    @property
    def mean(self) -> jax.Array:
        return jnp.broadcast_to(self.probability, self.batch_shape)

    def _shapes(self) -> tuple[jax.Array, jax.Array]:
        size = 1 / self.rho
        return self.probability * size, (1 - self.probability) * size

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        first, second = jax.random.split(key)
        a, b = self._shapes()
        shape = (*sample_shape, *self.batch_shape)
        p = jax.random.beta(first, a, b, shape=shape)
        n = jnp.broadcast_to(self.trials, self.batch_shape)
        return jax.random.binomial(second, n, p, shape=shape, dtype=n.dtype) / n

    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        n, k = self.trials, jnp.round(value * self.trials)
        a, b = self._shapes()
        return _log_choose(n, k) + betaln(k + a, n - k + b) - betaln(a, b)

    def cdf(self, value: Any) -> jax.Array:
        """Normal approximation: there is no closed form, and a sum over counts is too long for large n."""
        n, p = self.trials, self.probability
        spread = jnp.sqrt(p * (1 - p) * (1 + (n - 1) / (1 + 1 / self.rho)) / n)
        return jax.scipy.stats.norm.cdf((jnp.round(value * n) / n - p) / spread)
