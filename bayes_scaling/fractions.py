"""Distributions of observed fractions k / n of counted events, for error rates with known numbers of test items."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jax.scipy.special import betainc
from numpy.polynomial.hermite_e import hermegauss
from numpyro.distributions import constraints
from scipy.special import betainc as scipy_betainc
from scipy.special import digamma, expit, polygamma

from bayes_scaling.numeric import log_gamma_ratio


def _log_choose(n: Any, k: Any) -> jax.Array:
    return log_gamma_ratio(k + 1, n - k) - log_gamma_ratio(jnp.ones_like(n), n - k)


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

    @property
    def variance(self) -> jax.Array:
        return self.mean * (1 - self.mean) / self.trials

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

    @property
    def variance(self) -> jax.Array:
        correlation = self.rho / (1 + self.rho)
        return self.mean * (1 - self.mean) * (1 + (self.trials - 1) * correlation) / self.trials

    def shapes(self) -> tuple[jax.Array, jax.Array]:
        """Return the shapes (a, b) of the beta distribution that the probability of a run is drawn from."""
        size = 1 / self.rho
        return self.probability * size, (1 - self.probability) * size

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        first, second = jax.random.split(key)
        a, b = self.shapes()
        shape = (*sample_shape, *self.batch_shape)
        p = jax.random.beta(first, a, b, shape=shape)
        n = jnp.broadcast_to(self.trials, self.batch_shape)
        return jax.random.binomial(second, n, p, shape=shape, dtype=n.dtype) / n

    def log_prob(self, value: Any, intermediates: Any = None) -> jax.Array:
        n, k = self.trials, jnp.round(value * self.trials)
        a, b = self.shapes()
        # As differences of log gammas these would lose all digits where outcomes are nearly uncorrelated (rho -> 0): a search for the mode
        # would then follow rounding errors of thousands of nats.
        return _log_choose(n, k) + log_gamma_ratio(a, k) + log_gamma_ratio(b, n - k) - log_gamma_ratio(1 / self.rho, n)

    def cdf(self, value: Any) -> Any:
        """Probability of a smaller count and half that of the same, to within 0.01; by numpy and scipy, so not inside a traced function.

        P(K <= k) = P(X < Y) with X ~ Beta(a, b) and Y ~ Beta(k + 1, n - k), which is the incomplete beta function of one averaged over the
        other: over that with the narrower logit, by Gauss-Hermite quadrature on a normal logit of its mean and variance. A sum over counts
        is too long for large n.
        """
        n, k = np.asarray(self.trials), np.round(np.asarray(value) * np.asarray(self.trials))
        inside = np.minimum(k, n - 1)  # a beta distribution needs positive arguments
        x = [np.asarray(part, float) for part in self.shapes()]
        y = [inside + 1.0, n - inside]
        spread_x, spread_y = (np.sqrt(polygamma(1, a) + polygamma(1, b)) for a, b in (x, y))
        over_x = spread_x < spread_y
        sign = np.where(over_x, -1.0, 1.0)
        middle = sign * np.where(over_x, digamma(x[0]) - digamma(x[1]), digamma(y[0]) - digamma(y[1]))
        spread = np.minimum(spread_x, spread_y)
        # P(X < Y) = P(1 - Y < 1 - X), so the wider one enters as it is or mirrored.
        wide = np.where(over_x, y[1], x[0]), np.where(over_x, y[0], x[1])
        upto = sum(
            weight * scipy_betainc(*wide, expit(middle + spread * node)) for node, weight in zip(*hermegauss(5), strict=True)
        ) / np.sqrt(2 * np.pi)
        return np.where(k >= n, 1.0, upto) - np.exp(np.asarray(self.log_prob(value))) / 2
