"""What a law and its noise say of each run under each draw: the curve, the density of what was measured, the probability of less.

For arrays of few sizes (buckets) only: jax compiles every operation anew for every size, which takes longer than the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from bayes_scaling.engine import bucket
from bayes_scaling.law import Law
from bayes_scaling.model import at_runs
from bayes_scaling.noise import Noise, cumulative, in_units_of_scatter
from bayes_scaling.runs import Runs

CURVE, SCALED, DENSITY, BELOW = "curve", "scaled", "density", "below"
_ROWS = 16384  # runs at a time: bounds the memory for a million of them


def pointwise(
    what: str, law: Law, noise: Noise, runs: Runs, parameters: Mapping[str, np.ndarray], groups: tuple[str, ...] = ()
) -> np.ndarray:
    """Evaluate something at each run under each draw.

    Parameters
    ----------
    what : ``CURVE``: the law's value; ``SCALED``: that in units of the scatter (`in_units_of_scatter`); ``DENSITY``: the log density of the
        measured output; ``BELOW``: the probability of a new measurement below the measured one, of counts with half that of the same
    runs : points of training curves are each given those before; see `Runs.apart`
    parameters : draws, each of shape (draw,) or (draw, group)
    groups : labels, in the order of the draws' groups

    Returns
    -------
    array of shape (draw, run)
    """
    import jax

    names = [name for name in noise.columns(law) if name not in noise.within or name in runs.columns]
    columns = runs.model_columns(tuple(names), groups)
    draws, size = len(next(iter(parameters.values()))), bucket(len(runs))
    if not noise.within:  # rows that depend on each other are not taken apart
        size = min(size, _ROWS)
    found = np.empty((draws, len(runs)))
    with jax.enable_x64(True):
        compiled = _compiled(what, law, noise)
        given = {name: np.asarray(values, float) for name, values in parameters.items()}
        for start in range(0, len(runs), size):
            part = {name: values[start : start + size] for name, values in columns.items()}
            rows = len(next(iter(part.values())))
            filled = {name: np.concatenate([values, np.full(size - rows, values[0])]) for name, values in part.items()}
            found[:, start : start + rows] = np.asarray(compiled(given, filled))[:, :rows]
    return found


@lru_cache(maxsize=128)
def _compiled(what: str, law: Law, noise: Noise) -> Callable[[Any, Any], Any]:
    import jax
    import jax.numpy as jnp

    def scatter(parameters: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
        wide = at_runs(parameters, columns, draw_dims=1)
        return noise.distribution(law.formula(columns, wide), wide, columns)

    def below(parameters: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
        return cumulative(scatter(parameters, columns), columns[law.output])

    def curve(parameters: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
        values = law.formula(columns, at_runs(parameters, columns, draw_dims=1))
        shape = len(next(iter(parameters.values()))), len(columns[law.output])
        return jnp.broadcast_to(values, shape)  # a curve may depend on no run

    def density(parameters: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
        return scatter(parameters, columns).log_prob(columns[law.output])

    def scaled(parameters: Mapping[str, Any], columns: Mapping[str, Any]) -> Any:
        return in_units_of_scatter(scatter(parameters, columns), compiled_curve(parameters, columns))

    compiled_curve = jax.jit(curve)
    # What is not compiled is not all jax's own.
    return {CURVE: compiled_curve, SCALED: scaled, DENSITY: jax.jit(density), BELOW: below}[what]
