"""The best split of compute between params and tokens: closed form where a law has one, a bounded numeric optimum otherwise.

Everything is vectorised over draws: parameters are arrays of one shape, compute is a number or an array of that shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling import numeric
from bayes_scaling.cost import Cost, affordable_tokens
from bayes_scaling.errors import InputError
from bayes_scaling.law import Law

SMALLEST_PARAMS, LARGEST_PARAMS = 10.0, 1e18  # the numeric optimum lies between them, or at one of them
LARGEST_COMPUTE = 1e40  # FLOP; a target that needs more counts as out of reach
_HALVINGS = 60

Draws = Mapping[str, np.ndarray]


def require_plan(law: Law) -> None:
    """Raise InputError unless the law is one of params and tokens."""
    if set(law.input_names) != {"params", "tokens"}:
        raise InputError(
            f"law '{law.name}' is a function of {', '.join(law.input_names)}: an allocation needs a law of params and tokens (chinchilla)"
        )


def require_compute(compute: Any, cost: Cost) -> None:
    """Raise InputError unless compute is positive, finite and enough to train anything."""
    for value in np.ravel(compute):
        if not (np.isfinite(value) and value > 0):
            raise InputError(f"compute = {value:g} FLOP must be positive and finite")
        if cost.largest_params(value) <= 2 * SMALLEST_PARAMS:
            raise InputError(f"compute = {value:.3g} FLOP is too little to train (and serve) {2 * SMALLEST_PARAMS:g} params: {cost.text()}")


def outcome(law: Law, parameters: Draws, params: Any, tokens: Any) -> np.ndarray:
    """Return the law's output for plans; arrays broadcast against the draws."""
    return law.predict({"params": params, "tokens": tokens}, parameters)


def best_params(law: Law, parameters: Draws, compute: Any, cost: Cost) -> np.ndarray:
    """Return the params that minimise the law's output at given compute, for each draw; shape of the draws."""
    if law.optimum is not None and cost.training_only:
        params, _ = law.optimum(parameters, np.asarray(compute) / cost.training)
        return np.asarray(params)
    return numeric_best_params(law, parameters, compute, cost)


def numeric_best_params(law: Law, parameters: Draws, compute: Any, cost: Cost) -> np.ndarray:
    """Return the same as `best_params` by a grid over ln params and bisection of the slope in the best cell."""
    shape = next(iter(parameters.values())).shape
    with jax.enable_x64(True):
        spent = np.broadcast_to(np.asarray(compute, float), shape)
        return np.exp(np.asarray(_solver(law, False)(dict(parameters), spent, cost.training, cost.serving)))


def best_expected_params(law: Law, parameters: Draws, compute: float, cost: Cost) -> float:
    """Return the params that minimise the law's output averaged over the draws."""
    flat = {name: np.ravel(values) for name, values in parameters.items()}
    with jax.enable_x64(True):
        return float(np.exp(_solver(law, True)(flat, np.asarray(compute, float), cost.training, cost.serving)))


@lru_cache(maxsize=64)
def _solver(law: Law, expected: bool) -> Callable[..., jax.Array]:
    """Return a compiled (parameters, compute, training, serving) -> ln params at the minimum; with ``expected``, of the mean over draws."""

    @jax.jit
    def solve(parameters: Mapping[str, jax.Array], compute: jax.Array, training: jax.Array, serving: jax.Array) -> jax.Array:
        def value(x: jax.Array) -> jax.Array:
            params = jnp.exp(x)
            result = law.formula({"params": params, "tokens": affordable_tokens(params, compute, training, serving)}, parameters)
            return jnp.mean(result) if expected else result

        # Short of one token nothing is trained; rounding must not take the last grid point past it.
        high = jnp.log(jnp.minimum(LARGEST_PARAMS, compute / (training + serving))) - 1e-9
        return numeric.minimum(value, jnp.full(compute.shape, np.log(SMALLEST_PARAMS)), high)

    return solve


def best_outcome(law: Law, parameters: Draws, compute: Any, cost: Cost) -> np.ndarray:
    """Return the lowest output attainable at a compute, for each draw."""
    params = best_params(law, parameters, compute, cost)
    return outcome(law, parameters, params, cost.tokens(params, compute))


def least_compute(law: Law, parameters: Draws, target: Any, cost: Cost) -> np.ndarray:
    """Return the least compute that reaches a target output, for each draw; infinite where LARGEST_COMPUTE does not reach it.

    Bisection over ln compute: the best outcome falls with compute.
    """
    shape = next(iter(parameters.values())).shape
    target = np.broadcast_to(np.asarray(target, float), shape)
    return bisect(lambda compute: best_outcome(law, parameters, compute, cost), target, smallest_compute(cost), LARGEST_COMPUTE)


def smallest_compute(cost: Cost) -> float:
    """Return the least compute that `require_compute` lets pass, with a margin."""
    return 4 * cost.compute(SMALLEST_PARAMS, 1.0)


def bisect(falling: Callable[[np.ndarray], np.ndarray], target: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return for each element the smallest x in [low, high] with falling(x) <= target, in logs; infinite where there is none."""
    lower, upper = np.full(target.shape, np.log(low)), np.full(target.shape, np.log(high))
    reachable = falling(np.exp(upper)) <= target
    for _ in range(_HALVINGS):
        middle = (lower + upper) / 2
        enough = falling(np.exp(middle)) <= target
        lower, upper = np.where(enough, lower, middle), np.where(enough, middle, upper)
    return np.where(reachable, np.exp(upper), np.inf)
