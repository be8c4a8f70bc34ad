"""The best split of compute between params and tokens: closed form where a law has one, a bounded numeric optimum otherwise.

Everything is vectorised over draws: parameters are arrays of one shape, and so is what comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayes_scaling.cost import Cost
from bayes_scaling.errors import InputError
from bayes_scaling.law import Law

SMALLEST_PARAMS = 10.0
LARGEST_PARAMS = 1e18
SMALLEST_COMPUTE, LARGEST_COMPUTE = 1e6, 1e36  # FLOP; where searches over compute begin and end
_GRID = 257
_HALVINGS = 60

Draws = Mapping[str, np.ndarray]


def require_plan(law: Law) -> None:
    """Raise InputError unless the law is one of params and tokens."""
    if set(law.input_names) != {"params", "tokens"}:
        raise InputError(
            f"law '{law.name}' is a function of {', '.join(law.input_names)}: an allocation needs a law of params and tokens (chinchilla)"
        )


def best_params(law: Law, parameters: Draws, compute: float, cost: Cost) -> np.ndarray:
    """Return the params that minimise the law's output at given compute, for each draw; shape of the draws."""
    if law.optimum is not None and cost.training_only:
        params, _ = law.optimum(parameters, compute / cost.training)
        return np.asarray(params)
    return numeric_best_params(law, parameters, compute, cost)


def numeric_best_params(law: Law, parameters: Draws, compute: float, cost: Cost) -> np.ndarray:
    """Return the same as `best_params` by a grid over ln params and bisection of the slope; the ends of the range are allowed."""

    def outcome(x: jax.Array, p: Mapping[str, jax.Array]) -> jax.Array:
        params = jnp.exp(x)
        return law.formula({"params": params, "tokens": cost.tokens(params, compute)}, p)

    return _minimise(outcome, parameters, compute, cost)


def best_expected_params(law: Law, parameters: Draws, compute: float, cost: Cost) -> float:
    """Return the params that minimise the law's output averaged over the draws."""
    flat = {name: np.ravel(values) for name, values in parameters.items()}

    def outcome(x: jax.Array, p: Mapping[str, jax.Array]) -> jax.Array:
        params = jnp.exp(x)[..., None]
        return jnp.mean(law.formula({"params": params, "tokens": cost.tokens(params, compute)}, p), axis=-1)

    return float(_minimise(outcome, flat, compute, cost, scalar=True))


def _minimise(
    outcome: Callable[[jax.Array, Any], jax.Array], parameters: Draws, compute: float, cost: Cost, scalar: bool = False
) -> np.ndarray:
    """Minimise over ln params. With ``scalar``, one minimum for all draws; otherwise one a draw."""
    low = np.log(SMALLEST_PARAMS)
    # Short of one token nothing is trained; rounding must not take the last grid point past it.
    high = np.log(min(LARGEST_PARAMS, float(cost.largest_params(compute)))) - 1e-9
    if not high > low:
        raise InputError(f"compute = {compute:.3g} FLOP is too little to train {SMALLEST_PARAMS:g} params on one token")
    with jax.enable_x64(True):
        p = {name: jnp.asarray(values, float) for name, values in parameters.items()}
        shape = () if scalar else next(iter(p.values())).shape
        grid = np.linspace(low, high, _GRID)
        best, value = jnp.zeros(shape, int), jnp.full(shape, jnp.inf)
        # One grid point at a time keeps memory at the size of the draws.
        evaluate = jax.jit(outcome)
        for i, x in enumerate(grid):
            candidate = evaluate(jnp.asarray(x), p)
            better = candidate < value
            best, value = jnp.where(better, i, best), jnp.where(better, candidate, value)
        lower, upper = jnp.asarray(grid)[jnp.maximum(best - 1, 0)], jnp.asarray(grid)[jnp.minimum(best + 1, _GRID - 1)]

        def slope(x: jax.Array) -> jax.Array:
            return jax.jvp(lambda x: outcome(x, p), (x,), (jnp.ones_like(x),))[1]

        def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            lower, upper = ends
            middle = (lower + upper) / 2
            falling = slope(middle) < 0
            return jnp.where(falling, middle, lower), jnp.where(falling, upper, middle)

        lower, upper = jax.jit(lambda ends: jax.lax.fori_loop(0, _HALVINGS, halve, ends))((lower, upper))
        return np.exp(np.asarray((lower + upper) / 2))


def outcome(law: Law, parameters: Draws, params: Any, tokens: Any) -> np.ndarray:
    """Return the law's output for plans; arrays broadcast against the draws."""
    return law.predict({"params": params, "tokens": tokens}, parameters)


def best_outcome(law: Law, parameters: Draws, compute: np.ndarray, cost: Cost) -> np.ndarray:
    """Return the lowest output attainable at a compute for each draw (compute of the draws' shape). Needs the closed form."""
    assert law.optimum is not None
    params, tokens = law.optimum(parameters, compute / cost.training)
    return law.predict({"params": params, "tokens": tokens}, parameters)


def least_compute(law: Law, parameters: Draws, target: Any, cost: Cost) -> np.ndarray:
    """Return the least compute that reaches a target output, for each draw; infinite where no compute up to LARGEST_COMPUTE does.

    Bisection over ln compute of the best outcome, which falls with compute.
    """
    shape = next(iter(parameters.values())).shape
    target = np.broadcast_to(np.asarray(target, float), shape)
    if law.optimum is not None and cost.training_only:
        return _bisect(lambda compute: best_outcome(law, parameters, compute, cost), target)
    # Without a closed form: the best outcome on a grid of compute, interpolated in logs. The grid is fine against any power law.
    grid = np.logspace(np.log10(SMALLEST_COMPUTE), np.log10(LARGEST_COMPUTE), 241)
    grid = grid[grid > 2 * cost.compute(SMALLEST_PARAMS, 1.0)]
    curve = []
    for compute in grid:
        params = numeric_best_params(law, parameters, float(compute), cost)
        curve.append(outcome(law, parameters, params, cost.tokens(params, compute)))
    levels = np.stack(curve)  # (compute, *draws), falling along compute
    found = np.full(shape, np.inf)
    for index in np.ndindex(*shape):
        column = levels[(slice(None), *index)]
        if column[-1] <= target[index]:
            found[index] = np.exp(np.interp(-target[index], -column, np.log(grid)))
    return found


def _bisect(best: Callable[[np.ndarray], np.ndarray], target: np.ndarray) -> np.ndarray:
    low, high = np.full(target.shape, np.log(SMALLEST_COMPUTE)), np.full(target.shape, np.log(LARGEST_COMPUTE))
    reachable = best(np.exp(high)) <= target
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = best(np.exp(middle)) <= target
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reachable, np.exp(high), np.inf)
